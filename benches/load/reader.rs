//! What comes back, checked byte by byte.

use crate::script::Script;

/// Reads the frames of a server.
#[derive(Default)]
pub struct Reader {
    /// A header that has not all arrived.
    header: Vec<u8>,
    /// Of the frame that is being read.
    remaining: usize,
    fin: bool,
    /// Of the message that is being read: bytes so far, and whether a frame of it has begun.
    offset: usize,
    begun: bool,
    compressed: bool,
    /// Its bytes, if they are compressed.
    deflated: Vec<u8>,
}

impl Reader {
    /// Takes input that ought to be the message of this number and those after it; says how many of them it completed.
    pub fn receive(&mut self, mut input: &[u8], first: usize, script: &mut Script) -> Result<usize, String> {
        let mut completed = 0;
        while !input.is_empty() {
            let number = script.after(first, completed);
            if self.remaining == 0 && !self.header(&mut input)? {
                break;
            }
            let (bytes, rest) = input.split_at(self.remaining.min(input.len()));
            input = rest;
            self.remaining -= bytes.len();
            match self.compressed {
                true => self.deflated.extend_from_slice(bytes),
                false if !script.has(number, self.offset, bytes) => return Err("another payload".into()),
                false => self.offset += bytes.len(),
            }
            if self.remaining == 0 && self.fin {
                self.complete(number, script)?;
                completed += 1;
            }
        }
        Ok(completed)
    }

    /// Reads a header; false if more of it has to arrive.
    fn header(&mut self, input: &mut &[u8]) -> Result<bool, String> {
        let len = |header: &[u8]| match header.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        while self.header.len() < len(&self.header) {
            let Some((byte, rest)) = input.split_first() else { return Ok(false) };
            self.header.push(*byte);
            *input = rest;
        }
        let first = self.header[0];
        self.remaining = match &self.header[1..] {
            [len @ 0..126] => usize::from(*len),
            [126 | 127, len @ ..] => len.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            _ => return Err("a masked frame".into()),
        };
        self.header.clear();
        self.fin = first & 0x80 != 0;
        match (self.begun, first & 0x7F) {
            (true, 0x00) => {}
            (false, 0x01 | 0x02) => self.compressed = false,
            (false, 0x41 | 0x42) => self.compressed = true,
            _ => return Err(format!("a frame that begins with {first:#04x}")),
        }
        self.begun = !self.fin;
        Ok(true)
    }

    fn complete(&mut self, number: usize, script: &mut Script) -> Result<(), String> {
        let returned = &mut script.returned;
        returned.messages += 1;
        if self.compressed {
            returned.compressed += 1;
            returned.bytes += self.deflated.len() as u64;
            if !script.inflates(number, &self.deflated) {
                return Err("a compressed message that is another".into());
            }
            self.deflated.clear();
        } else if self.offset != script.len(number) {
            return Err("a message cut short".into());
        }
        self.offset = 0;
        Ok(())
    }
}
