//! permessage-deflate (RFC 7692) on the wire: what our ends write is read by the slow model, what it and the RFC's examples say
//! is read by us; and what it all costs. How it is agreed on is in `handshake` and `client`; what peers can do wrong, in `rfc`.
#![cfg(feature = "deflate")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "a test fails by panicking"
)]

mod ends;
mod kit;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use ends::agree::Stream;
use ends::talk::Talk;
use futures_io::AsyncRead;
use futures_lite::future::{block_on, poll_once};
use kit::inflate;
use kit::net::Config as Net;
use kit::nowhere::Nowhere;
use kit::runs::each_seed_and_model;
use kit::sim::Sim;
use kit::slow::{self, Event, From, Limits};
use proptest::prelude::*;
use unsync_websocket::protocol::{self, Inbound, MaskingKeys, MessageKind, Outbound};
use unsync_websocket::{Config, Deflate, EncodedFrame, Incoming, Message, NoTimer, Role, WebSocket};
use unsync_websocket_test_alloc::{Counting, Scope};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// "Hello" in a text frame whose payload is `bytes`, from a server.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    slow::raw_frame(From::Server, 0xC1, bytes)
}

/// What we make of the server's `bytes`, which the slow model must make of them too.
fn read(window: usize, bytes: Vec<u8>) -> Vec<Event> {
    let stream = Stream::new(From::Server, Limits::NONE.with_deflate(window), bytes);
    stream.core_agrees(&[]);
    stream.core_agrees(&(1..stream.bytes.len()).collect::<Vec<_>>());
    assert!(matches!(stream.seen.verdict, slow::Verdict::Open), "{:?}", stream.seen.verdict);
    stream.seen.events
}

fn hello() -> Event {
    Event::Text("Hello".to_owned())
}

// --- the examples of the RFC ---------------------------------------------------------------------------------------

#[test]
fn section_7_2_3_1_one_compressed_block() {
    assert_eq!(read(0, compressed(&[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00])), [hello()]);
    // In two fragments.
    let first = slow::raw_frame(From::Server, 0x41, &[0xF2, 0x48, 0xCD]);
    let last = slow::raw_frame(From::Server, 0x80, &[0xC9, 0xC9, 0x07, 0x00]);
    let ping = slow::raw_frame(From::Server, 0x89, b"between");
    let bytes = [first, ping, last].concat();
    assert_eq!(read(0, bytes), [Event::Ping(b"between".to_vec()), hello()]);
}

#[test]
fn section_7_2_3_2_the_window_is_shared() {
    let first = compressed(&[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]);
    let second = compressed(&[0xF2, 0x00, 0x11, 0x00, 0x00]);
    assert_eq!(read(32 << 10, [first, second].concat()), [hello(), hello()]);
}

#[test]
fn section_7_2_3_3_a_block_without_compression() {
    let block = [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00];
    assert_eq!(read(0, compressed(&block)), [hello()]);
}

#[test]
fn section_7_2_3_4_a_block_that_says_it_is_the_last() {
    let block = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
    assert_eq!(read(0, compressed(&block)), [hello()]);
    // And without the empty block behind it, which adds nothing.
    assert_eq!(read(0, compressed(&block[..7])), [hello()]);
}

#[test]
fn section_7_2_3_5_two_blocks() {
    let blocks = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00];
    assert_eq!(read(0, compressed(&blocks)), [hello()]);
}

#[test]
fn section_7_2_3_6_an_empty_message() {
    let empty = [Event::Text(String::new())];
    assert_eq!(read(0, compressed(&[0x00])), empty);
    // What Python's websockets sends for its second empty message: its compressor has nothing to add to its last flush.
    assert_eq!(read(0, compressed(&[])), empty);
    let between =
        [compressed(&[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]), compressed(&[]), compressed(&[0x00])];
    let after = compressed(&[0xF2, 0x00, 0x11, 0x00, 0x00]);
    let bytes = [between.concat(), after].concat();
    let [empty] = empty;
    assert_eq!(read(32 << 10, bytes), [hello(), empty.clone(), empty, hello()]);
}

// --- both directions ------------------------------------------------------------------------------------------------

struct Keys(u32);

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_mul(0x9E37_79B9).wrapping_add(1);
        self.0.to_be_bytes()
    }
}

fn outbound(role: Role, deflate: &Deflate) -> Outbound {
    match role {
        Role::Server => Outbound::server(),
        Role::Client => Outbound::client(Box::new(Keys(7))),
    }
    .with_deflate(deflate)
}

fn write(outbound: &mut Outbound) -> Vec<u8> {
    let mut wire = Vec::new();
    while let Some(batch) = outbound.take() {
        let piece = batch.first().to_vec();
        wire.extend_from_slice(&piece);
        outbound.put_back(batch, piece.len());
    }
    wire
}

/// Text in which there is something to find, near and far.
fn json(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut text = String::new();
    while text.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = state >> 33;
        text += &format!("{{\"id\":{number},\"x\":{},\"name\":\"player-{}\"}},", number % 1000, number % 37);
    }
    text.truncate(len);
    text.into_bytes()
}

/// Bytes in which there is nothing to find.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn from(role: Role) -> From {
    match role {
        Role::Server => From::Server,
        Role::Client => From::Client,
    }
}

/// Of the two directions, what concerns the one from `role`.
fn one_way(role: Role, no_takeover: bool, bits: u8) -> Deflate {
    match role {
        Role::Server => Deflate::new().server_no_context_takeover(no_takeover).server_max_window_bits(bits),
        Role::Client => Deflate::new().client_no_context_takeover(no_takeover).client_max_window_bits(bits),
    }
}

/// Compressed payloads of the messages that `seen` has.
fn payloads(seen: &slow::Seen) -> Vec<(bool, Vec<u8>)> {
    let mut payloads = Vec::new();
    for frame in seen.frames.iter().filter(|frame| frame.opcode < 8) {
        match frame.opcode {
            slow::CONTINUATION => payloads.last_mut().map(|(_, all): &mut (bool, Vec<u8>)| all).unwrap(),
            _ => {
                payloads.push((frame.rsv1, Vec::new()));
                &mut payloads.last_mut().unwrap().1
            }
        }
        .extend(&frame.payload);
    }
    payloads
}

#[test]
fn every_level_and_window_keeps_its_word() {
    let messages =
        [json(1, 5000), json(2, 40_000), noise(3, 3000), json(1, 5000), vec![b'a'; 70_000], json(4, 1500)];
    for role in [Role::Server, Role::Client] {
        for (level, bits, no_takeover) in (0..=9)
            .flat_map(|level| (8..=15).map(move |bits| (level, bits)))
            .flat_map(|(level, bits)| [true, false].map(|no_takeover| (level, bits, no_takeover)))
        {
            let deflate = one_way(role, no_takeover, bits).level(level);
            let mut outbound = outbound(role, &deflate);
            for message in &messages {
                outbound.push(MessageKind::Binary, message);
            }
            let wire = write(&mut outbound);

            let window = if no_takeover { 0 } else { 1 << bits };
            let limits = Limits::NONE.with_deflate(window);
            let seen = slow::read(from(role), limits, &wire);
            let what = format!("{role:?}, level {level}, {bits} bits, no takeover: {no_takeover}");
            let expected: Vec<Event> = messages.iter().cloned().map(Event::Binary).collect();
            assert!(seen.events == expected, "{what}: the messages are other ones");

            let mut history = Vec::new();
            for ((compressed, payload), message) in payloads(&seen).iter().zip(&messages) {
                if *compressed {
                    let inflated =
                        inflate::message(payload, if no_takeover { &[] } else { &history }).unwrap();
                    assert!(inflated.max_distance <= 1 << bits, "{what}: {}", inflated.max_distance);
                    assert_eq!(inflated.final_blocks, 0, "{what}");
                    history.extend(message);
                }
            }
            // And we read what we write.
            let read_role = if role == Role::Server { Role::Client } else { Role::Server };
            let mut inbound = Inbound::new(read_role, protocol::Limits::default()).with_deflate(&deflate);
            let (told, error) = ends::agree::tell(&mut inbound, &wire);
            assert!(error.is_none() && told == expected, "{what}: {error:?}");
        }
    }
}

#[test]
fn a_context_that_is_kept_makes_the_next_message_shorter() {
    let mut sizes = [true, false].map(|no_takeover| {
        let mut outbound = outbound(Role::Server, &one_way(Role::Server, no_takeover, 15));
        outbound.push(MessageKind::Text, &json(5, 4000));
        let first = write(&mut outbound).len();
        outbound.push(MessageKind::Text, &json(5, 4000));
        (first, write(&mut outbound).len())
    });
    let [(alone, again), (first, second)] = &mut sizes;
    assert_eq!(alone, again, "each message on its own");
    assert_eq!(alone, first);
    assert!(*second < 60, "{second} bytes for what was just said");
}

#[test]
fn short_messages_and_those_that_do_not_shrink_go_as_they_are() {
    let mut outbound = outbound(Role::Server, &Deflate::new());
    for message in [json(1, 1023), noise(1, 5000), Vec::new()] {
        outbound.push(MessageKind::Binary, &message);
        assert_eq!(write(&mut outbound), slow::frame(From::Server, true, slow::BINARY, &message));
    }
    outbound.push(MessageKind::Binary, &json(1, 1024));
    assert!(write(&mut outbound).len() < 700);
    let mut eager = self::outbound(Role::Server, &Deflate::new().threshold(0));
    for message in ["", "a"] {
        eager.push(MessageKind::Text, message.as_bytes());
        assert_eq!(write(&mut eager), slow::frame(From::Server, true, slow::TEXT, message.as_bytes()));
    }
}

#[test]
fn an_empty_message_does_not_cost_the_context() {
    let mut outbound = outbound(Role::Server, &one_way(Role::Server, false, 15).threshold(0));
    for message in [json(5, 4000), Vec::new()] {
        outbound.push(MessageKind::Binary, &message);
        write(&mut outbound);
    }
    outbound.push(MessageKind::Binary, &json(5, 4000));
    let again = write(&mut outbound).len();
    assert!(again < 60, "{again} bytes for what was just said");
}

#[test]
fn a_window_beyond_the_largest_is_the_largest() {
    let both = |bits| Deflate::new().server_max_window_bits(bits).client_max_window_bits(bits);
    assert_eq!([16, 255].map(both), [both(15); 2]);
    assert_eq!([0, 7].map(both), [both(8); 2]);
}

#[test]
fn a_level_beyond_the_last_is_the_last() {
    let size = |level| {
        let mut outbound = outbound(Role::Server, &Deflate::new().level(level));
        outbound.push(MessageKind::Binary, &json(1, 40_000));
        write(&mut outbound).len()
    };
    assert!(size(9) < size(1), "{} and {} bytes", size(9), size(1));
    assert_eq!([10, u32::MAX].map(size), [size(9); 2]);
}

#[test]
fn a_long_message_goes_out_in_fragments_of_its_compressed_form() {
    let deflate = Deflate::new();
    let mut outbound = outbound(Role::Server, &deflate).with_sizes(1000, 64 << 10);
    let message = json(9, 60_000);
    outbound.push(MessageKind::Text, &message);
    let wire = write(&mut outbound);
    let seen = slow::read(From::Server, Limits::NONE.with_deflate(0), &wire);
    assert_eq!(seen.events, [Event::Text(String::from_utf8(message).unwrap())]);
    assert!(seen.frames.len() > 5 && seen.frames.iter().all(|frame| frame.payload.len() <= 1000));
    assert!(seen.frames.iter().enumerate().all(|(place, frame)| frame.rsv1 == (place == 0)));
}

fn any_message() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let len = prop_oneof![0..40_usize, 0..5000_usize, Just(0)];
    (any::<bool>(), any::<u64>(), len, any::<bool>()).prop_map(|(text, seed, len, dense)| {
        (text, if dense && !text { noise(seed, len) } else { json(seed % 5, len) })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_arrive_whatever_was_agreed_on(
        messages in prop::collection::vec(any_message(), 0..8),
        (server, no_takeover, bits) in (any::<bool>(), any::<bool>(), 8..=15_u8),
        (level, threshold) in (0..=9_u32, prop::sample::select(vec![0_usize, 1, 64, 1024])),
        (fragment, cut) in (1..5000_usize, 1..5000_usize),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let deflate = one_way(role, no_takeover, bits).level(level).threshold(threshold);
        let mut outbound = outbound(role, &deflate).with_sizes(fragment, 64 << 10);
        let mut expected = Vec::new();
        for (text, data) in messages {
            if text {
                outbound.push(MessageKind::Text, &data);
                expected.push(Event::Text(String::from_utf8(data).unwrap()));
            } else {
                outbound.push(MessageKind::Binary, &data);
                expected.push(Event::Binary(data));
            }
        }
        let wire = write(&mut outbound);
        let limits = Limits::NONE.with_deflate(if no_takeover { 0 } else { 1 << bits });
        let stream = Stream::new(from(role), limits, wire);
        prop_assert!(stream.seen.events == expected);
        stream.core_agrees(&(cut..stream.bytes.len()).step_by(cut).collect::<Vec<_>>());
    }

    #[test]
    fn any_compressed_bytes_mean_what_the_slow_way_says(
        payload in prop::collection::vec(any::<u8>(), 0..60),
        history in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        // A message for the window, then the bytes; `receive` may not do worse than agree.
        let stored = [&[0x00][..], &(history.len() as u16).to_le_bytes(), &(!history.len() as u16).to_le_bytes(),
            &history, &[0x00]].concat();
        let frames = [&stored, &payload].map(|data| slow::raw_frame(From::Server, 0xC2, data)).concat();
        for window in [0, 256, 32 << 10] {
            Stream::new(From::Server, Limits::NONE.with_deflate(window), frames.clone()).core_agrees(&[]);
        }
    }
}

// --- rooms, and single messages --------------------------------------------------------------------------------------

type Socket = WebSocket<futures_lite::io::Cursor<Vec<u8>>>;

fn socket(role: Role, deflate: Deflate) -> Socket {
    let stream = futures_lite::io::Cursor::new(Vec::new());
    WebSocket::with_timer(stream, role, Config::new().deflate(deflate), Vec::new(), NoTimer)
}

fn written(socket: &Socket) -> Vec<u8> {
    socket.get_ref().unwrap().get_ref().clone()
}

fn sizes(from: From, window: usize, wire: &[u8]) -> Vec<(bool, usize)> {
    let seen = slow::read(from, Limits::NONE.with_deflate(window), wire);
    assert_eq!(seen.verdict, slow::Verdict::Open);
    payloads(&seen).iter().map(|(compressed, payload)| (*compressed, payload.len())).collect()
}

#[test]
fn a_frame_for_a_room_is_compressed_once_for_each_window_and_plain_for_contexts() {
    let text = String::from_utf8(json(3, 8000)).unwrap();
    let frame = EncodedFrame::text(&text);
    let mut plain = Vec::new();
    for bits in [15, 9, 8, 15, 12] {
        let socket = socket(Role::Server, Deflate::new().server_max_window_bits(bits));
        socket.sender.queue_handle().queue(&frame).unwrap();
        let wire = written(&socket);
        assert_eq!(sizes(From::Server, 0, &wire).len(), 1);
        let inflated = inflate::message(&wire[4..], &[]).unwrap();
        assert!(inflated.data == text.as_bytes() && inflated.max_distance <= 1 << bits);
    }
    for deflate in [Deflate::new().server_no_context_takeover(false), Deflate::new().threshold(9000)] {
        let socket = socket(Role::Server, deflate);
        socket.sender.queue_handle().queue(&frame).unwrap();
        plain.push(written(&socket));
    }
    let never = socket(Role::Server, Deflate::new());
    never.sender.queue_handle().queue(&frame.clone().uncompressed()).unwrap();
    plain.push(written(&never));
    assert!(plain.iter().all(|wire| *wire == frame.as_bytes()));
}

#[test]
fn the_tenth_member_of_a_room_costs_no_compression() {
    let frame = EncodedFrame::binary(&json(3, 8000));
    let members: Vec<Socket> = (0..10).map(|_| socket(Role::Server, Deflate::new())).collect();
    members[0].sender.queue_handle().queue(&frame).unwrap();
    let first = written(&members[0]);
    // The quickest of nine, for somebody else may have the processor meanwhile.
    let quickest = |queue: &dyn Fn(&Socket)| {
        let time = |member| {
            let start = Instant::now();
            queue(member);
            start.elapsed()
        };
        members[1..].iter().map(time).min().unwrap()
    };
    let sharing = quickest(&|member| member.sender.queue_handle().queue(&frame).unwrap());
    assert!(members[1..].iter().all(|member| written(member) == first));
    let fresh = || EncodedFrame::binary(&json(3, 8000));
    let compressing = quickest(&|member| member.sender.queue_handle().queue(&fresh()).unwrap());
    let making = quickest(&|_| drop(fresh()));
    assert!(sharing * 4 < compressing - making, "{sharing:?} a member, {compressing:?} to compress");
}

#[test]
fn a_client_queues_a_masked_copy_of_the_compressed_form() {
    let text = String::from_utf8(json(3, 8000)).unwrap();
    let frame = EncodedFrame::text(&text);
    let socket = socket(Role::Client, Deflate::new());
    for _ in 0..2 {
        socket.sender.queue_handle().queue(&frame).unwrap();
    }
    let wire = written(&socket);
    let seen = slow::read(From::Client, Limits::NONE.with_deflate(0), &wire);
    assert_eq!(seen.events, [Event::Text(text.clone()), Event::Text(text)]);
    assert!(seen.frames.iter().all(|frame| frame.rsv1));
}

#[test]
fn single_messages_may_be_left_as_they_are() {
    block_on(async {
        let mut socket = socket(Role::Server, Deflate::new());
        let data = json(3, 3000);
        let large = json(3, 30_000);
        socket.sender.send(&data).await.unwrap();
        socket.sender.send(&data).uncompressed().await.unwrap();
        socket.sender.feed(&data).uncompressed().await.unwrap();
        socket.sender.feed(&data).await.unwrap();
        socket.sender.send(&large).uncompressed().await.unwrap();
        socket.sender.send(&large).await.unwrap();
        let sizes = sizes(From::Server, 0, &written(&socket));
        let expected = [(true, 0), (false, 3000), (false, 3000), (true, 0), (false, 30_000), (true, 0)];
        assert!(
            sizes.iter().zip(expected).all(|(is, should)| is.0 == should.0 && (is.0 || is.1 == should.1))
        );
        assert_eq!(sizes.len(), expected.len());
    });
}

#[test]
fn what_was_agreed_on_can_be_asked() {
    let agreed = Deflate::new().level(1).server_max_window_bits(10);
    assert_eq!(socket(Role::Client, agreed).deflate(), Some(agreed));
}

// --- what it costs -----------------------------------------------------------------------------------------------

/// A connection to which a client has said all of `wire`.
fn reader(deflate: Option<Deflate>, wire: Vec<u8>) -> Socket {
    let stream = futures_lite::io::Cursor::new(Vec::new());
    let config = deflate.map_or(Config::new(), |deflate| Config::new().deflate(deflate));
    WebSocket::with_timer(stream, Role::Server, config, wire, NoTimer)
}

/// The client's wire for `messages`.
fn client_wire(deflate: Deflate, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut outbound = outbound(Role::Client, &deflate);
    for message in messages {
        outbound.push(MessageKind::Binary, message);
    }
    write(&mut outbound)
}

async fn echo(socket: &mut Socket, count: usize) {
    for _ in 0..count {
        match socket.receiver.receive().await.unwrap() {
            Incoming::Message(message) => socket.sender.send(message).await.unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// A peer that says no more.
struct Quiet;

impl AsyncRead for Quiet {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

/// Bytes of the heap that each of 100 idle connections holds, after one message of 16 KiB each way.
fn idle_bytes(deflate: Option<Deflate>) -> usize {
    let message = json(1, 16 << 10);
    let wire = client_wire(deflate.unwrap_or(Deflate::new().threshold(usize::MAX)), &[message]);
    let make = || {
        let config = deflate.map_or(Config::new(), |deflate| Config::new().deflate(deflate));
        let mut socket = WebSocket::with_timer(Nowhere(Quiet), Role::Server, config, wire.clone(), NoTimer);
        block_on(async {
            match socket.receiver.receive().await.unwrap() {
                Incoming::Message(message) => socket.sender.send(message).await.unwrap(),
                other => panic!("{other:?}"),
            }
            assert!(poll_once(socket.receiver.receive()).await.is_none());
        });
        socket
    };
    let first: Vec<_> = (0..10).map(|_| make()).collect(); // What the thread keeps for all is made here.
    let mut sockets = Vec::with_capacity(100);
    let scope = Scope::new();
    sockets.extend((0..100).map(|_| make()));
    let live = scope.live();
    drop((first, sockets));
    usize::try_from(live).unwrap() / 100
}

#[test]
fn an_idle_connection_that_forgets_costs_what_one_without_compression_does() {
    let plain = idle_bytes(None);
    let forgets = idle_bytes(Some(Deflate::new()));
    let remembers = Deflate::new().server_no_context_takeover(false).client_no_context_takeover(false);
    let remembers = idle_bytes(Some(remembers));
    println!("heap of an idle connection: {plain} plain, {forgets} forgetting, {remembers} with contexts");
    // The README says 152 bytes more.
    assert!(forgets <= plain + 160, "{forgets} bytes against {plain}");
    // As `Deflate::server_no_context_takeover` has it: a compressor of some 370 KiB, and as much of the client's messages as it may
    // look back into, here 16 KiB.
    assert!(forgets <= 1024, "{forgets} bytes");
    assert!((350 << 10..400 << 10).contains(&remembers), "{remembers} bytes");
}

#[test]
fn no_allocation_a_message_once_it_runs() {
    let messages: Vec<Vec<u8>> = (0..64).map(|seed| json(seed, 2000)).collect();
    for no_takeover in [true, false] {
        let deflate =
            Deflate::new().server_no_context_takeover(no_takeover).client_no_context_takeover(no_takeover);
        let wire = client_wire(deflate, &messages);
        let mut inbound = Inbound::new(Role::Server, protocol::Limits::default()).with_deflate(&deflate);
        let mut outbound = outbound(Role::Server, &deflate);
        let mut input = &wire[..];
        let mut data = Vec::new();
        let mut count = |messages: usize| {
            let scope = Scope::new();
            for _ in 0..messages {
                data.clear();
                inbound.receive_into(&mut input, &mut data).unwrap().unwrap();
                outbound.push(MessageKind::Binary, &data);
                let batch = outbound.take().unwrap();
                let len = batch.first().len();
                outbound.put_back(batch, len);
            }
            scope.allocations()
        };
        count(32);
        assert_eq!(count(32), 0, "no takeover: {no_takeover}");
    }
}

/// How often a receive of the one compressed message on `wire` lets other tasks run before it has it, or fails.
fn turns(payload: &[u8]) -> usize {
    let mut socket = reader(Some(Deflate::new()), slow::raw_frame(From::Client, 0xC2, payload));
    let mut turns = 0;
    loop {
        match block_on(poll_once(socket.receiver.receive())) {
            None => turns += 1,
            Some(result) => {
                result.unwrap();
                return turns;
            }
        }
    }
}

/// G10. A message that is all empty final blocks, or all zeros, is inflated in turns: no more than 64 KiB of it, and 256 KiB of what comes
/// of it, at once.
#[test]
fn a_message_that_is_slow_to_inflate_does_not_take_the_thread_for_itself() {
    let empty_blocks = [3, 0].repeat(512 << 10);
    let turns_taken = turns(&empty_blocks);
    assert!(turns_taken >= 16, "{turns_taken} turns");
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut zeros = Vec::with_capacity(1 << 20);
    compress.compress_vec(&vec![0; 1 << 20], &mut zeros, flate2::FlushCompress::Sync).unwrap();
    zeros.truncate(zeros.len() - 4);
    let turns_taken = turns(&zeros);
    assert!(turns_taken >= 3, "{turns_taken} turns");
}

#[test]
fn a_bomb_costs_the_limit_and_no_more() {
    // 64 MiB of nothing in 64 KiB.
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut bomb = Vec::with_capacity(1 << 20);
    compress.compress_vec(&vec![0; 64 << 20], &mut bomb, flate2::FlushCompress::Sync).unwrap();
    bomb.truncate(bomb.len() - 4);
    assert!(bomb.len() < 80 << 10);
    let wire = slow::raw_frame(From::Client, 0xC2, &bomb);
    let config = Config::new().deflate(Deflate::new());

    let scope = Scope::new();
    let stream = futures_lite::io::Cursor::new(Vec::new());
    let mut socket = WebSocket::with_timer(stream, Role::Server, config, wire, NoTimer);
    let error = block_on(socket.receiver.receive()).map(drop).unwrap_err();
    assert!(matches!(
        error,
        unsync_websocket::Error::Protocol(unsync_websocket::ProtocolError::MessageTooBig { .. })
    ));
    // The message's buffer grows by doubling, and is copied when it does.
    assert!(scope.peak() < 4 << 20, "{} bytes for a limit of 1 MiB", scope.peak());
    let seen = slow::read(From::Server, Limits::NONE, &written(&socket));
    assert!(matches!(&seen.events[..], [Event::Close(Some((1009, _)))]), "{:?}", seen.events);
}

#[test]
fn a_peer_that_begins_a_bomb_and_waits_holds_what_it_sent() {
    let wire = client_wire(Deflate::new().threshold(0), &[vec![0; 1 << 20]]);
    let scope = Scope::new();
    let mut inbound = Inbound::new(Role::Server, protocol::Limits::default()).with_deflate(&Deflate::new());
    let mut input = &wire[..wire.len() - 1];
    assert_eq!(inbound.receive(&mut input).unwrap(), None);
    assert!(scope.live() < 4000, "{} bytes for {}", scope.live(), wire.len());
}

#[test]
fn compressed_messages_are_received_behind_what_is_there_however_they_are_cut() {
    let messages = [json(1, 200_000), Vec::new(), json(2, 3000)];
    let deflate = Deflate::new();
    let mut outbound = outbound(Role::Server, &deflate);
    messages.iter().for_each(|message| outbound.push(MessageKind::Binary, message));
    let wire = write(&mut outbound);
    for step in [1, 1000, wire.len()] {
        let mut inbound = Inbound::new(Role::Client, protocol::Limits::default()).with_deflate(&deflate);
        let (mut data, mut ends) = (b"so far, ".to_vec(), Vec::new());
        for mut piece in wire.chunks(step) {
            while let Some(event) = inbound.receive_into(&mut piece, &mut data).unwrap() {
                if event == protocol::Event::Message(MessageKind::Binary) {
                    ends.push(data.len());
                }
            }
            assert!(piece.is_empty());
        }
        assert_eq!(ends, [200_008, 200_008, 203_008], "in pieces of {step}");
        assert!(data == [&b"so far, "[..], &messages.concat()].concat());
    }
}

#[test]
fn a_long_compressed_frame_is_not_taken_for_one_that_can_be_read_where_it_stays() {
    let message = json(3, 900_000);
    let deflate = Deflate::new().level(1);
    let mut outbound = outbound(Role::Client, &deflate).with_sizes(1 << 20, 64 << 10);
    outbound.push(MessageKind::Binary, &message);
    let wire = write(&mut outbound);
    assert!(wire.len() > 150_000, "{} bytes are no long frame", wire.len());
    let stream = futures_lite::io::Cursor::new(wire);
    let config = Config::new().deflate(deflate);
    let mut socket = WebSocket::with_timer(stream, Role::Server, config, Vec::new(), NoTimer);
    let mut data = Vec::new();
    block_on(socket.receiver.receive_data(&mut data)).unwrap();
    assert!(data == message, "{} bytes of {}", data.len(), message.len());
}

/// What does not shrink is a little longer than it is.
#[test]
fn a_message_of_just_the_limit_may_be_longer_when_it_is_compressed() {
    for max_frame in [1000, 1001] {
        let limits = protocol::Limits { max_message: 1000, max_frame, ..protocol::Limits::default() };
        let message = noise(1, 1000);
        let (len, inverse) = (1000_u16.to_le_bytes(), (!1000_u16).to_le_bytes());
        let stored = [&[0][..], &len, &inverse, &message, &[0]].concat();
        let wire = slow::raw_frame(From::Server, 0xC2, &stored);
        let mut inbound = Inbound::new(Role::Client, limits).with_deflate(&Deflate::new());
        let (told, error) = ends::agree::tell(&mut inbound, &wire);
        assert_eq!((told, error), (vec![Event::Binary(message)], None));
    }
}

#[test]
fn nothing_is_held_of_a_compressed_message_that_a_fault_has_ended() {
    let deflate = Deflate::new();
    let mut wire = slow::raw_frame(From::Server, 0x42, &noise(1, 40_000));
    // A new message inside the one that has begun.
    wire.extend(slow::raw_frame(From::Server, 0x82, b"!"));
    let scope = Scope::new();
    let mut inbound = Inbound::new(Role::Client, protocol::Limits::default()).with_deflate(&deflate);
    let (_, error) = ends::agree::tell(&mut inbound, &wire);
    assert!(matches!(error, Some(protocol::ProtocolError::ExpectedContinuation { .. })), "{error:?}");
    assert!(scope.live() < 10_000, "{} bytes are held", scope.live());
}

#[test]
fn messages_cross_two_connections_with_every_setting() {
    // Whole connections, each reading what the other wrote.
    for (no_takeover, bits) in [(true, 15), (false, 15), (false, 8), (true, 9)] {
        let deflate = Deflate::new()
            .threshold(0)
            .server_no_context_takeover(no_takeover)
            .client_no_context_takeover(no_takeover)
            .server_max_window_bits(bits)
            .client_max_window_bits(bits);
        let messages: Vec<Vec<u8>> = (0..20).map(|seed| json(seed % 3, 100 + 700 * seed as usize)).collect();
        let mut server = reader(Some(deflate), client_wire(deflate, &messages));
        block_on(echo(&mut server, messages.len()));
        let stream = futures_lite::io::Cursor::new(Vec::new());
        let config = Config::new().deflate(deflate);
        let mut client = WebSocket::with_timer(stream, Role::Client, config, written(&server), NoTimer);
        for message in &messages {
            let mut data = Vec::new();
            assert_eq!(block_on(client.receiver.receive_data(&mut data)).unwrap(), MessageKind::Binary);
            assert_eq!(Message::from(&data), Message::from(message));
        }
    }
}

#[test]
fn conversations_over_any_transport_come_to_their_end() {
    each_seed_and_model("conversations_over_any_transport_come_to_their_end", 300, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices();
        let talk = Talk::chosen(choices, 3000);
        let deflate = ends::agree::deflate(choices.of(&[0, 256, 32 << 10]));
        let deflate = deflate.threshold(choices.of(&[0, 500])).level(choices.of(&[1, 6]));
        let (outbox, fragment) = (choices.of(&[1, 100, 64 << 10]), choices.of(&[10, 64 << 10]));
        let config = Config::new().outbox(outbox).fragment(fragment).deflate(deflate);
        let net = Net::new(run.model).capacity(choices.of(&[16, 40, 300]));
        run.trace.say(format!("{talk:?}, outbox {outbox}, fragment {fragment}, {deflate:?}, {net:?}"));
        talk.run(&sim, net, [config.clone(), config]);
    });
}
