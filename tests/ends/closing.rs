//! All the ways in which a connection is closed (T20): who, how, what the peer makes of it, and what stood in the way.

use std::time::Duration;

use futures_lite::future::{or, pending, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use unsync_websocket::{CloseCode, Error, Timer, WebSocket};

use super::super::kit::choices::Chooser;
use super::super::kit::cut::{cut, cut_and_leak};
use super::super::kit::ledger;
use super::super::kit::net::SimNet;
use super::super::kit::runs::Shared;
use super::super::kit::slow::{self, Event, Limits, Verdict};
use super::super::kit::wire;
use super::{FROM, Stream, cause};

/// How fast time goes, and how large is large, where the cases are played.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The connection's `close_timeout`.
    pub deadline: Duration,
    /// When those answer who are late.
    pub late: Duration,
    /// When a connection is reset.
    pub reset: Duration,
    /// How much later than it should everything may happen.
    pub tolerance: Duration,
    /// The length of five messages that together are more than the socket takes, and not more than the outbox.
    pub queued: usize,
    /// The length of a message that does not go out in one poll.
    pub large: usize,
}

impl World {
    fn is_at(&self, time: Duration, due: Duration) -> bool {
        due <= time && time <= due + self.tolerance
    }
}

/// What is done to a connection from outside.
pub trait Network {
    /// Sends bytes as the peer, whether the socket has room for them or not.
    fn inject(&self, bytes: &[u8]);
    /// Ends the peer's side.
    fn fin(&self);
    /// Resets the connection, as the peer.
    fn reset(&self);
}

/// The network as end `.1` has it.
impl Network for (SimNet, usize) {
    fn inject(&self, bytes: &[u8]) {
        self.0.inject(self.1, bytes);
    }

    fn fin(&self) {
        self.0.fin(self.1);
    }

    fn reset(&self) {
        self.0.reset(self.1);
    }
}

/// What the peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
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
pub enum Before {
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
pub enum Halves {
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
pub enum How {
    Close,
    With,
    Now,
}

impl Peer {
    /// Whether it is a connection of ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Receives | Self::ClosesToo)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Which end closes.
    pub end: usize,
    pub peer: Peer,
    pub before: Before,
    pub halves: Halves,
    pub how: How,
}

impl Case {
    /// How many there are.
    pub const COUNT: u64 = 2 * 11 * 5 * 5 * 3;

    pub fn chosen(choices: &Chooser) -> Self {
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
        }
    }
}

async fn sleep(timer: &impl Timer, time: Duration) {
    timer.sleep_until(timer.now() + time).expect("worlds have alarms").await;
}

/// A peer that says by hand what it has to say, as end `end`. What it hears goes into `heard`. Returns when it has heard
/// everything, with the stream if it keeps its side open; one that is asleep never returns.
pub async fn raw_peer<T: Stream>(
    (world, timer): (World, impl Timer),
    network: impl Network,
    (end, mut stream): (usize, T),
    peer: Peer,
    heard: Shared<Vec<u8>>,
) -> Option<T> {
    let (us, them) = (FROM[end], FROM[1 - end]);
    match peer {
        Peer::Asleep => return pending().await,
        Peer::Gone => return None,
        Peer::Resets => {
            sleep(&timer, world.reset).await;
            network.reset();
            return None;
        }
        Peer::HalfFrame => network.inject(&slow::frame(us, true, slow::BINARY, &[7; 50])[..20]),
        Peer::Ends => network.fin(),
        Peer::TalksOn => network.inject(&slow::frame(us, true, slow::BINARY, &[7; 10])),
        _ => {}
    }
    let mut buf = [0; 2000];
    let mut said = 0;
    loop {
        let silence = async {
            if peer == Peer::TalksOn && said < 100 {
                sleep(&timer, world.late / 5).await
            } else {
                pending().await
            }
            None
        };
        match or(async { Some(stream.read(&mut buf).await) }, silence).await {
            None => {
                network.inject(&slow::frame(us, true, slow::BINARY, &[7; 10]));
                said += 1;
            }
            Some(Ok(0) | Err(_)) => break,
            Some(Ok(count)) => heard.borrow_mut().extend(&buf[..count]),
        }
        if !matches!(peer, Peer::Answers | Peer::AnswersLate) {
            continue;
        }
        let seen = slow::read(them, Limits::NONE, &heard.borrow());
        if matches!(seen.verdict, Verdict::Closed { .. }) {
            if peer == Peer::AnswersLate {
                sleep(&timer, world.late).await;
            }
            drop(stream.write_all(&slow::close(us, 1000, "")).await);
            drop(stream.flush().await);
            if us == slow::From::Server {
                // The server ends the stream first (section 7.1.1).
                return None;
            }
        }
    }
    matches!(peer, Peer::Silent | Peer::TalksOn | Peer::HalfFrame).then_some(stream)
}

/// A peer that is one of ours.
pub async fn our_peer<T: Stream>(socket: WebSocket<T>, closes: bool) {
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
pub type Returned = Shared<Vec<(Duration, Result<(), Error>)>>;

/// Our side of a case.
pub async fn close_it<T: Stream>(
    (world, timer): (World, impl Timer),
    mut socket: WebSocket<T>,
    case: Case,
    returned: Returned,
) {
    let payload = ledger::binary(1, world.large);
    match case.before {
        Before::Nothing | Before::Unread => {}
        Before::Queued => {
            for id in 0..5 {
                socket.sender.feed(&ledger::binary(id, world.queued)).await.unwrap();
            }
        }
        Before::Dropped => drop(cut(socket.sender.send(&payload), 1).await),
        Before::Leaked => drop(cut_and_leak(socket.sender.send(&payload), 1).await),
    }
    let begun = timer.now();
    let enter = |result| returned.borrow_mut().push((timer.now() - begun, result));
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

/// Judges what `close` returned, and when, by what our end has `written`.
///
/// # Panics
///
/// When that is not as it should be.
pub fn judge(world: World, case: Case, written: &[u8], returned: &[(Duration, Result<(), Error>)]) {
    let World { deadline, tolerance, .. } = world;
    wire::check_broken(FROM[case.end], written);
    let poisoned = returned.iter().any(|(_, result)| matches!(result, Err(Error::SendLeaked)));
    for (time, result) in returned {
        assert!(*time <= deadline + tolerance, "returned after {time:?}: {result:?}");
    }
    let (time, result) = &returned[0];
    let is_at =
        |due| assert!(world.is_at(*time, due), "returned after {time:?}, and not {due:?}: {result:?}");
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
            if leaked && *time >= deadline {
                return;
            }
            let late = if case.peer == Peer::AnswersLate { world.late } else { Duration::ZERO };
            assert!(result.is_ok(), "{result:?}");
            is_at(late);
            let seen = wire::check_closed(FROM[case.end], written);
            if let Some(code) = code {
                assert_eq!(wire::close_code(&seen), Some(code));
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
            is_at(deadline);
            if !leaked {
                wire::check_closed(FROM[case.end], written);
            }
        }
        Peer::Asleep => {
            assert!(is("CloseTimeout"), "{result:?}");
            is_at(deadline);
        }
        Peer::Ends => {
            // It still listens, and is told.
            assert!(is("EndOfStream") || (leaked && is("CloseTimeout")), "{result:?}");
            if !leaked {
                is_at(Duration::ZERO);
                wire::check_closed(FROM[case.end], written);
            }
        }
        Peer::Gone => {
            assert!(result.is_err(), "{result:?}");
            assert!(leaked || world.is_at(*time, Duration::ZERO), "{time:?}");
        }
        Peer::Resets => {
            assert!(is("Io"), "{result:?}");
            is_at(world.reset);
        }
    }
}
