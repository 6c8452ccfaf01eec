//! permessage-deflate (RFC 7692): both codecs against an inflater that takes a bit at a time.

use unsync_websocket::protocol::{
    Event, Inbound, Limits, MaskingKeys, MessageKind, Outbound, ProtocolError, Role,
};
use unsync_websocket::{Deflate, EncodedFrame};

use crate::ends::agree::{Stream, deflate, rule};
use crate::input::{Input, cuts_of, pieces};
use crate::kit::inflate;
use crate::kit::slow::{self, From};

/// Whatever claims to be a compressed message comes to what the slow inflater says that it is, cut into fragments and reads anywhere;
/// if it grows beyond the limit it is an error, and never a byte more than the limit is given out.
///
/// The limit, whether the second message may look back into the first, where the fragments begin; then the payload, sent twice.
pub fn inflate_stream(data: &[u8]) {
    let mut input = Input::new(data);
    let max_message = input.of(&[0, 1, 100, 1000, 20_000, 64 << 10]);
    let window = input.of(&[0, 256, 1024, 32 << 10]);
    let lengths = input.cuts();
    // A bit at a time takes its time, and a byte can come to a thousand.
    let payload = input.take(1024);
    let limits = Limits { max_message, max_frame: max_message, ..Limits::default() };

    let mut first = 0x42;
    let cut = pieces(payload, &cuts_of(lengths, payload.len()));
    let mut frames = Vec::new();
    for (nth, piece) in cut.iter().enumerate() {
        let fin = if nth + 1 == cut.len() { 0x80 } else { 0 };
        frames.extend(slow::raw_frame(From::Server, first | fin, piece));
        first = 0;
    }
    let wire = frames.repeat(2);

    let whole = story(limits, window, &[&wire]);
    assert_eq!(story(limits, window, &wire.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    assert_eq!(
        story(limits, window, &wire.chunks(1 + lengths.len()).collect::<Vec<_>>()),
        whole,
        "in pieces"
    );

    let mut history = Vec::new();
    for nth in 0..2 {
        let reachable = &history[history.len() - window.min(history.len())..];
        // No bytes at all are what some make of an empty message.
        let inflated = if payload.is_empty() {
            Some(vec![])
        } else {
            inflate::message(payload, reachable).map(|is| is.data)
        };
        let (told, error) = (whole.0.get(nth), whole.1.as_ref());
        match inflated {
            Some(data) if data.len() > max_message => {
                // The frame may be longer than the limit already, as it is sent.
                let error = error.copied().map(rule);
                let is_known = error == Some("message too big")
                    || error == Some("frame too big") && payload.len() > max_message;
                assert!(is_known, "{error:?} for {} bytes", data.len());
            }
            Some(data) => match told {
                Some(told) => assert!(*told == data, "{told:x?}, not {data:x?}"),
                // It shrinks when it is inflated, and counts as it is sent, too.
                None => {
                    assert!(payload.len() > max_message, "{error:?}, not {} bytes", data.len());
                    assert!(error.copied().map(rule).is_some_and(|rule| rule.ends_with("too big")));
                }
            },
            None => {
                let error = error.copied().map(rule);
                assert!(
                    error.is_some_and(|rule| rule == "not DEFLATE" || rule.ends_with("too big")),
                    "{error:?}"
                );
            }
        }
        match told {
            Some(told) => history.extend(told),
            None => break,
        }
    }
}

/// The messages, and the error that ended them.
fn story(limits: Limits, window: usize, reads: &[&[u8]]) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let mut inbound = Inbound::new(Role::Client, limits).with_deflate(&deflate(window));
    let mut messages = Vec::new();
    for mut read in reads.iter().copied() {
        loop {
            match inbound.receive(&mut read) {
                Ok(None) => break,
                Ok(Some(Event::Message(_))) => messages.push(inbound.payload().to_vec()),
                Ok(Some(_)) => {}
                Err(error) => return (messages, Some(error)),
            }
            assert!(inbound.payload().len() <= limits.max_message);
        }
    }
    (messages, None)
}

struct Keys(u32);

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(0x9E37_79B9).wrapping_add(1);
        self.0.to_be_bytes()
    }
}

/// What is compressed comes out again, by the slow inflater and by ours; and no reference goes back beyond the window.
///
/// The role, what was agreed on, the sizes of fragments, how we compress; then messages: a way, a length, and as many bytes,
/// repeated as often as another byte says: mostly less than 64 times, and only up to 200 fragments, for long ones take long.
pub fn deflate_roundtrip(data: &[u8]) {
    let mut input = Input::new(data);
    let from = input.of(&[From::Server, From::Client]);
    let window = input.of(&[0, 256, 512, 1024, 4096, 32 << 10]);
    let threshold = input.of(&[0, 0, 30]);
    let agreed: Deflate = deflate(window).threshold(threshold).level(u32::from(input.byte() % 10));
    let outbound = match from {
        From::Server => Outbound::server(),
        From::Client => Outbound::client(Box::new(Keys(7))),
    };
    let fragment = input.of(&[64 << 10, 5, 100, 3000]);
    let mut outbound = outbound.with_deflate(&agreed).with_sizes(fragment, 1 << 20);
    let mut wire = Vec::new();
    let mut sent = Vec::new();
    while !input.is_empty() && sent.len() < 12 {
        let way = input.byte();
        let (len, times) = (input.byte().into(), usize::from(input.byte()));
        let times = if times < 240 { times % 64 } else { times };
        let mut payload = input.take(len).repeat(1 + times);
        payload.truncate(200 * fragment);
        let text = std::str::from_utf8(&payload).ok().filter(|_| way & 1 == 0);
        let kind = if text.is_some() { MessageKind::Text } else { MessageKind::Binary };
        match (way >> 1 & 3, text) {
            (0 | 1, _) => outbound.push(kind, &payload),
            (2, _) => outbound.push_uncompressed(kind, &payload),
            (_, Some(text)) => outbound.push_frame(&EncodedFrame::text(text)),
            (_, None) => outbound.push_frame(&EncodedFrame::binary(&payload)),
        }
        sent.push(match text {
            Some(text) => slow::Event::Text(text.to_owned()),
            None => slow::Event::Binary(payload),
        });
        let mut small_writes = if way & 8 == 0 { 0_u8 } else { 64 };
        while let Some(batch) = outbound.take() {
            let piece = batch.first();
            let write_most = if small_writes == 0 { usize::MAX } else { 1 + usize::from(way >> 4) };
            small_writes = small_writes.saturating_sub(1);
            let written = piece.len().min(write_most);
            wire.extend_from_slice(&piece[..written]);
            outbound.put_back(batch, written);
        }
    }
    let cuts: Vec<_> = (1..wire.len()).step_by(97).collect();
    let stream = Stream::new(from, slow::Limits::NONE.with_deflate(window), wire);
    assert!(stream.seen.events == sent, "{:?}", stream.seen.verdict);
    stream.core_agrees(&cuts);
    if window > 0 {
        // Of earlier messages it could see no more; within one, it could.
        assert!(stream.seen.max_distance <= window, "{} bytes back", stream.seen.max_distance);
    }
}
