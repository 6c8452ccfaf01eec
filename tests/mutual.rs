//! T5: reading never waits for writing, so two ends that send to each other always finish.
//!
//! Both ends send messages far larger than the socket holds, with pings before each, so that pongs have to go out
//! while the sender is stuck in its message. soketto stops for ever here with one ping a side.
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

use ends::talk::Talk;
use ends::{enter, maybe_deflate, socket};
use futures_lite::AsyncReadExt;
use kit::choices::Odometer;
use kit::cut::yield_now;
use kit::ledger::{self, Ledger, Sent};
use kit::net::{Config as Net, Model, SimNet};
use kit::runs::{each_seed, each_seed_and_model, enumerated, shared};
use kit::sim::Sim;
use kit::slow::{self, Event};
use kit::wire;
use unsync_websocket::{Config, EncodedFrame, Incoming};

#[test]
fn both_ends_send_large_messages_with_pings_in_flight_and_always_finish() {
    each_seed_and_model("both_ends_send_large_messages_with_pings_in_flight_and_always_finish", 100, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices();
        let lengths = || (0..choices.between(1, 2)).map(|_| choices.between(5_000, 80_000)).collect();
        let talk = Talk {
            lengths: [lengths(), lengths()],
            pings: [choices.between(1, 3), choices.between(1, 3)],
            receive_data: [false, false],
            stalled: false,
            ..Talk::chosen(choices, 8)
        };
        let config = Config::new().fragment(choices.of(&[1000, 64 << 10])).outbox(choices.of(&[1, 64 << 10]));
        let config = maybe_deflate(config, choices);
        let net = Net::new(run.model).capacity(choices.of(&[1000, 4096]));
        let talked = talk.run(&sim, net, [config.clone(), config]);
        // Not every ping has a pong of its own (section 5.5.3), but the last one has.
        assert!(talked.pongs[0] > 0 && talked.pongs[1] > 0, "pongs received: {:?}", talked.pongs);
    });
}

/// Goal G5 to the letter: 64 MiB either way through pipes of 4 KiB, with a Ping before each message.
#[test]
fn both_ends_send_64_mib_through_pipes_of_4_kib_and_finish() {
    each_seed("both_ends_send_64_mib_through_pipes_of_4_kib_and_finish", 1, |run| {
        let sim = Sim::new(run);
        sim.most_steps(2_000_000);
        let lengths = vec![48 << 20, 100, 16 << 20];
        let talk = Talk {
            lengths: [lengths.clone(), lengths],
            pings: [1, 1],
            one_task: [false, true],
            receiver_first: [true, false],
            receive_data: [false, false],
            drop_sender: false,
            stalled: false,
        };
        let config = Config::new().max_message(48 << 20);
        let net = Net::new(run.model).capacity(4 << 10).quiet();
        let talked = talk.run(&sim, net, [config.clone(), config]);
        println!("{} steps, pongs {:?}", talked.outcome.steps, talked.pongs);
        assert!(talked.pongs[0] > 0 && talked.pongs[1] > 0, "pongs received: {:?}", talked.pongs);
    });
}

#[test]
fn both_ends_of_tiny_pipes_always_finish() {
    each_seed_and_model("both_ends_of_tiny_pipes_always_finish", 2_000, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices();
        let lengths = || (0..choices.between(1, 3)).map(|_| choices.between(8, 200)).collect();
        let talk = Talk {
            lengths: [lengths(), lengths()],
            pings: [choices.between(1, 2), choices.between(1, 2)],
            ..Talk::chosen(choices, 8)
        };
        let config = Config::new().fragment(choices.of(&[20, 64 << 10])).outbox(choices.of(&[1, 64 << 10]));
        let config = maybe_deflate(config, choices);
        talk.run(&sim, Net::new(run.model).capacity(choices.between(1, 8)), [config.clone(), config]);
    });
}

#[test]
fn every_order_of_the_first_twelve_steps_of_a_mutual_send_finishes() {
    let mut runs = 0;
    for model in Model::ALL {
        // All twelve where wake-ups are lost most easily; the other models have their seeds.
        let depth = if matches!(model, Model::KeepLast | Model::DropOnSuccess) { 12 } else { 8 };
        runs += Odometer::each_beginning(depth, 5_000_000, |choices| {
            enumerated(
                "every_order_of_the_first_twelve_steps_of_a_mutual_send_finishes",
                model,
                choices,
                |run| {
                    let sim = Sim::new(run);
                    let talk = Talk {
                        lengths: [vec![30], vec![30]],
                        pings: [1, 1],
                        one_task: [true, true],
                        receiver_first: [false, true],
                        receive_data: [false, false],
                        drop_sender: false,
                        stalled: false,
                    };
                    talk.run(&sim, Net::new(model).capacity(8).quiet(), [Config::new(), Config::new()]);
                },
            );
        });
    }
    eprintln!("{runs} runs");
    assert!(runs > 1_000, "{runs} runs");
}

#[test]
fn what_a_room_queues_never_goes_between_the_fragments_of_another_message() {
    // A large message goes out in fragments, a pong between two of them, and meanwhile the room queues: all of it in the
    // one outbox. (Once, what was queued left together with the rest of a pong.)
    each_seed_and_model(
        "what_a_room_queues_never_goes_between_the_fragments_of_another_message",
        300,
        |run| {
            let sim = Sim::new(run);
            let choices = sim.choices().clone();
            let (net, stream, mut peer) =
                SimNet::new(&sim, Net::new(run.model).capacity(choices.of(&[100, 3000])));
            let (mut sender, mut receiver) = socket(&sim, stream, Config::new().fragment(1000)).split();
            let (book, handle) = (shared(Ledger::default()), sender.queue_handle());
            let sending = book.clone();
            sim.spawn("sends", async move {
                for id in [1, 2] {
                    sending.borrow_mut().begins(id);
                    sender.send(&ledger::binary(id, 17 << 10)).await.unwrap();
                    sending.borrow_mut().became(id, Sent::Certainly);
                }
                sender.flush().await.unwrap();
            });
            sim.spawn_idle("receives", async move { drop(receiver.receive().await) });
            let (queue, ping) =
                (choices.clone(), slow::frame(slow::From::Client, true, slow::PING, &[b'?'; 60]));
            let queued = shared(0);
            let count = queued.clone();
            sim.spawn("room", async move {
                for id in 0..30 {
                    for _ in 0..queue.choose(10) {
                        yield_now().await;
                    }
                    net.inject(1, &ping);
                    let frame = EncodedFrame::binary(&ledger::binary(1000 + id, 20));
                    *count.borrow_mut() += u32::from(handle.queue(&frame).is_ok());
                }
            });
            let heard = shared(Vec::new());
            let hearing = heard.clone();
            sim.spawn_idle("peer", async move {
                let mut buf = [0; 500];
                loop {
                    let read = peer.read(&mut buf).await.unwrap();
                    hearing.borrow_mut().extend_from_slice(&buf[..read]);
                }
            });
            sim.run_in_no_time();
            let seen = wire::check(slow::From::Server, &heard.borrow());
            let mut rooms = 0;
            for event in &seen.events {
                if let Event::Binary(data) = event {
                    match ledger::binary_id(data) {
                        1000.. => rooms += 1,
                        id => book.borrow_mut().receives(id),
                    }
                }
            }
            book.borrow().settle();
            assert_eq!(rooms, *queued.borrow());
        },
    );
}

/// The headline.
#[test]
fn a_64_mib_send_stalled_by_a_peer_that_does_not_read_and_one_ping_and_the_receiver_goes_on_receiving() {
    const LEN: usize = 64 << 20;
    const AFTER: u32 = 1000;
    each_seed("a_64_mib_send_stalled_by_a_peer_that_does_not_read", 2, |run| {
        let sim = Sim::new(run);
        sim.most_steps(2_000_000);
        let net = Net::new(run.model).capacity(64 << 10).quiet();
        let (net, stream, mut peer) = SimNet::new(&sim, net);
        let (mut sender, mut receiver) = socket(&sim, stream, Config::new()).split();
        let (book, sent) = (shared(Ledger::default()), shared(false));

        let large = ledger::binary(1, LEN);
        let flag = sent.clone();
        sim.spawn("sends 64 MiB", async move {
            sender.send(&large).await.unwrap();
            sender.flush().await.unwrap();
            *flag.borrow_mut() = true;
        });
        let received = book.clone();
        sim.spawn_idle("receives", async move {
            loop {
                match receiver.receive().await {
                    Ok(Incoming::Message(message)) => enter(&mut received.borrow_mut(), message),
                    other => panic!("{other:?}"),
                }
            }
        });

        // One PING, then messages; nothing is read.
        net.inject(1, &slow::frame(slow::From::Client, true, slow::PING, b"the one"));
        for id in 0..AFTER {
            book.borrow_mut().begins(id);
            book.borrow_mut().became(id, Sent::Certainly);
            net.inject(1, &slow::frame(slow::From::Client, true, slow::BINARY, &ledger::binary(id, 500)));
        }
        let outcome = sim.run_unjudged();
        assert_eq!((outcome.parked, outcome.starved.len()), (vec!["sends 64 MiB"], 0));
        assert!(!*sent.borrow());
        book.borrow().settle();
        assert_eq!(book.borrow().received_count(), AFTER as usize, "all received while the send is stuck");

        // Now the peer reads. The pong comes at the first frame boundary, and the message whole.
        sim.spawn_idle("peer", async move {
            let mut buf = vec![0; 64 << 10];
            while peer.read(&mut buf).await.unwrap() > 0 {}
        });
        let outcome = sim.run();
        assert!(*sent.borrow());
        assert_eq!(outcome.elapsed.as_secs(), 0);
        let seen = wire::check(slow::From::Server, &net.recorded(0));
        let [Event::Pong(pong), Event::Binary(data)] = &seen.events[..] else {
            panic!("{:?}", wire::brief(&seen.events))
        };
        assert_eq!(pong, b"the one");
        assert_eq!((ledger::binary_id(data), data.len()), (1, LEN));
        let pong_at = seen.frames.iter().position(|frame| frame.opcode == slow::PONG).unwrap();
        assert!(pong_at <= 1, "the pong waited for {pong_at} fragments");
    });
}
