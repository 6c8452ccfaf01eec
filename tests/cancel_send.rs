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

use ends::cancel::{self, Fate, Op, dropped_sends, perform, receive_all};
use ends::{FROM, Socket, maybe_deflate, pair, spawn_all};
use kit::choices::Chooser;
use kit::cut::cut;
use kit::ledger::{self, Ledger};
use kit::net::{Config as Net, Model, SimNet};
use kit::runs::{Run, Shared, each_seed_and_model, enumerated, is_replay, shared};
use kit::sim::Sim;
use kit::slow::{self, Event, Verdict};
use kit::wire;
use unsync_websocket::{CloseCode, Config, Error};

fn spawn_peer(sim: &Sim, peer: Socket, book: &Shared<Ledger>) -> Shared<Option<Error>> {
    let cause = shared(None);
    sim.spawn("peer receives", cancel::peer(peer, book.clone(), cause.clone()));
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
        let lengths = (8, if large { 40 << 10 } else { 150 });
        spawn_all(&sim, dropped_sends(ours, lengths, &book, &choices, &run.trace));
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
