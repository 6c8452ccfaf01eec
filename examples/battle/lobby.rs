//! What cores tell each other of their battles: which there are, and who has won.
//!
//! Each core has two mailboxes, which it empties with every tick. Both are bounded, nobody waits for either, and so a core that does
//! not come along neither holds up the others nor grows:
//!
//! * **Lists.** Each core tells all others once a second which battles it has. A mailbox has room for [`LISTS`]; where that
//!   is full, the *oldest* list gives way, for a newer one of the same core is in the mailbox or a second away. A list that
//!   has not been renewed for [`STALE`] seconds is forgotten: its core is gone, or as good as gone.
//! * **News.** Who has won is told once, to all. A mailbox has room for [`NEWS`] of it, which is as much as a tick tells
//!   anybody; what comes on top is *dropped*, and counted (`battle_news_dropped_total`). It is nice to know, no more.
//!
//! A client hears the news with the next frame, and the list when it asks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::rules::ticks;
use crate::wire::Listing;

/// Lists in a mailbox: a few of each core.
pub(crate) const LISTS: usize = 128;

/// News in a mailbox.
pub(crate) const NEWS: usize = 16;

/// Battles that a core tells of, and that a client is told of: those with free seats first, of these the fullest.
const LISTED: usize = 100;

/// The seconds after which a list that was not renewed is forgotten.
const STALE: u32 = 4;

/// The battles of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) core: usize,
    pub(crate) battles: Vec<Listing>,
}

/// Somebody has won a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Won {
    pub(crate) battle: u32,
    pub(crate) score: u32,
    pub(crate) name: String,
}

/// What a core knows of all battles, its own among them.
#[derive(Default)]
pub(crate) struct Lobby {
    ticks: Cell<u32>,
    /// By core; and the tick when it was heard.
    lists: RefCell<BTreeMap<usize, (u32, Vec<Listing>)>>,
}

impl Lobby {
    /// A tick has passed. Whether it is time to tell the others.
    pub(crate) fn tick(&self) -> bool {
        let before = self.ticks.replace(self.ticks.get().wrapping_add(1));
        before.is_multiple_of(ticks(1))
    }

    /// A core has told its list.
    pub(crate) fn hear(&self, List { core, battles }: List) {
        self.lists.borrow_mut().insert(core, (self.ticks.get(), battles));
    }

    /// The battles that there are, as far as is known here, by their numbers.
    pub(crate) fn battles(&self) -> Vec<Listing> {
        let (now, lists) = (self.ticks.get(), self.lists.borrow());
        let fresh = lists.values().filter(|(heard, _)| now.wrapping_sub(*heard) < ticks(STALE));
        let mut battles = most_wanted(fresh.flat_map(|(_, battles)| battles.iter().copied()).collect());
        battles.sort_unstable_by_key(|it| it.battle);
        battles
    }
}

/// As many as are listed.
pub(crate) fn most_wanted(mut battles: Vec<Listing>) -> Vec<Listing> {
    battles.sort_unstable_by_key(|it| (it.free_seats == 0, it.free_seats, it.battle));
    battles.truncate(LISTED);
    battles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(battle: u32, free_seats: u8) -> Listing {
        Listing { battle, core: 0, players: 1, free_seats }
    }

    #[test]
    fn it_is_time_to_tell_with_the_first_tick_and_once_a_second() {
        let lobby = Lobby::default();
        let told: Vec<u32> = (0..100).filter(|_| lobby.tick()).collect();
        assert_eq!(told, [0, ticks(1), 2 * ticks(1), 3 * ticks(1)]);
    }

    #[test]
    fn the_newest_list_of_a_core_counts_and_one_that_is_not_renewed_is_forgotten() {
        let lobby = Lobby::default();
        lobby.hear(List { core: 0, battles: vec![listing(4, 1), listing(2, 1)] });
        lobby.hear(List { core: 1, battles: vec![listing(3, 1)] });
        let numbers = || lobby.battles().iter().map(|it| it.battle).collect::<Vec<_>>();
        assert_eq!(numbers(), [2, 3, 4]);
        (1..ticks(STALE)).for_each(|_| _ = lobby.tick());
        lobby.hear(List { core: 1, battles: vec![listing(5, 1)] });
        assert_eq!(numbers(), [2, 4, 5]);
        lobby.tick();
        assert_eq!(numbers(), [5], "core 0 has fallen silent");
    }

    #[test]
    fn of_too_many_battles_those_are_listed_that_one_more_player_would_fill() {
        let lobby = Lobby::default();
        let full = (0..100).map(|number| listing(number, 0));
        let open = (100..250).map(|number| listing(number, if number < 200 { 9 } else { 1 }));
        lobby.hear(List { core: 0, battles: full.chain(open).collect() });
        let listed = lobby.battles();
        assert_eq!(listed.len(), LISTED);
        assert!(listed.iter().all(|it| it.free_seats > 0));
        assert_eq!(listed.iter().filter(|it| it.free_seats == 1).count(), 50);
    }
}
