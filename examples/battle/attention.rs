//! Whether a client reads what it is sent.
//!
//! That its connection takes bytes does not show it: what lies between here and the client's program holds many seconds of a battle. So a
//! client is asked once a second, by a Ping that goes behind what was sent before, and its Pong, which browsers send by themselves,
//! shows that it has read so far. Who has not read what it was sent five seconds ago sees nothing of the fight; it is parted with 1013, and
//! its seat is kept, so that it may come back. A network that stands still for four seconds costs nobody anything.
//!
//! It counts ticks, not time, so it is the same in every run of a test.

use crate::rules::ticks;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    /// All that was sent until this tick has been read.
    read: u32,
    /// The tick of the question that is not answered.
    asked: Option<u32>,
}

/// What is to be done about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// To ask it, with this number.
    Ask(u32),
    /// To part with it.
    Part,
}

impl Attention {
    /// Of one who comes now.
    pub(crate) fn new(now: u32) -> Self {
        Self { read: now, asked: None }
    }

    /// A tick has passed. Nobody may be behind for `deaf` ticks.
    pub(crate) fn tick(&mut self, now: u32, deaf: u32) -> Next {
        let behind = now.saturating_sub(self.read);
        if behind >= deaf {
            return Next::Part;
        }
        if self.asked.is_some() || behind < ticks(1) {
            return Next::Nothing;
        }
        self.asked = Some(now);
        Next::Ask(now)
    }

    /// A Pong has come. One that answers no question of ours shows nothing.
    pub(crate) fn answered(&mut self, payload: &[u8]) {
        if let Some(asked) = self.asked.take_if(|asked| payload == asked.to_be_bytes()) {
            self.read = asked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAF: u32 = 150;

    /// What becomes of a client that reads in some ticks, and not in others: when it is parted with, if it is.
    fn parted(reads: impl Fn(u32) -> bool) -> Option<u32> {
        let mut attention = Attention::new(0);
        let mut question = None;
        (1..2000).find(|&now| {
            match attention.tick(now, DEAF) {
                Next::Nothing => {}
                Next::Ask(number) => question = Some(number),
                Next::Part => return true,
            }
            if reads(now)
                && let Some(number) = question.take()
            {
                attention.answered(&number.to_be_bytes());
            }
            false
        })
    }

    #[test]
    fn one_who_reads_is_asked_once_a_second_and_stays() {
        assert_eq!(parted(|_| true), None);
        let mut attention = Attention::new(7);
        let mut questions = Vec::new();
        for now in 8..8 + 3 * ticks(1) {
            if let Next::Ask(number) = attention.tick(now, DEAF) {
                questions.push(number - 7);
                attention.answered(&number.to_be_bytes());
            }
        }
        assert_eq!(questions, [ticks(1), 2 * ticks(1), 3 * ticks(1)]);
    }

    #[test]
    fn one_who_stops_reading_is_found_out_in_time_whenever_that_is() {
        for stop in 1..200 {
            let parted = parted(|now| now < stop).unwrap();
            assert!(parted <= stop + DEAF, "{parted}, having stopped at {stop}");
            assert!(parted + ticks(1) >= stop.max(ticks(1)) + DEAF, "{parted}, having stopped at {stop}");
        }
    }

    #[test]
    fn one_who_stands_still_for_a_while_now_and_then_stays() {
        for still in [10, ticks(1), 3 * ticks(1), DEAF - ticks(1)] {
            assert_eq!(parted(|now| now % (still + 5) >= still), None, "{still} ticks");
        }
    }

    #[test]
    fn a_pong_that_answers_nothing_shows_nothing() {
        let mut attention = Attention::new(0);
        let asked = (1..=ticks(1)).find(|&now| attention.tick(now, DEAF) == Next::Ask(now)).unwrap();
        for payload in [&[][..], b"who am I", &(asked + 1).to_be_bytes()] {
            attention.answered(payload);
        }
        assert_eq!(attention.tick(DEAF, DEAF), Next::Part);
        attention.answered(&asked.to_be_bytes());
        assert_eq!(attention.tick(DEAF, DEAF), Next::Ask(DEAF));
        attention.answered(&asked.to_be_bytes());
        assert_eq!(attention.tick(asked + DEAF, DEAF), Next::Part, "an answer counts once");
    }
}
