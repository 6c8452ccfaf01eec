//! permessage-deflate (RFC 7692).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use flate2::{Compress, Compression, FlushCompress};
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future::block_on;
use unsync_websocket::{Client, Config, Deflate, EncodedFrame, Error, Incoming};
use unsync_websocket::{NoTimer, ProtocolError, Role, Server, WebSocket};
use unsync_websocket_test_alloc::Scope;

use crate::ends::agree::Stream;
use crate::kit::flood::{self, Flood, Then};
use crate::kit::slow::{self, Event, From, Limits};
use crate::server::{Server as Answers, switching};
use crate::wire::{Reply, Wire, upgrade};
use crate::{closed_with, facing, server, tell, warm};

/// `data` compressed as one message, without its end (RFC 7692, section 7.2.1).
fn packed(data: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut packed = Vec::with_capacity(data.len() + 1000);
    compress.compress_vec(data, &mut packed, FlushCompress::Sync).unwrap();
    packed.truncate(packed.len() - 4);
    packed
}

/// A compressed message of so many zeros, in one frame of a client.
fn bomb(len: usize) -> Vec<u8> {
    slow::raw_frame(From::Client, 0xC2, &packed(&vec![0; len]))
}

fn with_deflate() -> Config {
    Config::new().deflate(Deflate::new())
}

/// The error that `bytes` end with, the code that the client is told, and the most that the heap held.
fn end_of(bytes: &[u8], config: Config) -> (Error, u16, isize) {
    warm();
    let (mut socket, seen) = server(bytes, config);
    let scope = Scope::new();
    let (events, error) = tell(&mut socket);
    assert!(events.is_empty());
    let peak = scope.peak();
    let _waits = flood::run(socket.close());
    (error.unwrap(), closed_with(From::Client, &seen), peak)
}

fn is_too_big(error: &Error) -> bool {
    matches!(error, Error::Protocol(ProtocolError::MessageTooBig { max: 1_048_576, .. }))
}

/// python websockets < 5.0 (and uws, CVE-2016-10544; Tornado, pull request 2391): a small frame inflated to gigabytes.
#[test]
fn cve_2018_1000518_and_cve_2016_10544_a_bomb_ends_at_the_limit() {
    let bytes = bomb(64 << 20);
    assert!(bytes.len() < 80 << 10);
    let (error, code, _) = end_of(&bytes, with_deflate());
    assert!(is_too_big(&error), "{error:?}");
    assert_eq!(code, 1009);
}

/// websocket-driver (and NATS, CVE-2026-27571; Bandit, CVE-2026-39804; undici; reactor-netty 3108; http4s-netty 810): the limit was
/// held against the compressed size.
#[test]
fn cve_2026_54464_cve_2026_27571_and_cve_2026_39804_the_limit_is_for_the_inflated_size() {
    // At the limit it is taken, one byte past it is not, and in fragments it is the same.
    let (mut socket, _) = server(&bomb(1 << 20), with_deflate());
    assert!(matches!(&tell(&mut socket).0[..], [Event::Binary(data)] if data.len() == 1 << 20));
    assert!(is_too_big(&end_of(&bomb((1 << 20) + 1), with_deflate()).0));
    let packed = packed(&vec![0; (1 << 20) + 1]);
    let (first, last) = packed.split_at(10);
    let bytes =
        [slow::raw_frame(From::Client, 0x42, first), slow::raw_frame(From::Client, 0x80, last)].concat();
    assert!(is_too_big(&end_of(&bytes, with_deflate()).0));
}

/// soketto 0.8.1: 63 KiB on the wire, a limit of 1 MiB, 96 MiB of heap.
#[test]
fn soketto_0_8_1_a_bomb_does_not_cost_more_than_a_message() {
    let (_, _, peak) = end_of(&bomb(64 << 20), with_deflate());
    // The limit, the buffer it is copied from as it grows, the window, and the compressed bytes.
    assert!(peak < (2 << 20) + (256 << 10), "{peak} bytes");
}

/// undici: `server_max_window_bits=1000` passed for digits, and zlib's exception ended the process.
#[test]
fn cve_2026_2229_windows_of_any_size_are_judged() {
    let values = (0..=300).map(|bits| bits.to_string()).chain(
        [
            "",
            "\"\"",
            "-8",
            "+8",
            "08",
            "015",
            "8.0",
            "0x8",
            "\"8\"",
            "\"1000\"",
            "8 ",
            "99999999999999999999",
            "\u{e9}",
        ]
        .map(str::to_owned),
    );
    for value in values {
        for name in [
            "server_max_window_bits",
            "client_max_window_bits",
            "server_no_context_takeover",
            "client_no_context_takeover",
        ] {
            let lines = format!("Sec-WebSocket-Extensions: permessage-deflate; {name}={value}\r\n");
            let is_window =
                name.ends_with("bits") && matches!(value.trim().trim_matches('"').parse(), Ok(8..=15_u8));
            let plain = value.trim_matches('"').trim();
            let proper = is_window && !plain.starts_with(['0', '+']);

            let (wire, seen) = Wire::of(&upgrade("/", &lines));
            let accepted = block_on(Server::with_timer(wire, NoTimer).config(with_deflate()).accept());
            let reply = Reply::parse(&seen.lock().unwrap().written);
            assert_eq!(reply.status == 101, accepted.is_ok(), "{lines}");
            let agreed = accepted.is_ok_and(|websocket| websocket.deflate().is_some());
            assert_eq!(agreed, proper, "{lines}");

            let (server, _) = Answers::of(&switching(&lines));
            let client = Client::with_timer(server, "example.com", "/", NoTimer);
            let wants = Deflate::new().server_no_context_takeover(false).client_no_context_takeover(false);
            let connected = block_on(client.config(Config::new().deflate(wants)).connect());
            assert_eq!(connected.is_ok(), proper, "{lines}");
        }
    }
}

/// zlib-rs < 0.4: a crafted stream overflowed the stack.
#[test]
fn rustsec_2024_0401_any_stream_fits_a_small_stack() {
    let work = || {
        let mut state = 1_u64;
        let mut byte = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        // The shortest final blocks, empty stored blocks, and noise that begins as each kind of block.
        let mut streams = vec![[0x03, 0x00].repeat(100_000), [0, 0, 0, 0xFF, 0xFF].repeat(50_000)];
        streams.extend((0..600).map(|n| (0..n).map(|_| byte()).collect()));
        streams
            .extend((0..600_usize).map(|n| [vec![(n % 8) as u8], (0..n).map(|_| byte()).collect()].concat()));
        for stream in streams {
            let (peer, _) = Flood::of(Then::Ends, &slow::raw_frame(From::Client, 0xC2, &stream), &[], 0);
            assert!(tell(&mut facing(From::Client, peer, with_deflate())).1.is_some());
        }
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
}

/// Jetty: the native inflater leaked (7351), the last message stayed with each connection (13029), and a large message hung when
/// the inflater needed another pass (293).
#[test]
fn jetty_293_7351_and_13029_large_messages_come_whole_and_nothing_is_kept() {
    warm();
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8 % 13).collect();
    let frame = slow::raw_frame(From::Client, 0xC2, &packed(&data));
    let run = || {
        let (peer, seen) = Flood::saying(&frame);
        let scope = Scope::new();
        let mut socket = facing(From::Client, peer, with_deflate().max_message(4 << 20));
        let came = match flood::run(socket.receiver.receive()) {
            Some(Ok(Incoming::Message(message))) => message.as_bytes() == data,
            other => panic!("{other:?}"),
        };
        assert!(came, "another message came");
        assert!(flood::run(socket.receiver.receive()).is_none());
        assert!(seen.silent.get());
        let (while_idle, _) = (scope.live(), drop(socket));
        (while_idle, scope.live())
    };
    // What the thread keeps for all its connections is made by the first.
    run();
    let (while_idle, after) = run();
    assert!(while_idle < 2048, "an idle connection holds {while_idle} bytes");
    // The peer's own buffer was there before.
    assert!(after <= 0, "{after} bytes are left");
}

/// coder/websocket 2023: contexts that are kept were kept wrongly.
#[test]
fn coder_2023_contexts_are_kept_in_every_window() {
    let text = "the same again, with something in front of it; ".repeat(40);
    for bits in 8..=15 {
        for role in [Role::Server, Role::Client] {
            let deflate = Deflate::new()
                .threshold(0)
                .server_no_context_takeover(false)
                .client_no_context_takeover(false)
                .server_max_window_bits(bits)
                .client_max_window_bits(bits);
            let (peer, seen) = Flood::saying(&[]);
            let config = Config::new().deflate(deflate);
            let mut socket = WebSocket::with_timer(peer, role, config.clone(), Vec::new(), NoTimer);
            for _ in 0..4 {
                flood::run(socket.sender.send(&text)).unwrap().unwrap();
            }
            let (from, other) = match role {
                Role::Server => (From::Server, Role::Client),
                Role::Client => (From::Client, Role::Server),
            };
            let wire = seen.written.take();
            let expected = vec![Event::Text(text.clone()); 4];
            let model = slow::read(from, Limits::NONE.with_deflate(1 << bits), &wire);
            assert_eq!(model.events, expected, "{role:?} with {bits} bits");
            let (peer, _) = Flood::saying(&wire);
            let mut reader = WebSocket::with_timer(peer, other, config, Vec::new(), NoTimer);
            assert_eq!(tell(&mut reader).0, expected, "{other:?} with {bits} bits");
        }
    }
}

/// A stream that looks at the buffer it is given, behind the most that it brought itself.
struct Looks(Flood, usize);

impl AsyncRead for Looks {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let others = buf.get(self.1..).unwrap_or_default();
        assert!(others.iter().all(|byte| *byte == 0), "somebody's bytes are in the buffer");
        let count = std::task::ready!(Pin::new(&mut self.0).poll_read(cx, buf))?;
        self.1 = self.1.max(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Looks {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// libp2p-deflate (and tungstenite 0.26.0): a reader was given memory that nobody had written to.
#[test]
fn rustsec_2020_0123_a_stream_sees_no_memory_of_others() {
    for secret in [bomb(100_000), slow::frame(From::Client, true, slow::BINARY, &[7; 100_000])] {
        let (peer, _) = Flood::of(Then::Ends, &secret, &secret, 3);
        let mut socket =
            WebSocket::with_timer(Looks(peer, 0), Role::Server, with_deflate(), Vec::new(), NoTimer);
        let mut messages = 0;
        while let Some(Ok(_)) = flood::run(socket.receiver.receive()) {
            messages += 1;
        }
        assert_eq!(messages, 4);
    }
}

/// CRIME and BREACH: where a secret and what an attacker chose share a window, lengths tell the secret.
#[test]
fn crime_and_breach_no_window_is_shared_unless_asked_for() {
    // Off by default.
    let offer = upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let (wire, _) = Wire::of(&offer);
    assert_eq!(block_on(Server::with_timer(wire, NoTimer).accept()).unwrap().deflate(), None);
    // Where it is on, a message forgets the one before; and one with a secret can be left as it is.
    let (peer, seen) = Flood::saying(&[]);
    let mut socket = WebSocket::with_timer(peer, Role::Server, with_deflate(), Vec::new(), NoTimer);
    let text = "token=c2VjcmV0 ".repeat(100);
    let mut lengths = Vec::new();
    for _ in 0..2 {
        flood::run(socket.sender.send(&text)).unwrap().unwrap();
        lengths.push(seen.written.take().len());
    }
    assert_eq!(lengths[0], lengths[1], "nothing is known of the first message");
    flood::run(socket.sender.send(&text).uncompressed()).unwrap().unwrap();
    assert_eq!(seen.written.take(), slow::frame(From::Server, true, slow::TEXT, text.as_bytes()));
    socket.sender.queue_handle().queue(&EncodedFrame::text(&text).uncompressed()).unwrap();
    assert_eq!(seen.written.take(), slow::frame(From::Server, true, slow::TEXT, text.as_bytes()));
}

/// python websockets 16.1: wrongly fragmented compressed messages were accepted.
#[test]
fn python_websockets_16_1_only_the_first_fragment_says_that_it_is_compressed() {
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    for (first, second, good) in [(0x41, 0x80, true), (0x41, 0xC0, false), (0x01, 0xC0, false)] {
        let bytes = [
            slow::raw_frame(From::Client, first, &hello[..3]),
            slow::raw_frame(From::Client, second, &hello[3..]),
        ]
        .concat();
        let stream = Stream::new(From::Client, Limits::NONE.with_deflate(0), bytes);
        stream.core_agrees(&[]);
        assert_eq!(stream.seen.events == [Event::Text("Hello".to_owned())], good);
    }
}
