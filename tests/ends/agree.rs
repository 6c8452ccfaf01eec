//! Whether the library tells, and answers, what the slow model says that it should.
//!
//! Three ways to read: the core alone; a connection's `receive`; its `receive_data`. The model sees all bytes at once, and so
//! never a cut.

use std::rc::Rc;

use unsync_websocket::protocol::{self, Inbound, MessageKind, ProtocolError};
use unsync_websocket::{Config, Error, Role, WebSocket};

use super::super::kit::script::{Script, drive};
use super::super::kit::slow::{self, Event, From, Limits, Seen, Verdict};
use super::super::kit::wire;
use super::{event, reader_of};

/// What one direction of a connection says, and what the model thinks of it.
pub struct Stream {
    pub from: From,
    pub limits: Limits,
    pub bytes: Rc<[u8]>,
    pub seen: Seen,
}

/// The role of those to whom `from` talks.
pub const fn role_facing(from: From) -> Role {
    match from {
        From::Client => Role::Server,
        From::Server => Role::Client,
    }
}

/// The core that reads what `from` writes.
pub fn inbound_facing(from: From, limits: Limits) -> Inbound {
    let Limits { max_message, max_frame, max_fragments, .. } = limits;
    let of_core = protocol::Limits {
        max_message: usize::try_from(max_message).unwrap_or(usize::MAX),
        max_frame: usize::try_from(max_frame).unwrap_or(usize::MAX),
        max_fragments: u32::try_from(max_fragments).unwrap_or(u32::MAX),
    };
    let inbound = Inbound::new(role_facing(from), of_core);
    match limits.deflate {
        #[cfg(feature = "deflate")]
        Some(window) => inbound.with_deflate(&deflate(window)),
        _ => inbound,
    }
}

/// Compression in which either side may look back so many bytes: 0, or a power of two from 256 to 32 KiB.
#[cfg(feature = "deflate")]
pub fn deflate(window: usize) -> unsync_websocket::Deflate {
    let bits = if window == 0 { 15 } else { window.ilog2() as u8 };
    unsync_websocket::Deflate::new()
        .server_no_context_takeover(window == 0)
        .client_no_context_takeover(window == 0)
        .server_max_window_bits(bits)
        .client_max_window_bits(bits)
}

pub fn config(limits: Limits) -> Config {
    let Limits { max_message, max_frame, max_fragments, .. } = limits;
    let config = Config::new()
        .max_message(usize::try_from(max_message).unwrap_or(usize::MAX))
        .max_frame(usize::try_from(max_frame).unwrap_or(usize::MAX))
        .max_fragments(u32::try_from(max_fragments).unwrap_or(u32::MAX));
    match limits.deflate {
        #[cfg(feature = "deflate")]
        Some(window) => config.deflate(deflate(window)),
        _ => config,
    }
}

/// All that `inbound` makes of the next bytes: what it tells, in the model's words, and the error that ended it.
pub fn tell(inbound: &mut Inbound, mut piece: &[u8]) -> (Vec<Event>, Option<ProtocolError>) {
    let mut events = Vec::new();
    loop {
        let found = match inbound.receive(&mut piece) {
            Ok(Some(found)) => found,
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        };
        let payload = inbound.payload().to_vec();
        events.push(match found {
            protocol::Event::Fragment => continue,
            protocol::Event::Message(MessageKind::Text) => Event::Text(String::from_utf8(payload).unwrap()),
            protocol::Event::Message(MessageKind::Binary) => Event::Binary(payload),
            protocol::Event::Ping => Event::Ping(payload),
            protocol::Event::Pong => Event::Pong(payload),
            protocol::Event::Close(frame) => {
                Event::Close(frame.map(|frame| (frame.code().get(), frame.reason().to_owned())))
            }
        });
    }
}

/// The model's name for the rule.
pub fn rule(error: ProtocolError) -> &'static str {
    match error {
        ProtocolError::ReservedBit => "reserved bit",
        ProtocolError::ReservedOpCode { .. } => "reserved opcode",
        ProtocolError::LengthNotMinimal => "length not minimal",
        ProtocolError::LengthTopBit => "length with the top bit",
        ProtocolError::FragmentedControl => "control frame in fragments",
        ProtocolError::ControlTooLong => "long control frame",
        ProtocolError::NotMasked | ProtocolError::Masked => "mask bit",
        ProtocolError::UnexpectedContinuation => "continuation of nothing",
        ProtocolError::ExpectedContinuation { .. } => "new message inside a message",
        ProtocolError::InvalidUtf8 => "not UTF-8",
        ProtocolError::InvalidDeflate => "not DEFLATE",
        ProtocolError::CloseTooShort => "Close with one byte",
        ProtocolError::CloseCode { .. } => "close code that may not travel",
        ProtocolError::FrameTooBig { .. } => "frame too big",
        ProtocolError::MessageTooBig { .. } => "message too big",
        ProtocolError::TooManyFragments { .. } => "too many fragments",
        other => panic!("what is {other:?}?"),
    }
}

impl Stream {
    pub fn new(from: From, limits: Limits, bytes: Vec<u8>) -> Self {
        let seen = slow::read(from, limits, &bytes);
        Self { from, limits, bytes: bytes.into(), seen }
    }

    /// The core alone, without a connection.
    pub fn core_agrees(&self, cuts: &[usize]) {
        let mut inbound = inbound_facing(self.from, self.limits);
        let (mut events, mut fault, mut start) = (Vec::new(), None, 0);
        for end in cuts.iter().copied().chain([self.bytes.len()]) {
            let (told, error) = tell(&mut inbound, &self.bytes[start..end]);
            events.extend(told);
            fault = error;
            if fault.is_some() {
                break;
            }
            start = end;
        }
        assert_eq!(events, self.seen.events);
        assert!(self.is_fault(fault), "{fault:?}, but {:?}", self.seen.verdict);
    }

    /// `receive`: everything but the pings; and the answers to it.
    pub fn receive_agrees(&self, cuts: Vec<usize>, write_most: usize) {
        let script = Script::new(self.bytes.clone(), cuts).write_most(write_most);
        let written = script.written();
        let mut socket = reader_of(self.from, script, config(self.limits));
        let (events, error) = drive(receive_all(&mut socket));
        let shown: Vec<_> =
            self.seen.events.iter().filter(|event| !matches!(event, Event::Ping(_))).cloned().collect();
        assert_eq!(events, shown);
        assert!(self.is_cause(&error), "{error:?}, but {:?}", self.seen.verdict);
        let _ = drive(socket.close());
        if self.expected_code().is_some() {
            self.check_answers(&written.borrow());
        }
    }

    /// `receive_data`: messages only, appended.
    pub fn receive_data_agrees(&self, cuts: Vec<usize>) {
        let mut socket = reader_of(self.from, Script::new(self.bytes.clone(), cuts), config(self.limits));
        let (data, lengths, error) = drive(async {
            let (mut data, mut lengths) = (b"before".to_vec(), vec![6]);
            loop {
                match socket.receiver.receive_data(&mut data).await {
                    Ok(_) => lengths.push(data.len()),
                    Err(error) => return (data, lengths, error),
                }
            }
        });
        let (mut expected, mut expected_lengths) = (b"before".to_vec(), vec![6]);
        for event in &self.seen.events {
            match event {
                Event::Text(text) => expected.extend(text.as_bytes()),
                Event::Binary(payload) => expected.extend(payload),
                _ => continue,
            }
            expected_lengths.push(expected.len());
        }
        assert_eq!((data, lengths), (expected, expected_lengths), "nothing but whole messages");
        assert!(self.is_cause(&error), "{error:?}, but {:?}", self.seen.verdict);
    }

    /// How a connection answers this, apart from the pongs: `None` if with nothing.
    fn expected_code(&self) -> Option<Option<u16>> {
        match (&self.seen.verdict, self.seen.events.last()) {
            (Verdict::Fault { code, .. }, _) => Some(Some(*code)),
            (_, Some(Event::Close(frame))) => Some(frame.as_ref().map(|(code, _)| *code)),
            _ => None,
        }
    }

    /// The code that the fault deserves, and one of the rules that were broken, if there is a fault; else nothing.
    fn is_fault(&self, error: Option<ProtocolError>) -> bool {
        match (&self.seen.verdict, error) {
            (Verdict::Fault { code, .. }, Some(error)) => {
                error.close_code().get() == *code && self.seen.broken.contains(&rule(error))
            }
            (Verdict::Fault { .. }, None) => false,
            (_, error) => error.is_none(),
        }
    }

    fn is_cause(&self, error: &Error) -> bool {
        match (&self.seen.verdict, error) {
            (Verdict::Open, Error::EndOfStream { inside_message }) => !inside_message,
            (Verdict::InMessage | Verdict::InFrame, Error::EndOfStream { inside_message }) => *inside_message,
            (Verdict::Closed { .. }, error) => error.is_clean_close(),
            (Verdict::Fault { .. }, Error::Protocol(error)) => self.is_fault(Some(*error)),
            _ => false,
        }
    }

    /// Checks what the connection wrote: the pongs, in order, and the Close that the input deserves.
    fn check_answers(&self, written: &[u8]) {
        let us = if self.from == From::Client { From::Server } else { From::Client };
        let answers = wire::check(us, written);
        let pings = self.seen.events.iter().filter_map(|event| match event {
            Event::Ping(payload) => Some(Event::Pong(payload.clone())),
            _ => None,
        });
        let (close, pongs) = match answers.events.split_last() {
            Some((Event::Close(frame), pongs)) => (Some(frame.as_ref().map(|(code, _)| *code)), pongs),
            _ => (None, &answers.events[..]),
        };
        assert_eq!(close, self.expected_code(), "{:?}", answers.events);
        // A fault drops what was not yet sent, so then the last pongs may be missing.
        let pings: Vec<_> = pings.collect();
        if matches!(self.seen.verdict, Verdict::Fault { .. }) {
            assert!(pings.starts_with(pongs), "{pings:?} answered with {pongs:?}");
        } else {
            assert_eq!(pings, pongs);
        }
    }
}

async fn receive_all(socket: &mut WebSocket<Script>) -> (Vec<Event>, Error) {
    let mut events = Vec::new();
    loop {
        match socket.receiver.receive().await {
            Ok(incoming) => events.push(event(incoming)),
            Err(error) => return (events, error),
        }
    }
}
