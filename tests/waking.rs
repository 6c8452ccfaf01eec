//! T21: two halves of a connection never lose a wake-up, and never spin.
//!
//! Halves in two tasks and in one, over all six models of what a transport does with the wakers it is given, sockets
//! that stand still and sockets that flow, either half moving first. The oracle of the kit finds whoever was left
//! asleep; a ceiling on polls finds who was woken for nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use ends::talk::{Talk, Talked};
use ends::{pair, socket};
use futures_lite::AsyncReadExt;
use kit::choices::Odometer;
use kit::cut::{cut, yield_now};
use kit::ledger::{self, Ledger, Sent};
use kit::net::{Config as Net, Model, SimNet};
use kit::runs::{Run, each_seed_and_model, enumerated, shared};
use kit::signal::Signal;
use kit::sim::Sim;
use kit::{slow, wire};
use unsync_websocket::{Config, EncodedFrame};

/// Polls that a conversation may cost: each is owed to an event, to bytes that moved, or to the few steps that every
/// task makes of its own. (Measured: at most 0.8 of this, in 60,000 runs.)
fn ceiling(talked: &Talked) -> usize {
    (talked.outcome.events + talked.net.progress() + talked.net.noise_made()) * 2 / 3 + 20
}

fn talk(run: &Run, longest: usize, capacities: &[usize], fragments: &[usize]) {
    let sim = Sim::new(run);
    let choices = sim.choices();
    let talk = Talk::chosen(choices, longest);
    let outbox = choices.of(&[1, 100, 64 << 10]);
    let fragment = choices.of(fragments);
    let config = Config::new().outbox(outbox).fragment(fragment);
    let net = Net::new(run.model).capacity(choices.of(capacities));
    run.trace.say(format!("{talk:?}, outbox {outbox}, fragment {fragment}, {net:?}"));
    let talked = talk.run(&sim, net, [config.clone(), config]);
    let polls = talked.outcome.polls;
    assert!(polls <= ceiling(&talked), "{polls} polls, {} allowed: {:?}", ceiling(&talked), talked.outcome);
}

/// Goal G4: 10^6 in each model, by `tests/waking.sh --long`. (29 November 2026: 6,000,000 runs in nine minutes, nothing found.)
#[test]
fn two_halves_never_lose_a_wake_up() {
    each_seed_and_model("two_halves_never_lose_a_wake_up", 10_000, |run| {
        talk(run, 120, &[16, 40, 300], &[10, 64 << 10])
    });
}

/// Goal G29: what a seed finds, it finds again. A thousand times, each poll, event and byte is where it was.
#[test]
fn a_seed_is_the_same_conversation_a_thousand_times() {
    let mut replays = 0;
    for model in Model::ALL {
        for seed in 0..4 {
            let replay = || {
                let trace = kit::sim::Trace::default();
                let run = Run { seed, model, choices: kit::choices::Chooser::seeded(seed), trace };
                talk(&run, 120, &[16, 40, 300], &[10, 64 << 10]);
                run.trace.to_string()
            };
            let first = replay();
            assert!(first.lines().count() > 20);
            for _ in 0..42 {
                assert_eq!(first, replay(), "{}, seed {seed}", model.name());
                replays += 1;
            }
        }
    }
    assert!(replays >= 1000, "{replays} replays");
}

#[test]
fn two_halves_never_lose_a_wake_up_with_messages_written_from_where_they_lie() {
    // From 16 KiB on a server's messages go past the outbox.
    each_seed_and_model(
        "two_halves_never_lose_a_wake_up_with_messages_written_from_where_they_lie",
        150,
        |run| {
            talk(run, 40 << 10, &[900, 5000, 20_000], &[1000, 64 << 10]);
        },
    );
}

#[test]
fn every_order_of_the_first_steps_comes_to_the_same_end() {
    let mut runs = 0;
    for model in Model::ALL {
        for one_task in [false, true] {
            runs += Odometer::each_beginning(9, 2_000_000, |choices| {
                enumerated("every_order_of_the_first_steps_comes_to_the_same_end", model, choices, |run| {
                    let sim = Sim::new(run);
                    let talk = Talk {
                        lengths: [vec![9, 8], vec![12]],
                        pings: [1, 1],
                        one_task: [one_task; 2],
                        receiver_first: [false, true],
                        receive_data: [false, true],
                        drop_sender: false,
                        stalled: false,
                    };
                    talk.run(&sim, Net::new(model).capacity(11).quiet(), [Config::new(), Config::new()]);
                });
            });
        }
    }
    assert!(runs > 1_000, "{runs} runs");
}

/// Both halves of a server wait: the sender for room in a full socket, the receiver for bytes that do not come.
#[test]
fn two_blocked_halves_do_not_spin() {
    for len in [100, 40 << 10] {
        for model in Model::ALL {
            for receiver_first in [false, true] {
                let run = Run {
                    seed: 0,
                    model,
                    choices: kit::choices::Chooser::seeded(0),
                    trace: Default::default(),
                };
                let sim = Sim::new(&run);
                let net = Net::new(model).capacity(16).quiet();
                let (net, [server, client]) = pair(&sim, net, [Config::new().outbox(1), Config::new()]);
                // A peer that was asked something it never reads, and whose question is not answered either.
                net.inject(1, &slow::frame(slow::From::Client, true, slow::PING, b"?"));
                let (mut sender, mut receiver) = server.split();
                let sends = async move {
                    for id in 0..3 {
                        sender.send(&ledger::binary(id, len)).await.unwrap();
                    }
                };
                let receives = async move { panic!("received {:?}", receiver.receive().await) };
                let ids = if receiver_first {
                    [sim.spawn_idle("receives", receives), sim.spawn_idle("sends", sends)]
                } else {
                    [sim.spawn_idle("sends", sends), sim.spawn_idle("receives", receives)]
                };
                sim.run_in_no_time();
                let polls = ids.map(|id| sim.polls(id));
                assert!(polls.iter().sum::<usize>() <= 10, "{}: {polls:?} polls, {len} bytes", model.name());
                assert_eq!(net.in_flight(0), 16, "the socket is full");
                drop(client);
            }
        }
    }
}

#[test]
fn a_hand_off_wakes_the_sender_that_waits_while_the_receiver_writes_for_it() {
    // The sender waits in a full socket. Then the receiver is polled for reasons of its own, finds room, and writes
    // everything: on smol's stream that unregisters whoever was registered, and no event will ever come. From this
    // peer none comes for another reason, either: it only reads.
    each_seed_and_model(
        "a_hand_off_wakes_the_sender_that_waits_while_the_receiver_writes_for_it",
        1_000,
        |run| {
            let sim = Sim::new(run);
            let choices = sim.choices().clone();
            let (_net, stream, mut peer) = SimNet::new(&sim, Net::new(run.model).capacity(32).noise(20));
            let (mut sender, mut receiver) = socket(&sim, stream, Config::new().outbox(1)).split();
            let total = 6 * (2 + 40);
            sim.spawn("sends", async move {
                for id in 0..6 {
                    sender.send(&ledger::binary(id, 40)).await.unwrap();
                }
                sender.flush().await.unwrap();
            });
            sim.spawn_idle("receives", async move {
                for _ in 0..choices.choose(60) {
                    assert!(cut(receiver.receive(), 1).await.is_none(), "nothing is ever received");
                    for _ in 0..choices.choose(4) {
                        yield_now().await;
                    }
                }
                drop(receiver.receive().await);
            });
            sim.spawn("peer", async move {
                let mut left = total;
                while left > 0 {
                    left -= peer.read(&mut [0; 32]).await.unwrap();
                }
                // The socket stays.
                std::mem::forget(peer);
            });
            sim.run_in_no_time();
        },
    );
}

/// A corked server echoes what it gets, and a room queues beside it; the client sends everything at once. Between messages
/// the server's work waits for something else, and what was echoed before has to leave meanwhile.
#[test]
fn halves_in_a_cork_scope_never_lose_a_wake_up() {
    each_seed_and_model("halves_in_a_cork_scope_never_lose_a_wake_up", 2_000, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let config = Config::new().outbox(choices.of(&[1, 100, 64 << 10]));
        let net = Net::new(run.model).capacity(choices.of(&[12, 80, 400]));
        let (net, [server, client]) = pair(&sim, net, [config.clone(), config]);
        let (echoed, queued) = (shared(Ledger::default()), shared(Ledger::default()));
        let count = choices.between(1, 6) as u32;
        let lengths: Vec<_> = (0..count).map(|_| choices.between(8, 90)).collect();

        let cork = server.cork_handle();
        let handle = server.sender.queue_handle();
        let (mut sender, mut receiver) = server.split();
        let (book, all_echoed, deciding) = (echoed.clone(), Signal::default(), choices.clone());
        let waited_for = all_echoed.clone();
        sim.spawn("server", async move {
            let work = async {
                let mut data = Vec::new();
                while receiver.receive_data(&mut data).await.is_ok() {
                    let id = ledger::binary_id(&data);
                    book.borrow_mut().begins(id);
                    sender.send(&data).await.unwrap();
                    book.borrow_mut().became(id, Sent::Certainly);
                    // Something else is waited for; only the scope can let the echo out meanwhile.
                    match deciding.choose(3) {
                        0 => yield_now().await,
                        1 if deciding.one_in(2) => waited_for.wait_for(id).await,
                        _ => {}
                    }
                    data.clear();
                }
            };
            cork.scope(work).await;
            receiver.close().await.unwrap();
        });
        let book = queued.clone();
        let deciding = choices.clone();
        sim.spawn("room", async move {
            for id in 1000..1000 + deciding.choose(5) as u32 {
                yield_now().await;
                book.borrow_mut().begins(id);
                let became = match handle.queue(&EncodedFrame::binary(&ledger::binary(id, 20))) {
                    Ok(()) => Sent::Certainly,
                    Err(_) => Sent::Never,
                };
                book.borrow_mut().became(id, became);
            }
        });
        let (mut sender, mut receiver) = client.split();
        let got_all = Signal::default();
        let waits = got_all.clone();
        sim.spawn("client sends", async move {
            for (id, len) in (0..).zip(lengths) {
                sender.send(&ledger::binary(id, len)).await.unwrap();
            }
            waits.wait().await;
            sender.close().await.unwrap();
        });
        let books = [echoed.clone(), queued.clone()];
        sim.spawn("client receives", async move {
            let mut data = Vec::new();
            let mut echoes = 0;
            while receiver.receive_data(&mut data).await.is_ok() {
                match ledger::binary_id(&data) {
                    id @ 1000.. => books[1].borrow_mut().receives(id),
                    id => {
                        books[0].borrow_mut().receives(id);
                        echoes += 1;
                        all_echoed.reach(id);
                    }
                }
                if echoes == count {
                    got_all.set();
                }
                data.clear();
            }
        });
        sim.run_in_no_time();
        echoed.borrow().settle();
        // What the room queued when the client was about to close may have come too late.
        queued.borrow().settle_broken();
        let seen = wire::check_closed(slow::From::Server, &net.recorded(0));
        wire::no_message_is_cut(&seen);
    });
}
