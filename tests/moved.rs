//! An open connection moves to another thread: nothing is lost, doubled or reordered, wherever it stood.
//!
//! * cut by cut, over a stream in memory, between real threads: each byte of the input, each byte of the output;
//! * at random, in the simulated world, between sends and receives that are dropped half way, in six models of transports;
//! * a hundred times forth and back between two threads that have sockets, while both sides talk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use ends::cancel::{Fate, Op, perform, receive_all};
use ends::{FROM, ROLES, Socket, enter, maybe_deflate, pair, socket};
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future::{block_on, or, poll_once, yield_now, zip};
use kit::choices::Chooser;
use kit::cut::{cut, cut_and_leak};
use kit::ledger::{self, Ledger, Sent};
use kit::net::{Config as Net, Model, SimNet};
use kit::runs::{Shared, each_seed_and_model, is_replay, shared};
use kit::sim::Sim;
use kit::slow::{self, Event, Limits};
use kit::wire;
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Error, Incoming, NoTimer, QueueError, Role, WebSocket, WebSocketParts,
};

// --- a stream that can go to another thread ------------------------------------------------------------------------

/// A stream in memory. It wakes nobody: who polls it looks again after changing it.
#[derive(Debug)]
struct Pipe {
    input: Vec<u8>,
    written: Vec<u8>,
    /// Bytes that writes still take.
    room: usize,
    /// The peer has ended its side.
    ended: bool,
    flushes: usize,
}

impl Pipe {
    fn of(input: &[u8]) -> Self {
        Self { input: input.to_vec(), written: Vec::new(), room: usize::MAX, ended: false, flushes: 0 }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = self.input.len().min(buf.len());
        if count == 0 && !self.ended {
            return Poll::Pending;
        }
        buf[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = self.room.min(buf.len());
        if count == 0 {
            return Poll::Pending;
        }
        self.room -= count;
        self.written.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn over<T: ends::Stream>(stream: T, role: Role, config: &Config) -> WebSocket<T> {
    WebSocket::with_timer(stream, role, config.clone(), Vec::new(), NoTimer)
}

/// Moves a connection to a thread of its own, where `work` goes on with it.
fn elsewhere<R: Send>(websocket: WebSocket<Pipe>, work: impl FnOnce(WebSocket<Pipe>) -> R + Send) -> R {
    let parts = websocket.into_parts().expect("it can be moved");
    thread::scope(|scope| {
        let there = scope.spawn(move || work(WebSocket::from_parts_with_timer(parts, NoTimer)));
        there.join().unwrap()
    })
}

/// Whatever has arrived, but for the Close.
fn receive_now(websocket: &mut WebSocket<Pipe>) -> Vec<Event> {
    let mut events = Vec::new();
    block_on(async {
        while let Some(received) = poll_once(websocket.receiver.receive()).await {
            events.push(ends::event(received.unwrap()));
        }
    });
    events
}

/// What is in a stream that was written to the end.
fn written(websocket: WebSocket<Pipe>) -> Vec<u8> {
    assert_eq!(websocket.queued_bytes(), 0);
    websocket.into_inner().unwrap().written
}

#[test]
fn the_parts_are_send_if_the_stream_is_and_the_connection_is_not() {
    /// Ambiguous, and so an error to name, for a type that is `Send`.
    trait NotSend<Marker> {
        fn assert() {}
    }
    struct IsSend;
    impl<T: ?Sized> NotSend<()> for T {}
    impl<T: ?Sized + Send> NotSend<IsSend> for T {}
    fn assert_send<T: Send>() {}

    assert_send::<WebSocketParts<Pipe>>();
    #[cfg(feature = "async-io")]
    assert_send::<WebSocketParts<async_io::Async<std::net::TcpStream>>>();
    <WebSocketParts<Rc<()>> as NotSend<_>>::assert();
    <WebSocket<Pipe> as NotSend<_>>::assert();
}

// --- cut by cut ------------------------------------------------------------------------------------------------------

/// Frames of all kinds: a text in three fragments with a Ping between, a message that is longer than a small frame, an
/// empty one, a Pong, two messages glued together.
fn of_all_kinds(from: slow::From) -> Vec<u8> {
    let binary = ledger::binary(7, 130);
    let frames: [(bool, u8, &[u8]); 9] = [
        (false, slow::TEXT, "Gr\u{fc}".as_bytes()),
        (true, slow::PING, b"between"),
        (false, slow::CONTINUATION, b""),
        (true, slow::CONTINUATION, "\u{df}e".as_bytes()),
        (true, slow::BINARY, &binary),
        (true, slow::TEXT, b""),
        (true, slow::PONG, b"unasked"),
        (true, slow::PING, b"again"),
        (true, slow::TEXT, b"glued"),
    ];
    frames.iter().flat_map(|(fin, opcode, payload)| slow::frame(from, *fin, *opcode, payload)).collect()
}

#[test]
fn input_cut_at_any_byte_is_received_once_wherever_the_connection_is_by_then() {
    for (role, us, them) in [(ROLES[0], FROM[0], FROM[1]), (ROLES[1], FROM[1], FROM[0])] {
        let input = of_all_kinds(them);
        let (pings, expected): (Vec<_>, Vec<_>) = slow::read(them, Limits::NONE, &input)
            .events
            .into_iter()
            .partition(|event| matches!(event, Event::Ping(_)));
        let pongs = pings.into_iter().map(|ping| match ping {
            Event::Ping(payload) => Event::Pong(payload),
            other => other,
        });
        let pongs: Vec<_> = pongs.collect();
        for at in 0..=input.len() {
            let mut websocket = over(Pipe::of(&input[..at]), role, &Config::new());
            let mut received = receive_now(&mut websocket);
            let (rest, written) = elsewhere(websocket, |mut websocket| {
                // As if nobody had looked at the socket before.
                let nothing = receive_now(&mut websocket);
                assert_eq!(nothing, [], "cut at {at}");
                let WebSocketParts { mut stream, state } = websocket.into_parts().unwrap();
                stream.input.extend_from_slice(&input[at..]);
                let parts = WebSocketParts { stream, state };
                let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
                (receive_now(&mut websocket), written(websocket))
            });
            received.extend(rest);
            assert_eq!(received, expected, "cut at {at}");
            assert_eq!(slow::read(us, Limits::NONE, &written).events, pongs, "cut at {at}");
        }
    }
}

#[test]
fn what_was_read_ahead_of_the_last_message_is_received_on_the_other_side() {
    let input = of_all_kinds(slow::From::Client);
    let expected: Vec<_> = slow::read(slow::From::Client, Limits::NONE, &input).events;
    let expected: Vec<_> = expected.into_iter().filter(|event| !matches!(event, Event::Ping(_))).collect();
    for most in 0..=expected.len() {
        // All of it was read from the stream with the first message.
        let mut websocket = over(Pipe::of(&input), Role::Server, &Config::new());
        let mut received = Vec::new();
        for _ in 0..most {
            received.push(ends::event(block_on(websocket.receiver.receive()).unwrap()));
        }
        assert_eq!(websocket.get_ref().unwrap().input.is_empty(), most > 0);
        received.extend(elsewhere(websocket, |mut websocket| receive_now(&mut websocket)));
        assert_eq!(received, expected, "moved after {most}");
    }
}

#[test]
fn data_of_a_message_that_is_received_into_a_vec_comes_in_one_piece_after_the_move() {
    let mut websocket = over(Pipe::of(b"\x01\x03hal"), Role::Client, &Config::new());
    let mut data = b"before, ".to_vec();
    assert!(block_on(poll_once(websocket.receiver.receive_data(&mut data))).is_none());
    let mut parts = websocket.into_parts().unwrap();
    parts.stream.input.extend_from_slice(b"\x80\x01f");
    let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    block_on(websocket.receiver.receive_data(&mut data)).unwrap();
    assert_eq!(data, b"before, half");
}

/// Frames that wait, of which the stream takes `room` bytes before the connection moves: one that is copied, one that is
/// shared, one that is compressed if that was agreed on, a Ping; then one more from the other side. What was written in all.
fn written_across(role: Role, config: &Config, room: usize) -> Vec<u8> {
    let mut pipe = Pipe::of(b"");
    pipe.room = room;
    let mut websocket = over(pipe, role, config);
    let shared = EncodedFrame::binary(&ledger::binary(2, 1100));
    block_on(async {
        websocket.sender.feed(&ledger::text(1, 40)).await.unwrap();
        websocket.sender.queue_handle().queue(&shared).unwrap();
        websocket.sender.feed(&ledger::text(3, 60)).await.unwrap();
        websocket.sender.ping(b"?").await.unwrap();
    });
    let queued = websocket.queued_bytes();
    elsewhere(websocket, |mut websocket| {
        assert_eq!(websocket.queued_bytes(), queued);
        let parts = websocket.into_parts().unwrap();
        let stream = Pipe { room: usize::MAX, ..parts.stream };
        websocket = WebSocket::from_parts_with_timer(WebSocketParts { stream, ..parts }, NoTimer);
        block_on(websocket.sender.send(&ledger::text(4, 20))).unwrap();
        written(websocket)
    })
}

#[test]
fn what_was_accepted_leaves_first_and_in_order_wherever_the_writing_stopped() {
    let expected = [
        Event::Text(ledger::text(1, 40)),
        Event::Binary(ledger::binary(2, 1100)),
        Event::Text(ledger::text(3, 60)),
        Event::Ping(b"?".to_vec()),
        Event::Text(ledger::text(4, 20)),
    ];
    for (role, us) in ROLES.into_iter().zip(FROM) {
        let all = written_across(role, &Config::new(), usize::MAX);
        for room in (0..=all.len()).filter(|room| *room < 80 || room % 13 == 0 || *room > 1080) {
            let written = written_across(role, &Config::new(), room);
            assert_eq!(slow::read(us, Limits::NONE, &written).events, expected, "{role:?}, room {room}");
            // Only a client has keys.
            assert!(role == Role::Client || written == all);
        }
    }
}

#[test]
fn a_large_send_that_was_dropped_half_written_is_finished_on_the_other_side() {
    let payload = ledger::binary(1, 40 << 10);
    // Nothing of it, in the header, in the first fragment, at its end, in the second.
    for (room, arrives) in
        [(0, false), (1, true), (500, true), (30_004, true), (30_006, true), (40_000, true)]
    {
        let mut pipe = Pipe::of(b"");
        pipe.room = room;
        let mut websocket = over(pipe, Role::Server, &Config::new().fragment(30_000));
        let sent = block_on(poll_once(websocket.sender.send(&payload)));
        assert!(sent.is_none(), "the stream is too small for it");
        let bytes = elsewhere(websocket, |websocket| {
            let parts = websocket.into_parts().unwrap();
            let stream = Pipe { room: usize::MAX, ..parts.stream };
            let mut websocket = WebSocket::from_parts_with_timer(WebSocketParts { stream, ..parts }, NoTimer);
            block_on(websocket.sender.send("behind it")).unwrap();
            written(websocket)
        });
        let mut expected = vec![Event::Text("behind it".to_owned())];
        if arrives {
            expected.insert(0, Event::Binary(payload.clone()));
        }
        assert_eq!(slow::read(slow::From::Server, Limits::NONE, &bytes).events, expected, "room {room}");
    }
}

#[test]
fn close_now_after_the_move_finishes_the_frame_that_had_begun_and_no_other() {
    for room in 0..=100 {
        let mut pipe = Pipe::of(b"");
        pipe.room = room;
        let mut websocket = over(pipe, Role::Server, &Config::new().fragment(30_000));
        // Written from where it lies, or copied behind what was fed.
        let fed = room % 2;
        block_on(async {
            for id in 0..fed {
                websocket.sender.feed(&ledger::text(id as u32, 20)).await.unwrap();
            }
            let payload = ledger::binary(1, 40 << 10);
            let _ = poll_once(websocket.sender.send(&payload)).await;
        });
        let mut parts = websocket.into_parts().unwrap();
        parts.stream.room = usize::MAX;
        let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
        assert!(block_on(poll_once(websocket.close_now(CloseCode::GOING_AWAY, ""))).is_none());
        let seen = wire::check_closed(slow::From::Server, &websocket.get_ref().unwrap().written);
        assert_eq!(wire::close_code(&seen), Some(1001));
        let whole_text = usize::from(fed == 1 && room > 0);
        let begun = usize::from(room > fed * 22);
        assert_eq!(seen.frames.len(), whole_text + begun + 1, "room {room}: {:?}", wire::brief(&seen.events));
    }
}

#[test]
fn a_ping_from_before_the_move_is_answered_once() {
    for (role, us, them) in [(ROLES[0], FROM[0], FROM[1]), (ROLES[1], FROM[1], FROM[0])] {
        let ping = slow::frame(them, true, slow::PING, b"are you there?");
        for room in 0..=slow::frame(us, true, slow::PONG, b"are you there?").len() {
            let mut pipe = Pipe::of(&ping);
            pipe.room = room;
            let mut websocket = over(pipe, role, &Config::new());
            assert_eq!(receive_now(&mut websocket), []);
            let mut parts = websocket.into_parts().unwrap();
            parts.stream.room = usize::MAX;
            let written = thread::spawn(move || {
                let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
                // Whoever receives sees to it.
                assert_eq!(receive_now(&mut websocket), []);
                written(websocket)
            });
            let events = slow::read(us, Limits::NONE, &written.join().unwrap()).events;
            assert_eq!(events, [Event::Pong(b"are you there?".to_vec())], "{role:?}, room {room}");
        }
    }
}

#[test]
fn the_pong_that_waits_for_room_moves_and_a_newer_one_still_takes_its_place() {
    let ping = |payload: &[u8]| slow::frame(slow::From::Client, true, slow::PING, payload);
    let mut pipe = Pipe::of(&[ping(b"1"), ping(b"2")].concat());
    pipe.room = 0;
    let mut websocket = over(pipe, Role::Server, &Config::new().outbox(1));
    block_on(websocket.sender.feed("fills the outbox")).unwrap();
    assert_eq!(receive_now(&mut websocket), []);
    let mut parts = websocket.into_parts().unwrap();
    parts.stream.input.extend(ping(b"3"));
    let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    assert_eq!(receive_now(&mut websocket), []);
    assert_eq!(websocket.queued_bytes(), 18, "the outbox is as full as it was");
    assert!(block_on(poll_once(websocket.sender.feed("no room"))).is_none(), "and as large");
    let mut parts = websocket.into_parts().unwrap();
    parts.stream.room = usize::MAX;
    let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    block_on(websocket.sender.flush()).unwrap();
    assert_eq!(written(websocket), b"\x8A\x013\x81\x10fills the outbox");
}

/// A stream that keeps what it is given until it is flushed, and cannot be flushed just now.
struct Stuck(Pipe);

impl AsyncRead for Stuck {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stuck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[test]
fn what_was_written_and_not_flushed_is_flushed_on_the_other_side() {
    let mut websocket = over(Stuck(Pipe::of(b"")), Role::Server, &Config::new());
    block_on(websocket.sender.send("hi")).unwrap();
    assert_eq!(websocket.queued_bytes(), 0);
    let WebSocketParts { stream: Stuck(stream), state } = websocket.into_parts().unwrap();
    let mut websocket = WebSocket::from_parts_with_timer(WebSocketParts { stream, state }, NoTimer);
    assert_eq!(receive_now(&mut websocket), []);
    assert_eq!(websocket.get_ref().unwrap().flushes, 1);
}

// --- compression -----------------------------------------------------------------------------------------------------

#[cfg(feature = "deflate")]
#[test]
fn compression_goes_on_with_its_context_or_without_on_either_side() {
    let message = |id: u32| {
        format!(
            "{id}: What was sent before is not far away: of this message hardly more than its number is new, if both remember the last."
        )
    };
    for window in [0, 512, 32 << 10] {
        let config = Config::new().deflate(ends::agree::deflate(window).threshold(0));
        let mut server = over(Pipe::of(b""), Role::Server, &config);
        let mut client = over(Pipe::of(b""), Role::Client, &config);
        let mut sizes = Vec::new();
        for id in 0..6 {
            // The message to the client arrives in two halves, and the client moves between them.
            block_on(server.sender.send(&message(id))).unwrap();
            let mut parts = server.into_parts().unwrap();
            let packed = std::mem::take(&mut parts.stream.written);
            server = WebSocket::from_parts_with_timer(parts, NoTimer);
            sizes.push(packed.len());
            let (first, last) = packed.split_at(packed.len() / 2);
            let mut parts = client.into_parts().unwrap();
            parts.stream.input.extend_from_slice(first);
            client = WebSocket::from_parts_with_timer(parts, NoTimer);
            assert_eq!(receive_now(&mut client), []);
            let mut parts = client.into_parts().unwrap();
            parts.stream.input.extend_from_slice(last);
            let (parts, received) = thread::spawn(move || {
                let mut client = WebSocket::from_parts_with_timer(parts, NoTimer);
                let received = receive_now(&mut client);
                assert_eq!(client.deflate(), Some(ends::agree::deflate(window).threshold(0)));
                (client.into_parts().unwrap(), received)
            })
            .join()
            .unwrap();
            client = WebSocket::from_parts_with_timer(parts, NoTimer);
            assert_eq!(received, [Event::Text(message(id))], "window {window}");
        }
        let (first, last) = (sizes[0], sizes[5]);
        let remembers = last * 2 < first;
        assert_eq!(remembers, window > 0, "with a window of {window} bytes: {sizes:?}");
    }
}

#[cfg(feature = "deflate")]
#[test]
fn a_message_that_is_being_inflated_moves_at_every_step() {
    use unsync_websocket::protocol::{MessageKind, Outbound};

    let payload: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
    let agreed = ends::agree::deflate(32 << 10);
    let mut outbound = Outbound::server().with_deflate(&agreed);
    let mut input = Vec::new();
    for _ in 0..2 {
        outbound.push(MessageKind::Binary, &payload);
        while let Some(batch) = outbound.take() {
            input.extend_from_slice(batch.first());
            let written = batch.first().len();
            outbound.put_back(batch, written);
        }
    }
    let config = Config::new().deflate(agreed).max_message(2 << 20);
    let mut websocket = over(Pipe::of(&input), Role::Client, &config);
    let (mut moves, mut received) = (0, 0);
    while received < 2 {
        // Yields after each step.
        if let Some(message) = block_on(poll_once(websocket.receiver.receive())) {
            assert_eq!(ends::event(message.unwrap()), Event::Binary(payload.clone()));
            received += 1;
        }
        let parts = websocket.into_parts().unwrap();
        let parts =
            thread::spawn(move || WebSocket::from_parts_with_timer(parts, NoTimer).into_parts().unwrap());
        websocket = WebSocket::from_parts_with_timer(parts.join().unwrap(), NoTimer);
        moves += 1;
    }
    assert!(moves > 20, "{moves} steps");
}

// --- what is handed back ---------------------------------------------------------------------------------------------

#[test]
fn a_connection_that_is_closing_or_over_is_handed_back_and_close_ends_it() {
    let client_says = |opcode, payload: &[u8]| slow::frame(slow::From::Client, true, opcode, payload);
    let over = |input: &[u8]| over(Pipe::of(input), Role::Server, &Config::new());

    // The peer's Close has been read.
    let mut websocket = over(&slow::close(slow::From::Client, 1001, "bye"));
    block_on(websocket.receiver.receive()).unwrap();
    let mut websocket = websocket.into_parts().unwrap_err();
    assert_eq!(websocket.close_frame().unwrap().code(), CloseCode::GOING_AWAY);
    block_on(websocket.close()).unwrap();

    // Our Close is on its way, and more comes.
    let input = [client_says(slow::TEXT, b"more"), slow::close(slow::From::Client, 1000, "")].concat();
    let websocket = over(&input);
    websocket.sender.queue_handle().queue_close(CloseCode::NORMAL, "").unwrap();
    let mut websocket = websocket.into_parts().unwrap_err();
    let message = block_on(websocket.receiver.receive()).unwrap();
    assert_eq!(message, Incoming::Message("more".into()), "nothing is lost");
    block_on(websocket.close()).unwrap();

    // The peer broke a rule: a client masks.
    let mut websocket = over(b"\x81\x01a");
    block_on(websocket.receiver.receive()).unwrap_err();
    let websocket = websocket.into_parts().unwrap_err();
    let mut websocket = websocket.into_parts().unwrap_err();
    assert!(block_on(poll_once(websocket.close())).is_none(), "the peer is told, and waited for");
    let seen = slow::read(slow::From::Server, Limits::NONE, &websocket.get_ref().unwrap().written);
    assert_eq!(wire::close_code(&seen), Some(1002));

    // The stream has ended.
    let mut websocket = over(b"");
    websocket = {
        let mut parts = websocket.into_parts().unwrap();
        parts.stream.ended = true;
        WebSocket::from_parts_with_timer(parts, NoTimer)
    };
    block_on(websocket.receiver.receive()).unwrap_err();
    let mut websocket = websocket.into_parts().unwrap_err();
    assert!(matches!(block_on(websocket.close()), Err(Error::EndOfStream { inside_message: false })));
    // And now there is no stream at all.
    assert!(websocket.into_parts().is_err());
}

#[test]
fn halves_of_two_connections_and_a_leaked_send_are_handed_back() {
    let mut one = over(Pipe::of(b"\x81\x01a"), Role::Client, &Config::new());
    let mut two = over(Pipe::of(b"\x81\x01b"), Role::Client, &Config::new());
    std::mem::swap(&mut one.receiver, &mut two.receiver);
    let mut one = one.into_parts().unwrap_err();
    std::mem::swap(&mut one.receiver, &mut two.receiver);
    assert_eq!(receive_now(&mut one), [Event::Text("a".to_owned())]);
    assert_eq!(elsewhere(two, |mut two| receive_now(&mut two)), [Event::Text("b".to_owned())]);

    let mut pipe = Pipe::of(b"");
    pipe.room = 1000;
    let mut websocket = over(pipe, Role::Server, &Config::new());
    assert!(block_on(cut_and_leak(websocket.sender.send(&[0; 20 << 10]), 1)).is_none());
    let mut websocket = websocket.into_parts().unwrap_err();
    assert!(matches!(block_on(websocket.sender.send("cuts a frame")), Err(Error::SendLeaked)));
}

#[test]
fn a_connection_is_handed_back_while_its_stream_is_being_polled() {
    let sim = Sim::with(Chooser::seeded(1), kit::sim::Trace::default());
    let (net, stream, _peer) = SimNet::new(&sim, Net::new(Model::KeepLast).capacity(1000));
    let websocket = socket(&sim, stream, Config::new());
    let handle = websocket.sender.queue_handle();
    let (kept, refused) = (shared(Some(websocket)), Rc::new(Cell::new(0)));
    let (kept_too, refused_too) = (kept.clone(), refused.clone());
    net.reenter(move || {
        let Some(websocket) = kept_too.take() else { return };
        *kept_too.borrow_mut() = Some(websocket.into_parts().unwrap_err());
        refused_too.set(refused_too.get() + 1);
    });
    for _ in 0..50 {
        handle.queue(&EncodedFrame::text("hi")).unwrap();
    }
    assert!(refused.get() > 0, "the stream was polled");
    let websocket = kept.take().unwrap();
    let (written, queued) = (net.recorded(0), websocket.queued_bytes());
    assert!(b"\x81\x02hi".repeat(50).starts_with(&written));
    assert_eq!(written.len() + queued, 200);
    assert!(websocket.into_parts().is_ok());
}

#[test]
fn what_was_agreed_on_and_the_limits_move_and_the_handles_stay() {
    use unsync_websocket::{CorkHandle, QueueHandle, Server};

    let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: superchat, chat\r\n\r\n";
    let input = [&request[..], &slow::frame(slow::From::Client, true, slow::TEXT, b"too long")].concat();
    let websocket = block_on(async {
        let config = Config::new().max_message(7).fragment(3);
        let request = Server::with_timer(Pipe::of(&input), NoTimer).config(config).receive_request().await?;
        request.protocol("chat").accept().await
    })
    .unwrap();
    let handle: QueueHandle<_> = websocket.sender.queue_handle();
    let cork: CorkHandle<_> = websocket.cork_handle();
    let parts = websocket.into_parts().unwrap();
    assert_eq!(handle.queue(&EncodedFrame::text("?")), Err(QueueError::Closed));
    assert_eq!(handle.queued_bytes(), 0);
    assert_eq!(block_on(cork.scope(async { 7 })), 7);
    let mut websocket = WebSocket::from_parts_with_timer(parts, NoTimer);
    assert_eq!((websocket.role(), websocket.subprotocol()), (Role::Server, Some("chat")));
    websocket.sender.queue_handle().queue(&EncodedFrame::text("new handle")).unwrap();
    block_on(websocket.sender.send("12345")).unwrap();
    let frames = b"\x81\x0Anew handle\x01\x03123\x80\x0245";
    assert!(websocket.get_ref().unwrap().written.ends_with(frames));
    let end = block_on(poll_once(websocket.receiver.receive())).map(|end| end.map(drop));
    assert!(matches!(end, Some(Err(Error::Protocol(_)))), "{end:?}");
}

// --- keepalive -------------------------------------------------------------------------------------------------------

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Receives one thing, and moves each time that `polls` polls have come to nothing.
async fn receive_on_the_move(
    sim: &Sim,
    mut socket: Socket,
    every: Duration,
) -> (Socket, Result<Event, Error>) {
    loop {
        let (timer, received) =
            (sim.sleep(every), async { Some(socket.receiver.receive().await.map(ends::event)) });
        let timer = async {
            timer.await;
            None
        };
        match or(received, timer).await {
            Some(received) => return (socket, received),
            None => match socket.into_parts() {
                Ok(parts) => socket = WebSocket::from_parts_with_timer(parts, sim.timer()),
                Err(_) => panic!("nothing is wrong with it"),
            },
        }
    }
}

#[test]
fn a_silent_peer_is_found_out_in_time_by_a_connection_that_moves_more_often_than_it_pings() {
    each_seed_and_model("a_silent_peer_is_found_out_in_time_by_a_connection_that_moves", 40, |run| {
        let sim = Sim::new(run);
        let end = sim.choices().choose(2);
        let (net, server, client) = SimNet::new(&sim, Net::new(run.model).capacity(100));
        let (ours, _peer) = if end == 0 { (server, client) } else { (client, server) };
        let socket = socket(&sim, ours, Config::new().keepalive(ms(50), ms(30)));
        let clock = sim.clone();
        sim.spawn("moves", async move {
            let (_, received) = receive_on_the_move(&clock, socket, ms(7)).await;
            assert!(matches!(received, Err(Error::KeepaliveTimeout)), "{received:?}");
            assert_eq!(clock.elapsed(), ms(80));
        });
        sim.run();
        let pings = wire::check(FROM[end], &net.recorded(end)).events;
        assert!(matches!(&pings[..], [Event::Ping(_)]), "{pings:?}");
    });
}

#[test]
fn the_pong_to_a_keepalive_ping_from_before_the_move_is_known_after_it() {
    let sim = Sim::with(Chooser::seeded(1), kit::sim::Trace::default());
    let (net, stream, _peer) = SimNet::new(&sim, Net::new(Model::KeepLast).capacity(1000).quiet());
    let mut socket = socket(&sim, stream, Config::new().keepalive(ms(50), ms(30)));
    let clock = sim.clone();
    sim.spawn("moves", async move {
        for round in 1..4 {
            // The Ping leaves, the connection moves, the Pong comes.
            let waiting = async { Some(socket.receiver.receive().await.map(ends::event)) };
            let nothing = or(waiting, async {
                clock.sleep(ms(60)).await;
                None
            });
            assert!(nothing.await.is_none());
            let pings = slow::read(slow::From::Server, Limits::NONE, &net.recorded(0)).events;
            let Some(Event::Ping(payload)) = pings.last() else { panic!("{pings:?}") };
            assert_eq!(pings.len(), round);
            let parts = socket.into_parts().unwrap();
            clock.sleep(ms(15)).await;
            net.inject(1, &slow::frame(slow::From::Client, true, slow::PONG, payload));
            net.inject(1, &slow::frame(slow::From::Client, true, slow::TEXT, b"and this"));
            clock.sleep(ms(100)).await;
            // The time for the Pong is over; but it is here.
            socket = WebSocket::from_parts_with_timer(parts, clock.timer());
            let latency = socket.latency();
            assert_eq!(latency.is_some(), round > 1, "it moves along");
            assert_eq!(socket.receiver.receive().await.unwrap(), Incoming::Message("and this".into()));
            assert_eq!(socket.latency(), Some(ms(125)));
        }
    });
    sim.run();
}

// --- at random, in the simulated world -------------------------------------------------------------------------------

/// How often what was moved.
#[derive(Default)]
struct Moves {
    all: Cell<usize>,
    /// With something in the outbox.
    with_output: Cell<usize>,
}

fn one_more(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

/// Polls `future` a few times, whether it is woken or not, and drops it.
async fn briefly<R>(future: impl Future<Output = R>, polls: usize) -> Option<R> {
    let tired = async {
        for _ in 0..polls {
            yield_now().await;
        }
        None
    };
    or(cut(future, polls), tired).await
}

/// One end: sends and receives that are dropped half way, and moves between them; at the end it closes, while it receives what
/// still comes.
async fn wanders(
    mut socket: Socket,
    sim: Sim,
    lengths: (usize, usize),
    books: [Shared<Ledger>; 2],
    moves: Rc<Moves>,
) {
    let choices = sim.choices().clone();
    let [ours, theirs] = books;
    let mut data = Vec::new();
    for id in 0..8 {
        let len = choices.between(lengths.0, lengths.1);
        let polls = choices.choose(5);
        let op = choices.of(&[Op::Send(len), Op::Send(len), Op::Feed(len), Op::Ping, Op::Flush]);
        // The peer may have closed by now.
        if choices.one_in(4) {
            ours.borrow_mut().begins(id);
            let queued = socket.sender.queue_handle().queue(&EncodedFrame::binary(&ledger::binary(id, len)));
            ours.borrow_mut().became(id, if queued.is_ok() { Sent::Certainly } else { Sent::Never });
        } else {
            let performed = perform(&mut socket.sender, op, Fate::DroppedAfter(polls), id, &ours);
            if let Some(Err(error)) = briefly(performed, polls).await {
                assert!(error.is_clean_close(), "{error:?}");
            }
        }
        for _ in 0..choices.choose(3) {
            let polls = choices.between(1, 4);
            if choices.one_in(2) {
                match briefly(socket.receiver.receive(), polls).await {
                    Some(Ok(Incoming::Message(message))) => enter(&mut theirs.borrow_mut(), message),
                    Some(Err(error)) => assert!(error.is_clean_close(), "{error:?}"),
                    _ => {}
                }
            } else {
                data.clear();
                match briefly(socket.receiver.receive_data(&mut data), polls).await {
                    Some(Ok(_)) => theirs.borrow_mut().receives_binary(&data),
                    Some(Err(error)) => assert!(error.is_clean_close(), "{error:?}"),
                    None => {}
                }
            }
        }
        let queued = socket.queued_bytes();
        socket = match socket.into_parts() {
            Ok(parts) => {
                one_more(&moves.all);
                if queued > 0 {
                    one_more(&moves.with_output);
                }
                if choices.one_in(2) {
                    yield_now().await;
                }
                WebSocket::from_parts_with_timer(parts, sim.timer())
            }
            Err(socket) => {
                assert!(socket.close_frame().is_some());
                socket
            }
        };
        assert_eq!(socket.queued_bytes(), queued);
    }
    let (mut sender, receiver) = socket.split();
    let close = async move {
        let closed = sender.close().await;
        closed.unwrap();
        sender
    };
    let (_, (mut receiver, error)) = zip(close, receive_all(receiver, Some(theirs))).await;
    assert!(error.is_clean_close(), "{error:?}");
    receiver.close().await.unwrap();
}

#[test]
fn connections_that_move_at_random_lose_double_and_reorder_nothing() {
    let moves = Rc::new(Moves::default());
    each_seed_and_model("connections_that_move_at_random_lose_double_and_reorder_nothing", 1_000, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let large = choices.one_in(4);
        let capacity = if large { choices.of(&[2000, 9000]) } else { choices.of(&[6, 50, 300]) };
        let fragment = if large { choices.of(&[3000, 64 << 10]) } else { choices.of(&[10, 64 << 10]) };
        let config = Config::new().fragment(fragment).outbox(choices.of(&[1, 200, 64 << 10]));
        let config = maybe_deflate(config, &choices);
        let (net, sockets) = pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
        let lengths = (8, if large { 40 << 10 } else { 150 });
        let books = [shared(Ledger::default()), shared(Ledger::default())];
        for (end, socket) in sockets.into_iter().enumerate() {
            let books = [books[end].clone(), books[1 - end].clone()];
            sim.spawn(["server", "client"][end], wanders(socket, sim.clone(), lengths, books, moves.clone()));
        }
        sim.run_in_no_time();
        for (end, book) in books.iter().enumerate() {
            book.borrow().settle();
            wire::check_closed(FROM[end], &net.recorded(end));
        }
    });
    let (all, with_output) = (moves.all.get(), moves.with_output.get());
    assert!(is_replay() || with_output > 1_000 && all > with_output + 1_000, "{with_output} of {all}");
}

// --- real threads, real sockets --------------------------------------------------------------------------------------

/// A server's socket and a client's, which hold a few kilobytes.
#[cfg(any(feature = "async-io", feature = "tokio"))]
fn sockets() -> [std::net::TcpStream; 2] {
    use socket2::{Domain, SockRef, Socket, Type};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    for socket in [SockRef::from(&listener), SockRef::from(&client)] {
        socket.set_tcp_mss(1000).unwrap();
        socket.set_send_buffer_size(8 << 10).unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
    }
    client.connect(&listener.local_addr().unwrap().into()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let streams = [server, client.into()];
    for stream in &streams {
        stream.set_nodelay(true).unwrap();
    }
    streams
}

/// Runs `test` on a thread of its own.
///
/// # Panics
///
/// When it does, and when it takes longer than a minute: the thread is then left to itself.
#[cfg(any(feature = "async-io", feature = "tokio"))]
fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    let late =
        is_done.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
    assert!(!late, "it does not end");
    thread.join().unwrap();
}

#[cfg(feature = "async-io")]
mod on_threads {
    use std::net::TcpStream;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use async_io::Async;
    use unsync_websocket::Message;

    use super::*;

    /// How often the connection moves, and how many messages of the client are under way.
    const MOVES: u32 = 100;
    const UNDER_WAY: u32 = 32;

    type Connection = WebSocket<Async<TcpStream>>;

    /// What goes to the other thread: the connection, and how often it has moved.
    type Move = (WebSocketParts<Async<TcpStream>>, u32);

    /// One of the two threads: echoes some messages and hands the connection on, until the client closes. Says how many it has
    /// echoed, all in all.
    fn thread_of_a_room(seed: u64, incoming: &Receiver<Move>, outgoing: &SyncSender<Move>) -> u32 {
        let choices = Chooser::seeded(seed);
        let mut echoed = 0;
        while let Ok((parts, moves)) = incoming.recv() {
            let mut websocket = WebSocket::from_parts(parts);
            match async_io::block_on(stay(&mut websocket, &choices, moves, &mut echoed)) {
                Ok(()) => outgoing.send((websocket.into_parts().unwrap(), moves + 1)).unwrap(),
                Err(error) => {
                    assert!(error.is_clean_close(), "{error:?}");
                    async_io::block_on(websocket.close()).unwrap();
                    break;
                }
            }
        }
        echoed
    }

    /// Says how often it has moved, and echoes a few messages; after the last move, to the end.
    async fn stay(
        websocket: &mut Connection,
        choices: &Chooser,
        moves: u32,
        echoed: &mut u32,
    ) -> Result<(), Error> {
        websocket.sender.send(&moves.to_string()).await?;
        let mut left = choices.choose(30);
        loop {
            let receive = websocket.receiver.receive();
            let incoming = if left > 0 || moves == MOVES {
                receive.await?
            } else {
                // This may leave a part of a message with us.
                let Some(incoming) = poll_once(receive).await else { return Ok(()) };
                incoming?
            };
            if let Incoming::Message(message) = incoming {
                // Some is in the outbox when we leave, and some of that half written.
                if choices.one_in(2) {
                    websocket.sender.send(message).await?;
                } else {
                    websocket.sender.feed(message).await?;
                }
                *echoed += 1;
            }
            if left == 0 && moves < MOVES {
                return Ok(());
            }
            left = left.saturating_sub(1);
        }
    }

    /// The client: keeps messages under way, and sees each come back once and in its turn, and the server's own in theirs. Says
    /// how many it has sent.
    async fn talk(websocket: Connection) -> u32 {
        let (mut sender, mut receiver) = websocket.split();
        let (sent, received, moves) = (Cell::new(0), Cell::new(0), Cell::new(None));
        let answered = kit::signal::Signal::default();
        answered.reach(0);
        let send = async {
            while moves.get() != Some(MOVES) {
                let id = sent.get();
                sender.send(&ledger::binary(id, 8 + (id as usize * 37) % 900)).await.unwrap();
                sent.set(id + 1);
                answered.wait_for((id + 1).saturating_sub(UNDER_WAY)).await;
            }
            answered.wait_for(sent.get()).await;
            sender.close().await.unwrap();
        };
        let receive = async {
            loop {
                match receiver.receive().await {
                    Ok(Incoming::Message(Message::Binary(data))) => {
                        assert_eq!(ledger::binary_id(data), received.get());
                        received.set(received.get() + 1);
                        answered.reach(received.get());
                    }
                    Ok(Incoming::Message(Message::Text(text))) => {
                        let next = moves.get().map_or(0, |moves| moves + 1);
                        assert_eq!(text, next.to_string());
                        moves.set(Some(next));
                    }
                    Ok(other) => assert!(matches!(other, Incoming::Close(_)), "{other:?}"),
                    Err(error) => break assert!(error.is_clean_close(), "{error:?}"),
                }
            }
        };
        zip(send, receive).await;
        assert_eq!((received.get(), moves.get()), (sent.get(), Some(MOVES)));
        sent.get()
    }

    fn moves_a_hundred_times(config: &Config) {
        let websocket = |(stream, role)| {
            WebSocket::from_handshaken(Async::new(stream).unwrap(), role, config.clone(), Vec::new())
        };
        let [server, client] = sockets();
        let (to_one, one) = sync_channel::<Move>(1);
        let (to_two, two) = sync_channel::<Move>(1);
        to_one.send((websocket((server, Role::Server)).into_parts().unwrap(), 0)).unwrap();
        let (first, second) = (
            thread::spawn(move || thread_of_a_room(1, &one, &to_two)),
            thread::spawn(move || thread_of_a_room(2, &two, &to_one)),
        );
        let sent = async_io::block_on(talk(websocket((client, Role::Client))));
        let echoed = [first, second].map(|thread| thread.join().unwrap());
        assert_eq!(echoed[0] + echoed[1], sent, "{echoed:?}");
        assert!(echoed.iter().all(|echoed| *echoed > 200), "both have their part: {echoed:?}");
    }

    #[test]
    fn a_connection_moves_a_hundred_times_between_two_threads_while_both_sides_talk() {
        within_a_minute(|| moves_a_hundred_times(&Config::new()));
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn a_compressed_connection_moves_a_hundred_times_between_two_threads_while_both_sides_talk() {
        let config = Config::new().deflate(ends::agree::deflate(32 << 10).threshold(0));
        within_a_minute(move || moves_a_hundred_times(&config));
    }
}

/// Streams that belong to something of their thread's, and so go from thread to thread as streams of std.
#[cfg(any(all(feature = "local", unix), feature = "tokio"))]
mod as_streams_of_std {
    use std::net::TcpStream;

    use super::*;

    /// What a thread has for its sockets.
    trait Runtime {
        type Stream: ends::Stream;

        fn block_on<F: Future>(future: F) -> F::Output;
        fn of(stream: TcpStream) -> Self::Stream;
        fn into_std(stream: Self::Stream) -> TcpStream;
        fn from_parts(parts: WebSocketParts<Self::Stream>) -> WebSocket<Self::Stream>;
    }

    #[cfg(feature = "tokio")]
    struct OnTokio;

    #[cfg(feature = "tokio")]
    impl Runtime for OnTokio {
        type Stream = unsync_websocket::TokioStream<tokio::net::TcpStream>;

        fn block_on<F: Future>(future: F) -> F::Output {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
        }

        fn of(stream: TcpStream) -> Self::Stream {
            stream.set_nonblocking(true).unwrap();
            Self::Stream::new(tokio::net::TcpStream::from_std(stream).unwrap())
        }

        fn into_std(stream: Self::Stream) -> TcpStream {
            stream.into_inner().into_std().unwrap()
        }

        fn from_parts(parts: WebSocketParts<Self::Stream>) -> WebSocket<Self::Stream> {
            WebSocket::from_parts_on_tokio(parts)
        }
    }

    #[cfg(all(feature = "local", unix))]
    struct Local;

    #[cfg(all(feature = "local", unix))]
    impl Runtime for Local {
        type Stream = unsync_websocket::local::TcpStream;

        fn block_on<F: Future>(future: F) -> F::Output {
            async_io::block_on(unsync_websocket::local::run(future)).unwrap()
        }

        fn of(stream: TcpStream) -> Self::Stream {
            Self::Stream::new(stream).unwrap()
        }

        fn into_std(stream: Self::Stream) -> TcpStream {
            stream.into_inner()
        }

        fn from_parts(parts: WebSocketParts<Self::Stream>) -> WebSocket<Self::Stream> {
            WebSocket::from_parts(parts)
        }
    }

    fn packed<R: Runtime>(websocket: WebSocket<R::Stream>) -> WebSocketParts<TcpStream> {
        let WebSocketParts { stream, state } = websocket.into_parts().unwrap();
        WebSocketParts { stream: R::into_std(stream), state }
    }

    fn unpacked<R: Runtime>(parts: WebSocketParts<TcpStream>) -> WebSocket<R::Stream> {
        let WebSocketParts { stream, state } = parts;
        R::from_parts(WebSocketParts { stream: R::of(stream), state })
    }

    /// On a thread and a runtime of its own, echoes `count` messages, and leaves what is not written by then to the next.
    fn echo_some<R: Runtime>(parts: WebSocketParts<TcpStream>, count: usize) -> WebSocketParts<TcpStream> {
        let work = || {
            R::block_on(async {
                let mut websocket = unpacked::<R>(parts);
                for _ in 0..count {
                    let Incoming::Message(message) = websocket.receiver.receive().await.unwrap() else {
                        panic!("not yet");
                    };
                    websocket.sender.feed(message).await.unwrap();
                }
                packed::<R>(websocket)
            })
        };
        thread::scope(|scope| scope.spawn(work).join().unwrap())
    }

    fn moves_from_thread_to_thread<R: Runtime>() {
        const MESSAGES: u32 = 200;
        let [server, client] = sockets();
        let client = thread::spawn(move || {
            R::block_on(async {
                let client = over(R::of(client), Role::Client, &Config::new());
                let (mut sender, mut receiver) = client.split();
                let send = async {
                    for id in 0..MESSAGES {
                        sender.send(&ledger::binary(id, 8 + id as usize)).await.unwrap();
                    }
                };
                let receive = async {
                    for id in 0..MESSAGES {
                        let mut data = Vec::new();
                        receiver.receive_data(&mut data).await.unwrap();
                        assert_eq!(ledger::binary_id(&data), id);
                    }
                };
                zip(send, receive).await;
                receiver.close().await.unwrap();
            });
        });
        let mut parts = R::block_on(async { packed::<R>(over(R::of(server), Role::Server, &Config::new())) });
        for _ in 0..10 {
            parts = echo_some::<R>(parts, MESSAGES as usize / 10);
        }
        R::block_on(async {
            let mut websocket = unpacked::<R>(parts);
            assert!(matches!(websocket.receiver.receive().await, Ok(Incoming::Close(_))));
            websocket.close().await.unwrap();
        });
        client.join().unwrap();
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_tokio_stream_moves_from_one_runtime_to_another() {
        within_a_minute(moves_from_thread_to_thread::<OnTokio>);
    }

    #[cfg(all(feature = "local", unix))]
    #[test]
    fn a_local_stream_moves_from_one_poller_to_another() {
        within_a_minute(moves_from_thread_to_thread::<Local>);
    }
}
