//! What tungstenite makes of a stream, and what it writes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};

use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::slow::{Event, From, Limits};
use super::{End, Story, Stream};

/// Gives the pieces one at a time, and keeps what is written.
#[derive(Debug)]
struct Pipe<'a> {
    pieces: VecDeque<&'a [u8]>,
    written: Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.front_mut() {
            let len = piece.len().min(buf.len());
            buf[..len].copy_from_slice(&piece[..len]);
            *piece = &piece[len..];
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            if len > 0 {
                return Ok(len);
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn role_facing(from: From) -> Role {
    match from {
        From::Client => Role::Server,
        From::Server => Role::Client,
    }
}

fn config(limits: Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(usize::try_from(limits.max_message).ok())
        .max_frame_size(usize::try_from(limits.max_frame).ok())
}

fn event(message: Message) -> Event {
    match message {
        Message::Text(text) => Event::Text(text.as_str().to_owned()),
        Message::Binary(data) => Event::Binary(data.to_vec()),
        Message::Ping(payload) => Event::Ping(payload.to_vec()),
        Message::Pong(payload) => Event::Pong(payload.to_vec()),
        Message::Close(frame) => {
            Event::Close(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())))
        }
        Message::Frame(frame) => panic!("it reads no frames: {frame}"),
    }
}

/// The close code that an error deserves; `None` where it is not the peer's fault.
fn fault(error: &Error) -> Option<u16> {
    match error {
        Error::Protocol(_) => Some(1002),
        Error::Utf8(_) => Some(1007),
        Error::Capacity(_) => Some(1009),
        _ => None,
    }
}

/// Its story of a stream, up to a Close or a fault; and what it makes of the rest when there was a Close: the first fault, if any.
///
/// # Panics
///
/// When it tells of a message after a Close.
#[must_use]
pub fn read(stream: &Stream) -> (Story, Option<u16>) {
    let pipe = Pipe { pieces: stream.pieces().collect(), written: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(pipe, role_facing(stream.from), Some(config(stream.limits)));
    let mut story = Story { events: Vec::new(), end: End::Waiting };
    loop {
        match socket.read() {
            Ok(message) => {
                assert_eq!(story.end, End::Waiting, "{message:?} after a Close");
                if message.is_close() {
                    story.end = End::Closed;
                }
                story.events.push(event(message));
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return (story, None),
            Err(Error::ConnectionClosed) if story.end == End::Closed => return (story, None),
            Err(error) => {
                let code = fault(&error).unwrap_or_else(|| panic!("{error}"));
                if story.end == End::Closed {
                    return (story, Some(code));
                }
                story.end = End::Fault(code);
                return (story, None);
            }
        }
    }
}

/// What it writes to say `events`.
///
/// # Panics
///
/// When it does not want to.
#[must_use]
pub fn write(from: From, events: &[Event]) -> Vec<u8> {
    let role = if from == From::Client { Role::Client } else { Role::Server };
    let pipe = Pipe { pieces: VecDeque::new(), written: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(pipe, role, None);
    for event in events {
        let message =
            match event {
                Event::Text(text) => Message::text(text.as_str()),
                Event::Binary(data) => Message::binary(data.clone()),
                Event::Ping(payload) => Message::Ping(payload.clone().into()),
                Event::Pong(payload) => Message::Pong(payload.clone().into()),
                Event::Close(frame) => Message::Close(frame.as_ref().map(|(code, reason)| CloseFrame {
                    code: (*code).into(),
                    reason: reason.as_str().into(),
                })),
            };
        socket.send(message).expect("it is open");
    }
    socket.get_mut().written.split_off(0)
}
