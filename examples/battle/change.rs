//! How a player goes on in another battle, on this core or on another, without connecting again.
//!
//! 1. The client says [`Command::Change`](crate::wire::Command::Change), and the battle tells the client's task.
//! 2. The task asks the core of the other battle for a seat, by that core's door, and the player plays on meanwhile. The seat is
//!    kept by its ticket, as it is for one who was cut off: so nobody can take it, and it falls free by itself if nobody comes.
//! 3. With the ticket the task takes the connection apart, with all that is unread and unsent, and sends it there: between two
//!    awaits, so the player is in one battle and then in the other. Inputs that were read belong to the old battle, the others to
//!    the new one. The old battle sees somebody leave.
//! 4. There a new task welcomes the player to the seat, as it welcomes everybody: the client is told all that it has to know.
//!
//! Whoever is refused a seat stays, and is told [why](Why): the battle is full or gone, or this is no time to go (a core's door is full,
//! or the last change is hardly over). Whoever finds the door full with the ticket in hand stays as well: the connection
//! is put together again where it was taken apart. Whoever is parted with, or leaves, while the seat is asked for, goes nowhere.

use std::io;
use std::time::Instant;

use async_channel::Sender;
use unsync_websocket::{WebSocket, WebSocketParts};

use crate::cores::Cores;
use crate::limits::Entry;
use crate::sockets::Socket;
use crate::ticket::Ticket;
use crate::wire::Why;

/// The ticks between two changes of a client, at least: a change costs a server more than a key.
pub(crate) const REST: u32 = 15;

/// What a client wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The number of the battle; 0 for a new one.
    pub(crate) battle: u32,
    /// Of one who plays.
    pub(crate) name: Option<String>,
}

/// A seat in a battle, which is kept for whoever shows its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) battle: u32,
    pub(crate) core: usize,
    pub(crate) ticket: Ticket,
}

/// A wish on its way to the core of the other battle, and the way back for the answer.
pub(crate) struct Ask {
    pub(crate) change: Change,
    pub(crate) answer: Sender<Result<Seat, Why>>,
}

/// A player on the way to another battle.
pub(crate) struct Mover<T> {
    pub(crate) parts: WebSocketParts<T>,
    pub(crate) ticket: Ticket,
    pub(crate) entry: Entry,
    /// When it left.
    pub(crate) left: Instant,
}

/// Sends a connection to the seat that is kept for it, without waiting. One that cannot go is handed back, as it was; if that cannot
/// be, either, it is lost.
pub(crate) fn depart<S: Socket>(
    websocket: WebSocket<S>,
    seat: Seat,
    entry: Entry,
    cores: &Cores<S::Packed>,
) -> io::Result<Option<(WebSocket<S>, Entry)>> {
    let WebSocketParts { stream, state } = match websocket.into_parts() {
        Ok(parts) => parts,
        // It is closing, and goes on with that.
        Err(websocket) => return Ok(Some((websocket, entry))),
    };
    let parts = WebSocketParts { stream: stream.pack(), state };
    let mover = Box::new(Mover { parts, ticket: seat.ticket, entry, left: Instant::now() });
    match cores.send_on(seat.core, mover) {
        Ok(()) => Ok(None),
        Err(mover) => Ok(Some((arrive(mover.parts)?, mover.entry))),
    }
}

/// The connection that these parts were, on this thread.
pub(crate) fn arrive<S: Socket>(parts: WebSocketParts<S::Packed>) -> io::Result<WebSocket<S>> {
    let WebSocketParts { stream, state } = parts;
    Ok(WebSocket::from_parts(WebSocketParts { stream: S::unpack(stream)?, state }))
}
