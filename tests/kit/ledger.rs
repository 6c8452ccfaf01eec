//! Payloads that tell which message and which byte they are, and the book kept of them.
//!
//! A binary payload is its message's number and length, then a pattern of number and offset: a byte that is lost,
//! doubled, moved or taken from another message shows at once. A text says the same in characters of one to four
//! bytes. What was sent for certain must arrive, once, whole and in order; a send that was dropped or failed may
//! have arrived or not, but whole.

use std::collections::HashMap;

/// The shortest payload that can tell its number.
pub const SHORTEST: usize = 8;

/// A binary payload of `len` bytes (at least [`SHORTEST`]).
pub fn binary(id: u32, len: usize) -> Vec<u8> {
    assert!(len >= SHORTEST, "a payload of {len} bytes cannot tell its number");
    let mut payload = Vec::with_capacity(len);
    payload.extend(id.to_be_bytes());
    payload.extend((len as u32).to_be_bytes());
    payload.extend((SHORTEST..len).map(|offset| pattern(id, offset)));
    payload
}

fn pattern(id: u32, offset: usize) -> u8 {
    (id.wrapping_mul(0x9e37_79b9) ^ (offset as u32).wrapping_mul(0x85eb_ca6b)).to_be_bytes()[1]
}

/// A text of `len` bytes (at least [`SHORTEST`]), with characters of every length in it.
pub fn text(id: u32, len: usize) -> String {
    let mut text = format!("{id:08x}");
    assert!(len >= text.len(), "a text of {len} bytes cannot tell its number");
    let alphabet = ['a', 'é', '€', '😀', '\u{7ff}', '\u{800}', '\u{ffff}', '\u{10ffff}'];
    let mut at = id as usize;
    while text.len() < len {
        let next = alphabet[at % alphabet.len()];
        at += 1;
        text.push(if text.len() + next.len_utf8() <= len { next } else { 'z' });
    }
    text
}

/// The number of the message whose binary payload this is.
///
/// # Panics
///
/// When any byte of it is not the right one.
pub fn binary_id(payload: &[u8]) -> u32 {
    assert!(payload.len() >= SHORTEST, "a payload of {} bytes: {payload:?}", payload.len());
    let id = u32::from_be_bytes(payload[..4].try_into().unwrap());
    let expected = binary(id, payload.len());
    if payload != expected {
        let at = payload.iter().zip(&expected).position(|(is, should)| is != should).unwrap();
        panic!("message {id}: byte {at} of {} is {}, not {}", payload.len(), payload[at], expected[at]);
    }
    id
}

/// The number of the message whose text this is.
///
/// # Panics
///
/// When any byte of it is not the right one.
pub fn text_id(payload: &str) -> u32 {
    let id = payload.get(..8).and_then(|id| u32::from_str_radix(id, 16).ok());
    let id = id.unwrap_or_else(|| panic!("a text that tells no number: {payload:?}"));
    assert_eq!(payload, text(id, payload.len()), "message {id} is not as it was sent");
    id
}

/// What is known of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Begun; if nothing else is said, its future was dropped or failed.
    Perhaps,
    /// The sender was told that it is on its way.
    Certainly,
    /// Refused before anything of it was sent.
    Never,
}

/// The book of one direction of a connection.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: Vec<(u32, Sent)>,
    received: Vec<u32>,
}

impl Ledger {
    /// A send of message `id` begins.
    pub fn begins(&mut self, id: u32) {
        self.sent.push((id, Sent::Perhaps));
    }

    /// What became of the send.
    pub fn became(&mut self, id: u32, sent: Sent) {
        let entry = self.sent.iter_mut().find(|(known, _)| *known == id);
        entry.unwrap_or_else(|| panic!("message {id} was never begun")).1 = sent;
    }

    pub fn receives(&mut self, id: u32) {
        self.received.push(id);
    }

    pub fn receives_binary(&mut self, payload: &[u8]) {
        self.receives(binary_id(payload));
    }

    pub fn receives_text(&mut self, payload: &str) {
        self.receives(text_id(payload));
    }

    pub fn sent_count(&self) -> usize {
        self.sent.len()
    }

    pub fn received_count(&self) -> usize {
        self.received.len()
    }

    /// Everything that was sent for certain has arrived, once and in order, and nothing that was not sent.
    ///
    /// # Panics
    ///
    /// When that is not so.
    pub fn settle(&self) {
        self.check_order();
        for (id, sent) in &self.sent {
            let arrived = self.received.contains(id);
            match sent {
                Sent::Certainly => assert!(arrived, "message {id} was sent and never arrived: {self:?}"),
                Sent::Never => assert!(!arrived, "message {id} was refused and arrived: {self:?}"),
                Sent::Perhaps => {}
            }
        }
    }

    /// As [`settle`](Self::settle) for a connection that broke: what arrived was sent, once and in order; the end
    /// may be missing, but nothing before it.
    pub fn settle_broken(&self) {
        self.check_order();
        let last = self.received.last().and_then(|last| self.sent.iter().position(|(id, _)| id == last));
        for (id, sent) in &self.sent[..last.map_or(0, |last| last + 1)] {
            let arrived = self.received.contains(id);
            assert!(arrived || *sent != Sent::Certainly, "message {id} is missing before others: {self:?}");
            assert!(!arrived || *sent != Sent::Never, "message {id} was refused and arrived: {self:?}");
        }
    }

    fn check_order(&self) {
        let places: HashMap<u32, usize> =
            self.sent.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        assert_eq!(places.len(), self.sent.len(), "a number was used twice: the test is wrong");
        let mut next = 0;
        for id in &self.received {
            let place = *places.get(id).unwrap_or_else(|| panic!("message {id} was never sent: {self:?}"));
            assert!(place >= next, "message {id} arrived out of order or twice: {self:?}");
            next = place + 1;
        }
    }
}
