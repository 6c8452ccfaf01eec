//! A battle: the clients of one arena, what they ask for, and what they are told.
//!
//! Everything here is called between two awaits of some client's task, or by the tick; nothing waits. What all
//! clients shall know gathers in `outbox`, and [`Battle::flush`] writes it to each client's ring as one record.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::{Poll, Waker};

use unsync_websocket::{BufWriter, CloseCode, RingError};

use crate::arena::{self, Arena, Hit};
use crate::name;
use crate::wire::{self, Command, Event};

/// Clients in one battle, those who only look on among them.
pub(crate) const SEATS: usize = 16;

/// Points for a hit, and for the one that destroys.
const HIT: u32 = 1;
const KILL: u32 = 5;

/// A client's number within its battle; on the wire, the id of its ship.
pub(crate) type Cid = u16;

/// Why the server parts with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dismissal {
    /// The server ends.
    GoingAway,
    /// The client does not take what it is sent as fast as it is made, or at all.
    TooSlow,
    /// The client speaks another version of the game.
    Outdated,
    /// The client sent something that is no message.
    Nonsense(wire::Error),
}

impl Dismissal {
    /// The code of the Close frame.
    pub(crate) fn code(self) -> CloseCode {
        match self {
            Self::GoingAway => CloseCode::GOING_AWAY,
            Self::TooSlow => CloseCode::TRY_AGAIN_LATER,
            Self::Outdated | Self::Nonsense(_) => CloseCode::POLICY_VIOLATION,
        }
    }

    /// The reason in the Close frame, which the page shows.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::GoingAway => String::from("the server is shutting down"),
            Self::TooSlow => String::from("too slow"),
            Self::Outdated => String::from("the game has a new version: reload the page"),
            Self::Nonsense(error) => error.to_string(),
        }
    }
}

/// Word of a dismissal, from the battle to the client's task.
#[derive(Default)]
pub(crate) struct Notice {
    dismissal: Cell<Option<Dismissal>>,
    waker: Cell<Option<Waker>>,
}

impl Notice {
    fn give(&self, dismissal: Dismissal) {
        self.dismissal.set(Some(dismissal));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Waits for the battle to part with this client; for ever, if the client leaves by itself.
    pub(crate) async fn wait(&self) -> Dismissal {
        poll_fn(|cx| match self.dismissal.get() {
            Some(dismissal) => Poll::Ready(dismissal),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// The clients of one arena.
pub(crate) struct Battle {
    number: u32,
    arena: Arena,
    clients: BTreeMap<Cid, Client>,
    last_cid: Cid,
    outbox: Vec<u8>,
}

struct Client {
    /// To the task that sends. Dropping it ends that task when all is sent.
    writer: BufWriter,
    notice: Rc<Notice>,
    /// `None` for one who only looks on, as everybody does until the name is known.
    pilot: Option<Pilot>,
}

struct Pilot {
    name: String,
    hue: u8,
    score: u32,
}

impl Battle {
    pub(crate) fn new(number: u32, seed: u64) -> Self {
        Self { number, arena: Arena::new(seed), clients: BTreeMap::new(), last_cid: 0, outbox: Vec::new() }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.clients.len() < SEATS
    }

    /// A client looks on from now on; what it is told goes into `writer`, and should the battle part with it, word
    /// of that into `notice`.
    pub(crate) fn join(&mut self, writer: BufWriter, notice: Rc<Notice>) -> Cid {
        // What is already in the outbox, the newcomer learns from the roster.
        self.flush();
        let cid = self.free_cid();
        let mut roster = Vec::new();
        Event::Welcome { you: cid, width: arena::WIDTH, height: arena::HEIGHT, tick_ms: arena::TICK_MS }
            .encode(&mut roster);
        for (&id, pilot) in self.clients.iter().filter_map(|(id, client)| Some((id, client.pilot.as_ref()?)))
        {
            Event::Joined { id, hue: pilot.hue, name: &pilot.name }.encode(&mut roster);
            Event::Score { id, score: pilot.score }.encode(&mut roster);
        }
        // A new ring is empty, and larger than a roster; were it not, the first flush would find it full.
        let _ = writer.write(&roster);
        self.clients.insert(cid, Client { writer, notice, pilot: None });
        log::info!("battle {}: client {cid} looks on, {} here", self.number, self.clients.len());
        cid
    }

    /// A client is gone. To be called once for each, also after it was dismissed.
    pub(crate) fn leave(&mut self, cid: Cid) {
        if let Some(client) = self.remove(cid) {
            let name = client.pilot.as_ref().map_or("", |pilot| &pilot.name);
            log::info!("battle {}: client {cid} {name:?} leaves, {} here", self.number, self.clients.len());
            self.flush();
        }
    }

    /// What a client sent, as the decoder gives it: a message, or the error that ends them.
    pub(crate) fn handle_message(&mut self, cid: Cid, message: Result<Command<'_>, wire::Error>) {
        match message {
            Ok(Command::Join { version: wire::VERSION, name }) => self.play(cid, name),
            Ok(Command::Join { .. }) => self.dismiss(cid, Dismissal::Outdated),
            Ok(Command::Move(held)) => self.arena.steer(cid, held),
            Ok(Command::Aim(angle)) => self.arena.aim(cid, angle),
            Ok(Command::Trigger { pulled }) => self.arena.trigger(cid, pulled),
            Err(error) => self.dismiss(cid, Dismissal::Nonsense(error)),
        }
    }

    /// Broadcasts what is buffered for all clients. Who has no room for it is dismissed: a room does not wait.
    pub(crate) fn flush(&mut self) {
        while !self.outbox.is_empty() {
            let mut record = mem::take(&mut self.outbox);
            let mut slow = Vec::new();
            for (&cid, client) in &self.clients {
                match client.writer.write(&record) {
                    // One whose sending has ended is about to leave.
                    Ok(()) | Err(RingError::ReaderGone) => {}
                    Err(_) => slow.push(cid),
                }
            }
            // That somebody was dismissed is news for the others, hence the loop; it gets shorter each time.
            for cid in slow {
                self.dismiss(cid, Dismissal::TooSlow);
            }
            if self.outbox.is_empty() {
                record.clear();
                self.outbox = record;
            }
        }
    }

    /// The world moves on, and everybody is told.
    pub(crate) fn tick(&mut self) {
        for Hit { victim, by, fatal } in self.arena.step() {
            Event::Hit { victim, by, fatal }.encode(&mut self.outbox);
            let pilot = self.clients.get_mut(&by).and_then(|client| client.pilot.as_mut());
            if let Some(pilot) = pilot {
                pilot.score = pilot.score.saturating_add(if fatal { KILL } else { HIT });
                Event::Score { id: by, score: pilot.score }.encode(&mut self.outbox);
            }
        }
        self.arena.frame().encode(&mut self.outbox);
        self.flush();
    }

    /// The server ends.
    pub(crate) fn dismiss_all(&mut self) {
        for cid in self.clients.keys().copied().collect::<Vec<_>>() {
            self.dismiss(cid, Dismissal::GoingAway);
        }
        self.outbox.clear();
    }

    /// One who looked on plays. One who plays already keeps the name.
    fn play(&mut self, cid: Cid, typed: &str) {
        let Some(client) = self.clients.get_mut(&cid) else {
            return;
        };
        if client.pilot.is_some() {
            return;
        }
        let Some(name) = name::clean(typed) else {
            let mut refusal = Vec::new();
            Event::Refused.encode(&mut refusal);
            // If even this byte finds no room, the next tick finds the client too slow.
            let _ = client.writer.write(&refusal);
            return;
        };
        log::info!("battle {}: client {cid} joins as {name:?}", self.number);
        let hue = hue(cid);
        Event::Joined { id: cid, hue, name: &name }.encode(&mut self.outbox);
        Event::Score { id: cid, score: 0 }.encode(&mut self.outbox);
        client.pilot = Some(Pilot { name, hue, score: 0 });
        self.arena.enter(cid);
    }

    fn dismiss(&mut self, cid: Cid, dismissal: Dismissal) {
        if let Some(client) = self.remove(cid) {
            log::warn!("battle {}: client {cid} is dismissed: {}", self.number, dismissal.reason());
            client.notice.give(dismissal);
        }
    }

    fn remove(&mut self, cid: Cid) -> Option<Client> {
        let client = self.clients.remove(&cid)?;
        if client.pilot.is_some() {
            self.arena.leave(cid);
            Event::Left { id: cid }.encode(&mut self.outbox);
        }
        Some(client)
    }

    /// The next number that nobody has. (There are more numbers than seats.)
    fn free_cid(&mut self) -> Cid {
        loop {
            self.last_cid = self.last_cid.wrapping_add(1);
            if !self.clients.contains_key(&self.last_cid) {
                return self.last_cid;
            }
        }
    }
}

/// A colour for a client: steps of the golden section keep neighbours apart, however many there are. The first is cyan.
fn hue(cid: Cid) -> u8 {
    let [low, _] = cid.to_le_bytes();
    low.wrapping_mul(158).wrapping_add(230)
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use futures_lite::future::{block_on, poll_once};
    use unsync_websocket::{BufReader, new_shared, new_shared_with_capacity};

    use super::*;
    use crate::wire::tests::events;
    use crate::wire::{Directions, Ship};

    /// A client as the battle sees it: a ring, and word of its dismissal.
    struct Visitor {
        cid: Cid,
        reader: BufReader,
        notice: Rc<Notice>,
    }

    impl Visitor {
        fn new(battle: &mut Battle) -> Self {
            Self::with_ring(battle, new_shared())
        }

        fn with_ring(battle: &mut Battle, (writer, reader): (BufWriter, BufReader)) -> Self {
            let notice = Rc::new(Notice::default());
            let cid = battle.join(writer, Rc::clone(&notice));
            Self { cid, reader, notice }
        }

        fn playing(battle: &mut Battle, name: &str) -> Self {
            let visitor = Self::new(battle);
            visitor.says(battle, Command::Join { version: wire::VERSION, name });
            visitor
        }

        fn says(&self, battle: &mut Battle, command: Command<'_>) {
            let mut payload = Vec::new();
            command.encode(&mut payload);
            for message in wire::Decoder::new(&payload) {
                battle.handle_message(self.cid, message);
            }
            battle.flush();
        }

        fn dismissed(&self) -> Option<Dismissal> {
            block_on(poll_once(self.notice.wait()))
        }

        /// What it was told since it was last asked; `None` if it will be told no more.
        fn hears<R>(&mut self, look: impl FnOnce(&[Event<'_>]) -> R) -> Option<R> {
            match self.reader.poll_read(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(payload)) => Some(look(&events(&payload))),
                Poll::Ready(None) => None,
                Poll::Pending => Some(look(&[])),
            }
        }

        fn sees_ships(&mut self) -> Vec<Ship> {
            self.hears(|events| match events.last() {
                Some(Event::Frame { ships, .. }) => ships.clone(),
                other => panic!("no frame but {other:?}"),
            })
            .unwrap_or_default()
        }
    }

    fn new_battle() -> Battle {
        Battle::new(1, 7)
    }

    #[test]
    fn a_newcomer_is_welcomed_with_the_names_and_scores_of_all_who_play() {
        let mut battle = new_battle();
        let ann = Visitor::playing(&mut battle, "Ann");
        let _watcher = Visitor::new(&mut battle);
        let mut bob = Visitor::new(&mut battle);
        let (you, id) = (bob.cid, ann.cid);
        bob.hears(|heard| {
            let welcome =
                Event::Welcome { you, width: arena::WIDTH, height: arena::HEIGHT, tick_ms: arena::TICK_MS };
            let joined = Event::Joined { id, hue: hue(id), name: "Ann" };
            assert_eq!(heard, [welcome, joined, Event::Score { id, score: 0 }]);
        });
    }

    #[test]
    fn everybody_hears_of_one_who_plays_and_only_then_is_there_a_ship() {
        let mut battle = new_battle();
        let mut ann = Visitor::new(&mut battle);
        battle.tick();
        assert_eq!(ann.sees_ships(), []);
        let bob = Visitor::playing(&mut battle, " Bob ");
        let id = bob.cid;
        ann.hears(|heard| {
            assert_eq!(
                heard,
                [Event::Joined { id, hue: hue(id), name: "Bob" }, Event::Score { id, score: 0 }]
            );
        });
        battle.tick();
        assert_eq!(ann.sees_ships().iter().map(|ship| ship.id).collect::<Vec<_>>(), [id]);
    }

    #[test]
    fn keys_move_the_ship_of_the_one_who_holds_them_and_no_other() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "Ann");
        let _bob = Visitor::playing(&mut battle, "Bob");
        battle.tick();
        let before = ann.sees_ships();
        ann.says(&mut battle, Command::Move(Directions::RIGHT));
        (0..5).for_each(|_| battle.tick());
        let after = ann.sees_ships();
        let moved: Vec<bool> = before.iter().zip(&after).map(|(a, b)| (a.x, a.y) != (b.x, b.y)).collect();
        assert_eq!(moved, [true, false]);
    }

    #[test]
    fn a_name_that_cannot_be_seen_is_refused_and_may_be_tried_again() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "\u{200b}");
        ann.hears(|heard| assert_eq!(heard.last(), Some(&Event::Refused)));
        ann.says(&mut battle, Command::Join { version: wire::VERSION, name: "Ann" });
        ann.hears(|heard| assert!(matches!(heard, [Event::Joined { name: "Ann", .. }, _]), "{heard:?}"));
    }

    #[test]
    fn joining_twice_changes_nothing() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "Ann");
        ann.hears(|_| ());
        ann.says(&mut battle, Command::Join { version: wire::VERSION, name: "Bob" });
        ann.hears(|heard| assert_eq!(heard, []));
    }

    #[test]
    fn one_who_leaves_disappears_for_the_others() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "Ann");
        let bob = Visitor::playing(&mut battle, "Bob");
        battle.tick();
        assert_eq!(ann.sees_ships().len(), 2);
        battle.leave(bob.cid);
        ann.hears(|heard| assert_eq!(heard, [Event::Left { id: bob.cid }]));
        battle.tick();
        assert_eq!(ann.sees_ships().len(), 1);
        battle.leave(bob.cid);
        ann.hears(|heard| assert_eq!(heard, []));
    }

    #[test]
    fn hits_score_and_the_fatal_one_scores_more() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "Ann");
        let bob = Visitor::playing(&mut battle, "Bob");
        let (by, victim) = (ann.cid, bob.cid);
        battle.tick();
        let mut told = Vec::new();
        let mut ships = ann.sees_ships();
        ann.says(&mut battle, Command::Trigger { pulled: true });
        for _ in 0..600 {
            if let [from, to] = &*ships {
                ann.says(&mut battle, Command::Aim(angle_between(from, to)));
                // Out of range she would shoot for ever: she comes nearer.
                ann.says(&mut battle, if from.x < to.x { Command::Move(Directions::RIGHT) } else { LEFT });
            }
            battle.tick();
            ships = ann
                .hears(|heard| {
                    told.extend(heard.iter().filter_map(|event| match event {
                        Event::Hit { victim, by, fatal } => Some((*victim, *by, u32::from(*fatal))),
                        Event::Score { id, score } => Some((*id, 0, *score)),
                        _ => None,
                    }));
                    match heard.last() {
                        Some(Event::Frame { ships, .. }) => ships.clone(),
                        _ => Vec::new(),
                    }
                })
                .unwrap_or_default();
            if told.last() == Some(&(by, 0, 8)) {
                break;
            }
        }
        let rounds = [(0, 1), (0, 2), (0, 3), (1, 8)];
        let expected: Vec<_> =
            rounds.iter().flat_map(|&(fatal, score)| [(victim, by, fatal), (by, 0, score)]).collect();
        assert_eq!(told, expected);
    }

    const LEFT: Command<'_> = Command::Move(Directions::LEFT);

    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a test"
    )]
    fn angle_between(from: &Ship, to: &Ship) -> u16 {
        let turn = (to.y - from.y).atan2(to.x - from.x) / std::f32::consts::TAU;
        (turn.rem_euclid(1.0) * 65_536.0) as u16
    }

    #[test]
    fn one_who_does_not_read_is_dismissed_and_the_others_play_on() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "Ann");
        let bob = Visitor::with_ring(&mut battle, new_shared_with_capacity(200));
        bob.says(&mut battle, Command::Join { version: wire::VERSION, name: "Bob" });
        let mut heard_left = false;
        for _ in 0..20 {
            battle.tick();
            ann.hears(|heard| heard_left |= heard.contains(&Event::Left { id: bob.cid }));
        }
        assert!(heard_left);
        assert_eq!(bob.dismissed(), Some(Dismissal::TooSlow));
        assert_eq!(ann.dismissed(), None);
        assert_eq!(Dismissal::TooSlow.code().get(), 1013);
    }

    #[test]
    fn one_whose_connection_ended_is_not_written_to_and_not_in_the_way() {
        let mut battle = new_battle();
        let mut ann = Visitor::playing(&mut battle, "Ann");
        let Visitor { cid, reader, notice } = Visitor::playing(&mut battle, "Bob");
        drop(reader);
        battle.tick();
        assert_eq!((notice.dismissal.get(), ann.sees_ships().len()), (None, 2));
        battle.leave(cid);
        battle.tick();
        assert_eq!(ann.sees_ships().len(), 1);
    }

    #[test]
    fn nonsense_dismisses_its_sender_after_the_messages_before_it() {
        let mut battle = new_battle();
        let mut ann = Visitor::new(&mut battle);
        let mut bob = Visitor::new(&mut battle);
        bob.hears(|_| ());
        let mut payload = Vec::new();
        Command::Join { version: wire::VERSION, name: "Ann" }.encode(&mut payload);
        payload.extend([99, 1, 2, 3]);
        for message in wire::Decoder::new(&payload) {
            battle.handle_message(ann.cid, message);
        }
        battle.flush();
        assert_eq!(ann.dismissed(), Some(Dismissal::Nonsense(wire::Error::UnknownTag(99))));
        ann.hears(|_| ());
        assert_eq!(ann.hears(|_| ()), None, "the ring's writer is gone");
        bob.hears(|heard| {
            assert!(matches!(heard, [Event::Joined { .. }, Event::Score { .. }, Event::Left { .. }]))
        });
    }

    #[test]
    fn a_page_of_another_version_is_told_to_reload() {
        let mut battle = new_battle();
        let ann = Visitor::new(&mut battle);
        ann.says(&mut battle, Command::Join { version: 0, name: "Ann" });
        assert_eq!(ann.dismissed(), Some(Dismissal::Outdated));
    }

    #[test]
    fn one_who_only_looks_on_cannot_steer() {
        let mut battle = new_battle();
        let mut ann = Visitor::new(&mut battle);
        for command in [Command::Move(Directions::UP), Command::Aim(7), Command::Trigger { pulled: true }] {
            ann.says(&mut battle, command);
        }
        battle.tick();
        assert_eq!(ann.sees_ships(), []);
    }

    #[test]
    fn when_the_server_ends_everybody_is_dismissed_as_going_away() {
        let mut battle = new_battle();
        let ann = Visitor::playing(&mut battle, "Ann");
        let bob = Visitor::new(&mut battle);
        battle.dismiss_all();
        for client in [ann, bob] {
            assert_eq!(client.dismissed().map(|dismissal| dismissal.code().get()), Some(1001));
        }
    }

    #[test]
    fn every_dismissal_fits_a_close_frame() {
        let all = [Dismissal::GoingAway, Dismissal::TooSlow, Dismissal::Outdated];
        for dismissal in all.into_iter().chain([Dismissal::Nonsense(wire::Error::BadValue)]) {
            assert!(dismissal.reason().len() <= 123);
        }
    }

    #[test]
    fn a_battle_has_so_many_seats_and_gives_numbers_anew() {
        let mut battle = new_battle();
        battle.last_cid = u16::MAX - 3;
        let visitors: Vec<_> = (0..SEATS).map(|_| Visitor::new(&mut battle)).collect();
        assert!(!battle.has_room());
        battle.leave(visitors.first().map_or(0, |visitor| visitor.cid));
        assert!(battle.has_room());
        battle.last_cid = u16::MAX - 2;
        let newcomer = Visitor::new(&mut battle);
        assert!(visitors.iter().skip(1).all(|visitor| visitor.cid != newcomer.cid));
    }
}
