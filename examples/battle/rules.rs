//! The numbers of a battle that the command line may change. Times are in ticks.

use crate::arena::TICK_MS;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Clients in one battle, onlookers and those who may come back among them.
    pub(crate) seats: usize,
    /// Bots in each battle.
    pub(crate) bots: usize,
    /// How long a fight lasts at most.
    pub(crate) fight: u32,
    /// How long its result is shown.
    pub(crate) result: u32,
    /// The score that ends a fight before its time.
    pub(crate) goal: u32,
    /// A client that asks for nothing for so long, not even to play, loses its seat.
    pub(crate) idle: u32,
    /// A client that has not read what it was sent so long ago is too slow.
    pub(crate) deaf: u32,
    /// How long the seat of a player is kept who was cut off.
    pub(crate) keep: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            seats: 12,
            bots: 0,
            fight: ticks(180),
            result: ticks(10),
            goal: 150,
            idle: ticks(120),
            // Less than 5 s, and not more.
            deaf: ticks(5).saturating_sub(1),
            keep: ticks(10),
        }
    }
}

/// The ticks of so many seconds, rounded up.
pub(crate) fn ticks(seconds: u32) -> u32 {
    seconds.saturating_mul(1000).div_ceil(TICK_MS.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_last_no_shorter_than_their_seconds() {
        assert_eq!((ticks(0), ticks(1), ticks(180)), (0, 31, 5455));
    }
}
