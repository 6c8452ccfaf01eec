//! What an attacker can make a connection hold, and for how long it can keep it busy: floods by the million, measured by an
//! allocator that counts (goals G6 to G9 and G11, tests T7 to T11 and T16).
//!
//! The peer's input is made up as it is read, so what is measured is ours. Bounds are those of `SECURITY.md`; each test prints what it
//! found. `FLOOD=n` multiplies the counts of the floods by n.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::any::Any;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::AsyncRead;

use kit::flood::{self, Flood, Hand, Seen, Then};
use kit::runs::number;
use kit::slow::{BINARY, CONTINUATION, Event, From, PING, PONG, TEXT};
use kit::wire;
use unsync_websocket::protocol::{Inbound, Limits};
use unsync_websocket::{
    CloseCode, Config, Error, HandshakeError, Incoming, NoTimer, ProtocolError, Role, Server, WebSocket,
};
use unsync_websocket_test_alloc::{Counting, Scope};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KIB: isize = 1 << 10;
/// The default limit of a message.
const MESSAGE: isize = 1 << 20;
/// The outbox's mark.
const OUTBOX: isize = 64 << 10;
/// What the thread lends for a read; and the most that a connection keeps of one that brought more than its turn can use.
const SCRATCH: isize = 64 << 10;

type Socket = WebSocket<Flood>;

fn server(peer: Flood, config: Config) -> Socket {
    WebSocket::with_timer(peer, Role::Server, config, Vec::new(), NoTimer)
}

/// A masked frame with a key of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
}

fn times(count: u64) -> u64 {
    count * number("FLOOD").unwrap_or(1)
}

/// Runs `work` on a thread of its own: what is measured there has the thread's own buffers in it, those for reads and the spare ones.
fn alone<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The ways of a connection to receive, and those to throw away what comes. (A `WebSocket`'s are those of its `receiver`.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Receive,
    ReceiveData,
    PollReceive,
    PollReceiveData,
    /// `close`, which reads on until the peer's Close.
    Close,
    CloseNow,
    /// `close` of a sender whose receiver is gone.
    CloseOfSender,
    /// `poll_close` of a receiver whose sender is gone.
    CloseOfReceiver,
}

const WAYS: [Way; 8] = [
    Way::Receive,
    Way::ReceiveData,
    Way::PollReceive,
    Way::PollReceiveData,
    Way::Close,
    Way::CloseNow,
    Way::CloseOfSender,
    Way::CloseOfReceiver,
];

impl Way {
    /// Whether what comes is only thrown away.
    fn discards(self) -> bool {
        matches!(self, Self::Close | Self::CloseNow | Self::CloseOfSender | Self::CloseOfReceiver)
    }
}

/// Reads all that there is in this way. The messages that came, the error that ended it, if one did, and what is left of the connection:
/// all of it, or a half.
fn read(way: Way, mut socket: Socket) -> (usize, Option<Error>, Result<Socket, Box<dyn Any>>) {
    let mut data = Vec::new();
    let mut messages = 0;
    let hand = Hand::new();
    loop {
        let next = match way {
            Way::Receive => flood::run(socket.receiver.receive()).map(|next| next.map(drop)),
            Way::ReceiveData => {
                flood::run(socket.receiver.receive_data(&mut data)).map(|next| next.map(drop))
            }
            Way::PollReceive => {
                let receive = std::future::poll_fn(|cx| socket.receiver.poll_receive(cx).map_ok(drop));
                hand.run(pin!(receive))
            }
            Way::PollReceiveData => {
                let receive =
                    std::future::poll_fn(|cx| socket.receiver.poll_receive_data(cx, &mut data).map_ok(drop));
                hand.run(pin!(receive))
            }
            Way::Close => return (0, flood::run(socket.close()).and_then(Result::err), Ok(socket)),
            Way::CloseNow => {
                let closed = flood::run(socket.close_now(CloseCode::TRY_AGAIN_LATER, "slow"));
                return (0, closed.and_then(Result::err), Ok(socket));
            }
            Way::CloseOfSender => {
                let (mut sender, receiver) = socket.split();
                drop(receiver);
                return (0, flood::run(sender.close()).and_then(Result::err), Err(Box::new(sender)));
            }
            Way::CloseOfReceiver => {
                let (sender, mut receiver) = socket.split();
                drop(sender);
                let closed = hand.run(pin!(std::future::poll_fn(|cx| receiver.poll_close(cx))));
                return (0, closed.and_then(Result::err), Err(Box::new(receiver)));
            }
        };
        match next {
            None => return (messages, None, Ok(socket)),
            Some(Ok(())) => messages += 1,
            Some(Err(error)) => return (messages, Some(error), Ok(socket)),
        }
    }
}

/// As [`read`], by the core alone, whose two ways to receive are public, too. Nobody wants the messages.
fn read_by_core(appends: bool, mut peer: Flood, limits: Limits) -> (Inbound, Result<(), ProtocolError>) {
    let mut inbound = Inbound::new(Role::Server, limits);
    let (mut space, mut data) = (vec![0; SCRATCH as usize], Vec::new());
    while let Poll::Ready(count) =
        Pin::new(&mut peer).poll_read(&mut Context::from_waker(Waker::noop()), &mut space)
    {
        let mut input = &space[..count.unwrap()];
        loop {
            let event = match appends {
                true => inbound.receive_into(&mut input, &mut data),
                false => inbound.receive(&mut input),
            };
            match event {
                Ok(None) => break,
                Ok(Some(_)) => data.clear(),
                Err(error) => return (inbound, Err(error)),
            }
        }
    }
    (inbound, Ok(()))
}

// --- G6: pings and pongs ---------------------------------------------------------------------------------------------

/// So many Pings of so many bytes from a peer that does not read: what the heap holds then, and the most that it held.
fn pings(payload: usize, count: u64) -> (isize, isize) {
    let (peer, seen) = Flood::new(Then::Waits, move |n, chunk| {
        chunk.extend([0x89, 0x80 | payload as u8, 0, 0, 0, 0]);
        chunk.extend_from_slice(&[0; 121][..payload - 4]);
        chunk.extend((n as u32).to_be_bytes());
        n < count
    });
    seen.room.set(0);
    // What a thread keeps for all its connections is made here.
    let (first, _) = Flood::of(Then::Waits, &frame(0x89, b""), &frame(0x89, b""), 1);
    let mut first = server(first, Config::new());
    assert!(flood::run(first.receiver.receive()).is_none());
    drop(first);
    let scope = Scope::new();
    let mut socket = server(peer, Config::new());
    assert!(flood::run(socket.receiver.receive()).is_none());
    assert!(seen.silent.get());
    let (live, peak) = (scope.live(), scope.peak());
    assert!(socket.queued_bytes() as isize <= OUTBOX + 2 * 127, "{} bytes are queued", socket.queued_bytes());
    seen.give_room(usize::MAX);
    assert!(flood::run(socket.receiver.receive()).is_none());
    let newest = ((count - 1) as u32).to_be_bytes();
    let answers = wire::check(From::Server, &seen.written.take()).events;
    let is_newest = |event: &Event| matches!(event, Event::Pong(payload) if payload.ends_with(&newest));
    assert_eq!(answers.iter().filter(|event| is_newest(event)).count(), 1, "the newest is answered, once");
    (live, peak)
}

#[test]
fn ten_million_pings_of_a_peer_that_never_reads_cost_the_outbox_and_one_pong() {
    for (payload, count) in [(4, times(10_000_000)), (125, times(1_000_000))] {
        let (few, _) = alone(|| pings(payload, 50_000));
        let (live, peak) = alone(|| pings(payload, count));
        println!("{count} Pings of {payload} bytes: heap {live} (50,000: {few}), at most {peak}");
        assert!(live <= few + KIB, "it grows: {few} bytes, then {live}");
        // The goal is the outbox and 1 KiB more, beside what an idle connection has. It is exceeded by the buffer of short reads that a thread
        // keeps; and of short Pings the outbox has more frames, and counts them.
        let more = if payload == 125 { 2 * KIB } else { 8 * KIB };
        assert!(live <= KIB + OUTBOX + 127 + more, "{live} bytes");
        // `SECURITY.md` has this figure: the outbox's memory is copied as it grows, and a read is kept.
        assert!(peak <= 270_000, "{peak} bytes");
    }
}

#[test]
fn ten_million_pongs_that_nobody_asked_for_cost_nothing() {
    let count = times(10_000_000);
    for way in [Way::Receive, Way::ReceiveData] {
        let (live, peak) = alone(|| {
            let pong = frame(0x8A, b"pong");
            let (peer, seen) = Flood::of(Then::Waits, &pong, &pong, count - 1);
            seen.room.set(0);
            let scope = Scope::new();
            let (told, error, _socket) = read(way, server(peer, Config::new()));
            assert!(error.is_none() && seen.silent.get());
            assert_eq!(told as u64, if way == Way::Receive { count } else { 0 });
            (scope.live(), scope.peak())
        });
        println!("{count} Pongs by {way:?}: heap {live}, at most {peak}");
        assert!(live <= SCRATCH + 2 * KIB, "{live} bytes");
        assert!(peak <= 200_000, "{peak} bytes");
    }
}

// --- G7: lengths that are only declared --------------------------------------------------------------------------

#[test]
fn a_header_alone_costs_no_more_than_a_kibibyte() {
    for len in [126_u64, 65_536, 1 << 20, 1 << 31, 1 << 32, 1 << 53, (1 << 63) - 1] {
        for first in [0x81, 0x82, 0x01, 0x02] {
            for way in WAYS {
                let mut header = vec![first, 0xFF];
                header.extend(len.to_be_bytes());
                if len < 65_536 {
                    header = vec![first, 0xFE, 0, 126];
                }
                header.extend([0; 4]);
                let peak = alone(|| {
                    let (peer, _) = Flood::saying(&header);
                    let socket = server(peer, Config::new().max_message(usize::MAX));
                    let scope = Scope::new();
                    let (_, error, _kept) = read(way, socket);
                    assert!(error.is_none(), "{error:?}");
                    scope.peak()
                });
                // Who closes without the other half has that in a box.
                let halved = matches!(way, Way::CloseOfSender | Way::CloseOfReceiver);
                let most = SCRATCH + KIB + if halved { KIB } else { 0 };
                assert!(peak <= most, "{way:?}: {peak} bytes for {len} declared");
            }
            for appends in [false, true] {
                let mut header = vec![first, 0xFF];
                header.extend(len.max(65_536).to_be_bytes());
                header.extend([0; 4]);
                let peak = alone(|| {
                    let (peer, _) = Flood::saying(&header);
                    let limits =
                        Limits { max_message: usize::MAX, max_frame: usize::MAX, ..Limits::default() };
                    let scope = Scope::new();
                    assert!(read_by_core(appends, peer, limits).1.is_ok());
                    scope.peak()
                });
                assert!(peak <= SCRATCH + KIB, "the core: {peak} bytes for {len} declared");
            }
        }
    }
}

#[test]
fn a_large_frame_that_drips_in_costs_twice_what_has_come() {
    for piece in [1, 100, 1000, 4096, 50_000] {
        alone(|| drip(piece));
    }
}

/// A message of the default limit, so many bytes at a time.
fn drip(piece: u64) {
    let len = MESSAGE as u64;
    let header = [&[0x82, 0xFF][..], &len.to_be_bytes(), &[0; 4]].concat();
    let given = Rc::new(std::cell::Cell::new(0_u64));
    let count = given.clone();
    let mut header = Some(header);
    // A chunk a turn: the peer says `piece` bytes, and waits until it is asked again.
    let (peer, seen) = Flood::drip(move |chunk| {
        if let Some(header) = header.take() {
            chunk.extend(header);
        } else if count.get() < len {
            let now = piece.min(len - count.get());
            count.set(count.get() + now);
            chunk.resize(now as usize, 7);
        }
    });
    let hand = Hand::new();
    let scope = Scope::new();
    let mut socket = server(peer, Config::new());
    let mut worst = 0;
    let mut receive = pin!(socket.receiver.receive());
    let came = loop {
        match hand.poll(receive.as_mut()) {
            Poll::Ready(came) => break came.unwrap(),
            Poll::Pending => {
                let live = scope.live();
                assert!(
                    live <= 2 * given.get() as isize + SCRATCH + 2 * KIB,
                    "{live} bytes for {}",
                    given.get()
                );
                worst = worst.max(live - given.get() as isize);
                seen.give_room(usize::MAX);
            }
        }
    };
    assert!(matches!(came, Incoming::Message(message) if message.as_bytes().len() as u64 == len));
    println!(
        "{len} bytes, {piece} at a time: heap {worst} more than had come, {} at most in all",
        scope.peak()
    );
    assert!(scope.peak() <= 2 * MESSAGE + SCRATCH + piece as isize + 2 * KIB, "{} bytes", scope.peak());
}

/// What the thread keeps of finished messages must not come to be held by messages that have hardly begun.
#[test]
fn a_long_message_that_stalls_holds_what_has_come_though_the_thread_has_longer_buffers() {
    const CAME: usize = 100_000;
    let header = [&[0x82, 0xFF][..], &(MESSAGE as u64).to_be_bytes(), &[0; 4]].concat();
    let whole = [&header[..], &vec![7; MESSAGE as usize]].concat();
    let start = whole[..header.len() + CAME].to_vec();
    alone(|| {
        let peers: Vec<_> = (0..20).map(|_| (Flood::saying(&whole).0, Flood::saying(&start).0)).collect();
        let scope = Scope::new();
        let (mut done, mut stalled) = (Vec::new(), Vec::new());
        for (finishes, stalls) in peers {
            // A connection that is done with a message leaves its buffer to the thread, and another takes it.
            let mut socket = server(finishes, Config::new());
            assert!(flood::run(socket.receiver.receive()).unwrap().is_ok());
            assert!(flood::run(socket.receiver.receive()).is_none());
            done.push(socket);
            let mut socket = server(stalls, Config::new());
            assert!(flood::run(socket.receiver.receive()).is_none());
            stalled.push(socket);
        }
        let each = scope.live() / stalled.len() as isize;
        println!("{each} bytes each, of which {CAME} have come");
        // The thread's own come to 2 MiB here, and two of these hold as much.
        assert!(each <= 2 * CAME as isize + 2 * KIB + 4 * MESSAGE / 20, "{each} bytes");
    });
}

/// Nor must a message be copied each time that it has to wait for more: of a few, the room is held.
#[test]
fn a_long_message_that_comes_in_pieces_is_copied_as_it_grows_and_not_as_it_waits() {
    const PIECES: usize = 32;
    alone(|| {
        let header = [&[0x82, 0xFF][..], &(MESSAGE as u64).to_be_bytes(), &[0; 4]].concat();
        let whole = [&header[..], &vec![7; MESSAGE as usize]].concat();
        let mut said = 0;
        // Two messages, with a wait behind each piece of them.
        let (peer, seen) = Flood::drip(move |chunk| {
            if said < 2 * PIECES {
                let piece = whole.chunks(whole.len().div_ceil(PIECES)).nth(said % PIECES);
                chunk.extend_from_slice(piece.unwrap());
            }
            said += 1;
        });
        let mut socket = server(peer, Config::new());
        let mut receive = || {
            let (hand, mut receive) = (Hand::new(), pin!(socket.receiver.receive()));
            let scope = Scope::new();
            while hand.poll(receive.as_mut()).is_pending() {
                seen.give_room(usize::MAX);
            }
            scope.allocations()
        };
        let allocations = [receive(), receive()];
        println!("{allocations:?} allocations for {PIECES} pieces");
        assert!(allocations[0] < 12 && allocations[1] <= 4, "{allocations:?}");
    });
}

// --- G8: fragments --------------------------------------------------------------------------------------------------

/// The payloads of a flood of fragments, repeated.
const FLOODS: [(&str, &[&[u8]]); 4] = [
    ("empty", &[b""]),
    ("one byte", &[b"x"]),
    ("alternating", &[b"", b"x"]),
    ("mixed", &[b"xx", b"", b"x", b"xxxx"]),
];

/// A message that begins and goes on with these fragments, and after every tenth a Ping.
fn fragments(payloads: &'static [&'static [u8]], opcode: u8, count: u64) -> (Flood, Rc<Seen>) {
    let begin = frame(opcode, b"");
    let pieces: Vec<_> = payloads.iter().map(|payload| frame(CONTINUATION, payload)).collect();
    let ping = frame(0x80 | PING, b"?");
    Flood::new(Then::Waits, move |n, chunk| {
        if n == 0 {
            chunk.extend_from_slice(&begin);
        }
        chunk.extend_from_slice(&pieces[n as usize % pieces.len()]);
        if n % 10 == 9 {
            chunk.extend_from_slice(&ping);
        }
        n < count
    })
}

#[test]
fn a_million_fragments_cost_their_payload_whatever_way_they_are_received() {
    let count = times(1_000_000);
    for (name, payloads) in FLOODS {
        let payload: usize = payloads.iter().map(|payload| payload.len()).sum();
        let payload = (payload as u64 * count / payloads.len() as u64) as isize;
        for opcode in [TEXT, BINARY] {
            for way in WAYS {
                let (live, peak) = alone(|| {
                    let (peer, seen) = fragments(payloads, opcode, count);
                    seen.forget.set(true);
                    let config = Config::new().max_message(2 * payload as usize + 1).max_fragments(u32::MAX);
                    let scope = Scope::new();
                    let (messages, error, _kept) = read(way, server(peer, config));
                    assert!(
                        messages == 0 && error.is_none() && seen.silent.get(),
                        "{name}, {way:?}: {error:?}"
                    );
                    (scope.live(), scope.peak())
                });
                if opcode == BINARY {
                    println!("{count} {name} fragments by {way:?}: heap {live}, at most {peak}");
                }
                // A buffer that doubles holds twice its payload at most, and three times while it grows. Pongs went through the outbox, whose
                // memory the thread keeps; and what a turn could not use of a read stays for the next.
                let ours = SCRATCH + 2 * KIB;
                assert!(live <= 2 * payload + ours, "{name}, {way:?}: {live} bytes for {payload}");
                assert!(
                    peak <= 3 * payload + 2 * SCRATCH + ours,
                    "{name}, {way:?}: {peak} bytes for {payload}"
                );
            }
            for appends in [false, true] {
                let (live, peak) = alone(|| {
                    let (peer, seen) = fragments(payloads, opcode, count);
                    let max = 2 * payload as usize + 1;
                    let limits = Limits { max_message: max, max_frame: max, max_fragments: u32::MAX };
                    let scope = Scope::new();
                    let (_inbound, read) = read_by_core(appends, peer, limits);
                    assert!(read.is_ok() && seen.silent.get(), "{name}, the core: {read:?}");
                    (scope.live(), scope.peak())
                });
                assert!(live <= 2 * payload + KIB, "{name}, the core: {live} bytes for {payload}");
                assert!(peak <= 3 * payload + SCRATCH + KIB, "{name}, the core: {peak} bytes for {payload}");
            }
        }
    }
}

#[test]
fn fragments_end_at_their_number_whatever_way_they_are_received() {
    for (name, payloads) in FLOODS {
        for way in WAYS {
            let (peer, seen) = fragments(payloads, BINARY, 1_000_000);
            let (_, error, socket) = read(way, server(peer, Config::new()));
            let counted =
                matches!(error, Some(Error::Protocol(ProtocolError::TooManyFragments { max: 4096 })));
            assert!(counted, "{name}, {way:?}: {error:?}");
            // A tenth more for the pings, and what a read brought; `close` goes on reading for as much as a message may have.
            let most = 4097 * 12 + (64 << 10) + if way.discards() { MESSAGE as u64 } else { 0 };
            assert!(seen.said.get() < most, "{} bytes were read", seen.said.get());
            if way.discards() {
                continue;
            }
            let mut socket = socket.unwrap();
            let _over = flood::run(socket.close());
            let heard = wire::check_closed(From::Server, &seen.written.borrow());
            assert_eq!(wire::close_code(&heard), Some(1009));
        }
        for appends in [false, true] {
            let (peer, _) = fragments(payloads, BINARY, 1_000_000);
            let (_, read) = read_by_core(appends, peer, Limits::default());
            assert_eq!(read, Err(ProtocolError::TooManyFragments { max: 4096 }), "{name}, the core");
        }
    }
}

#[test]
fn fragments_of_one_byte_up_to_the_default_limit_hold_three_bytes_for_one_on_the_wire_at_most() {
    for payload in [&b""[..], b"x", &[7; 100]] {
        let (live, wire) = alone(|| {
            let (peer, seen) =
                Flood::of(Then::Waits, &frame(BINARY, b""), &frame(CONTINUATION, payload), 4094);
            let scope = Scope::new();
            let mut socket = server(peer, Config::new());
            assert!(flood::run(socket.receiver.receive()).is_none());
            (scope.live() - SCRATCH, seen.said.get() as isize)
        });
        println!("4,095 fragments of {} bytes: {live} bytes of heap for {wire} on the wire", payload.len());
        assert!(live <= 3 * wire, "{live} for {wire}");
    }
}

// --- G9: bombs ------------------------------------------------------------------------------------------------------

#[cfg(feature = "deflate")]
mod bombs {
    use flate2::{Compress, Compression, FlushCompress};
    use unsync_websocket::Deflate;

    use super::*;

    /// `len` zeros as one compressed message, flushed so many times on the way: as many blocks.
    fn packed(len: usize, blocks: usize) -> Vec<u8> {
        let mut compress = Compress::new(Compression::best(), false);
        let mut packed = Vec::with_capacity(len / 100 + 100 * blocks + 1000);
        let zeros = vec![0; len.div_ceil(blocks)];
        let mut left = len;
        while left > 0 {
            let now = left.min(zeros.len());
            left -= now;
            compress.compress_vec(&zeros[..now], &mut packed, FlushCompress::Sync).unwrap();
        }
        packed.truncate(packed.len() - 4);
        packed
    }

    /// As frames of a client, of so many bytes each.
    fn frames(packed: &[u8], piece: usize) -> Vec<u8> {
        let count = packed.chunks(piece).count();
        let frames = packed.chunks(piece).enumerate().map(|(n, piece)| {
            let first = if n == 0 { 0x42 } else { 0 } | if n + 1 == count { 0x80 } else { 0 };
            kit::slow::raw_frame(From::Client, first, piece)
        });
        frames.collect::<Vec<_>>().concat()
    }

    /// The goal was the limit and 64 KiB more. It is out of reach for a buffer that grows by being copied, unless it grew from 64 KiB to the limit
    /// at once, for a message that may end just behind. So there are a half and the whole for a moment (1,571,724 bytes measured, of 1 MiB).
    /// That is what is asked of the allocator. One that moves a large block by its pages, as glibc's does, holds it once: a process whose limit was
    /// 64 MiB grew by 64 MiB and 88 KiB.
    #[test]
    fn a_bomb_costs_a_message_and_a_half_and_ends_within_16_kib_of_the_limit() {
        let limit = MESSAGE as usize;
        let mut worst = (0, 0);
        for takeover in [false, true] {
            let deflate = Deflate::new().client_no_context_takeover(!takeover).client_max_window_bits(15);
            for (len, good) in [
                (limit - 1, true),
                (limit, true),
                (limit + 1, false),
                (2 * limit, false),
                (64 * limit, false),
            ] {
                for blocks in [1, 16, 1000] {
                    let packed = packed(len, blocks);
                    for piece in [usize::MAX, 1000] {
                        // What the thread lends, a decompressor among it, is there already.
                        let (peer, _) = Flood::saying(&frames(&self::packed(10, 1), 100));
                        let mut first = server(peer, Config::new().deflate(deflate));
                        assert!(flood::run(first.receiver.receive()).is_some());
                        let (peer, seen) = Flood::saying(&frames(&packed, piece));
                        let mut socket = server(peer, Config::new().deflate(deflate));
                        let scope = Scope::new();
                        let came = match flood::run(socket.receiver.receive()).unwrap() {
                            Ok(Incoming::Message(message)) => Ok(message.as_bytes().len()),
                            Ok(other) => panic!("{other:?}"),
                            Err(error) => Err(error),
                        };
                        // Collected in a buffer that doubles.
                        let peak = scope.peak() - 3 * packed.len() as isize;
                        match came {
                            Ok(came) => assert!(good && came == len),
                            Err(Error::Protocol(ProtocolError::MessageTooBig { len: told, max })) => {
                                assert!(!good && max == limit, "{len} bytes are within the limit");
                                assert!(told as usize <= limit + (16 << 10), "{told} bytes were inflated");
                                worst.1 = worst.1.max(told as usize - limit);
                                let _over = flood::run(socket.close());
                                let heard = wire::check_closed(From::Server, &seen.written.borrow());
                                assert_eq!(wire::close_code(&heard), Some(1009));
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                        worst.0 = worst.0.max(peak);
                    }
                }
            }
        }
        println!(
            "bombs: heap at most {} beside three times what came, {} bytes inflated past the limit",
            worst.0, worst.1
        );
        // The message's buffer, copied as it grows for the last time; the window of 32 KiB; a read's spill.
        assert!(worst.0 <= MESSAGE + MESSAGE / 2 + 2 * SCRATCH, "{} bytes", worst.0);
    }

    #[test]
    fn blocks_that_inflate_to_nothing_are_bounded_by_the_message_s_length() {
        for block in [&[0x00, 0x00, 0x00, 0xFF, 0xFF][..], &[0x03, 0x00]] {
            let stream = [block.repeat((1 << 20) / block.len()), vec![0x00]].concat();
            let (peer, seen) = Flood::saying(&frames(&stream, usize::MAX));
            let mut socket = server(peer, Config::new().deflate(Deflate::new()));
            let scope = Scope::new();
            let came = flood::run(socket.receiver.receive());
            assert!(matches!(came, Some(Ok(Incoming::Message(message))) if message.as_bytes().is_empty()));
            println!("{} blocks of nothing: heap at most {}", stream.len() / block.len(), scope.peak());
            // What is compressed may be longer by an eighth, and is copied as it grows, too.
            assert!(scope.peak() <= 2 * (MESSAGE + MESSAGE / 8) + 2 * SCRATCH, "{} bytes", scope.peak());
            assert!(flood::run(socket.receiver.receive()).is_none() && seen.silent.get());
        }
        // One byte more than such a message may have, and its header is refused.
        let most = MESSAGE as usize + MESSAGE as usize / 8 + 64;
        for (len, good) in [(most, true), (most + 1, false)] {
            let mut header = vec![0xC2, 0xFF];
            header.extend((len as u64).to_be_bytes());
            header.extend([0; 4]);
            let (peer, _) = Flood::saying(&header);
            let mut socket = server(peer, Config::new().deflate(Deflate::new()));
            let came = flood::run(socket.receiver.receive());
            assert_eq!(came.is_none(), good, "{len}");
        }
    }
}

// --- G11: handshakes ------------------------------------------------------------------------------------------------

/// What becomes of a request that begins well and never ends, and the most that it cost.
fn endless_request(piece: &'static [u8]) -> (HandshakeError, isize, u64) {
    let (peer, seen) = Flood::of(Then::Waits, b"GET / HTTP/1.1\r\nHost: a\r\n", piece, u64::MAX);
    let scope = Scope::new();
    let accept = Server::with_timer(peer, NoTimer).accept();
    let error = flood::run(accept).expect("it ends").map(drop).unwrap_err();
    (error, scope.peak(), seen.said.get())
}

/// The goal, 24 KiB for each handshake, holds for those that wait (below). One that has just come to its limit has its buffer twice for a
/// moment, as that grows: 27,056 bytes measured.
#[test]
fn a_head_without_end_costs_27_kib() {
    for piece in [&b"x"[..], b"X: y\r\n", b"a:\r\n", b"Cookie: a=b; c=d; e=f; g=h\r\n"] {
        let (error, peak, said) = endless_request(piece);
        println!("{}..: {error}; heap at most {peak}, {said} bytes read", piece.escape_ascii());
        let is_limit =
            matches!(error, HandshakeError::HeadTooLong { .. } | HandshakeError::TooManyHeaders { .. });
        assert!(is_limit, "{error:?}");
        // While its buffer grows for the last time, from 8 KiB to 16; and the future, which is boxed.
        assert!(peak <= 27 * KIB, "{peak} bytes");
        // What comes behind the answer is drained, within a limit.
        assert!(said <= 2 << 20, "{said} bytes");
    }
}

#[test]
fn a_client_s_server_without_end_costs_48_kib() {
    for (first, piece) in [
        (&b"HTTP/1.1 101 x\r\n"[..], &b"X: y\r\n"[..]),
        (b"HTTP/1.1 101 x\r\n", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 404 x\r\n\r\n", b"x"),
        (b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ] {
        let (peer, seen) = Flood::of(Then::Waits, first, piece, u64::MAX);
        let scope = Scope::new();
        let connect = unsync_websocket::Client::with_timer(peer, "a", "/", NoTimer).connect();
        let error = flood::run(connect).expect("it ends").map(drop).unwrap_err();
        println!("{}..: {error}; heap at most {}", piece.escape_ascii(), scope.peak());
        // A page of 16 KiB is kept for whoever asks why.
        assert!(scope.peak() <= 48 * KIB, "{error}: {} bytes", scope.peak());
        assert!(seen.said.get() <= 2 << 20 && seen.dropped.get());
    }
}

#[test]
fn ten_thousand_slow_peers_are_told_408_and_cost_24_kib_each_at_most() {
    const COUNT: usize = 10_000;
    kit::runs::each_seed("ten_thousand_slow_peers", 1, |run| {
        let sim = kit::sim::Sim::new(run);
        let clock = sim.timer();
        let mut seen = Vec::with_capacity(COUNT);
        let mut pending = Vec::with_capacity(COUNT);
        let hand = Hand::new();
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
        head.resize((16 << 10) - 10, b'x');
        let head: Rc<[u8]> = head.into();
        let mut ours = 0;
        let mut worst = 0;
        for _ in 0..COUNT {
            let mut head = Some(head.clone());
            let (peer, its) = Flood::drip(move |chunk| {
                if let Some(head) = head.take() {
                    chunk.extend_from_slice(&head);
                }
            });
            seen.push(its);
            let scope = Scope::new();
            let mut accepting = Box::pin(Server::with_timer(peer, clock.clone()).accept());
            assert!(hand.poll(accepting.as_mut()).is_pending());
            // The peer's own chunk is not ours.
            let its_own = 16 << 10;
            ours += scope.live() - its_own;
            worst = worst.max(scope.live() - its_own);
            pending.push(accepting);
        }
        println!("{COUNT} slow peers: {} bytes each, {worst} at most", ours / COUNT as isize);
        assert!(worst <= 24 * KIB, "{worst} bytes");

        // One who is quick is served meanwhile.
        let (quick, quick_seen) = Flood::saying(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let accepted = hand.poll(pin!(Server::with_timer(quick, clock.clone()).accept()).as_mut()).is_ready();
        assert!(accepted && quick_seen.written.borrow().starts_with(b"HTTP/1.1 101 "));

        // At the deadline all go.
        let sleeper = sim.clone();
        sim.spawn("deadline", async move { sleeper.sleep(Duration::from_secs(10)).await });
        sim.run();
        for mut accepting in pending {
            match hand.poll(accepting.as_mut()) {
                Poll::Ready(Err(HandshakeError::RequestTimeout)) => {}
                other => panic!("{:?}", other.map(|accepted| accepted.map(drop))),
            }
        }
        for its in &seen {
            assert!(its.written.borrow().starts_with(b"HTTP/1.1 408 ") && its.dropped.get());
        }
    });
}

// --- what is sent ---------------------------------------------------------------------------------------------------

#[test]
fn whatever_is_sent_to_a_peer_that_never_reads_the_outbox_holds_its_mark_and_one_message() {
    for len in [0, 100, 1004, 60_000, 200_000] {
        let (peer, seen) = Flood::of(Then::Waits, &frame(0x80 | PONG, b""), b"", 0);
        seen.room.set(0);
        let mut socket = server(peer, Config::new());
        let data = vec![7; len];
        let message = unsync_websocket::EncodedFrame::binary(&data);
        let handle = socket.sender.queue_handle();
        let scope = Scope::new();
        let mut taken = 0;
        for round in 0..100_000 {
            taken += usize::from(handle.queue(&message).is_ok());
            taken += usize::from(matches!(flood::run(socket.sender.feed(&data)), Some(Ok(()))));
            taken += usize::from(matches!(flood::run(socket.sender.ping(b"")), Some(Ok(()))));
            if round > 1000 && socket.queued_bytes() as isize >= OUTBOX {
                break;
            }
        }
        let queued = socket.queued_bytes() as isize;
        assert!(queued >= OUTBOX && queued <= OUTBOX + len as isize + 10, "{queued} bytes, {taken} taken");
        println!("{taken} messages of {len} bytes to one who never reads: heap {}", scope.live());
        // The queue has a mark for each frame, and room to grow.
        assert!(scope.live() <= 2 * (OUTBOX + len as isize) + 2 * KIB, "{} bytes", scope.live());
    }
}

/// What a client masks for one write.
const MASKED: isize = 32 * KIB;

#[test]
fn a_long_message_that_is_sent_is_held_by_its_sender_alone() {
    for role in [Role::Server, Role::Client] {
        let data = vec![7; 16 << 20];
        let (peer, seen) = Flood::of(Then::Waits, b"", b"", 0);
        seen.forget.set(true);
        seen.room.set(1 << 20);
        let (held, peak, allocations) = alone_with(peer, role, &data, &seen);
        println!("{role:?}: {held} bytes while it waits, {peak} at most, {allocations} allocations");
        let masked = if role == Role::Client { MASKED } else { 0 };
        assert!(held <= masked + KIB && peak <= masked + KIB, "{role:?}: {held} bytes, and {peak}");
        assert!(
            allocations <= 4,
            "{role:?}: {allocations} allocations for {} writes",
            seen.written_bytes.get() >> 15
        );
        assert!(seen.written_bytes.get() > data.len() as u64);
    }
}

/// Heap while a send of `data` waits for room, the most there was to its end, and how often memory was asked for.
fn alone_with(peer: Flood, role: Role, data: &[u8], seen: &Seen) -> (isize, isize, u64) {
    let mut socket = WebSocket::with_timer(peer, role, Config::new(), Vec::new(), NoTimer);
    let scope = Scope::new();
    let mut send = std::pin::pin!(socket.sender.send(data));
    assert!(flood::run(send.as_mut()).is_none());
    let held = scope.live();
    seen.give_room(usize::MAX);
    flood::run(send).expect("there is room").unwrap();
    (held, scope.peak(), scope.allocations())
}
