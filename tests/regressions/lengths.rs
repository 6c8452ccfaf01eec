//! Payload lengths and arithmetic (RFC 6455, section 5.2).

use futures_lite::future::block_on;
use unsync_websocket::protocol::Inbound;
use unsync_websocket::{Config, Error, NoTimer, ProtocolError, Server};
use unsync_websocket_test_alloc::Scope;

use crate::ends::agree::role_facing;
use crate::kit::flood::{self, Flood, Then};
use crate::kit::slow::{self, BINARY, CONTINUATION, From, Limits};
use crate::wire::{Read, Wire, upgrade};
use crate::{BOTH, announced, closed_with, declares, facing, fault, server, tell, warm};

/// Lengths where a signed number turns negative, a 32-bit one overflows, or a sum with a header does.
const HUGE: [u64; 6] = [1 << 31, u32::MAX as u64, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, (1 << 62) + 5];

/// gorilla/websocket: a length of 64 bits became a negative number, and so less than any limit.
#[test]
fn cve_2020_27813_a_length_with_the_top_bit_passes_no_limit() {
    for from in BOTH {
        for len in [1 << 63, (1 << 63) + 1, u64::MAX] {
            for limits in [Limits::NONE, Limits { max_message: 100, ..Limits::NONE }] {
                let (error, code) = fault(from, limits, &declares(from, 0x82, len));
                assert_eq!((error, code), (ProtocolError::LengthTopBit, 1002));
            }
        }
        for len in HUGE {
            let (error, code) =
                fault(from, Limits { max_message: 100, ..Limits::NONE }, &declares(from, 0x82, len));
            assert_eq!((announced(error), code), (len, 1009));
        }
    }
}

/// Tomcat: a length with the top bit set was an endless loop.
#[test]
fn cve_2020_13935_the_parser_consumes_or_errs() {
    for from in BOTH {
        for len in [u64::MAX, 1 << 63, (1 << 63) - 1] {
            let mut inbound = Inbound::new(role_facing(from), unsync_websocket::protocol::Limits::default());
            let bytes = [declares(from, 0x82, len), vec![0; 1000]].concat();
            let mut input = &bytes[..];
            for _ in 0..1000 {
                let error = inbound.receive(&mut input).unwrap_err();
                assert!(matches!(error, ProtocolError::LengthTopBit | ProtocolError::FrameTooBig { .. }));
            }
        }
    }
}

/// undici: the upper half of the length was shifted by 8 bits instead of multiplied by 2^32.
#[test]
fn undici_the_upper_half_of_a_length_counts() {
    let limits = Limits { max_message: 1 << 40, ..Limits::NONE };
    for from in BOTH {
        for len in [(1 << 40) + 1, (1 << 40) + (5 << 32), (1 << 48) + 7, 0x0102_0304_0506_0708] {
            let (error, _) = fault(from, limits, &declares(from, 0x82, len));
            assert_eq!(announced(error), len);
        }
        // And one that is within the limit is waited for.
        let (peer, _) = Flood::saying(&declares(from, 0x82, (1 << 32) + 5));
        let mut socket = facing(from, peer, Config::new().max_message(1 << 40));
        assert!(tell(&mut socket).1.is_none());
    }
}

/// actix-http: 14 bytes with a length of 2^64 - 1, to which the header's was added.
#[test]
fn actix_http_3723_a_length_and_its_header_do_not_overflow() {
    for from in BOTH {
        for first in 0..=u8::MAX {
            for len in [u64::MAX, u64::MAX - 13, (1 << 63) - 1, (1 << 63) - 14] {
                let (peer, _) = Flood::of(Then::Ends, &declares(from, first, len), b"x", 100);
                let mut socket = facing(from, peer, Config::new().max_message(usize::MAX));
                assert!(tell(&mut socket).1.is_some(), "{first:x} {len:x}");
            }
        }
    }
}

/// ws-rs, and fastws for Go: lengths of fragments were summed without a look.
#[test]
fn ws_rs_179_and_fastws_11_a_sum_of_lengths_does_not_overflow() {
    let first = slow::frame(From::Client, false, BINARY, &[1; 100]);
    for len in [(1 << 63) - 1, (1 << 63) - 100] {
        let bytes = [first.clone(), declares(From::Client, 0x80 | CONTINUATION, len)].concat();
        // No limit but memory's: the rest is waited for.
        let (mut socket, _) = server(&bytes, Config::new().max_message(usize::MAX));
        assert!(tell(&mut socket).1.is_none());
        let limits = Limits { max_message: len, ..Limits::NONE };
        let (error, code) = fault(From::Client, limits, &bytes);
        assert_eq!((error, code), (ProtocolError::MessageTooBig { len: len + 100, max: len as usize }, 1009));
    }
}

/// GPAC: a length plus one, for a zero behind it, was nothing, and so was the memory asked for.
#[test]
fn gpac_3860_a_length_plus_one_is_not_nothing() {
    for from in BOTH {
        for opcode in [BINARY, slow::TEXT, slow::PING, slow::CLOSE] {
            let (error, code) = fault(from, Limits::NONE, &declares(from, 0x80 | opcode, u64::MAX));
            assert!(matches!(error, ProtocolError::LengthTopBit | ProtocolError::ControlTooLong));
            assert_eq!(code, 1002);
        }
    }
}

/// NATS: one frame, before anybody had logged in, ended the server.
#[test]
fn cve_2026_27889_frames_right_behind_the_handshake_end_one_connection_only() {
    let mut state = 1_u64;
    let mut byte = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut ended = 0;
    for len in (0..40).cycle().take(4000) {
        let frames: Vec<u8> = (0..len).map(|_| byte()).collect();
        let (wire, seen) = Wire::new([Read::Bytes([upgrade("/", ""), frames].concat())]);
        let mut websocket = block_on(Server::with_timer(wire, NoTimer).accept()).unwrap();
        let error = block_on(async {
            loop {
                if let Err(error) = websocket.receiver.receive().await {
                    break error;
                }
            }
        });
        ended += u32::from(matches!(error, Error::Protocol(_)));
        drop(websocket);
        assert!(seen.lock().unwrap().dropped);
    }
    assert!(ended > 3000, "{ended} broke a rule");
}

/// The crate `websocket` (RUSTSEC-2022-0035): the declared size was allocated, and the process aborted.
#[test]
fn cve_2022_35922_a_declared_length_is_not_allocated() {
    warm();
    for from in BOTH {
        for len in HUGE {
            let (peer, _) = Flood::saying(&declares(from, 0x82, len));
            let mut socket = facing(from, peer, Config::new().max_message(usize::MAX));
            let scope = Scope::new();
            assert!(tell(&mut socket).1.is_none());
            assert!(scope.peak() <= 1024, "{} bytes for a header that declares {len}", scope.peak());
        }
    }
}

/// soketto, fastwebsockets, tokio-websockets, tungstenite: 15 to 255 MiB for a header, within their default limits.
#[test]
fn soketto_fastwebsockets_tokio_websockets_and_tungstenite_memory_follows_what_came() {
    warm();
    let header = declares(From::Client, 0x82, 64 << 20);
    for came in [1, 100, 10_000, 1_000_000] {
        let (peer, _) = Flood::of(Then::Waits, &header, &[1], came);
        let mut socket = facing(From::Client, peer, Config::new().max_message(64 << 20));
        let scope = Scope::new();
        assert!(tell(&mut socket).1.is_none());
        assert!(scope.live() <= 2 * came as isize + 4096, "{} bytes for {came}", scope.live());
    }
}

/// actix-web: a frame over the limit left the cursor where it was, and the same error came for ever, at full speed.
#[test]
fn actix_web_2790_an_error_is_the_end() {
    let big = slow::frame(From::Client, true, BINARY, &[1; 1000]);
    let (peer, seen) = Flood::of(Then::Ends, &big, &big, 1000);
    let mut socket = facing(From::Client, peer, Config::new().max_message(999));
    for _ in 0..10 {
        let (events, error) = tell(&mut socket);
        assert!(events.is_empty());
        assert!(matches!(error, Some(Error::Protocol(ProtocolError::FrameTooBig { len: 1000, max: 999 }))));
    }
    assert_eq!(seen.reads.get(), 1, "nothing more is read");
    assert!(flood::run(socket.close()).is_some(), "what the peer still says is thrown away");
    assert_eq!(closed_with(From::Client, &seen), 1009);
}
