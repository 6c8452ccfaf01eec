//! What travels inside the messages of `examples/battle`.

#[path = "../../examples/battle/wire/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is used")]
mod wire;

use wire::{Command, Decoder, Error, Event, Events};

/// Reading any payload gives messages and at most one error, which is the last and is the right one; what was read, written again,
/// gives the bytes that were read. A payload cut anywhere gives the messages before the cut.
///
/// The bytes are what a client wrote, and again what a server did.
pub fn battle_wire(data: &[u8]) {
    let commands: Vec<_> = Decoder::new(data).collect();
    assert!(!commands.is_empty(), "an empty payload is an error, too");
    let mut written = Vec::new();
    let mut ends = vec![];
    for command in commands.iter().flatten() {
        command.encode(&mut written);
        ends.push(written.len());
    }
    check_end(data, &written, commands.iter().position(Result::is_err), &commands);
    for cut in [data.len() / 3, data.len().saturating_sub(1)] {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let again: Vec<Command<'_>> = Decoder::new(&data[..cut]).map_while(Result::ok).collect();
        assert!(commands.iter().flatten().take(whole).eq(&again), "cut at {cut}");
    }

    let events: Vec<_> = Events::new(data).collect();
    let mut written = Vec::new();
    for event in events.iter().flatten() {
        let start = written.len();
        event.encode(&mut written);
        forget_unused_flags(event, &mut written[start..], data, start);
    }
    if events.is_empty() {
        assert_eq!(data, b"");
    } else {
        check_end(data, &written, events.iter().position(Result::is_err), &events);
    }
}

/// Of a ship's flags three have a meaning: the others are read as if they were not there, and written as in `data`.
fn forget_unused_flags(event: &Event<'_>, written: &mut [u8], data: &[u8], start: usize) {
    let Event::Frame { ships, .. } = event else { return };
    for nth in 0..ships.len() {
        // A tag, a tick, two counts; ten bytes a ship, of which the flags are the last.
        let place = 8 + nth * 10 + 9;
        assert_eq!(written[place], data[start + place] & 7);
        written[place] = data[start + place];
    }
}

/// What was written again is what was read; then the bytes end, or with the error that the next ones deserve.
fn check_end<T>(data: &[u8], written: &[u8], error: Option<usize>, messages: &[Result<T, Error>]) {
    assert!(data.starts_with(written), "{written:x?} of {data:x?}");
    let rest = &data[written.len()..];
    match error {
        None => assert_eq!(rest, b""),
        Some(place) => {
            assert_eq!(place + 1, messages.len(), "nothing after an error");
            match messages[place].as_ref().err() {
                Some(Error::UnknownTag(tag)) => assert_eq!(rest.first(), Some(tag)),
                Some(Error::NotText) => {
                    // Behind the version of a join, at once in what is said, behind an id and a hue, or a battle and a score.
                    let len_at = match rest[0] {
                        1 => 2,
                        6 => 1,
                        66 => 4,
                        77 => 9,
                        _ => 3,
                    };
                    let text = &rest[len_at + 1..][..usize::from(rest[len_at])];
                    assert!(std::str::from_utf8(text).is_err());
                }
                Some(Error::Cut) => assert!(!rest.is_empty() || data.is_empty(), "what is missing?"),
                Some(Error::BadValue) | None => assert!(rest.len() > 1),
            }
        }
    }
}
