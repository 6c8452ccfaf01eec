//! The smallest parts of the protocol, each against its formula: a header, a mask, the UTF-8 of a text in pieces.

use unsync_websocket::ProtocolError;
use unsync_websocket::protocol::{FrameHeader, Mask, OpCode, Utf8Validator};

use crate::ends::agree::rule;
use crate::input::{Input, cuts_of, pieces};

/// Decoding agrees with the table of RFC 6455, section 5.2, on every beginning of the bytes: it never wants more than 14, an error
/// stays whatever follows, and is one that the whole header has. What was decoded encodes to the bytes that it took; and, the other
/// way, what was encoded decodes.
///
/// The bytes are a header, and again (the first nine) the fields of one.
pub fn header_parse(data: &[u8]) {
    let bytes = &data[..data.len().min(20)];
    let verdict = FrameHeader::decode(bytes);
    match (slow_header(bytes), verdict) {
        (Some(slow), Ok(Some((header, len)))) => {
            assert_eq!(slow.broken, [] as [&str; 0], "{header:?}");
            assert_eq!((slow.fields, slow.len), (fields(&header), len));
            assert_eq!(header.encode().as_slice(), &bytes[..len], "{header:?}");
        }
        (Some(slow), Err(error)) => {
            assert!(slow.broken.contains(&rule(error)), "{error:?}, not {:?}", slow.broken)
        }
        (Some(slow), Ok(None)) => panic!("wants more than the {} bytes of it", slow.len),
        (None, Ok(found)) => assert_eq!(found, None),
        // Known before the header is whole: then however it goes on.
        (None, Err(error)) => {
            for filler in [0, 0x7f, 0xff] {
                let whole = [bytes, &[filler; 14]].concat();
                let slow = slow_header(&whole).expect("14 bytes more");
                assert!(slow.broken.contains(&rule(error)), "{error:?}, not {:?}", slow.broken);
            }
        }
    }
    let mut known = Ok(None);
    for end in 0..=bytes.len() {
        let now = FrameHeader::decode(&bytes[..end]);
        assert!(known == Ok(None) || now == known, "{known:?} became {now:?} at {end}");
        assert!(end < FrameHeader::MAX_LEN || now != Ok(None));
        known = now;
    }
    round_trip(&mut Input::new(data));
}

fn round_trip(input: &mut Input<'_>) {
    let opcodes =
        [OpCode::Text, OpCode::Binary, OpCode::Continuation, OpCode::Ping, OpCode::Pong, OpCode::Close];
    let opcode = input.of(&opcodes);
    let bits = input.byte();
    let mask = (bits & 4 != 0).then(|| input.array());
    let shift = bits >> 3;
    // A number of any size: the next eight bytes without so many of their first bits.
    let number = u64::from_be_bytes(input.array()) >> 1 >> (u32::from(shift) * 2);
    let control = opcode.is_control();
    let payload_len = if control { number % 126 } else { number };
    let header = FrameHeader {
        fin: control || bits & 1 != 0,
        rsv1: !control && bits & 2 != 0,
        opcode,
        mask,
        payload_len,
    };
    let encoded = header.encode();
    let bytes = encoded.as_slice();
    let form = match payload_len {
        0..126 => 2,
        126..65536 => 4,
        _ => 10,
    };
    assert_eq!(bytes.len(), form + if mask.is_some() { 4 } else { 0 });
    assert_eq!(FrameHeader::decode(bytes), Ok(Some((header, bytes.len()))));
    assert_eq!(FrameHeader::decode(&bytes[..bytes.len() - 1]), Ok(None));
}

/// FIN, RSV1, opcode, key, length.
type Fields = (bool, bool, u8, Option<[u8; 4]>, u64);

struct SlowHeader {
    fields: Fields,
    len: usize,
    /// The rules of section 5.2 and 5.5 that it breaks.
    broken: Vec<&'static str>,
}

fn fields(header: &FrameHeader) -> Fields {
    let opcode = match header.opcode {
        OpCode::Continuation => 0,
        OpCode::Text => 1,
        OpCode::Binary => 2,
        OpCode::Close => 8,
        OpCode::Ping => 9,
        OpCode::Pong => 10,
    };
    (header.fin, header.rsv1, opcode, header.mask, header.payload_len)
}

/// All of it at once, as the figure in section 5.2 has it; `None` while it is not whole.
fn slow_header(bytes: &[u8]) -> Option<SlowHeader> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let bit = |byte: u8, nth: u8| byte >> (7 - nth) & 1 == 1;
    let (short, opcode) = (second & 127, first & 15);
    let form = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = bit(second, 0);
    let len = 2 + form + if masked { 4 } else { 0 };
    if bytes.len() < len {
        return None;
    }
    let mut number = 0;
    for byte in &bytes[2..2 + form] {
        number = number * 256 + u64::from(*byte);
    }
    let payload_len = if form == 0 { short.into() } else { number };
    let key = masked.then(|| [bytes[len - 4], bytes[len - 3], bytes[len - 2], bytes[len - 1]]);
    let control = opcode >= 8;
    let rules = [
        (bit(first, 2) || bit(first, 3) || control && bit(first, 1), "reserved bit"),
        (!matches!(opcode, 0..=2 | 8..=10), "reserved opcode"),
        (control && !bit(first, 0), "control frame in fragments"),
        (control && short > 125, "long control frame"),
        (form == 2 && payload_len < 126 || form == 8 && payload_len < 65536, "length not minimal"),
        (payload_len >> 63 == 1, "length with the top bit"),
    ];
    let broken = rules.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, rule)| rule).collect();
    Some(SlowHeader { fields: (bit(first, 0), bit(first, 1), opcode, key, payload_len), len, broken })
}

/// Masking is the formula of section 5.3, wherever the payload is cut, wherever it lies in memory, and whether it is masked in
/// place or on the way; twice is not at all.
///
/// A key, how far the payload has come, how far off an even address it lies (and up to which of its pieces are masked in place),
/// the cuts; then the payload.
pub fn unmask(data: &[u8]) {
    let mut input = Input::new(data);
    let key = input.array();
    let [before, apart] = input.array().map(usize::from);
    let lengths = input.cuts();
    let payload = input.rest();
    let mut expected = Vec::with_capacity(payload.len());
    for (i, byte) in payload.iter().enumerate() {
        expected.push(byte ^ key[(before + i) % 4]);
    }

    let start = {
        let mut mask = Mask::new(key);
        mask.apply(&mut [0; 255][..before]);
        mask
    };
    let offset = apart % 16;
    let mut lying = vec![0xee; offset];
    lying.extend_from_slice(payload);
    let mut mask = start;
    mask.apply(&mut lying[offset..]);
    assert_eq!(lying[offset..], expected, "in place, {offset} bytes off");
    let mut mask = start;
    mask.apply(&mut lying[offset..]);
    assert_eq!(lying[offset..], *payload, "and back");
    assert!(lying[..offset].iter().all(|byte| *byte == 0xee));

    let mut copied = vec![0xee; offset];
    let mut mask = start;
    mask.copy(payload, &mut copied);
    assert_eq!(copied[offset..], expected, "on the way");

    copied.truncate(offset);
    let mut mask = start;
    for (nth, piece) in pieces(payload, &cuts_of(lengths, payload.len())).into_iter().enumerate() {
        if ((apart / 16) >> (nth % 4)) & 1 == 1 {
            let at = copied.len();
            copied.extend_from_slice(piece);
            mask.apply(&mut copied[at..]);
        } else {
            mask.copy(piece, &mut copied);
        }
    }
    assert_eq!(copied[offset..], expected, "in pieces, {lengths:?}");
    assert!(copied[..offset].iter().all(|byte| *byte == 0xee));
}

/// The validator agrees with the standard library's: it refuses the piece that holds the first octet after which no text is valid,
/// and no earlier one; at the end it refuses a character that is cut.
///
/// The cuts, then the text.
pub fn utf8_stream(data: &[u8]) {
    let mut input = Input::new(data);
    let lengths = input.cuts();
    let text = input.rest();
    let whole = std::str::from_utf8(text);
    let bad_end = whole
        .err()
        .filter(|error| error.error_len().is_some())
        .map(|error| first_bad(text, error.valid_up_to()));

    for pieces in [pieces(text, &cuts_of(lengths, text.len())), text.chunks(1).collect(), vec![text]] {
        let mut validator = Utf8Validator::new();
        let mut end = 0;
        let refused = pieces.iter().find(|piece| {
            end += piece.len();
            validator.push(piece).is_err()
        });
        match bad_end {
            Some(bad) => {
                let piece = refused.expect("the standard library refuses it");
                assert!(end - piece.len() < bad && bad <= end, "bad at {bad}, refused at {end} of {text:x?}");
            }
            None => {
                assert_eq!(refused, None, "the standard library takes {text:x?}");
                assert_eq!(validator.finish().is_ok(), whole.is_ok());
                assert!(matches!(validator.finish(), Ok(()) | Err(ProtocolError::InvalidUtf8)));
            }
        }
    }
}

/// The end of the first bad octet, which comes within four behind what is valid: the shortest beginning that cannot be made good.
fn first_bad(text: &[u8], valid: usize) -> usize {
    let is_bad =
        |end: &usize| std::str::from_utf8(&text[valid..*end]).is_err_and(|error| error.error_len().is_some());
    (valid + 1..=text.len()).find(is_bad).expect("it has one")
}
