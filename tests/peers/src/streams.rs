//! Streams of frames: mostly what a good endpoint writes, mostly with one thing wrong.
//!
//! All comes from one number, so that a stream can be made again.

use super::Stream;
use super::choices::{Choices, Seeded};
use super::slow::{self, BINARY, CLOSE, CONTINUATION, Event, From, Limits, PING, PONG, TEXT};

/// Limits that some streams go beyond, without making large ones.
const TIGHT: Limits = Limits { max_message: 300, max_frame: 200, max_fragments: u64::MAX, deflate: None };
const WIDE: Limits =
    Limits { max_message: 1 << 20, max_frame: 1 << 20, max_fragments: u64::MAX, deflate: None };

/// What is wrong with a stream, apart from what chance does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    ReservedBits,
    ReservedOpCode,
    WrongMask,
    LongForm,
    HugeLength,
    NoMessage,
    MessageInside,
    FragmentedControl,
    LongControl,
    BadText,
    TextEndsInside,
    HalfCode,
    BadCode,
    BadReason,
    TooBig,
    BehindClose,
    FlippedBit,
    LostByte,
    Garbage,
}

const FAULTS: [Fault; 20] = [
    Fault::Nothing,
    Fault::ReservedBits,
    Fault::ReservedOpCode,
    Fault::WrongMask,
    Fault::LongForm,
    Fault::HugeLength,
    Fault::NoMessage,
    Fault::MessageInside,
    Fault::FragmentedControl,
    Fault::LongControl,
    Fault::BadText,
    Fault::TextEndsInside,
    Fault::HalfCode,
    Fault::BadCode,
    Fault::BadReason,
    Fault::TooBig,
    Fault::BehindClose,
    Fault::FlippedBit,
    Fault::LostByte,
    Fault::Garbage,
];

/// What UTF-8 is made of, and what it is not.
const LETTERS: [&str; 6] = ["a", "plain", "é", "€", "😀", "\u{10ffff}"];
const NO_LETTERS: [&[u8]; 9] = [
    b"\x80",
    b"\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xe2\x28\xa1",
];

const CODES: [u16; 12] = [1000, 1001, 1002, 1003, 1007, 1009, 1011, 1012, 1014, 3000, 4000, 4999];
const BAD_CODES: [u16; 14] =
    [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 5001, 0x8000, 0xffff];

struct Maker {
    choices: Seeded,
    from: From,
    bytes: Vec<u8>,
    /// The opcode of the message that has begun, and what is to come of it.
    open: Option<(u8, Vec<u8>)>,
}

/// The stream of this number.
#[must_use]
pub fn make(seed: u64) -> Stream {
    let mut choices = Seeded::new(seed);
    let from = if choices.choose(2) == 0 { From::Client } else { From::Server };
    let limits = if choices.choose(4) == 0 { TIGHT } else { WIDE };
    let mut maker = Maker { choices, from, bytes: Vec::new(), open: None };
    for _ in 0..maker.choose(16) {
        maker.good_frame();
    }
    let fault = FAULTS[maker.choose(FAULTS.len())];
    maker.fault(fault);
    for _ in 0..maker.choose(6) {
        maker.good_frame();
    }
    if maker.choose(3) == 0 {
        maker.close();
    }
    if maker.choose(8) == 0 {
        let len = maker.choose(maker.bytes.len() + 1);
        maker.bytes.truncate(len);
    }
    let cuts = maker.cuts();
    Stream { from, limits, bytes: maker.bytes, cuts }
}

/// What an endpoint might have to say, and in fragments of which size.
#[must_use]
pub fn events(seed: u64) -> (From, Vec<Event>, usize) {
    let mut choices = Seeded::new(seed ^ 0x5555_5555_5555_5555);
    let from = if choices.choose(2) == 0 { From::Client } else { From::Server };
    let mut maker = Maker { choices, from, bytes: Vec::new(), open: None };
    let mut events = Vec::new();
    for _ in 0..maker.choose(12) {
        events.push(match maker.choose(4) {
            0 => Event::Text(maker.text()),
            1 => Event::Binary(maker.data()),
            2 => Event::Ping(maker.short_data()),
            _ => Event::Pong(maker.short_data()),
        });
    }
    match maker.choose(4) {
        0 => events.push(Event::Close(None)),
        1 => events.push(Event::Close(Some((CODES[maker.choose(CODES.len())], "why".to_owned())))),
        _ => {}
    }
    let fragment = [1, 2, 7, 125, 126, 1000, 65_535, 1 << 20][maker.choose(8)];
    (from, events, fragment)
}

impl Maker {
    fn choose(&mut self, n: usize) -> usize {
        self.choices.choose(n)
    }

    /// A frame that is what it should be, but for its first byte.
    fn raw(&mut self, first: u8, payload: &[u8]) {
        let frame = slow::raw_frame(self.from, first, payload);
        self.bytes.extend(frame);
    }

    /// Mostly short, sometimes around a border of the length's forms.
    fn len(&mut self) -> usize {
        match self.choose(1024) {
            0 => 65_533 + self.choose(6),
            1..50 => 123 + self.choose(6),
            50..66 => 190 + self.choose(200),
            _ => self.choose(24),
        }
    }

    fn data(&mut self) -> Vec<u8> {
        let (len, start) = (self.len(), self.choose(256));
        (0..len).map(|i| (start + i * 7) as u8).collect()
    }

    fn short_data(&mut self) -> Vec<u8> {
        let mut data = self.data();
        data.truncate(125);
        data
    }

    fn text(&mut self) -> String {
        let len = self.len();
        let mut text = String::new();
        while text.len() < len {
            let letters = LETTERS[self.choose(LETTERS.len())];
            text.push_str(letters);
        }
        text
    }

    /// A frame that may stand here: a control frame, a message, or a part of one.
    fn good_frame(&mut self) {
        if self.choose(4) == 0 {
            let opcode = if self.choose(2) == 0 { PING } else { PONG };
            let payload = self.short_data();
            return self.raw(0x80 | opcode, &payload);
        }
        let (opcode, data) = match self.open.take() {
            Some((_, rest)) => (CONTINUATION, rest),
            None if self.choose(2) == 0 => (TEXT, self.text().into_bytes()),
            None => (BINARY, self.data()),
        };
        if self.choose(3) > 0 {
            return self.raw(0x80 | opcode, &data);
        }
        // A part of it: cut anywhere, inside a character too.
        let at = self.choose(data.len() + 1);
        self.raw(opcode, &data[..at]);
        self.open = Some((opcode, data[at..].to_vec()));
    }

    fn end_message(&mut self) {
        if let Some((_, rest)) = self.open.take() {
            self.raw(0x80 | CONTINUATION, &rest);
        }
    }

    fn close(&mut self) {
        let code = CODES[self.choose(CODES.len())];
        let reason = if self.choose(2) == 0 { "" } else { "gone €" };
        match self.choose(4) {
            0 => self.raw(0x80 | CLOSE, b""),
            _ => self.raw(0x80 | CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat()),
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Nothing => {}
            Fault::ReservedBits => {
                let next = [if self.open.is_some() { CONTINUATION } else { TEXT }, PING, CLOSE];
                let (opcode, rsv) = (next[self.choose(3)], 1 + self.choose(7) as u8);
                self.raw(0x80 | rsv << 4 | opcode, b"");
            }
            Fault::ReservedOpCode => {
                let opcode = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15][self.choose(10)];
                let (fin, payload) = (self.choose(2) as u8, self.data());
                self.raw(fin << 7 | opcode, &payload);
            }
            Fault::WrongMask => {
                self.from = if self.from == From::Client { From::Server } else { From::Client };
                self.good_frame();
                self.from = if self.from == From::Client { From::Server } else { From::Client };
            }
            Fault::LongForm => self.long_form(),
            Fault::HugeLength => {
                let len = [1 << 63, u64::MAX, (1 << 63) - 1, 1 << 32, 1 << 21][self.choose(5)];
                self.announce(127, &len.to_be_bytes());
            }
            Fault::NoMessage => {
                self.end_message();
                let fin = self.choose(2) as u8;
                self.raw(fin << 7 | CONTINUATION, b"of what?");
            }
            Fault::MessageInside => {
                if self.open.is_none() {
                    self.raw(TEXT, b"begun");
                }
                let first = (self.choose(2) as u8) << 7 | if self.choose(2) == 0 { TEXT } else { BINARY };
                self.raw(first, b"another");
            }
            Fault::FragmentedControl => {
                let opcode = [CLOSE, PING, PONG][self.choose(3)];
                self.raw(opcode, b"");
            }
            Fault::LongControl => {
                let (opcode, len) = ([CLOSE, PING, PONG][self.choose(3)], 126 + self.choose(300));
                self.raw(0x80 | opcode, &vec![3; len]);
            }
            Fault::BadText => self.bad_text(),
            Fault::TextEndsInside => {
                self.end_message();
                let cut = ["é", "€", "😀"][self.choose(3)].as_bytes();
                let text = [self.text().as_bytes(), &cut[..cut.len() - 1]].concat();
                self.raw(0x80 | TEXT, &text);
            }
            Fault::HalfCode => self.raw(0x80 | CLOSE, b"\x03"),
            Fault::BadCode => {
                let code = BAD_CODES[self.choose(BAD_CODES.len())];
                self.raw(0x80 | CLOSE, &code.to_be_bytes());
            }
            Fault::BadReason => {
                let bad = NO_LETTERS[self.choose(NO_LETTERS.len())];
                self.raw(0x80 | CLOSE, &[b"\x03\xe8ok", bad].concat());
            }
            Fault::TooBig => {
                self.end_message();
                for i in 0..3 {
                    let part = vec![b'x'; 90 + self.choose(60)];
                    self.raw(if i == 0 { TEXT } else { CONTINUATION }, &part);
                }
                self.open = Some((TEXT, Vec::new()));
            }
            Fault::BehindClose => self.close(),
            Fault::FlippedBit => {
                self.good_frame();
                let at = self.choose(self.bytes.len());
                self.bytes[at] ^= 1 << self.choose(8);
            }
            Fault::LostByte => {
                self.good_frame();
                let at = self.choose(self.bytes.len());
                self.bytes.remove(at);
            }
            Fault::Garbage => {
                for _ in 0..self.choose(40) {
                    let byte = self.choose(256) as u8;
                    self.bytes.push(byte);
                }
            }
        }
    }

    fn bad_text(&mut self) {
        self.end_message();
        let bad = NO_LETTERS[self.choose(NO_LETTERS.len())];
        let text = [self.text().as_bytes(), bad, self.text().as_bytes()].concat();
        let at = self.choose(text.len() + 1);
        match self.choose(3) {
            0 => self.raw(0x80 | TEXT, &text),
            1 => self.raw(TEXT, &text),
            _ => {
                self.raw(TEXT, &text[..at]);
                self.raw(0x80 | CONTINUATION, &text[at..]);
            }
        }
    }

    /// The header of a binary frame with such a length field, and no payload.
    fn announce(&mut self, short: u8, length: &[u8]) {
        let mask_bit = if self.from == From::Client { 0x80 } else { 0 };
        let opcode = if self.open.is_some() { CONTINUATION } else { BINARY };
        let key = if self.from == From::Client { &[0; 4][..] } else { &[] };
        let header = [&[0x80 | opcode, mask_bit | short], length, key].concat();
        self.bytes.extend(header);
    }

    /// A frame whose length is in a form longer than it needs.
    fn long_form(&mut self) {
        let len = self.choose(126);
        match self.choose(3) {
            0 => self.announce(126, &(len as u16).to_be_bytes()),
            1 => self.announce(127, &(len as u64).to_be_bytes()),
            _ => self.announce(127, &(len as u64 + 500).to_be_bytes()),
        }
        let payload = vec![0; len];
        self.bytes.extend_from_slice(&payload);
    }

    /// Whole, in a few pieces, or byte by byte.
    fn cuts(&mut self) -> Vec<usize> {
        let len = self.bytes.len();
        let mut cuts: Vec<usize> = match self.choose(8) {
            0 if len < 400 => (1..len).collect(),
            1..5 => (0..self.choose(8)).map(|_| self.choose(len + 1)).collect(),
            _ => Vec::new(),
        };
        cuts.sort_unstable();
        cuts
    }
}
