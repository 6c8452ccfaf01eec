//! The battles that are going on, and who goes where.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::battle::Battle;
use crate::change::{Change, Seat};
use crate::cores::number_of_battle;
use crate::counts::{Counts, Survey};
use crate::lobby::{List, Lobby, Won, most_wanted};
use crate::per_core::Core;
use crate::results::Scores;
use crate::rules::Rules;
use crate::ticket::Ticket;
use crate::wire::Why;
use crate::wish::Wish;

/// Opens battles as they are needed, and forgets those that everybody left.
///
/// It outlives the executor, so the tasks of all clients borrow it.
pub(crate) struct BattleManager {
    core: Core,
    rules: Rules,
    battles: RefCell<Vec<Rc<RefCell<Battle>>>>,
    opened: Cell<u32>,
    counts: Arc<Counts>,
    /// Of all cores.
    lobby: Rc<Lobby>,
    /// Seeds for the battles.
    rng: RefCell<StdRng>,
}

impl BattleManager {
    /// No battles yet, on this core. Whoever can guess what `rng` gives can guess tickets: it is to come from the operating system.
    pub(crate) fn new(core: Core, rules: Rules, rng: StdRng) -> Self {
        let counts = Arc::default();
        Self {
            core,
            rules,
            battles: RefCell::default(),
            opened: Cell::new(0),
            counts,
            lobby: Rc::default(),
            rng: RefCell::new(rng),
        }
    }

    /// Counts here from now on.
    pub(crate) fn counting(self, counts: Arc<Counts>) -> Self {
        Self { counts, ..self }
    }

    /// What is counted on this core.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn core(&self) -> Core {
        self.core
    }

    /// The battle where the holder of the ticket has a seat; or else the one that is asked for, if it has a free seat; or the
    /// oldest that has, for whoever takes it before the next await; or a new one.
    pub(crate) fn matchmake(&self, wish: Wish) -> Rc<RefCell<Battle>> {
        let mut battles = self.battles.borrow_mut();
        let find = |fits: &dyn Fn(&Battle) -> bool| battles.iter().find(|it| fits(&it.borrow()));
        let found = find(&|it| wish.ticket.is_some_and(|ticket| it.knows(ticket)))
            .or_else(|| find(&|it| wish.battle == Some(it.number()) && it.has_room()))
            .or_else(|| find(&Battle::has_room));
        if let Some(battle) = found {
            return Rc::clone(battle);
        }
        let battle = self.open();
        battles.push(Rc::clone(&battle));
        battle
    }

    /// A seat for a bot, by its ticket, where one is wanted; the first battle is opened for them, so that whoever comes first finds
    /// a fight.
    pub(crate) fn hire(&self) -> Option<Ticket> {
        let mut battles = self.battles.borrow_mut();
        if battles.is_empty() && self.rules.bots > 0 {
            battles.push(self.open());
        }
        battles.iter().find_map(|battle| battle.borrow_mut().hire())
    }

    /// A seat for one who changes to a battle here, or to a new one.
    pub(crate) fn reserve(&self, Change { battle: number, name }: Change) -> Result<Seat, Why> {
        let mut battles = self.battles.borrow_mut();
        let battle = match number {
            0 => {
                battles.push(self.open());
                battles.last()
            }
            _ => battles.iter().find(|it| it.borrow().number() == number),
        };
        let mut battle = battle.ok_or(Why::Gone)?.borrow_mut();
        let ticket = battle.reserve(name).ok_or(Why::Full)?;
        Ok(Seat { battle: battle.number(), core: self.core.index, ticket })
    }

    /// Why a wish for a certain battle cannot be granted, as status and text.
    pub(crate) fn refusal(&self, wish: Wish) -> Option<(u16, &'static str)> {
        let number = wish.battle?;
        let battles = self.battles.borrow();
        if wish.ticket.is_some_and(|ticket| battles.iter().any(|it| it.borrow().knows(ticket))) {
            return None;
        }
        match battles.iter().find(|it| it.borrow().number() == number) {
            None => Some((404, "there is no such battle")),
            Some(battle) if battle.borrow().has_room() => None,
            Some(_) => Some((503, "this battle is full")),
        }
    }

    /// A look at all battles.
    pub(crate) fn survey(&self) -> Survey {
        let battles = self.battles.borrow();
        let sum = |of: &dyn Fn(&Battle) -> usize| {
            battles.iter().map(|it| of(&it.borrow())).fold(0, usize::saturating_add)
        };
        Survey {
            battles: battles.len(),
            free_seats: sum(&Battle::free_seats),
            players: sum(&Battle::player_count),
            queued: sum(&Battle::queued),
        }
    }

    /// The battles that others are told of.
    pub(crate) fn list(&self) -> List {
        let battles = self.battles.borrow().iter().map(|it| it.borrow().listing()).collect();
        List { core: self.core.index, battles: most_wanted(battles) }
    }

    /// What this core knows of all battles.
    pub(crate) fn lobby(&self) -> &Lobby {
        &self.lobby
    }

    /// Who has won here since the last call.
    pub(crate) fn take_won(&self) -> Vec<Won> {
        self.battles.borrow().iter().filter_map(|it| it.borrow_mut().take_won()).collect()
    }

    /// Somebody has won, here or elsewhere: all battles are told.
    pub(crate) fn hear(&self, won: &Won) {
        for battle in self.battles.borrow().iter() {
            battle.borrow_mut().hear(won);
        }
    }

    fn open(&self) -> Rc<RefCell<Battle>> {
        let nth = self.opened.get().wrapping_add(1);
        self.opened.set(nth);
        let number = number_of_battle(self.core, nth);
        let core = self.core.index.try_into().unwrap_or(u8::MAX);
        let rng = StdRng::from_rng(&mut *self.rng.borrow_mut());
        log::info!(core, battle = number; "a battle opens");
        Rc::new(RefCell::new(Battle::new(number, core, self.rules, Rc::clone(&self.lobby), rng)))
    }

    /// All battles move on by one tick. Those that no client's task holds, and where nobody is expected, are over; and so are those
    /// that failed, and, but for the first, those that were left to the bots.
    pub(crate) fn tick(&self) {
        let goes_on = |battle: &Rc<RefCell<Battle>>| {
            !battle.borrow().has_failed()
                && (Rc::strong_count(battle) > 1 || battle.borrow().expects_somebody())
        };
        self.battles.borrow_mut().retain(goes_on);
        for (index, battle) in self.battles.borrow().iter().enumerate() {
            let mut battle = battle.borrow_mut();
            if index > 0 && !battle.has_people() {
                battle.dismiss_all();
            }
            battle.tick();
        }
    }

    /// What people have won in all battles since the last call.
    pub(crate) fn take_results(&self) -> Scores {
        self.battles.borrow().iter().flat_map(|battle| battle.borrow_mut().take_results()).collect()
    }

    /// The server ends: every client is told so.
    pub(crate) fn dismiss_all(&self) {
        for battle in self.battles.borrow().iter() {
            battle.borrow_mut().dismiss_all();
        }
    }

    #[cfg(test)]
    pub(crate) fn battles(&self) -> Vec<Rc<RefCell<Battle>>> {
        self.battles.borrow().clone()
    }

    #[cfg(test)]
    pub(crate) fn battle_count(&self) -> usize {
        self.battles.borrow().len()
    }
}

#[cfg(test)]
mod tests {
    use unsync_websocket::new_shared;

    use super::*;
    use crate::rules::ticks;
    use crate::wire::{self, Command};

    fn manager_with(rules: Rules) -> BattleManager {
        BattleManager::new(Core::ALONE, rules, StdRng::seed_from_u64(7))
    }

    fn manager() -> BattleManager {
        manager_with(Rules { seats: 3, ..Rules::default() })
    }

    /// Takes a seat as a client's task does.
    fn take_seat(manager: &BattleManager) -> (Rc<RefCell<Battle>>, u16) {
        let battle = manager.matchmake(Wish::default());
        let cid = battle.borrow_mut().join(new_shared().0, Rc::default(), None);
        (battle, cid)
    }

    #[test]
    fn clients_fill_one_battle_and_then_the_next_and_a_seat_that_falls_free_is_taken_again() {
        let manager = manager();
        let seats: Vec<_> = (0..7).map(|_| take_seat(&manager)).collect();
        assert_eq!(manager.battle_count(), 3);
        for (index, (battle, _)) in seats.iter().enumerate() {
            assert!(Rc::ptr_eq(battle, &seats[index / 3 * 3].0), "client {index}");
        }
        let (first, cid) = &seats[1];
        first.borrow_mut().leave(*cid);
        assert!(Rc::ptr_eq(first, &take_seat(&manager).0));
    }

    /// Hires as many bots as are wanted, and lets them come.
    fn muster(manager: &BattleManager) -> Vec<(Rc<RefCell<Battle>>, u16)> {
        let tickets = std::iter::from_fn(|| manager.hire());
        let come = |ticket: Ticket| {
            let battle = manager.matchmake(ticket.into());
            let cid = battle.borrow_mut().join(new_shared().0, Rc::default(), Some(ticket));
            (battle, cid)
        };
        tickets.map(come).collect()
    }

    #[test]
    fn every_battle_has_its_bots_and_half_of_its_seats_for_people() {
        let manager = manager_with(Rules { seats: 4, bots: 9, ..Rules::default() });
        assert_eq!(
            (muster(&manager).len(), manager.battle_count()),
            (2, 1),
            "a fight waits for the first to come"
        );
        assert_eq!(muster(&manager).len(), 0);
        let people: Vec<_> = (0..3).map(|_| take_seat(&manager)).collect();
        assert_eq!(manager.battle_count(), 2, "two in the first, with the bots");
        let bots = muster(&manager);
        assert_eq!(bots.len(), 2);
        assert!(bots.iter().all(|(battle, _)| Rc::ptr_eq(battle, &people[2].0)));
        // One that is gone is replaced.
        let (battle, cid) = &bots[0];
        battle.borrow_mut().leave(*cid);
        assert_eq!(muster(&manager).len(), 1);
    }

    #[test]
    fn a_battle_that_is_left_to_the_bots_is_over_but_for_the_first() {
        let manager = manager_with(Rules { seats: 2, bots: 1, ..Rules::default() });
        let _first = muster(&manager);
        let [_bob, (second, ann)] = [take_seat(&manager), take_seat(&manager)];
        assert_eq!(muster(&manager).len(), 1);
        manager.tick();
        assert!(second.borrow().has_people());
        second.borrow_mut().leave(ann);
        drop(second);
        manager.tick();
        manager.tick();
        assert_eq!(manager.battle_count(), 1, "the bots of the second were told to go");
        manager.tick();
        assert_eq!(muster(&manager).len(), 0, "the first one's flies on");
    }

    #[test]
    fn one_who_asks_for_a_battle_by_its_number_gets_it_or_hears_why_not() {
        let manager = manager();
        let seats: Vec<_> = (0..4).map(|_| take_seat(&manager)).collect();
        let wish = |battle| Wish { battle: Some(battle), ..Wish::default() };
        assert_eq!(manager.refusal(wish(2)), None);
        assert!(Rc::ptr_eq(&manager.matchmake(wish(2)), &seats[3].0));
        assert_eq!(manager.refusal(wish(1)), Some((503, "this battle is full")));
        assert_eq!(manager.refusal(wish(3)), Some((404, "there is no such battle")));
        let (writer, reader) = new_shared();
        seats[3].0.borrow_mut().join(writer, Rc::default(), None);
        let queued = manager.survey().queued;
        assert!(queued > 0, "a roster that nobody has read");
        assert_eq!(manager.survey(), Survey { battles: 2, free_seats: 1, players: 0, queued });
        drop(reader);
        assert_eq!(manager.survey().queued, 0);
    }

    #[test]
    fn a_battle_that_nobody_holds_is_forgotten_at_the_next_tick() {
        let manager = manager();
        let battle = manager.matchmake(Wish::default());
        manager.tick();
        assert_eq!(manager.battle_count(), 1);
        drop(battle);
        manager.tick();
        assert_eq!(manager.battle_count(), 0);
    }

    #[test]
    fn an_empty_battle_waits_for_a_player_who_was_cut_off_as_long_as_the_seat_is_kept() {
        let manager = manager();
        let (battle, cid) = take_seat(&manager);
        battle.borrow_mut().handle_message(cid, Ok(Command::Join { version: wire::VERSION, name: "Ann" }));
        battle.borrow_mut().leave(cid);
        drop(battle);
        for _ in 1..ticks(10) {
            manager.tick();
        }
        assert_eq!(manager.battle_count(), 1);
        manager.tick();
        manager.tick();
        assert_eq!(manager.battle_count(), 0);
    }
}
