//! What we make of a stream, and what we write.

use unsync_websocket::Role;
use unsync_websocket::protocol::{self, Inbound, Limits, MaskingKeys, MessageKind, Outbound};

use super::slow::{Event, From};
use super::{End, Story, Stream};

fn limits(stream: &Stream) -> Limits {
    Limits {
        max_message: usize::try_from(stream.limits.max_message).unwrap_or(usize::MAX),
        max_frame: usize::try_from(stream.limits.max_frame).unwrap_or(usize::MAX),
        max_fragments: u32::try_from(stream.limits.max_fragments).unwrap_or(u32::MAX),
    }
}

/// Our story of a stream.
///
/// # Panics
///
/// When an event comes without a byte, a message of text is none, or an error does not stay.
#[must_use]
pub fn read(stream: &Stream) -> Story {
    let role = if stream.from == From::Client { Role::Server } else { Role::Client };
    let mut inbound = Inbound::new(role, limits(stream));
    let mut story = Story { events: Vec::new(), end: End::Waiting };
    for mut piece in stream.pieces() {
        loop {
            let left = piece.len();
            let found = match inbound.receive(&mut piece) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(inbound.receive(&mut piece), Err(error), "an error stays");
                    story.end = End::Fault(error.close_code().get());
                    return story;
                }
            };
            assert!(piece.len() < left, "an event takes bytes");
            let payload = inbound.payload().to_vec();
            story.events.push(match found {
                protocol::Event::Fragment => continue,
                protocol::Event::Message(MessageKind::Text) => {
                    Event::Text(String::from_utf8(payload).expect("text is UTF-8"))
                }
                protocol::Event::Message(MessageKind::Binary) => Event::Binary(payload),
                protocol::Event::Ping => Event::Ping(payload),
                protocol::Event::Pong => Event::Pong(payload),
                protocol::Event::Close(frame) => {
                    story.end = End::Closed;
                    Event::Close(frame.map(|frame| (frame.code().get(), frame.reason().to_owned())))
                }
            });
        }
    }
    story
}

/// Keys that are the same at each run.
struct Keys(u32);

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(0x9e37_79b9).wrapping_add(0x7f4a_7c15);
        self.0.to_be_bytes()
    }
}

/// What we write to say `events`, with messages in fragments of so many bytes.
///
/// # Panics
///
/// When a Close has a code that may not travel.
#[must_use]
pub fn write(from: From, events: &[Event], fragment: usize) -> Vec<u8> {
    let outbound = match from {
        From::Client => Outbound::client(Box::new(Keys(7))),
        From::Server => Outbound::server(),
    };
    let mut outbound = outbound.with_sizes(fragment, 64 << 10);
    for event in events {
        match event {
            Event::Text(text) => outbound.push(MessageKind::Text, text.as_bytes()),
            Event::Binary(data) => outbound.push(MessageKind::Binary, data),
            Event::Ping(payload) => outbound.ping(payload),
            Event::Pong(payload) => outbound.pong(payload),
            Event::Close(frame) => outbound.close(
                frame
                    .as_ref()
                    .map(|(code, reason)| {
                        let code = protocol::CloseCode::new(*code).expect("a code that may travel");
                        protocol::CloseFrame::new(code, reason)
                    })
                    .as_ref(),
            ),
        }
    }
    let mut wire = Vec::new();
    while let Some(batch) = outbound.take() {
        let before = wire.len();
        batch.with_slices(|slices| slices.iter().for_each(|slice| wire.extend_from_slice(slice)));
        let written = wire.len() - before;
        outbound.put_back(batch, written);
    }
    wire
}
