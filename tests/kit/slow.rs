//! RFC 6455 the slow and obvious way: bytes of one direction in, events and a verdict out.
//!
//! Written to be right by inspection: nothing is incremental, everything is copied, UTF-8 is judged by looking at
//! the whole text so far with the standard library. With [`Limits::deflate`] it takes compressed messages too, by [`inflate`].

use super::inflate;

/// Who sent the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Its frames are masked (section 5.1).
    Client,
    /// Its frames are not.
    Server,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_message: u64,
    pub max_frame: u64,
    pub max_fragments: u64,
    /// Whether messages may be compressed, and how many bytes of earlier ones they may then refer to.
    pub deflate: Option<usize>,
}

impl Limits {
    pub const NONE: Self =
        Self { max_message: u64::MAX, max_frame: u64::MAX, max_fragments: u64::MAX, deflate: None };

    /// No limits, and compression with a window of as many bytes; 0 for one that forgets.
    pub const fn with_deflate(self, window: usize) -> Self {
        Self { deflate: Some(window), ..self }
    }
}

/// A message under way.
struct Message {
    opcode: u8,
    /// What has come of it, compressed if it is.
    payload: Vec<u8>,
    frames: u64,
    compressed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason, if the frame had any.
    Close(Option<(u16, String)>),
}

/// Where the bytes ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Between messages.
    Open,
    /// At a frame boundary, inside a fragmented message.
    InMessage,
    /// Inside a frame.
    InFrame,
    /// After a Close; `rest` bytes follow it.
    Closed { rest: usize },
    /// A rule was broken; this code says which kind (section 7.4.1).
    Fault { code: u16, rule: &'static str },
}

/// What was seen of a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub events: Vec<Event>,
    pub verdict: Verdict,
    /// Frames that arrived whole, before the verdict.
    pub frames: Vec<Frame>,
    /// Every rule that the frame broke which ended it. An endpoint may name any of them.
    pub broken: Vec<&'static str>,
    /// How far back the farthest reference of a compressed message went.
    pub max_distance: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: u8,
    /// Unmasked.
    pub payload: Vec<u8>,
}

/// The first of the reserved bits, as one of the three.
const RSV1: u8 = 4;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

struct Broken {
    code: u16,
    rule: &'static str,
}

const fn broken(code: u16, rule: &'static str) -> Broken {
    Broken { code, rule }
}

/// A frame's header, and where its payload begins.
struct Header {
    fin: bool,
    rsv: u8,
    opcode: u8,
    key: Option<[u8; 4]>,
    /// The seven bits: 126 and 127 say that the length follows in 2 or 8 bytes.
    short_len: u8,
    payload_len: u64,
    header_len: usize,
}

/// Reads all of `bytes`.
pub fn read(from: From, limits: Limits, bytes: &[u8]) -> Seen {
    let mut seen = Seen {
        events: Vec::new(),
        verdict: Verdict::Open,
        frames: Vec::new(),
        broken: Vec::new(),
        max_distance: 0,
    };
    let mut message: Option<Message> = None;
    // What compressed messages came to.
    let mut history = Vec::new();
    let mut rest = bytes;
    loop {
        seen.verdict = if message.is_some() { Verdict::InMessage } else { Verdict::Open };
        if rest.is_empty() {
            return seen;
        }
        match step(from, limits, rest, &mut message, &mut history, &mut seen) {
            Ok(Some(used)) => {
                rest = &rest[used..];
                if let Some(Event::Close(_)) = seen.events.last() {
                    seen.verdict = Verdict::Closed { rest: rest.len() };
                    return seen;
                }
            }
            Ok(None) => {
                seen.verdict = Verdict::InFrame;
                return seen;
            }
            Err(broken) => {
                let Broken { code, rule } = broken[0];
                seen.verdict = Verdict::Fault { code, rule };
                seen.broken = broken.iter().map(|broken| broken.rule).collect();
                return seen;
            }
        }
    }
}

/// Judges one frame, whole or not. `Ok(Some(bytes used))` if it is whole, `Ok(None)` if more is needed, else all the
/// rules that it breaks.
fn step(
    from: From,
    limits: Limits,
    bytes: &[u8],
    message: &mut Option<Message>,
    history: &mut Vec<u8>,
    seen: &mut Seen,
) -> Result<Option<usize>, Vec<Broken>> {
    let Some(header) = header(bytes) else {
        return Ok(None);
    };
    let mut faults = faults_of_header(from, limits, &header, message.is_some());
    if faults.is_empty() && header.opcode < 8 {
        faults = faults_of_size(limits, &header, message.as_ref());
    }
    if !faults.is_empty() {
        return Err(faults);
    }

    let body = &bytes[header.header_len..];
    let whole = body.len() as u64 >= header.payload_len;
    let body = if whole { &body[..header.payload_len as usize] } else { body };
    let payload = unmask(header.key, body);
    let rsv1 = header.rsv == RSV1;
    let frame = Frame { fin: header.fin, rsv1, opcode: header.opcode, payload: payload.clone() };

    if header.opcode >= 8 {
        if !whole {
            return Ok(None);
        }
        seen.frames.push(frame);
        seen.events.push(control(header.opcode, payload).map_err(|broken| vec![broken])?);
        return Ok(Some(header.header_len + body.len()));
    }

    let mut under_way = message.take().unwrap_or(Message {
        opcode: header.opcode,
        payload: Vec::new(),
        frames: 0,
        compressed: rsv1,
    });
    under_way.payload.extend(payload);
    under_way.frames += 1;
    let last = whole && header.fin;
    if under_way.opcode == TEXT && !under_way.compressed {
        judge_text(&under_way.payload, last).map_err(|broken| vec![broken])?;
    }
    if !whole {
        return Ok(None);
    }
    seen.frames.push(frame);
    if last {
        let event = finish(limits, under_way, history, &mut seen.max_distance);
        seen.events.push(event.map_err(|broken| vec![broken])?);
    } else {
        *message = Some(under_way);
    }
    Ok(Some(header.header_len + body.len()))
}

/// What a whole message is, after RFC 7692, section 7.2.2, if it is compressed.
fn finish(
    limits: Limits,
    message: Message,
    history: &mut Vec<u8>,
    max_distance: &mut usize,
) -> Result<Event, Broken> {
    let mut data = message.payload;
    if let Some(window) = limits.deflate.filter(|_| message.compressed) {
        let reachable = &history[history.len().saturating_sub(window)..];
        // No bytes at all are what some make of an empty message.
        data = match data.as_slice() {
            [] => Vec::new(),
            _ => {
                let inflated = inflate::message(&data, reachable).ok_or(broken(1007, "not DEFLATE"))?;
                *max_distance = inflated.max_distance.max(*max_distance);
                inflated.data
            }
        };
        history.extend(&data);
        if data.len() as u64 > limits.max_message {
            return Err(broken(1009, "message too big"));
        }
    }
    if message.opcode == BINARY {
        return Ok(Event::Binary(data));
    }
    judge_text(&data, true)?;
    Ok(Event::Text(String::from_utf8(data).expect("judged")))
}

/// Section 5.2. `None` while it is not whole: a header is judged as one.
fn header(bytes: &[u8]) -> Option<Header> {
    let [first, second, ..] = *bytes else {
        return None;
    };
    let short_len = second & 0x7f;
    let extended = match short_len {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = second & 0x80 != 0;
    let header_len = 2 + extended + if masked { 4 } else { 0 };
    if bytes.len() < header_len {
        return None;
    }
    let payload_len = match extended {
        0 => u64::from(short_len),
        _ => bytes[2..2 + extended].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    let key = masked.then(|| bytes[header_len - 4..header_len].try_into().unwrap());
    let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0x0f);
    Some(Header { fin, rsv, opcode, key, short_len, payload_len, header_len })
}

/// What no size and no payload could make good (sections 5.1, 5.2, 5.4, 5.5).
fn faults_of_header(from: From, limits: Limits, header: &Header, in_message: bool) -> Vec<Broken> {
    let Header { fin, rsv, opcode, short_len, payload_len, .. } = *header;
    let control = opcode >= 8;
    // RFC 7692, section 6: of the reserved bits the first, and on the first frame of a message.
    let may_be_compressed = limits.deflate.is_some() && rsv == RSV1 && matches!(opcode, TEXT | BINARY);
    let rules = [
        (rsv != 0 && !may_be_compressed, "reserved bit"),
        (short_len == 126 && payload_len < 126, "length not minimal"),
        (short_len == 127 && payload_len < 65536, "length not minimal"),
        (payload_len >= 1 << 63, "length with the top bit"),
        (header.key.is_some() != (from == From::Client), "mask bit"),
        (!matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG), "reserved opcode"),
        (opcode == CONTINUATION && !in_message, "continuation of nothing"),
        (matches!(opcode, TEXT | BINARY) && in_message, "new message inside a message"),
        (control && !fin, "control frame in fragments"),
        // It is, or it says so in a form that only longer ones may use.
        (control && short_len > 125, "long control frame"),
    ];
    rules.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, rule)| broken(1002, rule)).collect()
}

/// Section 10.4, for data frames.
fn faults_of_size(limits: Limits, header: &Header, message: Option<&Message>) -> Vec<Broken> {
    let (so_far, frames) = message.map_or((0, 0), |message| (message.payload.len() as u64, message.frames));
    let Limits { mut max_message, mut max_frame, max_fragments, .. } = limits;
    if message.map_or(header.rsv == RSV1, |message| message.compressed) {
        // What cannot be shrunk may have grown.
        let slack = max_message / 8 + 64;
        let most = max_message.saturating_add(slack);
        max_frame = if max_frame < max_message { max_frame } else { most };
        max_message = most;
    }
    let rules = [
        (frames + 1 > max_fragments, "too many fragments"),
        (header.payload_len > max_frame, "frame too big"),
        (so_far.saturating_add(header.payload_len) > max_message, "message too big"),
    ];
    rules.into_iter().filter(|(is_broken, _)| *is_broken).map(|(_, rule)| broken(1009, rule)).collect()
}

/// Section 8.1: wrong at the first byte that cannot be right whatever follows.
fn judge_text(text: &[u8], is_whole: bool) -> Result<(), Broken> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) if error.error_len().is_none() && !is_whole => Ok(()),
        Err(_) => Err(broken(1007, "not UTF-8")),
    }
}

fn control(opcode: u8, payload: Vec<u8>) -> Result<Event, Broken> {
    match opcode {
        PING => return Ok(Event::Ping(payload)),
        PONG => return Ok(Event::Pong(payload)),
        _ => {}
    }
    match payload.as_slice() {
        [] => Ok(Event::Close(None)),
        [_] => Err(broken(1002, "Close with one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_travel(code) {
                return Err(broken(1002, "close code that may not travel"));
            }
            match std::str::from_utf8(reason) {
                Ok(reason) => Ok(Event::Close(Some((code, reason.to_owned())))),
                Err(_) => Err(broken(1007, "not UTF-8")),
            }
        }
    }
}

/// Section 7.4, and the codes registered since (1012 to 1014).
pub fn may_travel(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn unmask(key: Option<[u8; 4]>, body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    if let Some(key) = key {
        payload.iter_mut().enumerate().for_each(|(i, byte)| *byte ^= key[i % 4]);
    }
    payload
}

/// A frame as bytes, legal or not: `first` is its first byte.
pub fn raw_frame(from: From, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if from == From::Client { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..=125 => bytes.push(mask_bit | len as u8),
        len @ 126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(mask_bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    if from == From::Client {
        // Not random: these bytes have to be the same at each run.
        let key = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend(key);
        bytes.extend(unmask(Some(key), payload));
    } else {
        bytes.extend(payload);
    }
    bytes
}

/// A legal frame as bytes.
pub fn frame(from: From, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw_frame(from, if fin { 0x80 } else { 0 } | opcode, payload)
}

/// A Close as bytes.
pub fn close(from: From, code: u16, reason: &str) -> Vec<u8> {
    frame(from, true, CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}
