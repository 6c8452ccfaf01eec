//! How much a client may ask for.
//!
//! Each command costs one. A tick gives four back, up to 480; who has none left is parted with 1008. A page sends at
//! most two a tick (the nose once, and keys as fast as fingers are), so it never comes near; what a bad network holds
//! back for the 5 seconds that it may (attention.rs) and delivers at once is well within the 480; and a flooder is gone after a kilobyte of
//! commands, having cost no more than reading them. (Throttling would be the other way, but late inputs are worth
//! nothing in a fight, and a client that sends so many is not this page.)
//!
//! It counts ticks, not time, so it is the same in every run of a test.

/// Commands given back with each tick.
const A_TICK: u32 = 4;

/// Commands at once.
const MOST: u32 = 480;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: u32,
    /// The tick when `left` was counted.
    at: u32,
}

impl Allowance {
    pub(crate) fn new(now: u32) -> Self {
        Self { left: MOST, at: now }
    }

    /// Takes one command off. `false` if there was none left.
    #[must_use]
    pub(crate) fn take(&mut self, now: u32) -> bool {
        let passed = now.saturating_sub(self.at);
        let filled = self.left.saturating_add(passed.saturating_mul(A_TICK)).min(MOST);
        self.at = now;
        self.left = filled.saturating_sub(1);
        filled > 0
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test counts small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_taken_and_one_more_is_not() {
        let mut allowance = Allowance::new(0);
        assert!((0..MOST).all(|_| allowance.take(0)));
        assert!(!allowance.take(0));
        assert!((0..A_TICK).all(|_| allowance.take(1)));
        assert!(!allowance.take(1));
    }

    #[test]
    fn as_much_as_a_page_can_send_is_always_taken() {
        let mut allowance = Allowance::new(0);
        assert!((0..100_000).all(|now| (0..A_TICK).all(|_| allowance.take(now))));
    }

    proptest! {
        #[test]
        fn no_pattern_gets_more_than_the_burst_and_the_rate(
            gaps in prop::collection::vec((0..40_u32, 0..300_u32), 0..60)
        ) {
            let (mut allowance, mut now, mut taken) = (Allowance::new(0), 0_u32, 0);
            for (gap, commands) in gaps {
                now = now.saturating_add(gap);
                taken = (0..commands).filter(|_| allowance.take(now)).count().saturating_add(taken);
                let most = MOST.saturating_add(now.saturating_mul(A_TICK));
                prop_assert!(u32::try_from(taken).unwrap() <= most);
            }
        }
    }
}
