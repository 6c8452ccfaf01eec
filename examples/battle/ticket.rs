//! Tickets: whoever shows the ticket of a seat is its player.
//!
//! A client is given one with its welcome, and shows it when it connects again, as `/ws?ticket=` and 32 hexadecimal
//! digits: in the request, because the request decides which battle a client goes to. Within 10 seconds the same player
//! with the same score goes on. The first byte tells the core of the seat, so that whoever takes the request in knows
//! where to send it; the other 120 bits come from the generator that the operating system seeded, and cannot be guessed.
//! Tickets are never told to other players, nor written to the log.

use std::fmt;

use rand::Rng;
use rand::rngs::StdRng;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket([u8; 16]);

impl Ticket {
    /// For a seat on this core.
    pub(crate) fn new(rng: &mut StdRng, core: u8) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let [first, ..] = &mut bytes;
        *first = core;
        Self(bytes)
    }

    /// The core that it is for, if it is one of ours at all.
    pub(crate) fn core(self) -> usize {
        let [core, ..] = self.0;
        core.into()
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The ticket in the query of a request, if there is one.
    pub(crate) fn in_query(query: &str) -> Option<Self> {
        let digits = query.split('&').find_map(|part| part.strip_prefix("ticket="))?;
        let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
        Some(Self(bytes.collect::<Option<Vec<_>>>()?.try_into().ok()?))
    }
}

/// A ticket as it stands in a query.
pub(crate) fn digits(ticket: [u8; 16]) -> String {
    ticket.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16)?.try_into().ok()
}

/// Not the ticket itself: who can read a log shall not play for others.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(..)")
    }
}

#[cfg(test)]
#[allow(clippy::string_slice, reason = "hexadecimal digits")]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_ticket_is_found_wherever_it_stands_in_the_query() {
        let ticket = Ticket([0x1f; 16]);
        let shown = digits(ticket.0);
        for query in [format!("ticket={shown}"), format!("a=b&ticket={}", shown.to_uppercase())] {
            assert_eq!(Ticket::in_query(&query), Some(ticket), "{query}");
        }
        for query in ["", "ticket=", "ticket=1f", &format!("ticket={shown}0"), &format!("ticket={shown}00")] {
            assert_eq!(Ticket::in_query(query), None, "{query}");
        }
        assert_eq!(Ticket::in_query(&format!("ticket={}", "zz".repeat(16))), None);
    }

    #[test]
    fn no_two_tickets_are_equal_and_none_is_shown() {
        let mut rng = StdRng::seed_from_u64(3);
        assert_ne!(Ticket::new(&mut rng, 5), Ticket::new(&mut rng, 5));
        assert_eq!(format!("{:?}", Ticket::new(&mut rng, 5)), "Ticket(..)");
        assert_eq!(Ticket::new(&mut rng, 5).core(), 5);
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_harm(query in ".{0,80}") {
            Ticket::in_query(&query);
        }

        #[test]
        fn what_was_given_is_taken(bytes in any::<[u8; 16]>()) {
            prop_assert_eq!(Ticket::in_query(&format!("ticket={}", digits(bytes))), Some(Ticket(bytes)));
        }
    }
}
