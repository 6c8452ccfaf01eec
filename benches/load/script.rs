//! What is sent, and what has to come back.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Messages of a round: after the last, the first again.
const MESSAGES: usize = 16;
/// Above this a round is as long as what is in flight, so that the frames stay in the cache.
const SMALL: usize = 16 << 10;

/// Masked frames, ready to be written, and their payloads.
pub struct Script {
    frames: Vec<u8>,
    /// Where each frame begins, and where the last one ends.
    starts: Vec<usize>,
    payloads: Vec<Vec<u8>>,
    /// Of compressed messages, how each was last seen to come back: the same bytes need not be inflated again.
    seen: Vec<Vec<u8>>,
    compressed: bool,
    inflater: Decompress,
    /// Messages that came back, and those of them that came back compressed, with their bytes.
    pub returned: Returned,
}

/// What came back.
#[derive(Clone, Copy, Default)]
pub struct Returned {
    pub messages: u64,
    pub compressed: u64,
    pub bytes: u64,
}

impl Script {
    /// Binary messages of `size` bytes, of which `in_flight` are sent at a time.
    pub fn plain(size: usize, in_flight: usize) -> Self {
        let mut random = Random(size as u64);
        let count = if size <= SMALL { MESSAGES } else { in_flight };
        let payloads = (0..count).map(|_| (0..size).map(|_| random.next() as u8).collect()).collect();
        Self::new(payloads, false)
    }

    /// Text messages of about `size` bytes of JSON, compressed, each on its own.
    pub fn json(size: usize) -> Self {
        let mut random = Random(size as u64);
        Self::new((0..MESSAGES).map(|_| json(size, &mut random)).collect(), true)
    }

    fn new(payloads: Vec<Vec<u8>>, compressed: bool) -> Self {
        let (mut frames, mut starts) = (Vec::new(), vec![0]);
        for (number, payload) in payloads.iter().enumerate() {
            match compressed {
                true => masked(0xC1, &deflate(payload), number, &mut frames),
                false => masked(0x82, payload, number, &mut frames),
            }
            starts.push(frames.len());
        }
        let (seen, inflater) = (vec![Vec::new(); payloads.len()], Decompress::new(false));
        Self { frames, starts, payloads, seen, compressed, inflater, returned: Returned::default() }
    }

    pub const fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The number of the message `steps` after this one.
    pub fn after(&self, number: usize, steps: usize) -> usize {
        (number + steps) % self.payloads.len()
    }

    /// The frames of `in_flight` messages from this one on.
    pub fn frames(&self, number: usize, in_flight: usize) -> &[u8] {
        &self.frames[self.starts[number]..self.starts[number + in_flight]]
    }

    /// Whether `bytes` stand at this place of this message.
    pub fn has(&self, number: usize, offset: usize, bytes: &[u8]) -> bool {
        self.payloads[number].get(offset..).is_some_and(|rest| rest.starts_with(bytes))
    }

    pub fn len(&self, number: usize) -> usize {
        self.payloads[number].len()
    }

    /// Whether this is the message, compressed.
    pub fn inflates(&mut self, number: usize, bytes: &[u8]) -> bool {
        if self.seen[number] == bytes {
            return true;
        }
        let mut input = bytes.to_vec();
        input.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
        let mut output = Vec::with_capacity(self.payloads[number].len() + 64);
        self.inflater.reset(false);
        let inflated = self.inflater.decompress_vec(&input, &mut output, FlushDecompress::Sync);
        let is = matches!(inflated, Ok(Status::Ok | Status::StreamEnd)) && output == self.payloads[number];
        if is {
            self.seen[number] = bytes.to_vec();
        }
        is
    }
}

/// A client's frame with this first byte (RFC 6455, section 5.2).
fn masked(first: u8, payload: &[u8], number: usize, frames: &mut Vec<u8>) {
    let key = [0x37, 0xFA, 0x21, number as u8];
    frames.push(first);
    match payload.len() {
        len @ 0..126 => frames.push(0x80 | len as u8),
        len @ 126..65536 => {
            frames.push(0xFE);
            frames.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frames.push(0xFF);
            frames.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(&key);
    frames.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// A message as RFC 7692, section 7.2.1, has it: flushed, without the last four bytes.
fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(payload.len() + 1024);
    let mut compress = Compress::new(Compression::default(), false);
    compress.compress_vec(payload, &mut output, FlushCompress::Sync).expect("room enough");
    assert!(output.ends_with(&[0, 0, 0xFF, 0xFF]), "all of it fits at once");
    output.truncate(output.len() - 4);
    output
}

/// What a game or a ticker would send: few names, many numbers. As many whole records as fit.
fn json(size: usize, random: &mut Random) -> Vec<u8> {
    const NAMES: [&str; 8] = ["orbit", "comet", "lyra", "vega", "quasar", "nova", "pulsar", "rigel"];
    const STATES: [&str; 4] = ["idle", "moving", "firing", "gone"];
    let mut text = String::from("{\"type\":\"snapshot\",\"players\":[");
    while text.len() < size {
        let name = NAMES[random.below(8)];
        text += &format!(
            "{{\"id\":{},\"name\":\"{name}-{}\",\"x\":{}.{:03},\"y\":{}.{:03},\"state\":\"{}\",\"score\":{}}},",
            random.below(100_000),
            random.below(1000),
            random.below(4096),
            random.below(1000),
            random.below(4096),
            random.below(1000),
            STATES[random.below(4)],
            random.below(1_000_000),
        );
    }
    text.truncate(size - 4);
    text += "\"}]}";
    text.into_bytes()
}

/// Numbers that are the same in each run (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 24
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}
