//! The battle with its clients' ends held by the tests: no sockets, no time.

use std::task::{Context, Poll, Waker};

use unsync_websocket::{BufReader, new_shared, new_shared_with_capacity};

use super::*;
use crate::rules::ticks;
use crate::wire::{Directions, Ship, events};

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

    /// One who shows this ticket.
    fn with_ticket(battle: &mut Battle, ticket: Ticket) -> Self {
        let notice = Rc::new(Notice::default());
        let (writer, reader) = new_shared();
        let cid = battle.join(writer, Rc::clone(&notice), Some(ticket));
        Self { cid, reader, notice }
    }

    fn with_ring(battle: &mut Battle, (writer, reader): (BufWriter, BufReader)) -> Self {
        let notice = Rc::new(Notice::default());
        let cid = battle.join(writer, Rc::clone(&notice), None);
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

    /// What its task does, and its browser.
    fn answers(&self, battle: &mut Battle) {
        if let Some(question) = self.notice.question.take() {
            battle.handle_pong(self.cid, &question.to_be_bytes());
        }
    }

    fn dismissed(&self) -> Option<Dismissal> {
        self.notice.dismissal.given()
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
    battle_with(Rules::default())
}

fn battle_with(rules: Rules) -> Battle {
    Battle::new(1, 0, rules, Rc::default(), StdRng::seed_from_u64(7))
}

#[test]
fn a_newcomer_is_welcomed_with_the_names_and_scores_of_all_who_play() {
    let mut battle = new_battle();
    let ann = Visitor::playing(&mut battle, "Ann");
    let _watcher = Visitor::new(&mut battle);
    let mut bob = Visitor::new(&mut battle);
    let (you, id) = (bob.cid, ann.cid);
    let ticket = battle.clients[&you].ticket.bytes();
    bob.hears(|heard| {
        let (width, height, tick_ms) = (arena::WIDTH, arena::HEIGHT, arena::TICK_MS);
        let welcome = Event::Welcome { you, width, height, tick_ms, ticket, battle: 1, core: 0 };
        let round = Event::Round { phase: Phase::Fight, ends: ticks(180), goal: 150 };
        let joined = Event::Joined { id, hue: hue(id), name: "Ann" };
        assert_eq!(heard, [welcome, round, joined, Event::Score { id, score: 0 }]);
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
        let round = Event::Round { phase: Phase::Fight, ends: 1 + ticks(180), goal: 150 };
        let joined = Event::Joined { id, hue: hue(id), name: "Bob" };
        assert_eq!(heard, [round, joined, Event::Score { id, score: 0 }], "the first fight begins");
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
    ann.says(&mut battle, Command::Move(right()));
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
    ann.hears(|heard| {
        assert!(matches!(heard, [Event::Round { .. }, Event::Joined { name: "Ann", .. }, _]), "{heard:?}")
    });
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
            let nearer = Directions::along(to.x - from.x, to.y - from.y);
            ann.says(&mut battle, Command::Move(nearer));
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

fn right() -> Directions {
    Directions::along(1.0, 0.0)
}

fn angle_between(from: &Ship, to: &Ship) -> u16 {
    wire::angle(to.x - from.x, to.y - from.y)
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
    assert_eq!((notice.dismissal.given(), ann.sees_ships().len()), (None, 2));
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
        assert!(matches!(heard, [_, Event::Joined { .. }, Event::Score { .. }, Event::Left { .. }]))
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
    for command in [Command::Move(right()), Command::Aim(7), Command::Trigger { pulled: true }] {
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
fn a_battle_has_so_many_seats_and_gives_numbers_anew() {
    let mut battle = new_battle();
    battle.last_cid = u16::MAX - 3;
    let visitors: Vec<_> = (0..battle.rules.seats).map(|_| Visitor::new(&mut battle)).collect();
    assert!(!battle.has_room());
    battle.leave(visitors.first().map_or(0, |visitor| visitor.cid));
    assert!(battle.has_room());
    battle.last_cid = u16::MAX - 2;
    let newcomer = Visitor::new(&mut battle);
    assert!(visitors.iter().skip(1).all(|visitor| visitor.cid != newcomer.cid));
}

#[test]
fn a_ping_is_answered_to_the_one_who_asked() {
    let mut battle = new_battle();
    let (mut ann, mut bob) = (Visitor::new(&mut battle), Visitor::new(&mut battle));
    ann.hears(|_| ());
    bob.hears(|_| ());
    ann.says(&mut battle, Command::Ping(513));
    ann.hears(|heard| assert_eq!(heard, [Event::Pong(513)]));
    bob.hears(|heard| assert_eq!(heard, []));
}

#[test]
fn a_flooder_is_dismissed_and_a_busy_player_is_not() {
    let mut battle = new_battle();
    let (ann, bob) = (Visitor::playing(&mut battle, "Ann"), Visitor::playing(&mut battle, "Bob"));
    for tick in 0..300 {
        battle.tick();
        [&ann, &bob].iter().for_each(|visitor| visitor.answers(&mut battle));
        ann.says(&mut battle, Command::Aim(tick));
        ann.says(&mut battle, Command::Trigger { pulled: tick % 2 == 0 });
        (0..7).for_each(|_| bob.says(&mut battle, Command::Aim(tick)));
    }
    assert_eq!(ann.dismissed(), None);
    assert_eq!(bob.dismissed(), Some(Dismissal::Flood));
}

/// Goal G16: within five seconds.
#[test]
fn who_does_not_read_is_too_slow_though_its_ring_has_room_and_who_reads_after_a_pause_is_not() {
    let mut battle = new_battle();
    let (ann, bob) = (Visitor::playing(&mut battle, "Ann"), Visitor::playing(&mut battle, "Bob"));
    let deaf = Visitor::playing(&mut battle, "Deaf");
    let mut parted = None;
    for tick in 1..1000 {
        battle.tick();
        ann.answers(&mut battle);
        // Stands still for nearly four seconds, again and again.
        if tick % 125 > 115 {
            bob.answers(&mut battle);
        }
        parted = parted.or(deaf.dismissed().map(|why| (why, tick)));
        for visitor in [&ann, &bob] {
            visitor.says(&mut battle, Command::Aim(1));
            assert_eq!(visitor.dismissed(), None, "tick {tick}");
        }
    }
    let (why, tick) = parted.unwrap();
    assert_eq!(why, Dismissal::TooSlow);
    assert!(tick * u32::from(arena::TICK_MS) <= 5000, "{tick} ticks");
}

#[test]
fn who_asks_for_nothing_but_the_time_loses_the_seat() {
    let mut battle = battle_with(Rules { idle: 50, ..Rules::default() });
    let (ann, bob) = (Visitor::playing(&mut battle, "Ann"), Visitor::playing(&mut battle, "Bob"));
    let onlooker = Visitor::new(&mut battle);
    for tick in 0..50 {
        for visitor in [&ann, &bob, &onlooker] {
            assert_eq!(visitor.dismissed(), None, "tick {tick}");
            visitor.says(&mut battle, Command::Ping(tick));
        }
        bob.says(&mut battle, Command::Aim(tick));
        battle.tick();
    }
    assert_eq!(ann.dismissed(), Some(Dismissal::Idle));
    assert_eq!(onlooker.dismissed(), Some(Dismissal::Idle));
    assert_eq!(bob.dismissed(), None);
    assert!(!battle.expects_somebody());
}

/// Ann with 42 points, and how she would show that she is Ann.
fn famous(battle: &mut Battle) -> (Visitor, Ticket) {
    let ann = Visitor::playing(battle, "Ann");
    let client = battle.clients.get_mut(&ann.cid).unwrap();
    client.pilot.as_mut().unwrap().score = 42;
    let ticket = client.ticket;
    (ann, ticket)
}

/// Name, hue and score of all who play.
fn standing(battle: &Battle) -> Vec<(String, u8, u32)> {
    battle.pilots().map(|(_, pilot)| (pilot.name.clone(), pilot.hue, pilot.score)).collect()
}

#[test]
fn one_who_was_cut_off_comes_back_as_the_same_player_with_the_same_score() {
    let mut battle = new_battle();
    let (ann, ticket) = famous(&mut battle);
    let before = standing(&battle);
    battle.leave(ann.cid);
    (1..ticks(10)).for_each(|_| battle.tick());
    assert_eq!(standing(&battle), []);
    assert!(battle.knows(ticket));
    let mut again = Visitor::with_ticket(&mut battle, ticket);
    battle.tick();
    assert_eq!(standing(&battle), before);
    assert_eq!(battle.clients[&again.cid].ticket, ticket);
    let id = again.cid;
    again.hears(|heard| {
        assert!(heard.contains(&Event::Score { id, score: 42 }));
        assert!(matches!(heard.last(), Some(Event::Frame { ships, .. }) if ships.len() == 1));
    });
}

#[test]
fn after_the_time_a_seat_is_kept_the_ticket_is_worth_nothing() {
    let mut battle = new_battle();
    let (ann, ticket) = famous(&mut battle);
    battle.leave(ann.cid);
    (0..ticks(10)).for_each(|_| battle.tick());
    assert!(!battle.knows(ticket) && !battle.expects_somebody());
    let late = Visitor::with_ticket(&mut battle, ticket);
    assert_eq!(standing(&battle), []);
    assert!(battle.clients[&late.cid].ticket != ticket, "tickets are the server's to give");
}

#[test]
fn who_comes_back_before_the_old_connection_is_known_to_be_dead_replaces_it() {
    let mut battle = new_battle();
    let (ann, ticket) = famous(&mut battle);
    let before = standing(&battle);
    let again = Visitor::with_ticket(&mut battle, ticket);
    assert_eq!(ann.dismissed(), Some(Dismissal::Replaced));
    battle.leave(ann.cid);
    assert_eq!((standing(&battle), again.dismissed()), (before, None));
    assert!(!battle.expects_somebody());
}

#[test]
fn a_flooders_seat_is_not_kept_and_a_slow_ones_is() {
    for (dismissal, kept) in [(Dismissal::TooSlow, true), (Dismissal::Flood, false), (Dismissal::Idle, false)]
    {
        let mut battle = new_battle();
        let (ann, ticket) = famous(&mut battle);
        battle.dismiss(ann.cid, dismissal);
        assert_eq!(battle.knows(ticket), kept, "{dismissal:?}");
    }
}

#[test]
fn the_seat_of_one_who_may_come_back_is_not_given_away() {
    let mut battle = battle_with(Rules { seats: 1, ..Rules::default() });
    let (ann, ticket) = famous(&mut battle);
    battle.leave(ann.cid);
    assert!(!battle.has_room());
    let again = Visitor::with_ticket(&mut battle, ticket);
    assert_eq!(battle.clients.keys().collect::<Vec<_>>(), [&again.cid]);
}

#[test]
fn a_fight_ends_by_score_the_guns_are_silent_and_the_next_begins_at_nothing() {
    let mut battle = battle_with(Rules { goal: 43, result: 20, ..Rules::default() });
    let (mut ann, _) = famous(&mut battle);
    let id = ann.cid;
    battle.tick();
    ann.says(&mut battle, Command::Trigger { pulled: true });
    battle.score(Hit { victim: 99, by: id, fatal: false });
    battle.flush();
    ann.hears(|_| ());
    battle.tick();
    let end = battle.arena.now();
    let ends = end + 20;
    ann.hears(|heard| assert_eq!(heard[0], Event::Round { phase: Phase::Result, ends, goal: 43 }));
    while battle.arena.now() + 1 < ends {
        battle.tick();
        ann.hears(|heard| {
            assert!(matches!(heard, [Event::Frame { shots, .. }] if shots.is_empty()), "{heard:?}");
        });
    }
    battle.tick();
    let round = Event::Round { phase: Phase::Fight, ends: ends + ticks(180), goal: 43 };
    ann.hears(|heard| assert_eq!(&heard[..2], [round, Event::Score { id, score: 0 }]));
    battle.tick();
    ann.hears(|heard| assert!(matches!(heard, [Event::Frame { shots, .. }] if shots.len() == 1)));
}

#[test]
fn a_fight_ends_by_time_and_who_is_away_begins_the_next_at_nothing_too() {
    let mut battle = battle_with(Rules { fight: 30, result: 10, ..Rules::default() });
    let (ann, ticket) = famous(&mut battle);
    let _bob = Visitor::playing(&mut battle, "Bob");
    (0..20).for_each(|_| battle.tick());
    battle.leave(ann.cid);
    (20..30).for_each(|_| battle.tick());
    assert_eq!(battle.round.phase, Phase::Result);
    (30..40).for_each(|_| battle.tick());
    assert_eq!(battle.round.phase, Phase::Fight);
    let _again = Visitor::with_ticket(&mut battle, ticket);
    assert!(standing(&battle).iter().all(|(_, _, score)| *score == 0));
}

#[test]
fn the_first_player_gets_a_whole_fight_and_the_second_does_not_begin_it_again() {
    let mut battle = battle_with(Rules { fight: 30, ..Rules::default() });
    (0..25).for_each(|_| battle.tick());
    let _ann = Visitor::playing(&mut battle, "Ann");
    (0..20).for_each(|_| battle.tick());
    let _bob = Visitor::playing(&mut battle, "Bob");
    assert_eq!(battle.round.phase, Phase::Fight);
    (0..10).for_each(|_| battle.tick());
    assert_eq!(battle.round.phase, Phase::Result);
}

#[test]
fn a_seat_that_is_kept_for_one_who_changes_is_taken_with_its_ticket_and_by_nobody_else() {
    let mut battle = battle_with(Rules { seats: 2, ..Rules::default() });
    let mut ann = Visitor::playing(&mut battle, "Ann");
    let ticket = battle.reserve(Some(String::from("Bob"))).unwrap();
    assert_eq!((battle.has_room(), battle.reserve(None)), (false, None), "it is full");
    let bob = Visitor::with_ticket(&mut battle, ticket);
    let id = bob.cid;
    battle.flush();
    let bobs = |event: &Event<'_>| matches!(event, Event::Joined { id: by, name: "Bob", .. } if *by == id);
    ann.hears(|heard| assert!(heard.iter().any(bobs), "{heard:?}"));
    battle.go_on(id);
    ann.hears(|heard| assert_eq!(heard, [Event::Left { id }]));
    assert!(battle.has_room(), "his seat is not kept");
    battle.go_on(id);
    assert_eq!(battle.client_count(), 1);
}

#[test]
fn a_seat_that_is_kept_for_one_who_changes_and_does_not_come_falls_free() {
    for name in [Some(String::from("Bob")), None] {
        let mut battle = battle_with(Rules { seats: 2, keep: 3, ..Rules::default() });
        let _ann = Visitor::new(&mut battle);
        battle.reserve(name).unwrap();
        assert!(battle.expects_somebody());
        (0..2).for_each(|_| battle.tick());
        assert!(!battle.has_room());
        battle.tick();
        assert!(battle.has_room() && !battle.expects_somebody());
    }
}

#[test]
fn a_wish_to_change_is_passed_on_with_the_name_but_not_too_soon_nor_to_where_one_is() {
    let mut battle = new_battle();
    let mut ann = Visitor::playing(&mut battle, "Ann");
    let mut onlooker = Visitor::new(&mut battle);
    let wished = |visitor: &Visitor| {
        futures_lite::future::block_on(futures_lite::future::poll_once(visitor.notice.change.wait()))
    };
    for (number, soon) in [(5, true), (1, false)] {
        if !soon {
            (0..REST).for_each(|_| battle.tick());
        }
        ann.hears(|_| ());
        ann.says(&mut battle, Command::Change(number));
        let stay = Event::Stay { battle: number, why: Why::NotNow };
        ann.hears(|heard| assert_eq!(heard, [stay]));
        assert_eq!(wished(&ann), None);
    }
    ann.says(&mut battle, Command::Change(5));
    onlooker.says(&mut battle, Command::Change(0));
    assert_eq!(wished(&ann), Some(Change { battle: 5, name: Some(String::from("Ann")) }));
    assert_eq!(wished(&onlooker), Some(Change { battle: 0, name: None }));
    assert!(battle.has(ann.cid) && battle.has(onlooker.cid), "they are still here");
    onlooker.hears(|_| ());
}

#[test]
fn who_wins_is_news_for_other_battles_and_who_draws_is_not() {
    let mut battle = battle_with(Rules { goal: 3, ..Rules::default() });
    let [ann, bob] = ["Ann", "Bob"].map(|name| Visitor::playing(&mut battle, name));
    let score = |battle: &mut Battle, scores: [(Cid, u32); 2]| {
        for (cid, score) in scores {
            battle.clients.get_mut(&cid).unwrap().pilot.as_mut().unwrap().score = score;
        }
        battle.tick();
        battle.take_won()
    };
    let won = Won { battle: 1, score: 3, name: String::from("Ann") };
    assert_eq!(score(&mut battle, [(ann.cid, 3), (bob.cid, 2)]), Some(won.clone()));
    assert_eq!(battle.take_won(), None, "it is told once");
    let mut drawn = battle_with(Rules { goal: 3, ..Rules::default() });
    let [ann, bob] = ["Ann", "Bob"].map(|name| Visitor::playing(&mut drawn, name));
    assert_eq!(score(&mut drawn, [(ann.cid, 3), (bob.cid, 3)]), None);
    // Others hear it with the next frame, those in it have seen it.
    let mut other = new_battle();
    let mut cid = Visitor::new(&mut other);
    cid.hears(|_| ());
    other.hear(&Won { battle: 4, ..won.clone() });
    other.hear(&won);
    other.tick();
    cid.hears(|heard| {
        assert_eq!(heard.first(), Some(&Event::Won { battle: 4, score: 3, name: "Ann" }));
        assert!(matches!(heard.get(1..), Some([Event::Frame { .. }])), "{heard:?}");
    });
}
