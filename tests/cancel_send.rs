//! T24: a send, feed, ping, flush or close that is dropped, at any poll, cuts nothing.
//!
//! What a dropped send had begun is finished by others, what it had not begun is never sent: so the wire always parses, every
//! message on it is whole, and everything that was promised arrives. A send that is leaked in the middle of a frame poisons
//! the connection instead: nothing follows the cut.
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

use std::future::Future;

use ends::{FROM, Socket, enter, maybe_deflate, pair};
use kit::choices::Chooser;
use kit::cut::{cut, cut_and_leak, yield_now};
use kit::ledger::{self, Ledger, Sent};
use kit::net::{Config as Net, Model, SimNet, SimStream};
use kit::runs::{Run, Shared, each_seed_and_model, enumerated, is_replay, shared};
use kit::sim::Sim;
use kit::slow::{self, Event, Verdict};
use kit::wire;
use unsync_websocket::{CloseCode, Config, Error, Incoming, Receiver, Sender};

/// What becomes of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Awaited,
    DroppedAfter(usize),
    LeakedAfter(usize),
}

async fn with_fate<'a, R>(future: impl Future<Output = R> + 'a, fate: Fate) -> Option<R> {
    match fate {
        Fate::Awaited => Some(future.await),
        Fate::DroppedAfter(polls) => cut(future, polls).await,
        Fate::LeakedAfter(polls) => cut_and_leak(future, polls).await,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Send(usize),
    Feed(usize),
    Ping,
    Pong,
    Flush,
}

/// Does one thing, and enters into the book what is known of it.
async fn perform(
    sender: &mut Sender<SimStream>,
    op: Op,
    fate: Fate,
    id: u32,
    book: &Shared<Ledger>,
) -> Result<(), Error> {
    let result = match op {
        Op::Send(len) | Op::Feed(len) => {
            let payload = ledger::binary(id, len);
            book.borrow_mut().begins(id);
            let result = match op {
                Op::Send(_) => with_fate(sender.send(&payload), fate).await,
                _ => with_fate(sender.feed(&payload), fate).await,
            };
            let became = match (&result, op, fate) {
                (Some(Ok(())), ..) => Sent::Certainly,
                // A future that was never polled did nothing; nor did a feed that was never ready.
                (None, _, Fate::DroppedAfter(0) | Fate::LeakedAfter(0)) | (None, Op::Feed(_), _) => {
                    Sent::Never
                }
                _ => Sent::Perhaps,
            };
            book.borrow_mut().became(id, became);
            result
        }
        Op::Ping => with_fate(sender.ping(b"ping"), fate).await,
        Op::Pong => with_fate(sender.pong(b"pong"), fate).await,
        Op::Flush => with_fate(sender.flush(), fate).await,
    };
    result.unwrap_or(Ok(()))
}

/// Receives to the end; says why it ended.
async fn receive_all(
    mut receiver: Receiver<SimStream>,
    book: Option<Shared<Ledger>>,
) -> (Receiver<SimStream>, Error) {
    loop {
        match receiver.receive().await {
            Ok(Incoming::Message(message)) => enter(&mut book.as_ref().unwrap().borrow_mut(), message),
            Ok(_) => {}
            Err(error) => return (receiver, error),
        }
    }
}

/// The peer: receives everything, answers the Close.
fn spawn_peer(sim: &Sim, peer: Socket, book: &Shared<Ledger>) -> Shared<Option<Error>> {
    let cause = shared(None);
    let (cause_too, book) = (cause.clone(), book.clone());
    let (sender, receiver) = peer.split();
    sim.spawn("peer receives", async move {
        let (mut receiver, error) = receive_all(receiver, Some(book)).await;
        *cause_too.borrow_mut() = Some(error);
        let _ = receiver.close().await;
        drop(sender);
    });
    cause
}

/// What `end` wrote, message by message, is what the peer received.
fn wire_agrees(net: &SimNet, end: usize, book: &Shared<Ledger>) {
    let seen = wire::check_broken(FROM[end], &net.recorded(end));
    if matches!(seen.verdict, Verdict::Closed { .. }) {
        wire::no_message_is_cut(&seen);
    }
    let whole = seen.events.iter().filter(|event| matches!(event, Event::Binary(_))).count();
    assert_eq!(whole, book.borrow().received_count(), "messages on the wire and messages received");
}

#[test]
fn sends_dropped_at_random_cut_nothing() {
    each_seed_and_model("sends_dropped_at_random_cut_nothing", 2_500, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let large = choices.one_in(4);
        let capacity = if large { choices.of(&[2000, 9000]) } else { choices.of(&[6, 50, 300]) };
        let fragment = if large { choices.of(&[3000, 64 << 10]) } else { choices.of(&[10, 64 << 10]) };
        let config = Config::new().fragment(fragment).outbox(choices.of(&[1, 200, 64 << 10]));
        let config = maybe_deflate(config, &choices);
        let (net, [server, client]) =
            pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
        let (ours, peer) = if end == 0 { (server, client) } else { (client, server) };
        let book = shared(Ledger::default());
        let cause = spawn_peer(&sim, peer, &book);
        let (mut sender, receiver) = ours.split();
        let drop_receiver = choices.one_in(4);
        if drop_receiver {
            drop(receiver);
        } else {
            sim.spawn("we receive", async move {
                let (mut receiver, error) = receive_all(receiver, None).await;
                assert!(error.is_clean_close(), "{error:?}");
                receiver.close().await.unwrap();
            });
        }
        let (book_too, trace) = (book.clone(), run.trace.clone());
        sim.spawn("we send", async move {
            for id in 0..6 {
                let len = if large { choices.between(8, 40 << 10) } else { choices.between(8, 150) };
                let op =
                    choices.of(&[Op::Send(len), Op::Send(len), Op::Feed(len), Op::Ping, Op::Pong, Op::Flush]);
                let fate =
                    if choices.one_in(3) { Fate::Awaited } else { Fate::DroppedAfter(choices.choose(5)) };
                trace.say(format!("{op:?} {fate:?}"));
                perform(&mut sender, op, fate, id, &book_too).await.unwrap();
                if choices.one_in(2) {
                    yield_now().await;
                }
            }
            // Closing, too, may be dropped and taken up again.
            while choices.one_in(2) {
                if let Some(closed) = cut(sender.close(), choices.choose(5)).await {
                    closed.unwrap();
                }
            }
            sender.close().await.unwrap();
        });
        sim.run_in_no_time();
        assert!(cause.borrow().as_ref().unwrap().is_clean_close());
        book.borrow().settle();
        wire_agrees(&net, end, &book);
        wire::check_closed(FROM[end], &net.recorded(end));
        wire::check_closed(FROM[1 - end], &net.recorded(1 - end));
    });
}

/// One thing with its fate, between two small messages. Tells whether the connection was poisoned.
fn between_two_messages(run: &Run, end: usize, op: Op, fate: Fate, capacity: usize) -> bool {
    let sim = Sim::new(run);
    let config = Config::new().fragment(5000).outbox(50);
    let (net, [server, client]) =
        pair(&sim, Net::new(run.model).capacity(capacity).quiet(), [config.clone(), config]);
    let (ours, peer) = if end == 0 { (server, client) } else { (client, server) };
    let book = shared(Ledger::default());
    spawn_peer(&sim, peer, &book);
    let (mut sender, receiver) = ours.split();
    let (book_too, leaked) = (book.clone(), shared(None));
    let leaked_too = leaked.clone();
    sim.spawn("we send", async move {
        perform(&mut sender, Op::Send(80), Fate::Awaited, 0, &book_too).await.unwrap();
        perform(&mut sender, op, fate, 1, &book_too).await.unwrap();
        if let Err(error) = perform(&mut sender, Op::Send(90), Fate::Awaited, 2, &book_too).await {
            assert!(matches!((&error, fate), (Error::SendLeaked, Fate::LeakedAfter(_))), "{error:?}");
            // One cause, for ever, whatever is tried.
            for _ in 0..3 {
                assert!(matches!(sender.send("more").await, Err(Error::SendLeaked)));
                assert!(matches!(sender.ping(b"").await, Err(Error::SendLeaked)));
                assert!(matches!(sender.flush().await, Err(Error::SendLeaked)));
            }
            assert!(matches!(sender.close().await, Err(Error::SendLeaked)));
            *leaked_too.borrow_mut() = Some(());
            return;
        }
        sender.close().await.unwrap();
    });
    let leaked_too = leaked.clone();
    sim.spawn("we receive", async move {
        let (mut receiver, error) = receive_all(receiver, None).await;
        if leaked_too.borrow().is_some() || matches!(error, Error::SendLeaked) {
            assert!(matches!(error, Error::SendLeaked), "{error:?}");
            assert!(matches!(receiver.receive().await, Err(Error::SendLeaked)));
        } else {
            assert!(error.is_clean_close(), "{error:?}");
        }
    });
    sim.run_in_no_time();
    assert!(net.is_dropped(end));
    wire_agrees(&net, end, &book);
    if leaked.borrow().is_some() {
        book.borrow().settle_broken();
        let seen = slow::read(FROM[end], slow::Limits::NONE, &net.recorded(end));
        assert!(
            matches!(seen.verdict, Verdict::InFrame | Verdict::InMessage | Verdict::Open),
            "{:?}",
            seen.verdict
        );
    } else {
        book.borrow().settle();
        wire::check_closed(FROM[end], &net.recorded(end));
    }
    leaked.borrow().is_some()
}

#[test]
fn every_operation_dropped_at_every_poll_cuts_nothing() {
    for model in Model::ALL {
        for end in 0..2 {
            for (op, capacity, most) in [
                (Op::Send(60), 7, 24),
                (Op::Send(17 << 10), 1500, 16),
                (Op::Feed(60), 7, 24),
                (Op::Ping, 7, 24),
                (Op::Pong, 7, 24),
                (Op::Flush, 7, 24),
            ] {
                for polls in 0..most {
                    for seed in 0..4 {
                        let choices = Chooser::seeded(seed);
                        enumerated(
                            "every_operation_dropped_at_every_poll_cuts_nothing",
                            model,
                            &choices,
                            |run| {
                                run.trace.say(format!(
                                    "{op:?} dropped after {polls} polls, end {end}, seed {seed}"
                                ));
                                between_two_messages(run, end, op, Fate::DroppedAfter(polls), capacity);
                            },
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_send_leaked_inside_its_message_poisons_the_connection_and_nothing_follows_the_cut() {
    let mut poisoned = 0;
    for model in Model::ALL {
        for end in 0..2 {
            for (op, capacity, most) in
                [(Op::Send(60), 7, 12), (Op::Send(17 << 10), 1500, 16), (Op::Feed(60), 7, 12)]
            {
                for polls in 0..most {
                    let choices = Chooser::seeded(polls as u64);
                    enumerated("a_send_leaked_inside_its_message_poisons", model, &choices, |run| {
                        run.trace.say(format!("{op:?} leaked after {polls} polls, end {end}"));
                        let was = between_two_messages(run, end, op, Fate::LeakedAfter(polls), capacity);
                        poisoned += usize::from(was);
                    });
                }
            }
        }
    }
    assert!(poisoned > 10, "{poisoned} runs were poisoned");
}

#[test]
fn a_dropped_send_with_more_left_than_the_message_limit_ends_in_1011_and_never_looks_whole() {
    let outcomes = shared([0; 3]);
    each_seed_and_model("a_dropped_send_with_more_left_than_the_message_limit", 200, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let ours = Config::new().max_message(2000).fragment(choices.of(&[900, 64 << 10]));
        let net = Net::new(run.model).capacity(choices.of(&[100, 3000])).noise(20);
        let (net, [server, client]) = pair(&sim, net, [ours, Config::new()]);
        let book = shared(Ledger::default());
        let cause = spawn_peer(&sim, client, &book);
        let (mut sender, receiver) = server.split();
        sim.spawn("we receive", async move { drop(receive_all(receiver, None).await) });
        let book_too = book.clone();
        let finished = shared(false);
        let finished_too = finished.clone();
        sim.spawn("we send", async move {
            let payload = ledger::binary(1, choices.between(17 << 10, 30 << 10));
            book_too.borrow_mut().begins(1);
            let sent = cut(sender.send(&payload), choices.between(1, 20)).await;
            *finished_too.borrow_mut() = sent.is_some();
            sender.close().await.unwrap();
        });
        sim.run_in_no_time();
        let seen = wire::check_closed(slow::From::Server, &net.recorded(0));
        let begun = seen.frames.iter().any(|frame| frame.opcode == slow::BINARY);
        let whole = book.borrow().received_count() == 1;
        assert!(whole || !*finished.borrow());
        // Only a message that was cut ends the connection: not one that never began, nor one whose last frame was
        // the one to be finished.
        let code = if begun && !whole { CloseCode::INTERNAL_ERROR } else { CloseCode::NORMAL };
        assert_eq!(cause.borrow().as_ref().unwrap().close_frame().unwrap().code(), code);
        assert_eq!(wire::close_code(&seen), Some(code.get()));
        outcomes.borrow_mut()[usize::from(begun) + usize::from(whole)] += 1;
    });
    let [never, cut, whole] = *outcomes.borrow();
    assert!(is_replay() || (cut > 0 && whole > 0), "{never} never begun, {cut} cut, {whole} whole");
}

#[test]
fn a_close_dropped_at_every_poll_still_closes() {
    for model in Model::ALL {
        for end in 0..2 {
            for polls in 0..20 {
                for then_dropped in [false, true] {
                    let choices = Chooser::seeded(polls as u64);
                    enumerated("a_close_dropped_at_every_poll_still_closes", model, &choices, |run| {
                        let sim = Sim::new(run);
                        let (net, [server, client]) =
                            pair(&sim, Net::new(model).capacity(3).quiet(), [Config::new(), Config::new()]);
                        let (ours, peer) = if end == 0 { (server, client) } else { (client, server) };
                        let book = shared(Ledger::default());
                        let cause = spawn_peer(&sim, peer, &book);
                        let (mut sender, receiver) = ours.split();
                        let book_too = book.clone();
                        sim.spawn("we close", async move {
                            perform(&mut sender, Op::Send(30), Fate::Awaited, 0, &book_too).await.unwrap();
                            let closed = cut(sender.close_with(CloseCode::GOING_AWAY, "now"), polls).await;
                            if !then_dropped && closed.is_none() {
                                sender.close().await.unwrap();
                            }
                        });
                        sim.spawn("we receive", async move {
                            // Whoever is left drives: the receiver goes on closing when the sender is gone.
                            let (mut receiver, error) = receive_all(receiver, None).await;
                            assert!(error.is_clean_close(), "{error:?}");
                            receiver.close().await.unwrap();
                        });
                        if polls == 0 && then_dropped {
                            // Never polled, so nobody closes: the peer waits.
                            assert!(!sim.run_unjudged().parked.is_empty());
                            return;
                        }
                        sim.run_in_no_time();
                        book.borrow().settle();
                        let seen = wire::check_closed(FROM[end], &net.recorded(end));
                        let code = if polls == 0 { 1000 } else { 1001 };
                        assert_eq!(wire::close_code(&seen), Some(code));
                        assert_eq!(
                            cause.borrow().as_ref().unwrap().close_frame().unwrap().code().get(),
                            code
                        );
                        wire::check_closed(FROM[1 - end], &net.recorded(1 - end));
                    });
                }
            }
        }
    }
}
