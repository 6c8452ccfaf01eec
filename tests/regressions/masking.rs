//! Masking (RFC 6455, sections 5.1, 5.3 and 10.3), memory that is not the peer's to see, limits by default.

use std::collections::HashSet;

use unsync_websocket::{Config, Error, NoTimer, ProtocolError, Role, WebSocket};

use crate::kit::flood::{self, Flood};
use crate::kit::slow::{self, BINARY, From, Limits};
use crate::{BOTH, fault, server, tell};

/// The masking keys of so many frames of a client, in order.
fn keys(count: usize) -> Vec<u32> {
    let (peer, seen) = Flood::saying(b"");
    let mut socket = WebSocket::with_timer(peer, Role::Client, Config::new(), Vec::new(), NoTimer);
    let mut keys = Vec::with_capacity(count);
    for n in 0..count {
        flood::run(socket.sender.send("")).unwrap().unwrap();
        if n % 1000 == 999 || n + 1 == count {
            for frame in seen.written.take().chunks(6) {
                assert_eq!(frame[..2], [0x81, 0x80]);
                keys.push(u32::from_be_bytes(frame[2..].try_into().unwrap()));
            }
        }
    }
    assert_eq!(keys.len(), count);
    keys
}

/// Java-WebSocket 1132, Paho 255, okhttp 9624 (whose next key was predicted after two frames), gorilla/websocket until 2024,
/// autobahn-python 758, wsproto 5, aiohttp 1437, Dart 1676, tokio-websockets with `fastrand`: keys of a predictable generator.
///
/// A million keys, T25. No test can prove a generator strong; these find the weak ones of the list: generators with few states, with
/// steps that are alike, with bits that stand still. Each bound is so wide that a good generator misses it once in a billion runs.
#[test]
fn okhttp_9624_and_others_a_million_keys_look_like_chance() {
    const COUNT: usize = 1_000_000;
    let keys = keys(COUNT);
    // Pairs of equal keys: n²/2 / 2^32 = 116.4 expected, standard deviation 10.8.
    let distinct: HashSet<u32> = keys.iter().copied().collect();
    let repeated = COUNT - distinct.len();
    assert!((50..=182).contains(&repeated), "{repeated} keys repeated");
    // Each bit is set in half of them (standard deviation 500), and changes from one key to the next in half of the cases; so do
    // the differences between keys, which a counter or a linear generator would show.
    let half = |count: usize, what: &str| {
        assert!(count.abs_diff(COUNT / 2) < 3500, "{what}: {count} of a million");
    };
    for bit in 0..32 {
        let set = |key: u32| key >> bit & 1 == 1;
        half(keys.iter().filter(|key| set(**key)).count(), &format!("bit {bit}"));
        for lag in [1, 2, 3, 4, 8] {
            let changes = keys.windows(lag + 1).filter(|keys| set(keys[0]) != set(keys[lag])).count();
            half(changes, &format!("bit {bit}, lag {lag}"));
        }
    }
    // Bytes by value: chi-square with 255 degrees of freedom (mean 255, standard deviation 22.6), for each of the four.
    for place in 0..4 {
        let mut counts = [0_u32; 256];
        for key in &keys {
            counts[usize::from(key.to_be_bytes()[place])] += 1;
        }
        let expected = COUNT as f64 / 256.0;
        let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!((130.0..420.0).contains(&chi), "byte {place}: chi-square {chi:.0}");
    }
    // No key follows from the last by adding, by multiplying or by shifting: the differences are as many as the keys.
    for (what, step) in [
        ("difference", (|a: u32, b: u32| b.wrapping_sub(a)) as fn(u32, u32) -> u32),
        ("exclusive or", |a, b| a ^ b),
        ("shift and exclusive or", |a, b| b ^ (a << 13) ^ (a >> 17) ^ (a << 5)),
        ("linear congruence", |a, b| b.wrapping_sub(a.wrapping_mul(1_664_525))),
        ("the generator of Java", |a, b| b.wrapping_sub(a.wrapping_mul(0xDEEC_E66D))),
    ] {
        let steps: HashSet<u32> = keys.windows(2).map(|two| step(two[0], two[1])).collect();
        let repeated = COUNT - 1 - steps.len();
        assert!((50..=182).contains(&repeated), "{what}: {repeated} repeated");
    }
}

/// As above: two connections and two threads have other keys, so that none can be learnt from one's own.
#[test]
fn gorilla_2024_no_two_connections_have_the_same_keys() {
    let all: Vec<Vec<u32>> = [keys(100), keys(100)]
        .into_iter()
        .chain((0..4).map(|_| std::thread::spawn(|| keys(100)).join().unwrap()))
        .collect();
    let distinct: HashSet<&[u32]> = all.iter().flat_map(|keys| keys.windows(2)).collect();
    assert_eq!(distinct.len(), 6 * 99);
}

/// ws: a mask of the caller's choice, and no masking at all if it was zero. Here is no such knob: every frame has a key of its own.
#[test]
fn ws_zero_masks_every_frame_of_a_client_is_masked() {
    let (peer, seen) = Flood::saying(&slow::frame(From::Server, true, slow::PING, b"?"));
    let mut socket =
        WebSocket::with_timer(peer, Role::Client, Config::new().fragment(10), Vec::new(), NoTimer);
    assert!(flood::run(socket.receiver.receive()).is_none());
    flood::run(socket.sender.send(&[0; 95])).unwrap().unwrap();
    flood::run(socket.sender.ping(b"p")).unwrap().unwrap();
    let frame = unsync_websocket::EncodedFrame::binary(&[0; 8]);
    socket.sender.queue_handle().queue(&frame).unwrap();
    assert!(flood::run(socket.close()).is_none());
    let written = seen.written.take();
    let model = slow::read(From::Client, Limits::NONE, &written);
    assert!(matches!(model.verdict, slow::Verdict::Closed { rest: 0 }), "{:?}", model.verdict);
    assert_eq!(model.frames.len(), 14);
    // Frames of eight zeros or more show their keys, twice over.
    let shown: HashSet<&[u8]> =
        written.windows(8).filter(|eight| eight[..4] == eight[4..]).map(|eight| &eight[..4]).collect();
    assert!(shown.len() >= 10, "{} keys", shown.len());
}

/// ws < 1.1.1: no limit by default.
#[test]
fn cve_2016_10542_the_default_is_a_limit() {
    for (len, good) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let (mut socket, _) = server(&slow::frame(From::Client, true, BINARY, &vec![1; len]), Config::new());
        let (events, error) = tell(&mut socket);
        assert_eq!(events.len(), usize::from(good));
        assert_eq!(matches!(error, Some(Error::Protocol(ProtocolError::FrameTooBig { .. }))), !good);
    }
}

/// soketto, and ws until 2020: a server took frames that were not masked, a client frames that were.
#[test]
fn soketto_and_ws_2020_the_wrong_mask_bit_is_refused() {
    for from in BOTH {
        let (other, error) = match from {
            From::Client => (From::Server, ProtocolError::NotMasked),
            From::Server => (From::Client, ProtocolError::Masked),
        };
        for opcode in [slow::TEXT, BINARY, slow::PING, slow::PONG, slow::CLOSE] {
            let bytes = slow::frame(other, true, opcode, &[]);
            assert_eq!(fault(from, Limits::NONE, &bytes), (error, 1002));
        }
    }
}
