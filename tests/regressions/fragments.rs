//! Messages in fragments (RFC 6455, section 5.4).

use futures_lite::future::block_on;
use unsync_websocket::{
    Client, Config, EncodedFrame, Error, HandshakeError, Incoming, NoTimer, ProtocolError,
};
use unsync_websocket_test_alloc::Scope;

use crate::ends::agree::Stream;
use crate::kit::flood::{self, Flood, Hand, Then};
use crate::kit::script::each_cut_in_two_and_three;
use crate::kit::slow::{self, BINARY, CONTINUATION, Event, From, Limits, PING, TEXT};
use crate::server::Server;
use crate::{BOTH, closed_with, declares, facing, fault, server, tell, warm};

/// A client that begins a message and goes on with `fragment` for ever.
fn endless(opcode: u8, fragment: &[u8]) -> (Flood, std::rc::Rc<flood::Seen>) {
    let first = slow::frame(From::Client, false, opcode, b"");
    let next = slow::frame(From::Client, false, CONTINUATION, fragment);
    Flood::of(Then::Waits, &first, &next, u64::MAX)
}

/// The error that ends a message without end, and the code that the peer is told; and how many bytes the heap held at most.
fn end_of(peer: (Flood, std::rc::Rc<flood::Seen>), config: Config) -> (Error, u16, isize) {
    let (peer, seen) = peer;
    let scope = Scope::new();
    let mut socket = facing(From::Client, peer, config);
    let (events, error) = tell(&mut socket);
    let peak = scope.peak();
    assert!(events.is_empty());
    let _waits = flood::run(socket.close());
    (error.unwrap(), closed_with(From::Client, &seen), peak)
}

/// Netty: text was gathered from continuation frames without a limit.
#[test]
fn cve_2014_0193_a_text_without_end_ends_at_the_limit() {
    warm();
    let config = Config::new().max_message(100_000).max_fragments(u32::MAX);
    let (error, code, peak) = end_of(endless(TEXT, &[b'a'; 1000]), config);
    assert!(matches!(error, Error::Protocol(ProtocolError::MessageTooBig { len: 101_000, max: 100_000 })));
    assert_eq!(code, 1009);
    assert!(peak < 2 * 100_000 + (64 << 10), "{peak} bytes");
}

/// ws < 8.21.0 (GHSA-96hv-2xvq-fx4p): an object was kept for every tiny fragment.
#[test]
fn cve_2026_48779_tiny_fragments() {
    warm();
    let (error, code, _) = end_of(endless(BINARY, b"x"), Config::new());
    assert!(matches!(error, Error::Protocol(ProtocolError::TooManyFragments { max: 4096 })));
    assert_eq!(code, 1009);
    // Without that limit a fragment costs its payload and nothing else.
    let first = slow::frame(From::Client, false, BINARY, b"");
    let next = slow::frame(From::Client, false, CONTINUATION, b"x");
    let (peer, seen) = Flood::of(Then::Waits, &first, &next, 100_000);
    let mut socket = facing(From::Client, peer, Config::new().max_fragments(u32::MAX));
    let scope = Scope::new();
    assert!(tell(&mut socket).1.is_none());
    assert!(seen.silent.get());
    assert!(scope.live() < 2 * 100_000 + 4096, "{} bytes for 100,000 of payload", scope.live());
}

/// ws: empty fragments were not counted.
#[test]
fn ws_2329_empty_fragments_count() {
    let (error, code, _) = end_of(endless(TEXT, b""), Config::new());
    assert!(matches!(error, Error::Protocol(ProtocolError::TooManyFragments { max: 4096 })));
    assert_eq!(code, 1009);
}

/// ws: within its limits, 0.87 MB on the wire held 13.5 MB.
#[test]
fn ws_2331_a_byte_on_the_wire_holds_no_fifteen() {
    warm();
    for payload in [&b""[..], b"x", &[b'x'; 100]] {
        let first = slow::frame(From::Client, false, BINARY, b"");
        let next = slow::frame(From::Client, false, CONTINUATION, payload);
        let (peer, seen) = Flood::of(Then::Waits, &first, &next, 4095);
        let mut socket = facing(From::Client, peer, Config::new());
        let scope = Scope::new();
        assert!(tell(&mut socket).1.is_none());
        let most = 3 * seen.said.get() as isize;
        assert!(scope.live() <= most && scope.peak() <= most + (64 << 10), "{} of {most}", scope.live());
    }
}

/// undici: the limit was held against each frame, an empty first fragment was mishandled, and not all ways to read had limits.
#[test]
fn undici_the_limit_is_for_the_sum_of_all_fragments() {
    let limits = Limits { max_message: 1000, ..Limits::NONE };
    for from in BOTH {
        for first in [0, 1, 600] {
            let begin = slow::frame(from, false, BINARY, &vec![1; first]);
            let most = slow::frame(from, true, CONTINUATION, &vec![1; 1000 - first]);
            let (peer, _) = Flood::saying(&[begin.clone(), most].concat());
            let mut socket = facing(from, peer, crate::config(limits));
            assert_eq!(tell(&mut socket).0, [Event::Binary(vec![1; 1000])]);

            let too_much = slow::frame(from, true, CONTINUATION, &vec![1; 1001 - first]);
            let (error, code) = fault(from, limits, &[begin, too_much].concat());
            assert_eq!(code, 1009);
            assert!(matches!(
                error,
                ProtocolError::MessageTooBig { len: 1001, max: 1000 }
                    | ProtocolError::FrameTooBig { len: 1001, .. }
            ));
        }
    }
}

/// Bandit: continuation frames without end, and a huge frame that dribbles in.
#[test]
fn cve_2026_42786_a_frame_past_the_limit_is_refused_by_its_header() {
    let (mut socket, seen) = server(&declares(From::Client, 0x82, (1 << 20) + 1), Config::new());
    let (_, error) = tell(&mut socket);
    assert!(matches!(error, Some(Error::Protocol(ProtocolError::FrameTooBig { max: 1_048_576, .. }))));
    let _waits = flood::run(socket.close());
    assert_eq!(closed_with(From::Client, &seen), 1009, "before a byte of it came");
}

/// hackney: bytes of the handshake's answer without end.
#[test]
fn cve_2026_47073_an_answer_without_end_ends_at_its_limit() {
    for (endless, max_head) in
        [(&b"x"[..], 16 << 10), (b"X: y\r\n", 16 << 10), (b"HTTP/1.1 100 Continue\r\n\r\n", 0)]
    {
        let answer = [b"HTTP/1.1 101 Switching Protocols\r\nX: ", &endless.repeat(100_000)[..]].concat();
        let answer = if max_head == 0 { endless.repeat(100_000) } else { answer };
        let (server, seen) = Server::of(&answer);
        let scope = Scope::new();
        let error = block_on(Client::with_timer(server, "example.com", "/", NoTimer).connect()).unwrap_err();
        let peak = scope.peak();
        assert!(
            matches!(error, HandshakeError::HeadTooLong { .. } | HandshakeError::TooManyHeaders { .. }),
            "{error:?}"
        );
        // The wire's own copy of the answer, twice, and what we made of it.
        assert!(peak < 3 * answer.len() as isize + (128 << 10), "{peak} bytes");
        assert!(seen.lock().unwrap().dropped);
    }
}

/// fastwebsockets: of its two ways to gather fragments, the one for split connections limited each frame only.
#[test]
fn fastwebsockets_100_a_split_connection_has_the_same_limits() {
    let (peer, seen) = endless(BINARY, &[1; 600]);
    let (mut sender, mut receiver) = facing(From::Client, peer, Config::new().max_message(1000)).split();
    let mut data = Vec::new();
    let error = flood::run(receiver.receive_data(&mut data)).unwrap().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::MessageTooBig { len: 1200, max: 1000 })));
    let _waits = flood::run(sender.close());
    assert_eq!(closed_with(From::Client, &seen), 1009);
}

/// h2: a flood of CONTINUATION frames kept the thread busy.
#[test]
fn rustsec_2024_0332_a_flood_of_continuations_leaves_the_thread_to_others() {
    let (peer, seen) = endless(BINARY, b"");
    let mut socket = facing(From::Client, peer, Config::new().max_fragments(u32::MAX));
    let hand = Hand::new();
    let mut receive = std::pin::pin!(socket.receiver.receive());
    for poll in 1..1000 {
        assert!(hand.poll(receive.as_mut()).is_pending());
        assert_eq!(hand.wakes(), 1, "it asks for its next turn");
        // At most 64 frames of six bytes a poll; reads are of 64 KiB.
        assert!(seen.said.get() <= poll * 64 * 6 + (64 << 10), "{} bytes in {poll} polls", seen.said.get());
    }
}

/// h2: empty DATA frames were queued without a limit.
#[test]
fn rustsec_2026_0258_empty_frames_are_not_kept() {
    warm();
    let empty = slow::frame(From::Client, true, BINARY, b"");
    let (peer, _) = Flood::of(Then::Waits, &empty, &empty, 50_000);
    let mut socket = facing(From::Client, peer, Config::new());
    let scope = Scope::new();
    // Nobody takes them out; so nothing is read past the first.
    assert!(matches!(flood::run(socket.receiver.receive()), Some(Ok(Incoming::Message(_)))));
    assert!(scope.live() <= 128 << 10, "{} bytes", scope.live());
    for _ in 0..50_000 {
        assert!(matches!(flood::run(socket.receiver.receive()), Some(Ok(Incoming::Message(_)))));
    }
    assert!(flood::run(socket.receiver.receive()).is_none());
    assert!(scope.live() <= 1024, "{} bytes", scope.live());
}

/// Undertow: a continuation was read as something else when it came in pieces.
#[test]
fn cve_2021_3859_fragments_and_pings_at_every_cut() {
    for from in BOTH {
        let bytes = [
            slow::frame(from, false, TEXT, "né".as_bytes()),
            slow::frame(from, true, PING, b"p"),
            slow::frame(from, false, CONTINUATION, b""),
            slow::frame(from, true, CONTINUATION, b"e"),
            slow::frame(from, true, BINARY, b"b"),
        ]
        .concat();
        let stream = Stream::new(from, Limits::NONE, bytes);
        each_cut_in_two_and_three(stream.bytes.len(), |cuts| stream.core_agrees(&cuts));
    }
}

/// Bun: a Close in two TCP segments was a panic.
#[test]
fn bun_23832_a_close_at_every_cut() {
    for from in BOTH {
        let stream = Stream::new(from, Limits::NONE, slow::close(from, 1001, "going away"));
        for cut in 1..stream.bytes.len() {
            stream.receive_agrees(vec![cut], usize::MAX);
            stream.receive_data_agrees(vec![cut]);
        }
    }
}

/// python websockets 16.1: RSV1 on a continuation was taken for a compressed message; and to print a fragment of text, cut inside
/// a character, was an exception.
#[test]
fn python_websockets_16_1_fragments_are_not_compressed_and_can_be_printed() {
    for from in BOTH {
        for window in [None, Some(0)] {
            let limits = Limits { deflate: window.filter(|_| cfg!(feature = "deflate")), ..Limits::NONE };
            let begin = slow::frame(from, false, TEXT, b"a");
            let bytes = [begin, slow::raw_frame(from, 0xC0, b"b")].concat();
            assert_eq!(fault(from, limits, &bytes), (ProtocolError::ReservedBit, 1002));
        }
    }
    // We show no payload, whole or cut.
    let cut = slow::frame(From::Client, false, TEXT, &"é".as_bytes()[..1]);
    let (mut socket, _) = server(&cut, Config::new());
    assert!(tell(&mut socket).1.is_none());
    let shown = format!("{socket:?} {:?} {:?}", EncodedFrame::text("é"), Incoming::Pong(&[0xC3]));
    assert!(!shown.contains("195") && !shown.contains('é'), "{shown}");
}
