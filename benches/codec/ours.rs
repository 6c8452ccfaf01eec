//! This library.

use std::hint::black_box;

use unsync_websocket::{Config, Incoming, Message, NoTimer, WebSocket};

use crate::wire::{Case, Owned, Wire};
use crate::{Run, receiving, sending, spin};

fn websocket(case: &Case) -> WebSocket<Wire> {
    let config = Config::new().max_message(8 << 20);
    WebSocket::with_timer(Wire::new(case.frames()), case.role, config, Vec::new(), NoTimer)
}

/// Lends the payload.
pub fn receive(case: Case) -> Run {
    let mut websocket = websocket(&case);
    receiving(case, move |case| match spin(websocket.receiver.receive()) {
        Ok(Incoming::Message(message)) => case.check(message.as_bytes()),
        other => panic!("{other:?}"),
    })
}

/// Appends the payload to the caller's buffer.
pub fn receive_data(case: Case) -> Run {
    let (mut websocket, mut data) = (websocket(&case), Vec::new());
    receiving(case, move |case| {
        data.clear();
        spin(websocket.receiver.receive_data(&mut data)).expect("frames without end");
        case.check(&data);
    })
}

pub fn send(case: Case) -> Run {
    let mut websocket = websocket(&case);
    sending(case, Case::owned, move |_, message| {
        let message = match message {
            Owned::Text(text) => Message::Text(text),
            Owned::Binary(bytes) => Message::Binary(bytes),
        };
        spin(websocket.sender.send(black_box(message))).expect("memory");
    })
}
