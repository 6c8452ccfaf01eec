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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ends::{FROM, Socket, cause, socket};
use futures_lite::future::zip;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use kit::choices::{Chooser, Odometer};
use kit::cut::{cut, cut_and_leak};
use kit::ledger;
use kit::net::{Config as Net, Model, SimNet, SimStream};
use kit::runs::{Run, Shared, number, shared};
use kit::sim::{Sim, Trace};
use kit::slow::{self, Event, Limits, Verdict};
use kit::wire;
use unsync_websocket::{CloseCode, Config, Error};

const DEADLINE: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(2);

/// What the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Is one of ours, and receives.
    Receives,
    /// Is one of ours, and closes at the same time.
    ClosesToo,
    /// Answers the Close by hand, and goes.
    Answers,
    /// ... two seconds late.
    AnswersLate,
    /// Reads everything and says nothing.
    Silent,
    /// Reads nothing and says nothing.
    Asleep,
    /// Reads everything and talks on, but not of closing.
    TalksOn,
    /// Said half a frame, and nothing more; reads.
    HalfFrame,
    /// Ended its side without a Close; reads.
    Ends,
    /// Is gone, having read nothing.
    Gone,
    /// Resets the connection after a second.
    Resets,
}

/// What is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// More is queued than the socket takes.
    Queued,
    /// A send of 20 KiB was dropped after one poll.
    Dropped,
    /// A send of 20 KiB was leaked after one poll.
    Leaked,
    /// Messages arrived that nobody has read.
    Unread,
}

/// Who calls `close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halves {
    /// The sender, while the receiver receives.
    Both,
    /// The sender, and the receiver when it has received everything, and both in one task.
    Zipped,
    /// The receiver; the sender is gone.
    Receiver,
    /// The sender; the receiver is gone.
    Sender,
    /// The whole connection.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Close,
    With,
    Now,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    end: usize,
    peer: Peer,
    before: Before,
    halves: Halves,
    how: How,
    close_sends_fin: bool,
}

impl Case {
    fn chosen(choices: &Chooser) -> Self {
        use Peer::{
            Answers, AnswersLate, Asleep, ClosesToo, Ends, Gone, HalfFrame, Receives, Resets, Silent, TalksOn,
        };
        let peers = [
            Receives,
            ClosesToo,
            Answers,
            AnswersLate,
            Silent,
            Asleep,
            TalksOn,
            HalfFrame,
            Ends,
            Gone,
            Resets,
        ];
        Self {
            end: choices.choose(2),
            peer: choices.of(&peers),
            before: choices.of(&[
                Before::Nothing,
                Before::Queued,
                Before::Dropped,
                Before::Leaked,
                Before::Unread,
            ]),
            halves: choices.of(&[
                Halves::Both,
                Halves::Zipped,
                Halves::Receiver,
                Halves::Sender,
                Halves::Whole,
            ]),
            how: choices.of(&[How::Close, How::With, How::Now]),
            close_sends_fin: choices.choose(2) == 0,
        }
    }
}

/// One that says by hand what it has to say. Returns what it heard.
async fn raw_peer(sim: Sim, net: SimNet, mut stream: SimStream, peer: Peer, heard: Shared<Vec<u8>>) {
    let end = stream.end();
    let (us, them) = (FROM[end], FROM[1 - end]);
    match peer {
        Peer::Asleep => return std::future::pending().await,
        Peer::Gone => return drop(stream),
        Peer::Resets => {
            sim.sleep(Duration::from_secs(1)).await;
            net.reset(end);
            return drop(stream);
        }
        Peer::HalfFrame => net.inject(end, &slow::frame(us, true, slow::BINARY, &[7; 50])[..20]),
        Peer::Ends => net.fin(end),
        Peer::TalksOn => {
            let (sim_too, net) = (sim.clone(), net.clone());
            sim.spawn_idle("talks on", async move {
                for _ in 0..100 {
                    net.inject(end, &slow::frame(us, true, slow::BINARY, &[7; 10]));
                    sim_too.sleep(Duration::from_millis(300)).await;
                }
            });
        }
        _ => {}
    }
    let mut buf = [0; 64];
    loop {
        match stream.read(&mut buf).await {
            Ok(0) | Err(_) => break,
            Ok(count) => heard.borrow_mut().extend(&buf[..count]),
        }
        let seen = slow::read(them, Limits::NONE, &heard.borrow());
        if matches!(seen.verdict, Verdict::Closed { .. }) && matches!(peer, Peer::Answers | Peer::AnswersLate)
        {
            if peer == Peer::AnswersLate {
                sim.sleep(LATE).await;
            }
            drop(stream.write_all(&slow::close(us, 1000, "")).await);
            drop(stream.flush().await);
            if us == slow::From::Server {
                // The server ends the stream first (section 7.1.1).
                return drop(stream);
            }
        }
    }
    if matches!(peer, Peer::Silent | Peer::TalksOn | Peer::HalfFrame) {
        // It keeps its side open for ever.
        std::future::pending().await
    }
}

/// One of ours.
async fn our_peer(socket: Socket, closes: bool) {
    let (mut sender, mut receiver) = socket.split();
    let receives = async {
        let mut data = Vec::new();
        while receiver.receive_data(&mut data).await.is_ok() {}
        receiver.close().await
    };
    if closes {
        let (ours, _) = zip(sender.close(), receives).await;
        drop(ours);
    } else {
        drop(receives.await);
    }
}

/// When a close returned, and with what.
type Returned = Shared<Vec<(Duration, Result<(), Error>)>>;

async fn close_it(sim: Sim, mut socket: Socket, case: Case, returned: Returned) {
    let payload = ledger::binary(1, 20 << 10);
    match case.before {
        Before::Nothing | Before::Unread => {}
        Before::Queued => {
            for id in 0..5 {
                socket.sender.feed(&ledger::binary(id, 100)).await.unwrap();
            }
        }
        Before::Dropped => drop(cut(socket.sender.send(&payload), 1).await),
        Before::Leaked => drop(cut_and_leak(socket.sender.send(&payload), 1).await),
    }
    let begun = sim.elapsed();
    let enter = |result| returned.borrow_mut().push((sim.elapsed() - begun, result));
    macro_rules! close {
        ($half:expr) => {
            match case.how {
                How::Close => $half.close().await,
                How::With => $half.close_with(CloseCode::GOING_AWAY, "away").await,
                How::Now => $half.close_now(CloseCode::TRY_AGAIN_LATER, "slow").await,
            }
        };
    }
    if case.halves == Halves::Whole {
        enter(close!(socket));
        // It is over: a second close has nothing to wait for.
        enter(socket.close().await);
        assert!(socket.get_ref().is_none(), "the stream is kept");
        return;
    }
    let (mut sender, mut receiver) = socket.split();
    match case.halves {
        Halves::Receiver => {
            drop(sender);
            enter(close!(receiver));
            enter(receiver.close().await);
        }
        Halves::Sender => {
            drop(receiver);
            enter(close!(sender));
            enter(sender.close().await);
        }
        _ => {
            let closes = async {
                enter(close!(sender));
            };
            let receives = async {
                let mut data = Vec::new();
                while receiver.receive_data(&mut data).await.is_ok() {}
                if case.halves == Halves::Zipped {
                    enter(receiver.close().await);
                }
            };
            zip(closes, receives).await;
            enter(sender.close().await);
        }
    }
}

fn run_case(run: &Run, case: Case) {
    let sim = Sim::with(Chooser::seeded(run.seed), run.trace.clone());
    let capacity = if matches!(case.before, Before::Dropped | Before::Leaked) { 2000 } else { 80 };
    let net =
        Net { close_sends_fin: case.close_sends_fin, ..Net::new(run.model).capacity(capacity).noise(30) };
    let (net, server, client) = SimNet::new(&sim, net);
    let (ours, theirs) = if case.end == 0 { (server, client) } else { (client, server) };
    let ours = socket(&sim, ours, Config::new());
    if case.before == Before::Unread {
        let unread = slow::frame(FROM[1 - case.end], true, slow::BINARY, &[9; 200]);
        net.inject(1 - case.end, &unread);
    }
    let (heard, returned) = (shared(Vec::new()), shared(Vec::new()));
    match case.peer {
        Peer::Receives | Peer::ClosesToo => {
            let theirs = socket(&sim, theirs, Config::new());
            sim.spawn("peer", our_peer(theirs, case.peer == Peer::ClosesToo));
        }
        peer => {
            let raw = raw_peer(sim.clone(), net.clone(), theirs, peer, heard.clone());
            sim.spawn_idle("peer", raw);
        }
    }
    // The peer that is gone is gone before.
    if case.peer == Peer::Gone {
        sim.run();
    }
    sim.spawn("we", close_it(sim.clone(), ours, case, returned.clone()));
    let outcome = sim.run_unjudged();
    assert!(outcome.parked.is_empty(), "{:?} wait for ever", outcome.parked);
    judge(case, &net, &heard.borrow(), &returned.borrow());
}

fn judge(case: Case, net: &SimNet, heard: &[u8], returned: &[(Duration, Result<(), Error>)]) {
    assert!(net.is_dropped(case.end), "the stream is not let go");
    let written = net.recorded(case.end);
    let poisoned = returned.iter().any(|(_, result)| matches!(result, Err(Error::SendLeaked)));
    for (end, from) in FROM.into_iter().enumerate() {
        if !matches!(case.peer, Peer::Receives | Peer::ClosesToo) && end != case.end {
            continue;
        }
        wire::check_broken(from, &net.recorded(end));
    }
    for (time, result) in returned {
        assert!(*time <= DEADLINE, "returned after {time:?}: {result:?}");
    }
    let (time, result) = &returned[0];
    let (last, _) = returned.last().unwrap();
    assert!(*last == *time || *last <= DEADLINE);
    if poisoned {
        assert_eq!(case.before, Before::Leaked);
        return;
    }
    let code = match (case.how, case.peer) {
        // The peer's own Close may come first, and is answered in kind.
        (_, Peer::ClosesToo) => None,
        (How::Close, _) => Some(1000),
        (How::With, _) => Some(1001),
        (How::Now, _) => Some(1013),
    };
    let is = |error: &str| result.as_ref().is_err_and(|result| cause(result).starts_with(error));
    let leaked = case.before == Before::Leaked;
    match case.peer {
        Peer::Receives | Peer::ClosesToo | Peer::Answers | Peer::AnswersLate => {
            // A leak that nobody comes across keeps our Close waiting; that, too, ends.
            if leaked && *time == DEADLINE {
                return;
            }
            let late = if case.peer == Peer::AnswersLate { LATE } else { Duration::ZERO };
            assert!(result.is_ok(), "{result:?}");
            assert_eq!(*time, late);
            let seen = wire::check_closed(FROM[case.end], &written);
            if let Some(code) = code {
                assert_eq!(wire::close_code(&seen), Some(code));
            }
            if matches!(case.peer, Peer::Answers | Peer::AnswersLate) {
                assert_eq!(heard, written, "the peer has not heard it all");
            }
            if case.before == Before::Queued && case.how != How::Now {
                let whole = seen.events.iter().filter(|event| matches!(event, Event::Binary(_))).count();
                assert!(
                    whole == 5 || case.peer == Peer::ClosesToo,
                    "{whole} of 5 messages went before the Close"
                );
            }
        }
        Peer::Silent | Peer::TalksOn | Peer::HalfFrame => {
            assert!(is("CloseTimeout"), "{result:?}");
            assert_eq!(*time, DEADLINE);
            if !leaked {
                wire::check_closed(FROM[case.end], &written);
            }
        }
        Peer::Asleep => {
            assert!(is("CloseTimeout"), "{result:?}");
            assert_eq!(*time, DEADLINE);
        }
        Peer::Ends => {
            // It still listens, and is told.
            assert!(is("EndOfStream") || (leaked && is("CloseTimeout")), "{result:?}");
            if !leaked {
                assert_eq!(*time, Duration::ZERO);
                wire::check_closed(FROM[case.end], &written);
            }
        }
        Peer::Gone => {
            assert!(result.is_err(), "{result:?}");
            assert!(*time == Duration::ZERO || leaked, "{time:?}");
        }
        Peer::Resets => {
            assert!(is("Io"), "{result:?}");
            assert_eq!(*time, Duration::from_secs(1));
        }
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
            let trace = Trace::default();
            let run = Run { seed, model, choices: choices.clone(), trace };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run_case(&run, case))) {
                if failed.is_empty() {
                    eprintln!("{}", run.trace);
                }
                let message = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                failed.push(format!("{case:?}, {}, seed {seed}: {message}", model.name()));
            }
            seed += 1;
        });
        assert_eq!(cases, 2 * 11 * 5 * 5 * 3 * 2);
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
