//! T20: closing always ends.
//!
//! All of: who closes, and how; what the peer makes of it (answers, is late, is silent, does not read, goes away, talks on); what
//! stood in the way (nothing, a full socket, a message that was dropped or leaked half way, unread input); which halves are
//! there; whether the transport's `poll_close` sends a FIN; over all six waker models. On the virtual clock `close` returns
//! within its deadline, each side sends one Close at most and nothing after it, every future ends, the stream is let go.
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

use std::cell::RefCell;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ends::closing::{Before, Case, Peer, World, close_it, judge, our_peer, raw_peer};
use ends::{FROM, socket};
use futures_io::{AsyncRead, AsyncWrite};
use kit::choices::{Chooser, Odometer};
use kit::net::{Config as Net, Model, SimNet};
use kit::runs::{Run, number, shared};
use kit::script::{Script, drive};
use kit::sim::{Sim, Trace};
use kit::{slow, wire};
use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};

const WORLD: World = World {
    deadline: Duration::from_secs(5),
    late: Duration::from_secs(2),
    reset: Duration::from_secs(1),
    tolerance: Duration::ZERO,
    queued: 100,
    large: 20 << 10,
};

fn run_case(run: &Run, case: Case, close_sends_fin: bool) {
    let sim = Sim::with(Chooser::seeded(run.seed), run.trace.clone());
    let capacity = if matches!(case.before, Before::Dropped | Before::Leaked) { 2000 } else { 80 };
    let net = Net { close_sends_fin, ..Net::new(run.model).capacity(capacity).noise(30) };
    let (net, server, client) = SimNet::new(&sim, net);
    let (ours, theirs) = if case.end == 0 { (server, client) } else { (client, server) };
    let peer = theirs.end();
    let ours = socket(&sim, ours, Config::new());
    if case.before == Before::Unread {
        let unread = slow::frame(FROM[peer], true, slow::BINARY, &[9; 200]);
        net.inject(peer, &unread);
    }
    let (heard, returned) = (shared(Vec::new()), shared(Vec::new()));
    if case.peer.is_ours() {
        let theirs = socket(&sim, theirs, Config::new());
        sim.spawn("peer", our_peer(theirs, case.peer == Peer::ClosesToo));
    } else {
        let network = (net.clone(), peer);
        let world = (WORLD, sim.timer());
        let talks = raw_peer(world, network, (peer, theirs), case.peer, heard.clone());
        sim.spawn_idle("peer", async {
            let _kept = talks.await;
            pending::<()>().await;
        });
    }
    // The peer that is gone is gone before.
    if case.peer == Peer::Gone {
        sim.run();
    }
    sim.spawn("we", close_it((WORLD, sim.timer()), ours, case, returned.clone()));
    let outcome = sim.run_unjudged();
    assert!(outcome.parked.is_empty(), "{:?} wait for ever", outcome.parked);
    assert!(net.is_dropped(case.end), "the stream is not let go");
    judge(WORLD, case, &net.recorded(case.end), &returned.borrow());
    if case.peer.is_ours() {
        wire::check_broken(FROM[peer], &net.recorded(peer));
    }
    let went_well = returned.borrow()[0].1.is_ok();
    if matches!(case.peer, Peer::Answers | Peer::AnswersLate) && went_well {
        assert_eq!(*heard.borrow(), net.recorded(case.end), "the peer has not heard it all");
    }
}

/// Runs all cases, so that a failure shows how many and which they are; the first with its trace. `RUNS=n` does so n
/// times. Each case takes the next seed, from `SEED` on; so a failure comes again with the same `SEED` and `RUNS`.
fn matrix(model: Model) {
    let mut seed = number("SEED").unwrap_or(0);
    let mut failed = Vec::new();
    for _ in 0..number("RUNS").unwrap_or(1) {
        let cases = Odometer::each(100_000, |choices| {
            let case = Case::chosen(choices);
            let close_sends_fin = choices.choose(2) == 0;
            let trace = Trace::default();
            let run = Run { seed, model, choices: choices.clone(), trace };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run_case(&run, case, close_sends_fin))) {
                if failed.is_empty() {
                    eprintln!("{}", run.trace);
                }
                let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                let fin = if close_sends_fin { "" } else { ", no FIN of `poll_close`" };
                failed.push(format!("{case:?}{fin}, {}, seed {seed}: {message}", model.name()));
            }
            seed += 1;
        });
        assert_eq!(cases, Case::COUNT * 2);
    }
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn closing_always_ends_when_the_transport_keeps_the_last_waker() {
    matrix(Model::KeepLast);
}

#[test]
fn closing_always_ends_when_the_transport_wakes_the_one_it_replaces() {
    matrix(Model::ReplaceAndWake);
}

#[test]
fn closing_always_ends_when_the_transport_unregisters_on_success() {
    matrix(Model::DropOnSuccess);
}

#[test]
fn closing_always_ends_when_the_transport_wakes_inside_polls() {
    matrix(Model::WakeInline);
}

#[test]
fn closing_always_ends_when_the_transport_wakes_for_nothing() {
    matrix(Model::Spurious);
}

#[test]
fn closing_always_ends_when_reads_may_write() {
    matrix(Model::ReadMayWrite);
}

/// A stream with a last word of its own, as that of TLS is.
struct Polite {
    script: Script,
    said: Rc<RefCell<Vec<&'static str>>>,
}

impl AsyncRead for Polite {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.script).poll_read(cx, buf)
    }
}

impl AsyncWrite for Polite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.script).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.script).poll_flush(cx)
    }

    /// The socket is full at first.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_first = self.said.borrow().is_empty();
        self.said.borrow_mut().push(if is_first { "fare" } else { "well" });
        if is_first {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

/// Section 7.1.1 lets it wait for the server's end, and it need not say more to a socket; a stream above that may have to.
#[test]
fn a_client_that_lets_the_server_go_first_takes_its_own_leave_too() {
    let said = Rc::default();
    let script = Script::new([0x88, 2, 3, 232].into(), []);
    let stream = Polite { script, said: Rc::clone(&said) };
    let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    drive(async {
        assert!(matches!(websocket.receiver.receive().await, Ok(Incoming::Close(Some(_)))));
        websocket.close().await.unwrap();
    });
    assert_eq!(*said.borrow(), ["fare", "well"]);
}
