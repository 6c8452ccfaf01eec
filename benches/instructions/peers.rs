//! The same by other libraries, each as its documentation has it.

use std::future::Future;
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::{Loop, masked};

/// Has this library do `what` so often.
pub fn run(library: &str, what: &str, count: usize) {
    let (what, wire, len) = match what {
        "receive 16 B" => (What::Receive, Loop::new(masked(0x82, &[b'a'; 16]).repeat(2184), false), 0),
        "send 20 B, server" => (What::Send, Loop::new(vec![0], false), 22),
        "pong answered, one a read" => (What::Answer, Loop::new(masked(0x89, &[b'a'; 20]), true), 22),
        _ => panic!("nothing that peers do is called {what:?}"),
    };
    let written = Rc::clone(&wire.written);
    match library {
        "fastwebsockets" => fastwebsockets::run(wire, what, count),
        "soketto" => soketto::run(wire, what, count),
        "tokio-websockets" => tokio_websockets::run(wire, what, count),
        "tungstenite" => tungstenite::run(wire, what, count),
        "wtx" => wtx::run(wire, what, count),
        _ => panic!("no library is called {library:?}"),
    }
    // The first time that one waits, nothing has come yet.
    assert!(written.get() >= (count - 1) * len, "{} bytes written", written.get());
}

enum What {
    Receive,
    Send,
    /// A Ping is answered each time that the stream is asked.
    Answer,
}

/// Lets a loop that receives find its Pings.
fn asks(receives: impl Future, count: usize) {
    let (mut receives, mut cx) = (pin!(receives), Context::from_waker(Waker::noop()));
    for _ in 0..count {
        assert!(receives.as_mut().poll(&mut cx).is_pending());
    }
}

mod fastwebsockets {
    use std::hint::black_box;

    use fastwebsockets::{FragmentCollector, Frame, Role, WebSocket};

    use crate::Loop;
    use crate::peers::{What, asks};

    pub fn run(wire: Loop, what: What, count: usize) {
        let mut socket = FragmentCollector::new(WebSocket::after_handshake(wire, Role::Server));
        match what {
            What::Receive => crate::spin(async {
                for _ in 0..count {
                    assert_eq!(black_box(socket.read_frame().await.unwrap().payload).len(), 16);
                }
            }),
            What::Send => crate::spin(async {
                for _ in 0..count {
                    let payload = black_box(&[7_u8; 20][..]);
                    socket.write_frame(Frame::binary(payload.into())).await.unwrap();
                }
            }),
            What::Answer => asks(async { socket.read_frame().await.map(drop) }, count),
        }
    }
}

mod soketto {
    use std::hint::black_box;

    use soketto::connection::{Builder, Mode};

    use crate::Loop;
    use crate::peers::{What, asks};

    pub fn run(wire: Loop, what: What, count: usize) {
        let (mut sender, mut receiver) = Builder::new(wire, Mode::Server).finish();
        let mut data = Vec::new();
        match what {
            What::Receive => crate::spin(async {
                for _ in 0..count {
                    data.clear();
                    receiver.receive_data(&mut data).await.unwrap();
                    assert_eq!(black_box(&data).len(), 16);
                }
            }),
            What::Send => crate::spin(async {
                for _ in 0..count {
                    sender.send_binary(black_box(&[7_u8; 20])).await.unwrap();
                    sender.flush().await.unwrap();
                }
            }),
            What::Answer => asks(receiver.receive_data(&mut data), count),
        }
    }
}

mod tokio_websockets {
    use std::hint::black_box;

    use bytes::Bytes;
    use futures_util::{SinkExt, StreamExt};
    use tokio_websockets::{Message, ServerBuilder};

    use crate::Loop;
    use crate::peers::{What, asks};

    pub fn run(wire: Loop, what: What, count: usize) {
        let mut socket = ServerBuilder::new().serve(wire);
        match what {
            What::Receive => crate::spin(async {
                for _ in 0..count {
                    let message = socket.next().await.unwrap().unwrap();
                    assert_eq!(black_box(message.as_payload()).len(), 16);
                }
            }),
            What::Send => crate::spin(async {
                for _ in 0..count {
                    socket.send(Message::binary(black_box(Bytes::from_static(&[7; 20])))).await.unwrap();
                }
            }),
            // Pings are delivered as well.
            What::Answer => asks(async { while socket.next().await.is_some() {} }, count),
        }
    }
}

mod tungstenite {
    use std::hint::black_box;
    use std::io;

    use bytes::Bytes;
    use tungstenite::protocol::{Role, WebSocket};
    use tungstenite::{Error, Message};

    use crate::Loop;
    use crate::peers::What;

    pub fn run(wire: Loop, what: What, count: usize) {
        let mut socket = WebSocket::from_raw_socket(wire, Role::Server, None);
        match what {
            What::Receive => {
                for _ in 0..count {
                    // A pause is an error of streams that would block.
                    let message = loop {
                        match socket.read() {
                            Ok(message) => break message,
                            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                            Err(error) => panic!("{error}"),
                        }
                    };
                    assert_eq!(black_box(message).len(), 16);
                }
            }
            What::Send => {
                for _ in 0..count {
                    socket.send(Message::Binary(black_box(Bytes::from_static(&[7; 20])))).unwrap();
                }
            }
            // Pings are delivered as well.
            What::Answer => {
                for _ in 0..count {
                    while socket.read().is_ok() {}
                }
            }
        }
    }
}

mod wtx {
    use std::hint::black_box;

    use wtx::collection::Vector;
    use wtx::rng::{SeedableRng, Xorshift64};
    use wtx::web_socket::{Frame, OpCode, WebSocketBuffer, WebSocketOwned, WebSocketPayloadOrigin};

    use crate::Loop;
    use crate::peers::{What, asks};

    pub fn run(wire: Loop, what: What, count: usize) {
        let keys = Xorshift64::from_simple_seed().unwrap();
        let mut socket = WebSocketOwned::<_, _, _, false>::new((), false, keys, wire, WebSocketBuffer::new());
        let mut buffer = Vector::new();
        match what {
            What::Receive => crate::spin(async {
                for _ in 0..count {
                    buffer.clear();
                    let frame = socket.read_frame(&mut buffer, WebSocketPayloadOrigin::Adaptive).await;
                    assert_eq!(black_box(frame.unwrap().payload()).len(), 16);
                }
            }),
            What::Send => crate::spin(async {
                let mut payload = [7_u8; 20];
                for _ in 0..count {
                    let mut frame = Frame::new_fin(OpCode::Binary, &mut black_box(&mut payload)[..]);
                    socket.write_frame(&mut frame).await.unwrap();
                }
            }),
            // Pings are delivered as well.
            What::Answer => asks(
                async {
                    while socket.read_frame(&mut buffer, WebSocketPayloadOrigin::Adaptive).await.is_ok() {}
                },
                count,
            ),
        }
    }
}

impl tokio::io::AsyncRead for Loop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.next(cx, buf.remaining()).map(|bytes| {
            buf.put_slice(bytes);
            Ok(())
        })
    }
}

impl tokio::io::AsyncWrite for Loop {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        futures_io::AsyncWrite::poll_write(self, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl io::Read for Loop {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        match futures_io::AsyncRead::poll_read(Pin::new(self), &mut cx, buf) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Write for Loop {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.set(self.written.get() + buf.len());
        Ok(black_box(buf).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ::wtx::stream::StreamReader for Loop {
    async fn read(&mut self, bytes: &mut [u8]) -> ::wtx::Result<usize> {
        let read = std::future::poll_fn(|cx| futures_io::AsyncRead::poll_read(Pin::new(self), cx, bytes));
        Ok(read.await?)
    }
}

impl ::wtx::stream::StreamWriter for Loop {
    async fn write_all(&mut self, bytes: &[u8]) -> ::wtx::Result<()> {
        self.written.set(self.written.get() + black_box(bytes).len());
        Ok(())
    }

    async fn write_all_vectored(&mut self, slices: &[&[u8]]) -> ::wtx::Result<()> {
        let len = black_box(slices).iter().map(|bytes| bytes.len()).sum::<usize>();
        self.written.set(self.written.get() + len);
        Ok(())
    }
}
