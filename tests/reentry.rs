//! The stream calls back into its own connection: from inside its polls messages are queued, and tasks are dropped that
//! hold the halves (DESIGN.md, section 3, rule 6).
//!
//! Real ones do: a TLS layer or a test double may hold a handle, and a waker that a stream wakes inside its poll may make an executor
//! drop a task at once, whose send or whose half then enters its `Drop`.
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

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ends::{FROM, pair};
use kit::ledger::{self, Ledger, Sent};
use kit::net::Config as Net;
use kit::runs::{each_seed_and_model, is_replay, shared};
use kit::sim::Sim;
use kit::wire;
use unsync_websocket::{Config, EncodedFrame, Incoming, Message, QueueError};

/// Numbers of messages that were queued from inside a poll begin here.
const QUEUED: u32 = 1000;

#[test]
fn messages_queued_from_inside_a_poll_of_the_stream_arrive_in_order() {
    let (accepted, full) = (Cell::new(0), Cell::new(0));
    each_seed_and_model("messages_queued_from_inside_a_poll_of_the_stream_arrive_in_order", 1_000, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let config =
            Config::new().outbox(choices.of(&[1, 100, 64 << 10])).fragment(choices.of(&[20, 64 << 10]));
        let large = choices.one_in(20);
        let capacity = if large { 3000 } else { choices.of(&[10, 60, 400]) };
        let (net, sockets) = pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
        let [sent, queued] = [shared(Ledger::default()), shared(Ledger::default())];
        let [mut ours, mut theirs] = sockets;
        if end == 1 {
            std::mem::swap(&mut ours, &mut theirs);
        }

        let handle = ours.sender.queue_handle();
        let (book, next) = (queued.clone(), Cell::new(QUEUED));
        let counts = Rc::new([Cell::new(0), Cell::new(0)]);
        let counting = counts.clone();
        net.reenter(move || {
            let id = next.replace(next.get() + 1);
            let mut book = book.borrow_mut();
            book.begins(id);
            let became = match handle.queue(&EncodedFrame::binary(&ledger::binary(id, 30))) {
                Ok(()) => {
                    counting[0].set(counting[0].get() + 1);
                    Sent::Certainly
                }
                Err(QueueError::Full) => {
                    counting[1].set(counting[1].get() + 1);
                    Sent::Never
                }
                Err(QueueError::Closed) => Sent::Never,
            };
            book.became(id, became);
        });

        let (mut sender, mut receiver) = ours.split();
        let book = sent.clone();
        sim.spawn("we send", async move {
            for id in 0..4 {
                let len = if large { 20 << 10 } else { choices.between(8, 100) };
                book.borrow_mut().begins(id);
                sender.send(&ledger::binary(id, len)).await.unwrap();
                book.borrow_mut().became(id, Sent::Certainly);
            }
            sender.close().await.unwrap();
        });
        sim.spawn("we receive", async move {
            while receiver.receive().await.is_ok() {}
            receiver.close().await.unwrap();
        });
        let (mut their_sender, mut receiver) = theirs.split();
        let (sent_too, queued_too) = (sent.clone(), queued.clone());
        sim.spawn("they", async move {
            their_sender.ping(b"!").await.unwrap();
            loop {
                match receiver.receive().await {
                    Ok(Incoming::Message(Message::Binary(data))) => match ledger::binary_id(data) {
                        id @ QUEUED.. => queued_too.borrow_mut().receives(id),
                        id => sent_too.borrow_mut().receives(id),
                    },
                    Ok(_) => {}
                    Err(error) => break assert!(error.is_clean_close(), "{error:?}"),
                }
            }
            receiver.close().await.unwrap();
        });
        sim.run_in_no_time();
        sent.borrow().settle();
        queued.borrow().settle();
        wire::check_closed(FROM[end], &net.recorded(end));
        accepted.set(accepted.get() + counts[0].get());
        full.set(full.get() + counts[1].get());
    });
    assert!(
        is_replay() || (accepted.get() > 1000 && full.get() > 100),
        "{accepted:?} accepted, {full:?} refused"
    );
}

#[test]
fn halves_and_sends_dropped_from_inside_a_poll_of_their_stream_cut_nothing() {
    let killed = Cell::new([0; 3]);
    each_seed_and_model(
        "halves_and_sends_dropped_from_inside_a_poll_of_their_stream_cut_nothing",
        1_500,
        |run| {
            let sim = Sim::new(run);
            let choices = sim.choices().clone();
            let config =
                Config::new().outbox(choices.of(&[1, 64 << 10])).fragment(choices.of(&[3000, 64 << 10]));
            let large = choices.one_in(3);
            let capacity = if large { 2000 } else { choices.of(&[20, 200]) };
            let (net, [server, client]) =
                pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
            let books = [shared(Ledger::default()), shared(Ledger::default())];

            let (mut sender, mut receiver) = server.split();
            let book = books[0].clone();
            let sends = sim.spawn("server sends", async move {
                for id in 0..4 {
                    let len = if large { 18 << 10 } else { 60 };
                    book.borrow_mut().begins(id);
                    if sender.send(&ledger::binary(id, len)).await.is_err() {
                        break;
                    }
                    book.borrow_mut().became(id, Sent::Certainly);
                }
                let _ = sender.close().await;
            });
            let book = books[1].clone();
            let receives = sim.spawn("server receives", async move {
                loop {
                    match receiver.receive().await {
                        Ok(Incoming::Message(Message::Binary(data))) => {
                            book.borrow_mut().receives_binary(data)
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
                let _ = receiver.close().await;
            });
            let (mut sender, mut receiver) = client.split();
            let book = books[1].clone();
            sim.spawn("client sends", async move {
                for id in 0..3 {
                    book.borrow_mut().begins(id);
                    let _ = sender.ping(b"?").await;
                    if sender.send(&ledger::binary(id, 50)).await.is_ok() {
                        book.borrow_mut().became(id, Sent::Certainly);
                    }
                }
                let _ = sender.close().await;
            });
            let book = books[0].clone();
            sim.spawn("client receives", async move {
                loop {
                    match receiver.receive().await {
                        Ok(Incoming::Message(Message::Binary(data))) => {
                            book.borrow_mut().receives_binary(data)
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
                let _ = receiver.close().await;
            });

            // One of the server's tasks, or both, from inside whatever poll it comes to.
            let victims = choices.of(&[&[sends][..], &[receives], &[sends, receives]]).to_vec();
            let only_the_sender = victims == [sends];
            let (killer, count) = (sim.clone(), victims.len());
            let mut victims = victims.into_iter();
            net.reenter(move || {
                if let Some(victim) = victims.next() {
                    killer.kill(victim);
                }
            });
            let outcome = sim.run();
            assert!(outcome.elapsed <= Duration::from_secs(5));
            for (end, from) in FROM.into_iter().enumerate() {
                wire::check_broken(from, &net.recorded(end));
            }
            if only_the_sender {
                // Its receiver lives and finishes what it began, also the message that was going out just then.
                let seen = wire::check_closed(FROM[0], &net.recorded(0));
                wire::no_message_is_cut(&seen);
            }
            books[0].borrow().settle_broken();
            let mut kills = killed.get();
            kills[count] += 1;
            killed.set(kills);
        },
    );
    let [_, one, both] = killed.get();
    assert!(is_replay() || (one > 100 && both > 100));
}
