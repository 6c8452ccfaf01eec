//! The other libraries, each in the way of its documentation that costs least: a message is given to it as the type that it asks for,
//! made beforehand, and taken from it without a copy where it can be.

pub mod fastwebsockets {
    use fastwebsockets::{FragmentCollector, Frame, Role, WebSocket};

    use crate::wire::{Case, Wire};
    use crate::{Run, receiving, sending, spin};

    fn websocket(case: &Case) -> WebSocket<Wire> {
        let role = if case.role == unsync_websocket::Role::Server { Role::Server } else { Role::Client };
        WebSocket::after_handshake(Wire::new(case.frames()), role)
    }

    pub fn receive(case: Case) -> Run {
        let mut websocket = FragmentCollector::new(websocket(&case));
        receiving(case, move |case| {
            case.check(&spin(websocket.read_frame()).expect("frames without end").payload)
        })
    }

    /// A client masks the caller's buffer.
    pub fn send(case: Case) -> Run {
        let mut websocket = websocket(&case);
        sending(case, Case::bytes, move |case, payload| {
            let payload = (&mut payload[..]).into();
            let frame = if case.text { Frame::text(payload) } else { Frame::binary(payload) };
            spin(websocket.write_frame(frame)).expect("memory");
        })
    }
}

pub mod soketto {
    use soketto::connection::{Builder, Mode};
    use soketto::{Receiver, Sender};
    use unsync_websocket::Role;

    use crate::wire::{Case, Owned, Wire};
    use crate::{Run, receiving, sending, spin};

    fn websocket(case: &Case) -> (Sender<Wire>, Receiver<Wire>) {
        let mode = if case.role == Role::Server { Mode::Server } else { Mode::Client };
        Builder::new(Wire::new(case.frames()), mode).finish()
    }

    /// Text is not checked: that is left to the caller, who does it here.
    pub fn receive(case: Case) -> Run {
        let ((_sender, mut receiver), mut data) = (websocket(&case), Vec::new());
        receiving(case, move |case| {
            data.clear();
            spin(receiver.receive_data(&mut data)).expect("frames without end");
            assert!(!case.text || std::str::from_utf8(&data).is_ok());
            case.check(&data);
        })
    }

    /// A client masks the caller's buffer, and a copy of a text.
    pub fn send(case: Case) -> Run {
        let (mut sender, _receiver) = websocket(&case);
        sending(case, Case::owned, move |_, message| {
            spin(async {
                match message {
                    Owned::Text(text) => sender.send_text(text).await,
                    Owned::Binary(bytes) => sender.send_binary_mut(bytes).await,
                }
                .expect("memory");
                sender.flush().await.expect("memory");
            })
        })
    }
}

pub mod sockudo {
    use std::mem::replace;

    use bytes::Bytes;
    use futures_util::{SinkExt, StreamExt};
    use sockudo_ws::protocol::Message;
    use sockudo_ws::{Config, WebSocketStream};
    use unsync_websocket::Role;

    use crate::wire::{Case, Owned, Wire};
    use crate::{Run, receiving, sending, spin};

    fn websocket(case: &Case) -> WebSocketStream<Wire> {
        let wire = Wire::new(case.frames());
        match case.role {
            Role::Server => WebSocketStream::server(wire, Config::default()),
            Role::Client => WebSocketStream::client(wire, Config::default()),
        }
    }

    pub fn receive(case: Case) -> Run {
        let mut websocket = websocket(&case);
        receiving(case, move |case| match spin(websocket.next()) {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => case.check(message.as_bytes()),
            other => panic!("{other:?}"),
        })
    }

    pub fn send(case: Case) -> Run {
        let mut websocket = websocket(&case);
        let message = |case: &Case| match case.owned() {
            Owned::Text(text) => Message::text(text),
            Owned::Binary(bytes) => Message::binary(bytes),
        };
        sending(case, message, move |_, message| {
            spin(websocket.send(replace(message, Message::Binary(Bytes::new())))).expect("memory");
        })
    }
}

pub mod tokio_websockets {
    use std::mem::replace;

    use bytes::Bytes;
    use futures_util::{SinkExt, StreamExt};
    use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};
    use unsync_websocket::Role;

    use crate::wire::{Case, Owned, Wire};
    use crate::{Run, receiving, sending, spin};

    fn websocket(case: &Case) -> WebSocketStream<Wire> {
        let wire = Wire::new(case.frames());
        match case.role {
            Role::Server => ServerBuilder::new().serve(wire),
            Role::Client => ClientBuilder::new().take_over(wire),
        }
    }

    pub fn receive(case: Case) -> Run {
        let mut websocket = websocket(&case);
        receiving(case, move |case| match spin(websocket.next()) {
            Some(Ok(message)) => case.check(message.as_payload()),
            other => panic!("{other:?}"),
        })
    }

    pub fn send(case: Case) -> Run {
        let mut websocket = websocket(&case);
        let message = |case: &Case| match case.owned() {
            Owned::Text(text) => Message::text(text),
            Owned::Binary(bytes) => Message::binary(bytes),
        };
        sending(case, message, move |_, message| {
            spin(websocket.send(replace(message, Message::binary(Bytes::new())))).expect("memory");
        })
    }
}

/// Without tokio: its core is for streams that block.
pub mod tungstenite {
    use std::mem::replace;

    use bytes::Bytes;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
    use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

    use crate::wire::{Case, Owned, Wire};
    use crate::{Run, receiving, sending};

    fn websocket(case: &Case) -> WebSocket<Wire> {
        let role = if case.role == unsync_websocket::Role::Server { Role::Server } else { Role::Client };
        WebSocket::from_raw_socket(Wire::new(case.frames()), role, None)
    }

    pub fn receive(case: Case) -> Run {
        let mut websocket = websocket(&case);
        receiving(case, move |case| match websocket.read().expect("frames without end") {
            Message::Text(text) => case.check(text.as_bytes()),
            Message::Binary(bytes) => case.check(&bytes),
            other => panic!("{other:?}"),
        })
    }

    pub fn send(case: Case) -> Run {
        let mut websocket = websocket(&case);
        let message = |case: &Case| match case.owned() {
            Owned::Text(text) => Message::Text(Utf8Bytes::from(text)),
            Owned::Binary(bytes) => Message::Binary(bytes.into()),
        };
        sending(case, message, move |_, message| {
            websocket.send(replace(message, Message::Binary(Bytes::new()))).expect("memory");
        })
    }
}

pub mod wtx {
    use unsync_websocket::Role;
    use wtx::collection::Vector;
    use wtx::rng::{SeedableRng, Xorshift64};
    use wtx::web_socket::{Frame, OpCode, WebSocketBuffer, WebSocketOwned, WebSocketPayloadOrigin};

    use crate::wire::{Case, Wire};
    use crate::{Run, receiving, sending, spin};

    /// With the generator of masking keys that its client has by default.
    fn websocket<const IS_CLIENT: bool>(case: &Case) -> WebSocketOwned<(), Xorshift64, Wire, IS_CLIENT> {
        let keys = Xorshift64::from_simple_seed().expect("a seed");
        WebSocketOwned::new((), false, keys, Wire::new(case.frames()), WebSocketBuffer::new())
    }

    pub fn receive(case: Case) -> Run {
        match case.role {
            Role::Server => receive_as::<false>(case),
            Role::Client => receive_as::<true>(case),
        }
    }

    fn receive_as<const IS_CLIENT: bool>(case: Case) -> Run {
        let (mut websocket, mut buffer) = (websocket::<IS_CLIENT>(&case), Vector::new());
        receiving(case, move |case| {
            buffer.clear();
            let frame = spin(websocket.read_frame(&mut buffer, WebSocketPayloadOrigin::Adaptive));
            case.check(frame.expect("frames without end").payload());
        })
    }

    pub fn send(case: Case) -> Run {
        match case.role {
            Role::Server => send_as::<false>(case),
            Role::Client => send_as::<true>(case),
        }
    }

    /// A client masks the caller's buffer.
    fn send_as<const IS_CLIENT: bool>(case: Case) -> Run {
        let mut websocket = websocket::<IS_CLIENT>(&case);
        sending(case, Case::bytes, move |case, payload| {
            let op_code = if case.text { OpCode::Text } else { OpCode::Binary };
            spin(websocket.write_frame(&mut Frame::new_fin(op_code, &mut payload[..]))).expect("memory");
        })
    }
}

pub mod yawc {
    use std::mem::replace;

    use futures_util::SinkExt;
    use yawc::frame::Frame;
    use yawc::{Options, Role, WebSocket};

    use crate::wire::{Case, Owned, Wire};
    use crate::{Run, receiving, sending, spin};

    fn websocket(case: &Case) -> WebSocket<Wire> {
        let role = if case.role == unsync_websocket::Role::Server { Role::Server } else { Role::Client };
        // Without `with_utf8`, text is not checked.
        let options = Options::default().with_limits(2 << 20, 4 << 20).with_utf8();
        WebSocket::from_stream(Wire::new(case.frames()), role, options).expect("options that fit")
    }

    pub fn receive(case: Case) -> Run {
        let mut websocket = websocket(&case);
        receiving(case, move |case| {
            case.check(spin(websocket.next_frame()).expect("frames without end").payload())
        })
    }

    pub fn send(case: Case) -> Run {
        let mut websocket = websocket(&case);
        let frame = |case: &Case| match case.owned() {
            Owned::Text(text) => Frame::text(text),
            Owned::Binary(bytes) => Frame::binary(bytes),
        };
        sending(case, frame, move |_, frame| {
            spin(websocket.send(replace(frame, Frame::binary(bytes::Bytes::new())))).expect("memory");
        })
    }
}
