//! An input taken apart: choices from its front, and zeros behind its end.

use crate::kit::choices::{Choices, Chooser};

pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn of<T: Copy>(&mut self, options: &[T]) -> T {
        options[self.below(options.len())]
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// The next bytes, as far as there are so many.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A count below 16 and as many lengths, for [`cuts_of`].
    pub(crate) fn cuts(&mut self) -> &'a [u8] {
        let count = self.below(16);
        self.take(count)
    }

    /// Decisions of a simulated world: what is left, a byte each (two where there are more than 256 ways), and then always the
    /// first way.
    pub(crate) fn chooser(&mut self) -> Chooser {
        Chooser::new(Decisions { bytes: self.rest().to_vec(), at: 0 })
    }
}

struct Decisions {
    bytes: Vec<u8>,
    at: usize,
}

impl Decisions {
    fn byte(&mut self) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        byte.into()
    }
}

impl Choices for Decisions {
    fn choose(&mut self, n: usize) -> usize {
        let first = self.byte();
        if n <= 256 { first % n } else { (first << 8 | self.byte()) % n }
    }
}

/// Where something of `len` bytes is cut if its pieces have these lengths; ascending, inside, each once.
pub(crate) fn cuts_of(lengths: &[u8], len: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut at = 0;
    for length in lengths {
        at += usize::from(*length);
        if at >= len {
            break;
        }
        if *length > 0 {
            cuts.push(at);
        }
    }
    cuts
}

/// `bytes` in the pieces that `cuts` make of it; a last one that may be empty, and none other.
pub(crate) fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        pieces.push(&bytes[start..end]);
        start = end;
    }
    pieces
}
