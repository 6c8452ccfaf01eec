//! What the slow model says of the bytes that a connection wrote.

use super::slow::{self, Event, Frame, From, Limits, Seen, Verdict};

/// Reads everything that `from` wrote and asserts that it is what a good endpoint writes: legal frames, no frame
/// or message cut, at most one Close and nothing after it.
///
/// # Panics
///
/// When that is not so.
pub fn check(from: From, bytes: &[u8]) -> Seen {
    let seen = check_broken(from, bytes);
    assert!(
        matches!(seen.verdict, Verdict::Open | Verdict::Closed { .. }),
        "what {from:?} wrote ends {:?} after {} bytes",
        seen.verdict,
        bytes.len()
    );
    seen
}

/// As [`check`], for a connection that was cut off: the last frame may be.
pub fn check_broken(from: From, bytes: &[u8]) -> Seen {
    // Compression counts as agreed on: a message that forgets earlier ones is right in either way.
    let seen = slow::read(from, Limits::NONE.with_deflate(32 << 10), bytes);
    match &seen.verdict {
        Verdict::Fault { code, rule } => {
            panic!("{from:?} wrote what breaks a rule: {rule} ({code}), after {:?}", brief(&seen.events))
        }
        Verdict::Closed { rest } if *rest > 0 => {
            panic!("{from:?} wrote {rest} bytes after its Close: {:?}", brief(&seen.events))
        }
        _ => seen,
    }
}

/// As [`check`], and there is a Close.
pub fn check_closed(from: From, bytes: &[u8]) -> Seen {
    let seen = check(from, bytes);
    assert!(matches!(seen.verdict, Verdict::Closed { .. }), "{from:?} never wrote a Close");
    seen
}

/// Every message that begins ends, too: a Close may legally come inside one, but not from us.
///
/// # Panics
///
/// When that is not so.
pub fn no_message_is_cut(seen: &Seen) {
    let begun = seen.frames.iter().filter(|frame| matches!(frame.opcode, slow::TEXT | slow::BINARY)).count();
    let ended = seen.events.iter().filter(|event| matches!(event, Event::Text(_) | Event::Binary(_))).count();
    assert_eq!(begun, ended, "messages that began, and that ended");
}

/// The frames that begin at byte `at` of what `from` wrote, or behind it.
pub fn frames_from(from: From, seen: &Seen, at: usize) -> &[Frame] {
    let mut start = 0;
    let before = seen.frames.iter().take_while(|frame| {
        let is_before = start < at;
        start += slow::raw_frame(from, 0, &frame.payload).len();
        is_before
    });
    &seen.frames[before.count()..]
}

/// The code of the Close, if there is a Close with one.
pub fn close_code(seen: &Seen) -> Option<u16> {
    match seen.events.last() {
        Some(Event::Close(Some((code, _)))) => Some(*code),
        _ => None,
    }
}

/// Events with their payloads cut short, for messages of failure.
pub fn brief(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            Event::Text(text) => format!("Text({} bytes)", text.len()),
            Event::Binary(payload) => format!("Binary({} bytes)", payload.len()),
            Event::Ping(payload) => format!("Ping({} bytes)", payload.len()),
            Event::Pong(payload) => format!("Pong({} bytes)", payload.len()),
            Event::Close(frame) => format!("Close({:?})", frame.as_ref().map(|(code, _)| code)),
        })
        .collect()
}
