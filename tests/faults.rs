//! T22: the n-th operation of a stream fails, in each of nine ways, for every n of a conversation that ends by itself.
//!
//! No panic, no hang, no spin; every fault is told to both halves, stays the same for ever, and what had arrived before it has been
//! delivered, in order. `Interrupted` alone is nobody's business.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::io::ErrorKind;
use std::time::Duration;

use ends::{FROM, cause, enter, pair};
use futures_lite::future::zip;
use kit::ledger::{self, Ledger};
use kit::net::{Config as Net, Fault, Op, SimStream};
use kit::runs::{Run, Shared, each_seed_and_model, shared};
use kit::sim::Sim;
use kit::wire;
use unsync_websocket::{Config, Error, Incoming, Receiver, Sender};

/// What an operation does instead of its work.
const FAULTS: [Fault; 9] = [
    Fault::Error(ErrorKind::Interrupted),
    Fault::Error(ErrorKind::WouldBlock),
    Fault::Error(ErrorKind::ConnectionReset),
    Fault::Error(ErrorKind::BrokenPipe),
    Fault::Error(ErrorKind::TimedOut),
    Fault::Error(ErrorKind::Other),
    Fault::Zero,
    Fault::TooMany,
    Fault::Hang,
];

/// Whether a connection may end with `error` because of `fault`.
fn explains(fault: Fault, error: &Error) -> bool {
    match fault {
        Fault::Error(kind) => error.io_kind() == Some(kind),
        Fault::Zero => {
            matches!(error, Error::EndOfStream { .. }) || error.io_kind() == Some(ErrorKind::WriteZero)
        }
        Fault::TooMany => error.io_kind() == Some(ErrorKind::InvalidData),
        Fault::Hang => matches!(error, Error::KeepaliveTimeout | Error::CloseTimeout),
        Fault::Panic => matches!(error, Error::StreamPanicked),
    }
}

const OPS: [Op; 4] = [Op::Read, Op::Write, Op::Flush, Op::Close];

/// Sends three messages, the last of which is written from where it lies, and says how that ended.
async fn send(mut sender: Sender<SimStream>, end: usize, book: Shared<Ledger>, is_server: bool) {
    let mut first = None;
    for (id, len) in [40, 9, 17_000].into_iter().enumerate() {
        let id = id as u32;
        book.borrow_mut().begins(id);
        if let Err(error) = sender.send(&ledger::binary(id, len)).await {
            first = Some(error);
            break;
        }
    }
    if is_server && first.is_none() {
        first = sender.ping(b"?").await.err();
    }
    if let Some(first) = &first {
        // What a half once said, it says for ever (but a Close that had arrived tells more than a failed write).
        for _ in 0..2 {
            let again = sender.send("more").await.expect_err("it has failed");
            assert!(
                again.is_clean_close() || cause(&again) == cause(first),
                "end {end}: {first:?}, then {again:?}"
            );
        }
    }
    let closed = sender.close().await;
    let again = sender.close().await;
    assert_eq!(closed.is_ok(), again.is_ok(), "end {end}: {closed:?}, then {again:?}");
}

/// Receives to the end. Returns why it ended.
async fn receive(receiver: &mut Receiver<SimStream>, book: &Shared<Ledger>) -> Error {
    let first = loop {
        match receiver.receive().await {
            Ok(Incoming::Message(message)) => enter(&mut book.borrow_mut(), message),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    for _ in 0..2 {
        let again = receiver.receive().await.expect_err("it has failed");
        assert_eq!(cause(&again), cause(&first));
    }
    let _ = receiver.close().await;
    first
}

/// One conversation, in which call `nth` of `op` at `end` fails.
fn conversation(run: &Run, end: usize, op: Op, nth: usize, fault: Fault) -> bool {
    let sim = Sim::new(run);
    let config = || Config::new().keepalive(Duration::from_secs(20), Duration::from_secs(20)).fragment(5000);
    let (net, sockets) = pair(&sim, Net::new(run.model).capacity(3000).noise(20), [config(), config()]);
    net.fail(end, op, nth, fault);
    let books = [shared(Ledger::default()), shared(Ledger::default())];
    let ends = shared([None, None]);
    for (this, socket) in sockets.into_iter().enumerate() {
        let (sender, mut receiver) = socket.split();
        let sends = send(sender, this, books[this].clone(), this == 0);
        let (book, ends) = (books[1 - this].clone(), ends.clone());
        let receives = async move {
            let error = receive(&mut receiver, &book).await;
            ends.borrow_mut()[this] = Some(error);
        };
        // Both halves in one task, or in two.
        if run.seed.is_multiple_of(2) {
            sim.spawn("sender", sends);
            sim.spawn("receiver", receives);
        } else {
            sim.spawn("both", async {
                zip(sends, receives).await;
            });
        }
    }
    let outcome = sim.run_unjudged();
    assert!(outcome.parked.is_empty(), "{:?} wait for ever", outcome.parked);
    assert!(outcome.elapsed <= Duration::from_secs(90), "it took {:?}", outcome.elapsed);
    // Nobody spins: each poll is owed to an event, to bytes that moved, or to an alarm.
    let most = outcome.events + net.progress() + net.noise_made() + 40;
    assert!(outcome.polls <= most, "{} polls, {most} allowed: {outcome:?}", outcome.polls);
    for (this, from) in FROM.into_iter().enumerate() {
        // A stream that lies about what it wrote leaves nobody a wire to read.
        if !matches!((fault, op), (Fault::TooMany, Op::Write)) || this != end {
            wire::check_broken(from, &net.recorded(this));
        }
        books[this].borrow().settle_broken();
    }
    let failed = net.calls(end, op) > nth;
    let ours = ends.borrow_mut()[end].take().expect("the receiver has ended");
    let is_nobody_s_business = !failed || matches!(fault, Fault::Error(ErrorKind::Interrupted));
    if is_nobody_s_business {
        assert!(ours.is_clean_close(), "nothing failed, and yet: {ours:?}");
        assert_eq!(books.iter().map(|book| book.borrow().received_count()).sum::<usize>(), 6);
    } else {
        // The peer's Close may have been there already, or the fault have come when all was over.
        assert!(ours.is_clean_close() || explains(fault, &ours), "{fault:?}: {ours:?}");
    }
    failed
}

#[test]
fn every_operation_failing_in_nine_ways_is_told_and_ends() {
    let mut failures = std::cell::Cell::new(0_usize);
    each_seed_and_model("every_operation_failing_in_nine_ways", 2, |run| {
        for fault in FAULTS {
            for op in OPS {
                for end in 0..2 {
                    // Until the conversation has no such call any more.
                    for nth in 0..40 {
                        if !conversation(run, end, op, nth, fault) {
                            break;
                        }
                        failures.set(failures.get() + 1);
                    }
                }
            }
        }
    });
    println!("{} operations failed", failures.get_mut());
    assert!(kit::runs::is_replay() || failures.get() > 5_000, "{} operations failed", failures.get());
}
