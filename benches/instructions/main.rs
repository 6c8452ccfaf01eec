//! Does one thing so many times, in memory: `instructions WHAT COUNT [LIBRARY]`. For `run.sh`, which counts the instructions.

#[cfg(feature = "peers")]
mod peers;

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::protocol::Mask;
use unsync_websocket::{Config, Incoming, NoTimer, Role, WebSocket};

/// Hands out one stretch of frames again and again, up to 64 KiB at a time, and swallows what is written.
struct Loop {
    frames: Vec<u8>,
    at: usize,
    /// Waits after each stretch, once.
    pauses: bool,
    paused: bool,
    /// Bytes.
    written: Rc<Cell<usize>>,
}

impl Loop {
    fn new(frames: Vec<u8>, pauses: bool) -> Self {
        Self { frames, at: 0, pauses, paused: false, written: Rc::default() }
    }

    fn next(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<&[u8]> {
        if self.pauses && self.at == 0 && !self.paused {
            self.paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.paused = false;
        let bytes = &self.frames[self.at..];
        let bytes = &bytes[..bytes.len().min(most)];
        self.at = (self.at + bytes.len()) % self.frames.len();
        Poll::Ready(bytes)
    }
}

impl AsyncRead for Loop {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.next(cx, buf.len()).map(|bytes| {
            buf[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }
}

impl AsyncWrite for Loop {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.written.set(self.written.get() + buf.len());
        Poll::Ready(Ok(black_box(buf).len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = black_box(bufs).iter().map(|buf| buf.len()).sum();
        self.written.set(self.written.get() + len);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A masked frame, as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0xFE);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    Mask::new(key).copy(payload, &mut frame);
    frame
}

fn websocket(role: Role, frames: Vec<u8>, pauses: bool) -> WebSocket<Loop> {
    WebSocket::with_timer(Loop::new(frames, pauses), role, Config::new(), Vec::new(), NoTimer)
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

async fn receive(mut socket: WebSocket<Loop>, count: usize, size: usize) {
    for _ in 0..count {
        match socket.receiver.receive().await.unwrap() {
            Incoming::Message(message) => assert_eq!(black_box(message.as_bytes()).len(), size),
            other => panic!("{other:?}"),
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().expect("what to do");
    let count = arguments.next().expect("how often").parse().expect("a number");
    let library = arguments.next();
    let many = |first, size: usize| masked(first, &vec![b'a'; size]).repeat((65536 / (size + 14)).max(1));
    let one = |first, size: usize| masked(first, &vec![b'a'; size]);
    if let Some(library) = library {
        #[cfg(feature = "peers")]
        peers::run(&library, &what, count);
        #[cfg(not(feature = "peers"))]
        panic!("{library}: the peers are not built");
        #[cfg(feature = "peers")]
        return;
    }
    spin(async {
        match &*what {
            "receive 16 B" => receive(websocket(Role::Server, many(0x82, 16), false), count, 16).await,
            "receive 16 B text" => receive(websocket(Role::Server, many(0x81, 16), false), count, 16).await,
            "receive 16 B, one a read" => {
                receive(websocket(Role::Server, one(0x82, 16), true), count, 16).await;
            }
            "receive 1 KiB" => receive(websocket(Role::Server, many(0x82, 1024), false), count, 1024).await,
            "receive 16 KiB" => {
                receive(websocket(Role::Server, many(0x82, 16384), false), count, 16384).await;
            }
            "send 20 B, server" | "send 20 B, client" => {
                let role = if what.ends_with("server") { Role::Server } else { Role::Client };
                let mut socket = websocket(role, vec![0], false);
                let payload = [7_u8; 20];
                for _ in 0..count {
                    socket.sender.send(black_box(&payload)).await.unwrap();
                }
            }
            "echo 20 B" => {
                let mut socket = websocket(Role::Server, one(0x82, 20), true);
                for _ in 0..count {
                    match socket.receiver.receive().await.unwrap() {
                        Incoming::Message(message) => socket.sender.send(message).await.unwrap(),
                        other => panic!("{other:?}"),
                    }
                }
            }
            // The loop of the documentation, with sixteen messages a read and so a write, or one.
            "echo 20 B, 16 a read, corked" | "echo 20 B, one a read, corked" => {
                let count_a_read = if what.contains("16 a read") { 16 } else { 1 };
                let mut socket = websocket(Role::Server, one(0x82, 20).repeat(count_a_read), true);
                let echo = socket.cork(async |socket| {
                    for _ in 0..count {
                        match socket.receiver.receive().await.unwrap() {
                            Incoming::Message(message) => socket.sender.send(message).await.unwrap(),
                            other => panic!("{other:?}"),
                        }
                    }
                });
                echo.await;
            }
            // So many Pings and one message, whose cost is small beside.
            "pong answered" => {
                let mut frames = one(0x89, 20);
                frames = frames.repeat(999);
                frames.extend(one(0x82, 20));
                receive(websocket(Role::Server, frames, true), count / 1000, 20).await;
            }
            "pong answered, one a read" => {
                // Each pause comes after one Ping; the message after a thousand.
                let mut socket = websocket(Role::Server, one(0x89, 20), true);
                for _ in 0..count {
                    let receives = pin!(socket.receiver.receive());
                    assert!(receives.poll(&mut Context::from_waker(Waker::noop())).is_pending());
                }
            }
            _ => panic!("nothing is called {what:?}"),
        }
    });
}
