//! Builds with and without overflow checks and debug assertions behave alike (goal G21).
//!
//! A corpus made from a fixed seed (frames of a peer, good, cut and broken; heads of requests; our own frames) is run through the
//! library, and everything that comes out is hashed: events, rules, close codes, answers. Every build must come to the same number:
//!
//! ```text
//! cargo test --all-features --test builds
//! cargo test --all-features --test builds --release
//! ```
//!
//! Who changes what the library does on purpose takes the new number from the failure, and runs both.
#![cfg(feature = "deflate")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use ends::agree::{config, inbound_facing, rule, tell};
use kit::flood::{self, Flood, Then};
use kit::slow::{self, Event, From, Limits};
use unsync_websocket::protocol::{MaskingKeys, MessageKind, Outbound};
use unsync_websocket::{Config, Deflate, NoTimer, Role, Server, WebSocket};

/// What came of 8,000 streams, 4,000 requests and 500 lists of messages.
const TRACE: [u64; 3] = [4_291_094_032_883_067_642, 16_216_541_580_456_623_431, 17_351_819_863_739_507_582];

/// A generator that is the same everywhere (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// FNV-1a.
struct Hash(u64);

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&(bytes.len() as u64).to_be_bytes()) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Text(text) => self.add(&[b"t", text.as_bytes()].concat()),
            Event::Binary(data) => self.add(&[b"b", &data[..]].concat()),
            Event::Ping(data) => self.add(&[b"?", &data[..]].concat()),
            Event::Pong(data) => self.add(&[b"!", &data[..]].concat()),
            Event::Close(None) => self.add(b"c"),
            Event::Close(Some((code, reason))) => {
                self.add(&[&code.to_be_bytes(), reason.as_bytes()].concat())
            }
        }
    }
}

/// Frames of all kinds, most of them legal; now and then a byte is changed, or the end is cut off.
fn frames(numbers: &mut Numbers, from: From) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..numbers.below(8) {
        let first = match numbers.below(12) {
            0..4 => 0x80 | [1, 2, 9, 10][numbers.below(4) as usize],
            4..6 => [1, 2][numbers.below(2) as usize],
            6..8 => [0x00, 0x80][numbers.below(2) as usize],
            8..10 => [0xC1, 0xC2, 0x41][numbers.below(3) as usize],
            10 => 0x88,
            _ => numbers.next() as u8,
        };
        let len = [0, 1, 2, 7, 125, 126, 300, 70_000]
            [numbers.below(if bytes.len() > 2000 { 7 } else { 8 }) as usize];
        let payload = match numbers.below(4) {
            0 => numbers.bytes(len),
            1 => "né€😀".bytes().cycle().take(len as usize).collect(),
            2 => [&1000_u16.to_be_bytes()[..], &vec![b'r'; len.min(123) as usize]].concat(),
            _ => vec![b'a'; len as usize],
        };
        bytes.extend(slow::raw_frame(from, first, &payload));
    }
    if numbers.below(3) == 0 && !bytes.is_empty() {
        let at = numbers.below(bytes.len() as u64) as usize;
        bytes[at] = numbers.next() as u8;
    }
    if numbers.below(4) == 0 {
        bytes.truncate(numbers.below(bytes.len() as u64 + 1) as usize);
    }
    bytes
}

fn received() -> u64 {
    let (mut numbers, mut hash) = (Numbers(1), Hash(0xCBF2_9CE4_8422_2325));
    for round in 0..8000 {
        let from = [From::Client, From::Server][round % 2];
        let limits = [
            Limits::NONE,
            Limits::NONE.with_deflate(0),
            Limits { max_message: 200, max_frame: 150, max_fragments: 3, ..Limits::NONE }
                .with_deflate(32 << 10),
        ][round % 3];
        let bytes = frames(&mut numbers, from);
        let (events, error) = tell(&mut inbound_facing(from, limits), &bytes);
        events.iter().for_each(|event| hash.event(event));
        if let Some(error) = error {
            hash.add(rule(error).as_bytes());
            hash.add(&error.close_code().get().to_be_bytes());
            hash.add(error.to_string().as_bytes());
        }
        // And what a connection answers. (Not a client: its keys are chance.)
        if from == From::Client {
            let (peer, seen) = Flood::of(Then::Ends, &bytes, b"", 0);
            let mut socket = WebSocket::with_timer(peer, Role::Server, config(limits), Vec::new(), NoTimer);
            while let Some(Ok(_)) = flood::run(socket.receiver.receive()) {}
            let _over = flood::run(socket.close());
            hash.add(&seen.written.borrow());
        }
    }
    hash.0
}

fn answered() -> u64 {
    let (mut numbers, mut hash) = (Numbers(2), Hash(0xCBF2_9CE4_8422_2325));
    let good = "GET /chat?a=b HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Origin: https://example.com:8443\r\nSec-WebSocket-Protocol: a, b\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n\r\n";
    for _ in 0..4000 {
        let mut request = good.as_bytes().to_vec();
        for _ in 0..numbers.below(4) {
            let at = numbers.below(request.len() as u64) as usize;
            match numbers.below(3) {
                0 => request[at] = numbers.next() as u8,
                1 => drop(request.remove(at)),
                _ => {
                    let len = numbers.below(30);
                    let more = numbers.bytes(len);
                    request.splice(at..at, more);
                }
            }
        }
        let (peer, seen) = Flood::of(Then::Ends, &request, b"", 0);
        let config = Config::new().deflate(Deflate::new());
        let accepted = flood::run(Server::with_timer(peer, NoTimer).config(config).same_origin().accept());
        match accepted.expect("nothing is waited for") {
            Ok(websocket) => hash.add(format!("{:?}", websocket.deflate()).as_bytes()),
            Err(error) => hash.add(error.to_string().as_bytes()),
        }
        hash.add(&seen.written.borrow());
    }
    hash.0
}

struct Keys(Numbers);

impl MaskingKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        (self.0.next() as u32).to_be_bytes()
    }
}

/// Nothing compressed: what a compressor makes may depend on the machine.
fn sent() -> u64 {
    let (mut numbers, mut hash) = (Numbers(3), Hash(0xCBF2_9CE4_8422_2325));
    for round in 0..500 {
        let outbound = if round % 2 == 0 {
            Outbound::server()
        } else {
            Outbound::client(Box::new(Keys(Numbers(round))))
        };
        let mut outbound = outbound.with_sizes([1, 125, 1000, 64 << 10][round as usize % 4], 64 << 10);
        for _ in 0..numbers.below(6) {
            let len = [0, 1, 125, 126, 3000, 65_535, 65_536][numbers.below(7) as usize];
            match numbers.below(4) {
                0 => outbound.push(MessageKind::Binary, &numbers.bytes(len)),
                1 => outbound.push(MessageKind::Text, &vec![b'a'; len as usize]),
                2 => outbound.ping(&numbers.bytes(len.min(125))),
                _ => outbound.answer_ping(&numbers.bytes(len.min(125))),
            }
        }
        while let Some(batch) = outbound.take() {
            // Written in pieces.
            let piece = batch.first().len().min(1 + numbers.below(70_000) as usize);
            hash.add(&batch.first()[..piece]);
            outbound.put_back(batch, piece);
        }
    }
    hash.0
}

#[test]
fn every_build_comes_to_the_same() {
    let trace = [received(), answered(), sent()];
    assert_eq!(trace, TRACE, "debug assertions: {}", cfg!(debug_assertions));
}
