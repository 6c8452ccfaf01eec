//! A player changes to another battle over real sockets, and the connection stays the same; whatever comes in between.
#![allow(clippy::arithmetic_side_effects, reason = "a test counts small numbers")]

use std::net::SocketAddr;

use async_executor::Task;
use async_io::Async;
use futures_lite::AsyncWriteExt;

use super::*;
use crate::brain::Brain;
use crate::change::{Ask, REST, Seat};
use crate::cores::Visit;
use crate::operator_tests::becomes;
use crate::spread_tests::{Server, options, playing, with_server};
use crate::tests::{Guest, named, only, tick_of};
use crate::ticket::Ticket;
use crate::wire::{Command, Event, Listing, events};

fn encoded(command: &Command<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    command.encode(&mut payload);
    payload
}

/// What a guest hears when it is taken in somewhere: the battle and its core.
fn welcomed(event: &Event<'_>) -> Option<(u32, u8)> {
    match *event {
        Event::Welcome { battle, core, .. } => Some((battle, core)),
        _ => None,
    }
}

fn stays(event: &Event<'_>) -> Option<(u32, Why)> {
    match *event {
        Event::Stay { battle, why } => Some((battle, why)),
        _ => None,
    }
}

/// Waits until it has been here for long enough to go.
async fn rests(guest: &mut Guest) {
    let begun = guest.hears(tick_of).await;
    while guest.hears(tick_of).await < begun + REST {}
}

/// Asks for a battle; what comes of it: where it is, and who is told to be there; or that and why it stays.
async fn changes(guest: &mut Guest, battle: u32) -> Result<(u32, u8, String), (u32, Why)> {
    rests(guest).await;
    guest.says(&encoded(&Command::Change(battle))).await;
    let mut place = None;
    let mut names = Vec::new();
    guest
        .hears(|event| {
            place = place.or(welcomed(event));
            if let Event::Joined { name, .. } = event {
                names.push((*name).to_owned());
            }
            // Of the old battle frames may come until then.
            let all = || place.map(|(battle, core)| Ok((battle, core, names.join(" "))));
            tick_of(event).and_then(|_| all()).or(stays(event).map(Err))
        })
        .await
}

fn at(battle: u32, core: u8, names: &str) -> Result<(u32, u8, String), (u32, Why)> {
    Ok((battle, core, names.to_owned()))
}

/// Three players on two cores: Ann and Bob in battle 2 on core 0, Cid in battle 3 on core 1.
async fn two_and_one(server: &Server) -> [Guest; 3] {
    let mut guests = Vec::new();
    for name in ["Ann", "Bob", "Cid"] {
        let (mut guest, ticket) = playing(server, name).await;
        assert_eq!(ticket.core(), usize::from(name == "Cid"));
        // Free seats are told with the tick.
        guest.hears(tick_of).await;
        guests.push(guest);
    }
    guests.try_into().unwrap_or_else(|_| panic!("three"))
}

#[test]
fn a_player_changes_to_a_battle_on_another_core_without_connecting_again() {
    let ended = with_server(&options("--threads 2 --seats 2"), async |server| {
        let [mut ann, mut bob, mut cid] = two_and_one(server).await;
        // There she has a ship at once, under her name.
        assert_eq!(changes(&mut ann, 3).await, at(3, 1, "Cid Ann"));
        let there = cid.hears(named("Ann")).await;
        bob.hears(|event| matches!(event, Event::Left { .. }).then_some(())).await;
        ann.says(&encoded(&Command::Say("here"))).await;
        cid.hears(|event| (*event == Event::Said { id: there, text: "here" }).then_some(())).await;
        for (name, value) in [
            ("connections{core=\"0\"}", 1.0),
            ("connections{core=\"1\"}", 2.0),
            ("changes_total{core=\"1\"}", 1.0),
            ("players{core=\"1\"}", 2.0),
            // And the one that asks.
            ("sockets", 4.0),
        ] {
            becomes(server.address, name, value).await;
        }
        // Back again, and to a battle of her own, which opens where there are fewest.
        assert_eq!(changes(&mut ann, 2).await, at(2, 0, "Bob Ann"));
        assert_eq!(changes(&mut cid, 0).await, at(5, 1, "Cid"));
        server.signal.send(()).await.unwrap();
        for guest in [&mut ann, &mut bob, &mut cid] {
            assert_eq!(guest.is_closed().await.0, 1001);
        }
    });
    assert_eq!(ended, [Ok(()), Ok(())]);
}

#[test]
fn one_who_looks_on_changes_as_well_and_one_core_is_enough() {
    with_server(&options("--seats 2"), async |server| {
        let (mut ann, _) = playing(server, "Ann").await;
        let mut onlooker = Guest::new(server.address).await;
        assert_eq!(changes(&mut onlooker, 0).await, at(2, 0, ""));
        assert_eq!(changes(&mut onlooker, 1).await, at(1, 0, "Ann"));
        ann.hears(tick_of).await;
        becomes(server.address, "players{core=\"0\"}", 1.0).await;
        becomes(server.address, "battles{core=\"0\"}", 1.0).await;
    });
}

#[test]
fn one_who_cannot_change_stays_and_is_told_why() {
    with_server(&options("--threads 2 --seats 2"), async |server| {
        let [mut ann, mut bob, mut cid] = two_and_one(server).await;
        assert_eq!(changes(&mut cid, 2).await, Err((2, Why::Full)));
        assert_eq!(changes(&mut cid, 4).await, Err((4, Why::Gone)));
        assert_eq!(changes(&mut cid, 3).await, Err((3, Why::NotNow)), "it is there");
        cid.says(&encoded(&Command::Say("still here"))).await;
        cid.hears(|event| matches!(event, Event::Said { text: "still here", .. }).then_some(())).await;
        // Too soon after the last time.
        assert_eq!(changes(&mut ann, 3).await, at(3, 1, "Cid Ann"));
        ann.says(&encoded(&Command::Change(2))).await;
        assert_eq!(ann.hears(stays).await, (2, Why::NotNow));
        // A core that is gone takes its battles along.
        server.cores.throw_bomb(1);
        while server.cores.place(&Wish { battle: Some(3), ..Wish::default() }).is_some() {
            Timer::after(Duration::from_millis(1)).await;
        }
        assert_eq!(changes(&mut bob, 3).await, Err((3, Why::Gone)));
        bob.hears(tick_of).await;
    });
}

/// A masked frame that says something, as bytes: masked with zeros.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

#[test]
fn every_word_that_is_in_flight_when_a_player_changes_is_heard_once_and_half_a_frame_is_made_whole() {
    const WORDS: usize = 200;
    with_server(&options("--threads 2 --seats 3"), async |server| {
        // Bob is in the battle that Ann leaves, and Cid in the one that she comes to.
        let (mut ann, _) = playing(server, "Ann").await;
        ann.hears(tick_of).await;
        let (mut bob, _) = playing(server, "Bob").await;
        bob.hears(tick_of).await;
        let (mut cid, _) = playing(server, "Cid").await;
        assert_eq!(changes(&mut cid, 0).await, at(3, 1, "Cid"));
        rests(&mut ann).await;
        // In pieces that no frame ends with, while she is on her way; the last one when she is there.
        let mut bytes = Vec::new();
        for number in 0..WORDS {
            if number == WORDS / 2 {
                bytes.extend(frame(&encoded(&Command::Change(3))));
            }
            bytes.extend(frame(&encoded(&Command::Say(&format!("word {number}")))));
        }
        let (now, later) = bytes.split_at(bytes.len() - 4);
        let stream = ann.websocket.get_ref().unwrap().get_ref().try_clone().unwrap();
        let mut stream = Async::new(stream).unwrap();
        for piece in now.chunks(23) {
            stream.write_all(piece).await.unwrap();
            Timer::after(Duration::from_micros(50)).await;
        }
        assert_eq!(ann.hears(welcomed).await, (3, 1));
        stream.write_all(later).await.unwrap();

        // Each hears of her until she has left, or has said the last word.
        let words = async |guest: &mut Guest, last: &str| {
            let mut heard = Vec::new();
            let mut payload = Vec::new();
            let mut is_over = false;
            while !is_over {
                payload.clear();
                guest.websocket.receiver.receive_data(&mut payload).await.unwrap();
                for event in events(&payload) {
                    match event {
                        Event::Said { text, .. } => {
                            is_over |= text == last;
                            heard.push(text.to_owned());
                        }
                        Event::Left { .. } => is_over = true,
                        _ => {}
                    }
                }
            }
            heard
        };
        // Cid has left it, too, before.
        bob.hears(|event| matches!(event, Event::Left { .. }).then_some(())).await;
        let before = words(&mut bob, "").await;
        let after = words(&mut cid, &format!("word {}", WORDS - 1)).await;
        println!("{} words were heard in the old battle, {} in the new one", before.len(), after.len());
        let all: Vec<String> = before.iter().chain(&after).cloned().collect();
        assert_eq!(all, (0..WORDS).map(|number| format!("word {number}")).collect::<Vec<_>>());
        assert!(before.len() >= WORDS / 2 && !after.is_empty(), "the last one was cut in two");
    });
}

/// A server's thread whose neighbour is the test: what goes to core 1 arrives here.
struct Beside<'t> {
    address: SocketAddr,
    cores: &'t Cores<Packed>,
    manager: &'t BattleManager,
    neighbour: &'t Inbox,
}

impl Beside<'_> {
    /// The next wish that arrives at core 1.
    async fn is_asked(&self) -> Ask {
        match self.neighbour.recv().await {
            Ok(Visit::Ask(ask)) => ask,
            _ => panic!("no wish"),
        }
    }

    fn clients(&self) -> usize {
        self.manager.battles().iter().map(|it| it.borrow().client_count()).sum()
    }
}

/// A seat on core 1, which the test keeps for nobody.
fn seat() -> Seat {
    Seat { battle: 3, core: 1, ticket: Ticket::in_query(&format!("ticket={}", "01".repeat(16))).unwrap() }
}

fn beside(room: usize, test: impl AsyncFnOnce(Beside<'_>)) {
    let core = Core { index: 0, count: 2 };
    let rules = options("--seats 2").rules;
    let manager = BattleManager::new(core, rules, StdRng::seed_from_u64(7));
    let (cores, mut inboxes) = Cores::new(2, room, Limits::default());
    let (neighbour, inbox) = (inboxes.pop().unwrap(), inboxes.pop().unwrap());
    let desk = Desk { cores: &cores, config: config(false), manager: Some(&manager) };
    let listeners = Listeners::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, listener) = (listeners.address(), only(listeners));
    let executor = Rc::new(LocalExecutor::new());
    let spawner = || Spawner::new(&executor);
    let _tasks: [Task<()>; 3] = [
        executor.spawn(accept(spawner(), &desk, listener, Weak::new())),
        executor.spawn(receive(spawner(), &desk, &manager, inbox, Weak::new())),
        executor.spawn(tick(spawner(), &manager, &cores, Weak::new())),
    ];
    let (cores, manager, neighbour) = (&cores, &manager, &neighbour);
    let testing = executor.run(test(Beside { address, cores, manager, neighbour }));
    block_on(sockets::run(testing)).unwrap();
}

#[test]
fn at_a_full_door_a_player_stays_with_or_without_a_ticket_in_hand() {
    beside(1, async |beside| {
        let mut ann = Guest::playing(beside.address, "Ann").await;
        rests(&mut ann).await;
        ann.says(&encoded(&Command::Change(3))).await;
        let ask = beside.is_asked().await;
        assert_eq!(ask.change.name.as_deref(), Some("Ann"));
        // The door is full by the time that she is to go: somebody else waits there.
        let _other = zip(beside.cores.ask(ask.change), async {
            assert_eq!(beside.cores.waiting(1), 1);
            ask.answer.try_send(Ok(seat())).unwrap();
            assert_eq!(ann.hears(stays).await, (3, Why::NotNow));
            // And now she cannot even ask.
            assert_eq!(changes(&mut ann, 3).await, Err((3, Why::NotNow)));
            // The connection was taken apart and put together: words go both ways, and it ends as ever.
            ann.says(&encoded(&Command::Say("still here"))).await;
            ann.hears(|event| matches!(event, Event::Said { text: "still here", .. }).then_some(())).await;
            let Ask { answer, .. } = beside.is_asked().await;
            drop(answer);
        })
        .await;
        ann.websocket.close().await.unwrap();
        while beside.clients() > 0 {
            Timer::after(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn one_who_leaves_or_is_told_to_go_while_a_seat_is_asked_for_goes_nowhere_else() {
    beside(8, async |beside| {
        for is_dismissed in [false, true] {
            let mut ann = Guest::playing(beside.address, "Ann").await;
            rests(&mut ann).await;
            ann.says(&encoded(&Command::Change(3))).await;
            let ask = beside.is_asked().await;
            if is_dismissed {
                ann.says(&[99]).await;
                assert_eq!(ann.is_closed().await.0, 1008);
            } else {
                ann.websocket.close().await.unwrap();
            }
            while beside.clients() > 0 {
                Timer::after(Duration::from_millis(1)).await;
            }
            let _ = ask.answer.try_send(Ok(seat()));
            Timer::after(Duration::from_millis(20)).await;
            assert_eq!(beside.cores.waiting(1), 0, "nobody comes");
        }
        // Nor does one whose battle ends meanwhile.
        let mut ann = Guest::playing(beside.address, "Ann").await;
        rests(&mut ann).await;
        ann.says(&encoded(&Command::Change(3))).await;
        let ask = beside.is_asked().await;
        beside.manager.dismiss_all();
        ask.answer.try_send(Ok(seat())).unwrap();
        assert_eq!(ann.is_closed().await.0, 1001);
        assert_eq!(beside.cores.waiting(1), 0);
    });
}

#[test]
fn a_player_who_arrives_too_late_for_the_seat_still_gets_in() {
    // The seat falls free, as would one of a battle that has failed meanwhile: the connection is open, and is taken somewhere.
    beside(8, async |beside| {
        let mut ann = Guest::playing(beside.address, "Ann").await;
        rests(&mut ann).await;
        ann.says(&encoded(&Command::Change(3))).await;
        let ask = beside.is_asked().await;
        ask.answer.try_send(Ok(Seat { core: 0, ..seat() })).unwrap();
        assert_eq!(ann.hears(welcomed).await, (2, 0));
    });
}

/// Plays as a bot does.
async fn fights(mut guest: Guest, seed: u64) {
    let mut brain = Brain::new(StdRng::seed_from_u64(seed));
    loop {
        let mut asked = Vec::new();
        guest
            .hears(|event| {
                brain.hear(event, &mut asked);
                tick_of(event)
            })
            .await;
        if !asked.is_empty() {
            guest.says(&asked).await;
        }
    }
}

#[test]
fn the_lobby_tells_the_battles_of_every_core_and_who_wins_is_heard_on_every_core() {
    with_server(&options("--threads 2 --seats 2 --score 1 --result 1"), async |server| {
        let ann = Guest::playing(server.address, "Ann").await;
        let (mut cid, cids) = playing(server, "Cid").await;
        assert_eq!(cids.core(), 1, "nobody has told of free seats yet");
        assert_eq!(changes(&mut cid, 0).await.map(|(_, core, _)| core), Ok(0));
        assert_eq!(changes(&mut cid, 0).await.map(|(_, core, _)| core), Ok(1));
        let dan = Guest::playing(server.address, "Dan").await;
        let heard = async {
            let begun = Instant::now();
            let listing = |battle, players, free_seats| Listing {
                battle,
                core: u8::from(battle % 2 == 1),
                players,
                free_seats,
            };
            loop {
                cid.says(&encoded(&Command::Lobby)).await;
                let told = cid
                    .hears(|event| match event {
                        Event::Lobby(battles) => Some(battles.clone()),
                        _ => None,
                    })
                    .await;
                if told == [listing(2, 2, 0), listing(5, 1, 1)] {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(20), "{told:?}");
                Timer::after(Duration::from_millis(20)).await;
            }
            let winner = cid
                .hears(|event| match *event {
                    Event::Won { battle: 2, name, score: 1.. } => Some(name.to_owned()),
                    _ => None,
                })
                .await;
            assert!(winner == "Ann" || winner == "Dan", "{winner}");
        };
        let fight = async {
            zip(fights(ann, 1), fights(dan, 2)).await;
        };
        or(heard, fight).await;
    });
}

#[test]
fn a_thousand_changes_between_cores_lose_nobody_and_take_so_long() {
    const PLAYERS: usize = 100;
    const CHANGES: usize = 10;
    let ended = with_server(&options("--threads 2 --seats 64"), async |server| {
        let executor = LocalExecutor::new();
        let players: Vec<_> = (0..PLAYERS)
            .map(|_| {
                executor.spawn(async {
                    let (mut guest, ticket) = playing(server, "Ann").await;
                    let mut took = Vec::new();
                    let mut here = ticket.core();
                    let mut crossed = 0;
                    for _ in 0..CHANGES {
                        rests(&mut guest).await;
                        let begun = Instant::now();
                        guest.says(&encoded(&Command::Change(0))).await;
                        let (_, core) = guest.hears(welcomed).await;
                        took.push(begun.elapsed());
                        crossed += usize::from(here != usize::from(core));
                        here = core.into();
                    }
                    guest.websocket.close().await.unwrap();
                    (took, crossed)
                })
            })
            .collect();
        let (mut took, mut crossed) = (Vec::new(), 0);
        executor
            .run(async {
                for player in players {
                    let (times, count) = player.await;
                    took.extend(times);
                    crossed += count;
                }
            })
            .await;
        took.sort_unstable();
        let part = |of: usize| took[(took.len() - 1) * of / 100];
        println!(
            "{} changes, {crossed} of them to the other core, from the wish to the welcome: median {:?}, p99 {:?}, longest {:?}",
            took.len(),
            part(50),
            part(99),
            part(100)
        );
        assert_eq!(took.len(), PLAYERS * CHANGES);
        assert!(crossed > PLAYERS, "{crossed}");
        becomes(server.address, "sockets", 1.0).await;
    });
    assert_eq!(ended, [Ok(()), Ok(())]);
}
