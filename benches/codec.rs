//! What do receiving and sending a message cost in memory, next to a `memcpy` of its payload?
//!
//! No sockets: a stream that hands out prepared frames and swallows what is written. Each figure is the median of rounds in which all
//! contenders run in turn, so that a noisy machine is noisy for all of them. Every message that is received is delivered and its
//! length checked.

use std::future::Future;
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::protocol::{Event, Inbound, Limits, Mask};
use unsync_websocket::{Config, NoTimer, Role, WebSocket};

const SIZES: [usize; 6] = [16, 128, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

/// Hands out one stretch of frames again and again, 64 KiB at a time, and swallows what is written.
struct Loop {
    frames: Vec<u8>,
    at: usize,
}

impl AsyncRead for Loop {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let len = buf.len().min(self.frames.len() - self.at);
        buf[..len].copy_from_slice(&self.frames[self.at..self.at + len]);
        self.at = (self.at + len) % self.frames.len();
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Loop {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(buf).len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bufs).iter().map(|buf| buf.len()).sum()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A masked binary frame, as a client sends it.
fn masked(payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![0x82];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65536 => {
            frame.push(0xFE);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0xFF);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    Mask::new(key).copy(payload, &mut frame);
    frame
}

fn websocket(role: Role, size: usize) -> WebSocket<Loop> {
    let frames = masked(&vec![7; size]).repeat((65536 / (size + 14)).max(1));
    WebSocket::with_timer(
        Loop { frames, at: 0 },
        role,
        Config::new().max_message(8 << 20),
        Vec::new(),
        NoTimer,
    )
}

/// Runs a future that only ever yields to be polled again.
fn spin<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

/// One contender: moves `count` messages.
type Contender<'a> = (&'static str, Box<dyn FnMut(usize) + 'a>);

fn contenders<'a>(size: usize) -> Vec<Contender<'a>> {
    let payload = vec![7_u8; size];
    let mut copy = vec![0_u8; size];
    let source = payload.clone();
    let frame = masked(&payload);
    let mut inbound =
        Inbound::new(Role::Server, Limits { max_message: 8 << 20, max_frame: 8 << 20, max_fragments: 9 });
    let (mut receiving, mut data) = (websocket(Role::Server, size), Vec::new());
    let (mut borrowing, mut server, mut client) =
        (websocket(Role::Server, size), websocket(Role::Server, size), websocket(Role::Client, size));
    let (sent_by_server, sent_by_client) = (payload.clone(), payload);
    vec![
        (
            "memcpy",
            Box::new(move |count| {
                for _ in 0..count {
                    copy.copy_from_slice(black_box(&source));
                    black_box(&mut copy);
                }
            }),
        ),
        (
            "Inbound",
            Box::new(move |count| {
                for _ in 0..count {
                    let mut input = black_box(&frame[..]);
                    assert!(matches!(inbound.receive(&mut input), Ok(Some(Event::Message(_)))));
                    assert_eq!(black_box(inbound.payload()).len(), size);
                }
            }),
        ),
        (
            "receive",
            Box::new(move |count| {
                spin(async {
                    for _ in 0..count {
                        let incoming = borrowing.receiver.receive().await.expect("frames without end");
                        let unsync_websocket::Incoming::Message(message) = incoming else {
                            panic!("a message")
                        };
                        assert_eq!(black_box(message.as_bytes()).len(), size);
                    }
                })
            }),
        ),
        (
            "receive_data",
            Box::new(move |count| {
                spin(async {
                    for _ in 0..count {
                        data.clear();
                        receiving.receiver.receive_data(&mut data).await.expect("frames without end");
                        assert_eq!(black_box(&data).len(), size);
                    }
                })
            }),
        ),
        (
            "send, server",
            Box::new(move |count| {
                spin(async {
                    for _ in 0..count {
                        server.sender.send(black_box(&sent_by_server)).await.expect("swallowed");
                    }
                })
            }),
        ),
        (
            "send, client",
            Box::new(move |count| {
                spin(async {
                    for _ in 0..count {
                        client.sender.send(black_box(&sent_by_client)).await.expect("swallowed");
                    }
                })
            }),
        ),
    ]
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, budget) = if quick { (5, 4 << 20) } else { (15, 32 << 20) };
    println!("nanoseconds a message, and in brackets times memcpy\n");
    for (row, size) in SIZES.into_iter().enumerate() {
        let mut contenders = contenders(size);
        let count = (budget / (size + 512)).max(20);
        let mut times = vec![Vec::new(); contenders.len()];
        for round in 0..=rounds {
            for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
                let start = Instant::now();
                run(count);
                if round > 0 {
                    times.push(start.elapsed().as_nanos() as f64 / count as f64);
                }
            }
        }
        if row == 0 {
            let names: Vec<_> = contenders.iter().map(|(name, _)| *name).collect();
            println!("| payload | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        let cells = medians.iter().map(|time| format!("{time:.0} ({:.1})", time / medians[0]));
        println!("| {size} B | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}
