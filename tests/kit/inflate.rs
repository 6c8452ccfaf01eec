//! DEFLATE (RFC 1951) the slow and obvious way: a bit at a time, with every distance looked at.

use std::cmp::Ordering;

/// What a compressed message came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inflated {
    pub data: Vec<u8>,
    /// How far back the farthest reference went.
    pub max_distance: usize,
    /// How many blocks said that they were the last of their stream.
    pub final_blocks: usize,
}

/// Inflates a message's payload as RFC 7692, section 7.2.2, says: with the four bytes appended that its sender left out.
/// `history` is what earlier messages came to, if they may be referred to.
///
/// `None` if it is not DEFLATE, refers to what never was, or does not end with its last block.
pub fn message(payload: &[u8], history: &[u8]) -> Option<Inflated> {
    let mut bytes = payload.to_vec();
    bytes.extend_from_slice(&[0x00, 0x00, 0xFF, 0xFF]);
    let mut bits = Bits { bytes: &bytes, at: 0 };
    let mut window = history.to_vec();
    let mut reachable = history.len();
    let mut inflated = Inflated { data: Vec::new(), max_distance: 0, final_blocks: 0 };
    loop {
        let last = bits.take(1)? == 1;
        let start = window.len();
        let kind = bits.take(2)?;
        match kind {
            0 => stored(&mut bits, &mut window)?,
            1 => codes(&mut bits, &mut window, reachable, &fixed_lengths(), &[5; 30], &mut inflated)?,
            2 => {
                let (literals, distances) = dynamic_lengths(&mut bits)?;
                codes(&mut bits, &mut window, reachable, &literals, &distances, &mut inflated)?;
            }
            _ => return None,
        }
        reachable += window.len() - start;
        if last {
            inflated.final_blocks += 1;
            // The stream ends; another may begin at the next byte, which cannot refer to this one.
            bits.skip_to_byte();
            reachable = 0;
            match (bits.at / 8).cmp(&payload.len()) {
                Ordering::Less => {}
                Ordering::Equal => break,
                Ordering::Greater => return None,
            }
        }
        if bits.at == bytes.len() * 8 {
            // What its sender left out ends an empty stored block; where a longer one swallows it, the message was cut.
            let is_empty_stored = kind == 0 && window.len() == start;
            if !is_empty_stored {
                return None;
            }
            break;
        }
    }
    inflated.data = window.split_off(history.len());
    Some(inflated)
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits as a number, the first of them the lowest.
    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for place in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    fn skip_to_byte(&mut self) {
        self.at = self.at.div_ceil(8) * 8;
    }

    /// The next symbol of `code`, bit by bit: of each length the codes are consecutive numbers (section 3.2.2).
    fn symbol(&mut self, code: &Code) -> Option<usize> {
        let (mut bits, mut first, mut symbols) = (0, 0, code.symbols.as_slice());
        for count in code.counts {
            bits = bits << 1 | self.take(1)?;
            if bits < first + count {
                return symbols.get(bits.checked_sub(first)?).copied();
            }
            symbols = &symbols[count..];
            first = (first + count) << 1;
        }
        None
    }
}

struct Code {
    /// How many codes have 1 bit, 2 bits ... 15.
    counts: [usize; 15],
    /// Their symbols in the order of their codes.
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut symbols: Vec<_> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        let mut counts = [0; 15];
        for symbol in &symbols {
            counts[usize::from(lengths[*symbol]) - 1] += 1;
        }
        // Those of one length stay in their order.
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        Self { counts, symbols }
    }
}

fn stored(bits: &mut Bits<'_>, window: &mut Vec<u8>) -> Option<()> {
    bits.skip_to_byte();
    let (len, complement) = (bits.take(16)?, bits.take(16)?);
    if len != !complement & 0xFFFF {
        return None;
    }
    for _ in 0..len {
        window.push(bits.take(8)? as u8);
    }
    Some(())
}

fn fixed_lengths() -> Vec<u8> {
    [vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat()
}

fn dynamic_lengths(bits: &mut Bits<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, codes) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut of_lengths = [0; 19];
    for place in &ORDER[..codes] {
        of_lengths[*place] = bits.take(3)? as u8;
    }
    let code = Code::new(&of_lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (value, count) = match bits.symbol(&code)? {
            16 => (*lengths.last()?, bits.take(2)? + 3),
            17 => (0, bits.take(3)? + 3),
            18 => (0, bits.take(7)? + 11),
            len => (len as u8, 1),
        };
        lengths.extend(vec![value; count]);
    }
    if lengths.len() > literals + distances || literals > 286 || distances > 30 {
        return None;
    }
    let distances = lengths.split_off(literals);
    // A message without references needs no code for distances, and one with a single distance has one of one bit.
    let few = distances.iter().all(|len| *len <= 1) && distances.iter().filter(|len| **len == 1).count() <= 1;
    let is_complete = complete(&of_lengths) && complete(&lengths) && (few || complete(&distances));
    is_complete.then_some((lengths, distances))
}

/// Whether a code with these lengths has a meaning for all bits, and one only (section 3.2.2).
fn complete(lengths: &[u8]) -> bool {
    lengths.iter().filter(|len| **len > 0).map(|len| 1_u32 << (15 - len)).sum::<u32>() == 1 << 15
}

fn codes(
    bits: &mut Bits<'_>,
    window: &mut Vec<u8>,
    reachable: usize,
    literals: &[u8],
    distances: &[u8],
    inflated: &mut Inflated,
) -> Option<()> {
    const LENGTHS: [(usize, usize); 29] = [
        (3, 0),
        (4, 0),
        (5, 0),
        (6, 0),
        (7, 0),
        (8, 0),
        (9, 0),
        (10, 0),
        (11, 1),
        (13, 1),
        (15, 1),
        (17, 1),
        (19, 2),
        (23, 2),
        (27, 2),
        (31, 2),
        (35, 3),
        (43, 3),
        (51, 3),
        (59, 3),
        (67, 4),
        (83, 4),
        (99, 4),
        (115, 4),
        (131, 5),
        (163, 5),
        (195, 5),
        (227, 5),
        (258, 0),
    ];
    let (literals, distances) = (Code::new(literals), Code::new(distances));
    let start = window.len();
    loop {
        match bits.symbol(&literals)? {
            byte @ 0..256 => window.push(byte as u8),
            256 => return Some(()),
            symbol => {
                let (base, extra) = *LENGTHS.get(symbol - 257)?;
                let len = base + bits.take(extra)?;
                let symbol = bits.symbol(&distances)?;
                let extra = (symbol / 2).saturating_sub(1);
                let base = if symbol < 4 { symbol + 1 } else { ((2 + symbol % 2) << extra) + 1 };
                let distance = base + bits.take(extra)?;
                if symbol > 29 || distance > reachable + window.len() - start {
                    return None;
                }
                inflated.max_distance = inflated.max_distance.max(distance);
                for _ in 0..len {
                    window.push(window[window.len() - distance]);
                }
            }
        }
    }
}
