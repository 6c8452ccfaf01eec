//! The battles that are going on, and who goes where.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use crate::battle::Battle;

/// Opens battles as they are needed, and forgets those that everybody left.
///
/// It outlives the executor, so the tasks of all clients borrow it.
#[derive(Default)]
pub(crate) struct BattleManager {
    battles: RefCell<Vec<Rc<RefCell<Battle>>>>,
    opened: Cell<u32>,
    /// Random seeds, as std has them.
    seeds: RandomState,
}

impl BattleManager {
    /// A battle with a free seat, for whoever takes it before the next await.
    pub(crate) fn matchmake(&self) -> Rc<RefCell<Battle>> {
        let mut battles = self.battles.borrow_mut();
        if let Some(battle) = battles.iter().find(|battle| battle.borrow().has_room()) {
            return Rc::clone(battle);
        }
        let number = self.opened.get().wrapping_add(1);
        self.opened.set(number);
        let battle = Rc::new(RefCell::new(Battle::new(number, self.seeds.hash_one(number))));
        battles.push(Rc::clone(&battle));
        log::info!("battle {number} opens");
        battle
    }

    /// All battles move on by one tick. Those that no client's task holds are over.
    pub(crate) fn tick(&self) {
        self.battles.borrow_mut().retain(|battle| Rc::strong_count(battle) > 1);
        for battle in self.battles.borrow().iter() {
            battle.borrow_mut().tick();
        }
    }

    /// The server ends: every client is told so.
    pub(crate) fn dismiss_all(&self) {
        for battle in self.battles.borrow().iter() {
            battle.borrow_mut().dismiss_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use unsync_websocket::new_shared;

    use super::*;
    use crate::battle::SEATS;

    #[test]
    fn clients_meet_in_one_battle_until_its_seats_are_taken() {
        let manager = BattleManager::default();
        let first = manager.matchmake();
        for _ in 0..SEATS {
            assert!(Rc::ptr_eq(&first, &manager.matchmake()));
            first.borrow_mut().join(new_shared().0, Rc::default());
        }
        assert!(!Rc::ptr_eq(&first, &manager.matchmake()));
    }

    #[test]
    fn a_battle_that_nobody_holds_is_forgotten_at_the_next_tick() {
        let manager = BattleManager::default();
        let battle = manager.matchmake();
        manager.tick();
        assert_eq!(manager.battles.borrow().len(), 1);
        drop(battle);
        manager.tick();
        assert_eq!(manager.battles.borrow().len(), 0);
    }
}
