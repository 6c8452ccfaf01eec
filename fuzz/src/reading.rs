//! A stream of frames, to the core and to a connection, against the slow model.

use std::rc::Rc;

use unsync_websocket::protocol::{self, Inbound, MessageKind, ProtocolError};
use unsync_websocket_test_alloc::Scope;

use crate::ends::agree::{Stream, config, inbound_facing, rule};
use crate::ends::reader_of;
use crate::input::{cuts_of, pieces};
use crate::kit::cut::counted;
use crate::kit::script::{Script, drive};
use crate::kit::slow::{From, Limits, Verdict};

/// Small, so that a fuzzer meets them.
const MAX_MESSAGE: usize = 512;
const LIMITS: Limits =
    Limits { max_message: MAX_MESSAGE as u64, max_frame: 300, max_fragments: 8, deflate: None };

/// What a window may be, in bytes.
const DEFLATE: [Option<usize>; 4] = [None, Some(0), Some(256), Some(32 << 10)];

/// All that a stream came to: the events with their payloads, and the error that ended it.
type Story = (Vec<(protocol::Event, Vec<u8>)>, Option<ProtocolError>);

/// The frame parser: what it tells is what the slow model says, however the bytes are cut, and whichever way they are received; a
/// connection answers it as it should; and neither heap nor polls are more than the bytes account for.
///
/// The first byte chooses the role and the compression, the second how many bytes choose the cuts and how much a write takes; the
/// rest is the stream.
pub fn recv_stream(data: &[u8]) {
    let [first, second, rest @ ..] = data else {
        return;
    };
    let from = if first & 1 == 0 { From::Client } else { From::Server };
    let limits = Limits { deflate: DEFLATE[usize::from(first >> 1 & 3)], ..LIMITS };
    let Some((lengths, bytes)) = rest.split_at_checked(usize::from(second % 16)) else {
        return;
    };
    let write_most = match second >> 4 {
        0 => usize::MAX,
        few => few.into(),
    };
    let cuts = cuts_of(lengths, bytes.len());

    let whole = story(from, limits, &[bytes], receive);
    let cut = pieces(bytes, &cuts);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(story(from, limits, &cut, receive), whole, "cut at {cuts:?}");
    assert_eq!(story(from, limits, &single, receive), whole, "byte by byte");
    assert_eq!(story(from, limits, &[bytes], receive_into), whole, "into the caller's buffer");
    assert_eq!(story(from, limits, &cut, receive_into), whole, "into the caller's buffer, cut");
    for (event, payload) in &whole.0 {
        if *event == protocol::Event::Message(MessageKind::Text) {
            assert!(std::str::from_utf8(payload).is_ok());
        }
        assert!(payload.len() <= MAX_MESSAGE);
    }

    let stream = Stream::new(from, limits, bytes.to_vec());
    // Of a compressed message the model looks at the end of inflation, and we at each part of it: with several faults in one
    // message the first may be another. (`inflate_stream` has them one by one.)
    const OF_INFLATION: [&str; 3] = ["not DEFLATE", "message too big", "not UTF-8"];
    match (&stream.seen.verdict, whole.1) {
        (Verdict::Fault { rule: said, .. }, Some(error))
            if limits.deflate.is_some() && OF_INFLATION.contains(said) =>
        {
            assert!(OF_INFLATION.contains(&rule(error)), "{error:?}, but {said}");
        }
        // A header that is not whole may be wrong already: then however it goes on.
        (Verdict::InFrame, Some(error)) => {
            let longer = Stream::new(from, limits, [bytes, &[0; 14]].concat());
            assert!(longer.seen.broken.contains(&rule(error)), "{error:?}, but {:?}", longer.seen.broken);
        }
        _ => {
            stream.core_agrees(&cuts);
            stream.receive_agrees(cuts.clone(), write_most);
            stream.receive_data_agrees(cuts.clone());
        }
    }
    bounds(&stream, cuts, write_most);
}

type Receive = fn(&mut Inbound, &mut &[u8]) -> Result<Option<(protocol::Event, Vec<u8>)>, ProtocolError>;

fn receive(
    inbound: &mut Inbound,
    input: &mut &[u8],
) -> Result<Option<(protocol::Event, Vec<u8>)>, ProtocolError> {
    Ok(inbound.receive(input)?.map(|event| (event, inbound.payload().to_vec())))
}

/// The data of a message have to come out behind what the buffer held before, also when that was nothing.
fn receive_into(
    inbound: &mut Inbound,
    input: &mut &[u8],
) -> Result<Option<(protocol::Event, Vec<u8>)>, ProtocolError> {
    let before = if input.len().is_multiple_of(2) { &b""[..] } else { b"before" };
    let mut data = before.to_vec();
    let event = inbound.receive_into(input, &mut data);
    if !matches!(event, Ok(Some(protocol::Event::Message(_)))) {
        assert_eq!(data, before, "only a whole message is appended");
    }
    Ok(event?.map(|event| match event {
        protocol::Event::Message(_) => (event, data.strip_prefix(before).expect("appended").to_vec()),
        _ => (event, inbound.payload().to_vec()),
    }))
}

fn story(from: From, limits: Limits, pieces: &[&[u8]], receive: Receive) -> Story {
    let mut inbound = inbound_facing(from, limits);
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

/// A connection without compression, or one that forgets, beside what the thread keeps for all.
const MOST_HEAP: isize = 6 << 10;
/// ... and an inflater with its window: its own, or a new one for the thread where the last was lost with a message that failed.
const INFLATER: isize = 100 << 10;

/// Receives everything, and looks at heap and polls.
fn bounds(stream: &Stream, cuts: Vec<usize>, write_most: usize) {
    // The first run is for what the thread keeps from one connection to the next: buffers, an inflater.
    let script = Script::new(stream.bytes.clone(), cuts.clone()).write_most(write_most);
    let mut socket = reader_of(stream.from, script, config(stream.limits));
    drive(async { while socket.receiver.receive().await.is_ok() {} });
    drop(socket);
    let (reads, frames) = (cuts.len() + 2, stream.seen.frames.len());
    let bytes: Rc<[u8]> = stream.bytes.clone();
    let scope = Scope::new();
    let script = Script::new(bytes, cuts).write_most(write_most);
    let written = script.written();
    let mut socket = reader_of(stream.from, script, config(stream.limits));
    let (_, polls) = drive(counted(async { while socket.receiver.receive().await.is_ok() {} }));
    let peak = scope.peak();
    let written = written.borrow().len();
    let writes = written.div_ceil(write_most.min(125));
    // Every read and every write of the script waits once; after 64 frames others have their turn, of which a compressed message counts
    // as one more, or after what inflating fourteen of the longest messages costs.
    let inflated = stream.seen.frames.iter().filter(|frame| frame.rsv1).count();
    let most = 4 + reads + writes + (frames + inflated) / 64 + inflated / 14;
    assert!(polls <= most, "{polls} polls for {reads} reads, {writes} writes, {frames} frames");
    let inflater = if stream.limits.deflate.is_some() { INFLATER } else { 0 };
    let most = MOST_HEAP + inflater + 3 * (MAX_MESSAGE + written + 8 * reads) as isize;
    assert!(
        peak <= most,
        "{peak} bytes of heap, not {most}, for {} read and {written} written",
        stream.bytes.len()
    );
}
