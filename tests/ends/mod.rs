//! The library's connections: over the kit's streams, and for what is said over real sockets, too, over any.
//!
//! * [`talk`]: a whole conversation between two ends (T5, T21).
//! * [`closing`]: all the ways in which a connection is closed (T20).
//! * [`cancel`]: receives and sends that are dropped half way (T23, T24).
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    reason = "each test binary compiles the whole module and uses a part of it"
)]

pub mod agree;
pub mod cancel;
pub mod closing;
pub mod talk;

use std::future::Future;
use std::pin::Pin;

use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::{Config, Error, Incoming, Message, NoTimer, Role, WebSocket};

use super::kit::choices::Chooser;
use super::kit::ledger::Ledger;
use super::kit::net::{self, SimNet, SimStream};
use super::kit::script::Script;
use super::kit::sim::Sim;
use super::kit::slow::{self, Event};

pub type Socket = WebSocket<SimStream>;

/// What a connection goes over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Stream for T {}

/// A part of a test that runs beside the others, for whichever executor the test has; and its name.
pub type Task = (&'static str, Pin<Box<dyn Future<Output = ()>>>);

pub fn task(name: &'static str, future: impl Future<Output = ()> + 'static) -> Task {
    (name, Box::pin(future))
}

pub fn spawn_all(sim: &Sim, tasks: Vec<Task>) {
    for (name, task) in tasks {
        sim.spawn(name, task);
    }
}

/// End 0 is the server, end 1 the client.
pub const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// Who the slow model says wrote the bytes of an end.
pub const FROM: [slow::From; 2] = [slow::From::Server, slow::From::Client];

pub fn socket(sim: &Sim, stream: SimStream, config: Config) -> Socket {
    let role = ROLES[stream.end()];
    WebSocket::with_timer(stream, role, config, Vec::new(), sim.timer())
}

/// A server and a client.
pub fn pair(sim: &Sim, net: net::Config, configs: [Config; 2]) -> (SimNet, [Socket; 2]) {
    let (net, server, client) = SimNet::new(sim, net);
    let [of_server, of_client] = configs;
    (net, [socket(sim, server, of_server), socket(sim, client, of_client)])
}

/// `config`, in one run of six with compression of every message, which both ends then agree on.
pub fn maybe_deflate(config: Config, choices: &Chooser) -> Config {
    #[cfg(feature = "deflate")]
    if choices.one_in(6) {
        return config.deflate(agree::deflate(choices.of(&[0, 256, 32 << 10])).threshold(0).level(1));
    }
    _ = choices;
    config
}

/// A connection that reads what `from` wrote.
pub fn reader_of(from: slow::From, script: Script, config: Config) -> WebSocket<Script> {
    let role = match from {
        slow::From::Client => Role::Server,
        slow::From::Server => Role::Client,
    };
    WebSocket::with_timer(script, role, config, Vec::new(), NoTimer)
}

/// Enters a message into the book of those who sent it.
pub fn enter(book: &mut Ledger, message: Message<'_>) {
    match message {
        Message::Text(text) => book.receives_text(text),
        Message::Binary(data) => book.receives_binary(data),
    }
}

/// What was received, in the slow model's words.
pub fn event(incoming: Incoming<'_>) -> Event {
    match incoming {
        Incoming::Message(Message::Text(text)) => Event::Text(text.to_owned()),
        Incoming::Message(Message::Binary(data)) => Event::Binary(data.to_vec()),
        Incoming::Pong(payload) => Event::Pong(payload.to_vec()),
        Incoming::Close(frame) => {
            Event::Close(frame.map(|frame| (frame.code().get(), frame.reason().to_owned())))
        }
        other => panic!("what is {other:?}?"),
    }
}

/// Why a connection ended, in a word that can be compared.
pub fn cause(error: &Error) -> String {
    format!("{error:?}")
}
