//! Receives and sends that are dropped half way (T23, T24), in conversations over any stream.

use std::future::Future;

use unsync_websocket::{Error, Incoming, Receiver, Sender, WebSocket};

use super::super::kit::choices::Chooser;
use super::super::kit::cut::{cut, cut_and_leak, yield_now};
use super::super::kit::ledger::{self, Ledger, Sent};
use super::super::kit::runs::Shared;
use super::super::kit::sim::Trace;
use super::{Stream, Task, enter, task};

/// What becomes of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Awaited,
    DroppedAfter(usize),
    LeakedAfter(usize),
}

pub async fn with_fate<'a, R>(future: impl Future<Output = R> + 'a, fate: Fate) -> Option<R> {
    match fate {
        Fate::Awaited => Some(future.await),
        Fate::DroppedAfter(polls) => cut(future, polls).await,
        Fate::LeakedAfter(polls) => cut_and_leak(future, polls).await,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Send(usize),
    /// Not to be compressed.
    SendAsIs(usize),
    Feed(usize),
    Ping,
    Pong,
    Flush,
}

/// Does one thing, and enters into the book what is known of it.
pub async fn perform<T: Stream>(
    sender: &mut Sender<T>,
    op: Op,
    fate: Fate,
    id: u32,
    book: &Shared<Ledger>,
) -> Result<(), Error> {
    let result = match op {
        Op::Send(len) | Op::SendAsIs(len) | Op::Feed(len) => {
            let payload = ledger::binary(id, len);
            book.borrow_mut().begins(id);
            let result = match op {
                Op::Send(_) => with_fate(sender.send(&payload), fate).await,
                Op::SendAsIs(_) => with_fate(sender.send(&payload).uncompressed(), fate).await,
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
pub async fn receive_all<T: Stream>(
    mut receiver: Receiver<T>,
    book: Option<Shared<Ledger>>,
) -> (Receiver<T>, Error) {
    loop {
        match receiver.receive().await {
            Ok(Incoming::Message(message)) => enter(&mut book.as_ref().unwrap().borrow_mut(), message),
            Ok(_) => {}
            Err(error) => return (receiver, error),
        }
    }
}

/// The peer of [`dropped_sends`]: receives everything, answers the Close. Why it ended goes into `cause`.
pub async fn peer<T: Stream>(socket: WebSocket<T>, book: Shared<Ledger>, cause: Shared<Option<Error>>) {
    let (sender, receiver) = socket.split();
    let (mut receiver, error) = receive_all(receiver, Some(book)).await;
    *cause.borrow_mut() = Some(error);
    let _ = receiver.close().await;
    drop(sender);
}

/// Six things are done by `socket`, of messages of `lengths`, most of them dropped half way; then it closes.
pub fn dropped_sends<T: Stream>(
    socket: WebSocket<T>,
    lengths: (usize, usize),
    book: &Shared<Ledger>,
    choices: &Chooser,
    trace: &Trace,
) -> Vec<Task> {
    let (mut sender, receiver) = socket.split();
    let mut tasks = Vec::new();
    if choices.one_in(4) {
        drop(receiver);
    } else {
        tasks.push(task("we receive", async move {
            let (mut receiver, error) = receive_all(receiver, None).await;
            assert!(error.is_clean_close(), "{error:?}");
            receiver.close().await.unwrap();
        }));
    }
    let (book, choices, trace) = (book.clone(), choices.clone(), trace.clone());
    tasks.push(task("we send", async move {
        for id in 0..6 {
            let len = choices.between(lengths.0, lengths.1);
            let op =
                choices.of(&[Op::Send(len), Op::Send(len), Op::Feed(len), Op::Ping, Op::Pong, Op::Flush]);
            let fate = if choices.one_in(3) { Fate::Awaited } else { Fate::DroppedAfter(choices.choose(5)) };
            trace.say(format!("{op:?} {fate:?}"));
            perform(&mut sender, op, fate, id, &book).await.unwrap();
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
    }));
    tasks
}

/// Both ends send four messages with a Ping before each; the client closes when it has sent everything, though the server
/// may be in the middle. Receives of both kinds are dropped at random. If the connection `breaks`, any error will do.
pub fn dropped_receives<T: Stream>(
    sockets: [WebSocket<T>; 2],
    longest: &[usize],
    books: &[Shared<Ledger>; 2],
    choices: &Chooser,
    breaks: bool,
) -> Vec<Task> {
    let mut tasks = Vec::new();
    let is_clean = move |error: &Error| breaks || error.is_clean_close();
    for (end, socket) in sockets.into_iter().enumerate() {
        let (mut sender, mut receiver) = socket.split();
        let (ours, theirs) = (books[end].clone(), books[1 - end].clone());
        let choices = choices.clone();
        let longest = choices.of(longest);
        let send = {
            let choices = choices.clone();
            async move {
                for id in 0..4 {
                    let payload = ledger::binary(id, choices.between(8, longest));
                    ours.borrow_mut().begins(id);
                    // The client closes when it has sent everything; the server may be in the middle.
                    let pinged = sender.ping(b"").await;
                    match sender.send(&payload).await {
                        Ok(()) => ours.borrow_mut().became(id, Sent::Certainly),
                        Err(error) => {
                            assert!((end == 0 || breaks) && is_clean(&error), "{error:?}");
                            break;
                        }
                    }
                    assert!(pinged.is_ok() || breaks, "{pinged:?}");
                }
                if end == 1 {
                    let closed = sender.close().await;
                    assert!(closed.is_ok() || breaks, "{closed:?}");
                }
            }
        };
        let receive = async move {
            let mut data = Vec::new();
            loop {
                // Or it is awaited: two that always drop theirs and look again would keep the clock from moving.
                let polls = match choices.choose(5) {
                    0 => usize::MAX,
                    polls => polls,
                };
                if choices.one_in(2) {
                    match cut(receiver.receive(), polls).await {
                        Some(Ok(Incoming::Message(message))) => enter(&mut theirs.borrow_mut(), message),
                        Some(Err(error)) => break assert!(is_clean(&error), "{error:?}"),
                        _ => {}
                    }
                } else {
                    data.clear();
                    match cut(receiver.receive_data(&mut data), polls).await {
                        Some(Ok(_)) => theirs.borrow_mut().receives_binary(&data),
                        Some(Err(error)) => break assert!(is_clean(&error), "{error:?}"),
                        None => assert!(data.is_empty()),
                    }
                }
                // Lets others run, which is the usual case, or goes straight on.
                if !choices.one_in(2) {
                    yield_now().await;
                }
            }
            let closed = receiver.close().await;
            assert!(closed.is_ok() || breaks, "{closed:?}");
        };
        tasks.push(task(["server sends", "client sends"][end], send));
        tasks.push(task(["server receives", "client receives"][end], receive));
    }
    tasks
}
