//! Where decisions come from.
//!
//! Everything in the kit that could go one way or another asks a [`Choices`]. With a [`Seeded`] one a run can be
//! replayed from a number; with an [`Odometer`] all runs of a short script are made, each once.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A source of decisions.
pub trait Choices {
    /// One of `0..n`; `n` is at least 1. With one possibility nothing is asked.
    fn choose(&mut self, n: usize) -> usize;
}

/// Decisions from a 64-bit seed (splitmix64: every seed is a good one, 0 too).
#[derive(Clone, Debug)]
pub struct Seeded {
    state: u64,
}

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d }
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Choices for Seeded {
    fn choose(&mut self, n: usize) -> usize {
        // Multiply-shift: unbiased enough for n far below 2^32.
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }
}

/// All sequences of decisions, in the order of a mileage counter: the last decision turns first.
#[derive(Debug, Default)]
pub struct Odometer {
    digits: Vec<(usize, usize)>,
    at: usize,
    runs: u64,
    /// Decisions after these many are 0 and not enumerated.
    depth: Option<usize>,
}

impl Odometer {
    /// Calls `run` once for each sequence of decisions it can meet, and says how many there were.
    ///
    /// # Panics
    ///
    /// When there are more than `most`: then the script is too long to enumerate, and a silent stop would let
    /// the test claim what it did not do.
    pub fn each(most: u64, run: impl FnMut(&Chooser)) -> u64 {
        Self::each_of(Self::default(), most, run)
    }

    /// As [`each`](Self::each), but only the first `depth` decisions are tried in all ways; those after them are 0.
    pub fn each_beginning(depth: usize, most: u64, run: impl FnMut(&Chooser)) -> u64 {
        Self::each_of(Self { depth: Some(depth), ..Self::default() }, most, run)
    }

    fn each_of(odometer: Self, most: u64, mut run: impl FnMut(&Chooser)) -> u64 {
        let odometer = Rc::new(RefCell::new(odometer));
        loop {
            odometer.borrow_mut().at = 0;
            run(&Chooser { source: odometer.clone() });
            let mut odometer = odometer.borrow_mut();
            odometer.runs += 1;
            assert!(odometer.runs <= most, "more than {most} sequences of decisions");
            if !odometer.turn() {
                return odometer.runs;
            }
        }
    }

    /// Sets the next sequence up; `false` when all have been.
    fn turn(&mut self) -> bool {
        self.digits.truncate(self.at);
        while let Some((digit, n)) = self.digits.pop() {
            if digit + 1 < n {
                self.digits.push((digit + 1, n));
                return true;
            }
        }
        false
    }
}

impl Choices for Odometer {
    fn choose(&mut self, n: usize) -> usize {
        if self.depth == Some(self.at) {
            return 0;
        }
        if self.at == self.digits.len() {
            self.digits.push((0, n));
        }
        let (digit, was) = self.digits[self.at];
        assert_eq!(
            n, was,
            "the run is not deterministic: decision {} had {was} possibilities before",
            self.at
        );
        self.at += 1;
        digit
    }
}

/// A handle to a source of decisions that a whole run shares.
#[derive(Clone)]
pub struct Chooser {
    source: Rc<RefCell<dyn Choices>>,
}

impl Chooser {
    pub fn new(source: impl Choices + 'static) -> Self {
        Self { source: Rc::new(RefCell::new(source)) }
    }

    pub fn seeded(seed: u64) -> Self {
        Self::new(Seeded::new(seed))
    }

    /// One of `0..n`, without asking when `n` is 1.
    pub fn choose(&self, n: usize) -> usize {
        assert!(n > 0, "nothing to choose from");
        if n == 1 { 0 } else { self.source.borrow_mut().choose(n) }
    }

    /// True once in `n` times. The usual case is decision 0, so that an odometer starts with it.
    pub fn one_in(&self, n: usize) -> bool {
        self.choose(n) == n - 1
    }

    /// One of `low..=high`.
    pub fn between(&self, low: usize, high: usize) -> usize {
        low + self.choose(high - low + 1)
    }

    pub fn of<T: Copy>(&self, options: &[T]) -> T {
        options[self.choose(options.len())]
    }
}

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chooser")
    }
}
