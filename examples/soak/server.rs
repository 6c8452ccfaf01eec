//! The server: all its connections, idle ones, churn, and one that tells how far the clients are.

use std::cell::Cell;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use unsync_websocket::{Config, Error, HandshakeError, Incoming, Message, Server, WebSocket};

use crate::measure::Count;
use crate::payload::is_sealed;

pub(crate) type Socket = WebSocket<Async<TcpStream>>;

/// How far the clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Opening,
    Churn,
    /// No more of the churn come; those that are silent have yet to be given up.
    Ebb,
    Closing,
    /// All clients have gone but the one who says so.
    Over,
}

impl Phase {
    const ALL: [(&str, Self); 5] = [
        ("opening", Self::Opening),
        ("churn", Self::Churn),
        ("ebb", Self::Ebb),
        ("closing", Self::Closing),
        ("over", Self::Over),
    ];

    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, phase)| *phase == self).map_or("", |(word, _)| word)
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, phase)| *phase)
    }
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct House {
    /// All tasks of connections.
    pub(crate) tasks: Count,
    pub(crate) idle: Count,
    pub(crate) churn: Count,
    pub(crate) messages: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    /// Payloads that are not what was sent.
    pub(crate) mismatches: Cell<u64>,
    /// How connections ended: with a closing handshake, without, by silence.
    pub(crate) closed: Cell<u64>,
    pub(crate) cut: Cell<u64>,
    pub(crate) silent: Cell<u64>,
    /// Errors that no client is the cause of.
    pub(crate) faults: Cell<u64>,
    /// How far the clients are; `None` until they tell.
    pub(crate) phase: Cell<Option<Phase>>,
    /// Whether we have seen that the round is over.
    pub(crate) is_over: Cell<bool>,
}

/// What an idle connection is like, at either end. All are closed at once in the end, which takes its time.
pub(crate) fn idle_config() -> Config {
    patient().keepalive(Duration::from_secs(20), Duration::from_secs(60))
}

/// What the server's end of a short connection is like: one that falls silent is given up after ten seconds.
fn churn_config() -> Config {
    let config = patient().keepalive(Duration::from_secs(2), Duration::from_secs(8));
    #[cfg(feature = "deflate")]
    let config = config.deflate(unsync_websocket::Deflate::new());
    config
}

/// A busy machine is no fault.
pub(crate) fn patient() -> Config {
    Config::new()
        .handshake_timeout(Duration::from_secs(10))
        .close_timeout(Duration::from_secs(60))
        .max_message(2 << 20)
}

/// Takes clients in, each in a task of its own.
pub(crate) async fn accept<'h>(
    executor: Rc<LocalExecutor<'h>>,
    house: &'h House,
    listener: Async<TcpListener>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let here = house.tasks.enter();
                let serving = async move {
                    // A handshake that fails is one that was cut.
                    if serve(stream, house).await.is_err() {
                        house.cut.update(|count| count + 1);
                    }
                    drop(here);
                };
                executor.spawn(serving).detach();
            }
            // Out of descriptors: those who leave make room.
            Err(_) => drop(Timer::after(Duration::from_millis(20)).await),
        }
    }
}

async fn serve(stream: Async<TcpStream>, house: &House) -> Result<(), HandshakeError> {
    if stream.get_ref().set_nodelay(true).is_err() {
        return Ok(()); // It was reset already.
    }
    let request = Server::new(stream).config(patient()).receive_request().await?;
    match request.path() {
        "/idle" => {
            let _idle = house.idle.enter();
            let websocket = request.config(idle_config()).accept().await?;
            echo(websocket, house).await;
        }
        "/churn" => {
            let _churn = house.churn.enter();
            let websocket = request.config(churn_config()).accept().await?;
            echo(websocket, house).await;
        }
        "/control" => follow(request.accept().await?, house).await,
        _ => request.reject(404).await?,
    }
    Ok(())
}

/// Sends back what comes, and looks at it on the way.
async fn echo(mut websocket: Socket, house: &House) {
    let end = websocket
        .cork(async |websocket| {
            loop {
                match websocket.receiver.receive().await {
                    Ok(Incoming::Message(message)) => {
                        note(message, house);
                        if let Err(error) = websocket.sender.send(message).await {
                            break error;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => break error,
                }
            }
        })
        .await;
    // One that is gone cannot be told.
    let _ = websocket.close().await;
    let count = match end {
        Error::Closed(_) => &house.closed,
        Error::EndOfStream { .. } | Error::Io(_) => &house.cut,
        Error::KeepaliveTimeout => &house.silent,
        error => {
            eprintln!("server: {error}");
            &house.faults
        }
    };
    count.update(|count| count + 1);
}

fn note(message: Message<'_>, house: &House) {
    let bytes = match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
    };
    if !is_sealed(bytes) {
        house.mismatches.update(|count| count + 1);
    }
    house.messages.update(|count| count + 1);
    house.bytes.update(|sum| sum + u64::try_from(bytes.len()).unwrap_or(0));
}

/// The clients tell how far they are. When they have gone, the last connection is closed as soon as we say so.
async fn follow(mut websocket: Socket, house: &House) {
    while house.phase.get() != Some(Phase::Over) {
        match websocket.receiver.receive().await {
            Ok(Incoming::Message(Message::Text(word))) => house.phase.set(Phase::named(word)),
            Ok(_) => {}
            // Then the second process has ended, which is seen elsewhere.
            Err(_) => return,
        }
    }
    while !house.is_over.get() {
        Timer::after(Duration::from_millis(20)).await;
    }
    let _ = websocket.close().await;
}
