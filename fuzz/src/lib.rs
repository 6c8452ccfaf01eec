//! What the fuzz targets check, callable from anywhere.

use unsync_websocket::Role;
use unsync_websocket::protocol::{Event, Inbound, Limits, ProtocolError};

/// Small, so that a fuzzer meets them.
const LIMITS: Limits = Limits { max_message: 512, max_frame: 300, max_fragments: 8 };

/// All that a stream came to: the events with their payloads, and the error that ended it.
type Story = (Vec<(Event, Vec<u8>)>, Option<ProtocolError>);

/// The frame parser: however the bytes are cut, and whichever way they are received, the story is the same.
///
/// The first byte chooses the role, the second how many bytes choose the cuts; the rest is the stream.
pub fn recv_stream(data: &[u8]) {
    let [role, cut_count, rest @ ..] = data else {
        return;
    };
    let role = if role & 1 == 0 { Role::Server } else { Role::Client };
    let Some((cuts, stream)) = rest.split_at_checked(usize::from(cut_count % 16)) else {
        return;
    };

    let whole = story(role, &[stream], receive);
    assert_eq!(story(role, &pieces(stream, cuts), receive), whole, "cut at {cuts:?}");
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(story(role, &bytes, receive), whole, "byte by byte");
    assert_eq!(story(role, &[stream], receive_into), whole, "into the caller's buffer");
    assert_eq!(story(role, &pieces(stream, cuts), receive_into), whole, "into the caller's buffer, cut");
    for (event, payload) in &whole.0 {
        if *event == Event::Message(unsync_websocket::protocol::MessageKind::Text) {
            assert!(std::str::from_utf8(payload).is_ok());
        }
        assert!(payload.len() <= LIMITS.max_message);
    }
}

/// `stream` in pieces; each cut says how long the next one is.
fn pieces<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = stream.split_at(usize::from(*cut).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}

type Receive = fn(&mut Inbound, &mut &[u8]) -> Result<Option<(Event, Vec<u8>)>, ProtocolError>;

fn receive(inbound: &mut Inbound, input: &mut &[u8]) -> Result<Option<(Event, Vec<u8>)>, ProtocolError> {
    Ok(inbound.receive(input)?.map(|event| (event, inbound.payload().to_vec())))
}

/// The data of a message have to come out behind what the buffer held before, also when that was nothing.
fn receive_into(inbound: &mut Inbound, input: &mut &[u8]) -> Result<Option<(Event, Vec<u8>)>, ProtocolError> {
    let before = if input.len().is_multiple_of(2) { &b""[..] } else { b"before" };
    let mut data = before.to_vec();
    let event = inbound.receive_into(input, &mut data);
    if !matches!(event, Ok(Some(Event::Message(_)))) {
        assert_eq!(data, before, "only a whole message is appended");
    }
    Ok(event?.map(|event| match event {
        Event::Message(_) => (event, data.strip_prefix(before).expect("appended").to_vec()),
        _ => (event, inbound.payload().to_vec()),
    }))
}

fn story(role: Role, pieces: &[&[u8]], receive: Receive) -> Story {
    let mut inbound = Inbound::new(role, LIMITS);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            let left = input.len();
            match receive(&mut inbound, &mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => {
                    assert!(input.is_empty(), "without an event, all is taken");
                    break;
                }
                Err(error) => {
                    assert_eq!(receive(&mut inbound, &mut input), Err(error), "an error stays");
                    return (events, Some(error));
                }
            }
            assert!(input.len() < left, "an event takes bytes");
        }
    }
    (events, None)
}
