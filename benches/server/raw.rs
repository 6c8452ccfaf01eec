//! The limit: a level-triggered loop that parses frames where they lie, and echoes with one `recv` and one `send` for each time a
//! socket is ready. No message is put together; only what the load sends is understood.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::AsyncWriteExt;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};

use crate::{Level, ours};

/// For the sample key of RFC 6455, section 1.3, which is what the load sends.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    open: bool,
    frames: Frames,
    /// What the socket did not take, and whether we wait for it to take more.
    unsent: Vec<u8>,
    was_full: bool,
}

/// What has come of the frames of a client.
#[derive(Default)]
struct Frames {
    /// A header that has not all arrived.
    header: Vec<u8>,
    /// Of the frame that is being read.
    key: [u8; 4],
    remaining: usize,
}

pub fn echo(listener: TcpListener, _: Option<Level>) {
    serve(listener, false);
}

/// The buffers of a thread, of which a connection that waits to read holds none.
struct Buffers {
    /// Empty again before another task runs.
    input: RefCell<Vec<u8>>,
    /// Lent for a write.
    output: Cell<Vec<u8>>,
}

impl Buffers {
    fn new() -> Rc<Self> {
        Rc::new(Self { input: RefCell::new(vec![0; 64 << 10]), output: Cell::default() })
    }
}

/// The same on tokio, in a task for each connection: what a library that runs there starts from.
pub fn echo_on_tokio(listener: TcpListener, _: Option<Level>) {
    let buffers = Buffers::new();
    crate::on_tokio(listener, move |stream| echo_one_on_tokio(stream, Rc::clone(&buffers)));
}

async fn echo_one_on_tokio(mut stream: tokio::net::TcpStream, buffers: Rc<Buffers>) {
    let mut echo = Echo::default();
    loop {
        let read = poll_fn(|cx| {
            let mut input = buffers.input.borrow_mut();
            let mut input = ReadBuf::new(&mut input);
            ready!(Pin::new(&mut stream).poll_read(cx, &mut input))?;
            echo.take(input.filled(), buffers.output.take());
            Poll::Ready(io::Result::Ok(input.filled().len()))
        });
        if matches!(read.await, Ok(0) | Err(_)) || stream.write_all(&echo.output).await.is_err() {
            return;
        }
        buffers.output.set(std::mem::take(&mut echo.output));
    }
}

/// On async-io, which is asked first whether there is something to read: a read that finds nothing costs more.
pub fn echo_on_async_io(listener: TcpListener, _: Option<Level>) {
    let buffers = Buffers::new();
    ours::on_async_io(listener, move |stream| {
        echo_one(stream, |stream, cx| stream.poll_readable(cx), Rc::clone(&buffers))
    });
}

/// On sockets of the thread's own.
pub fn echo_on_local(listener: TcpListener, _: Option<Level>) {
    let buffers = Buffers::new();
    ours::on_local(listener, move |stream| echo_one(stream, |_, _| Poll::Ready(Ok(())), Rc::clone(&buffers)));
}

async fn echo_one<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    poll_readable: fn(&S, &mut Context<'_>) -> Poll<io::Result<()>>,
    buffers: Rc<Buffers>,
) {
    let mut echo = Echo::default();
    loop {
        let read = poll_fn(|cx| {
            ready!(poll_readable(&stream, cx))?;
            let mut input = buffers.input.borrow_mut();
            let count = ready!(Pin::new(&mut stream).poll_read(cx, &mut input))?;
            echo.take(&input[..count], buffers.output.take());
            Poll::Ready(io::Result::Ok(count))
        });
        if matches!(read.await, Ok(0) | Err(_)) || stream.write_all(&echo.output).await.is_err() {
            return;
        }
        buffers.output.set(std::mem::take(&mut echo.output));
    }
}

/// One connection's, in a task of its own.
#[derive(Default)]
struct Echo {
    open: bool,
    frames: Frames,
    /// What is to be written.
    output: Vec<u8>,
}

impl Echo {
    fn take(&mut self, input: &[u8], output: Vec<u8>) {
        self.output = output;
        self.output.clear();
        if self.open {
            self.frames.echo(input, &mut self.output);
        } else if input.ends_with(b"\r\n\r\n") {
            self.open = true;
            self.output.extend_from_slice(ANSWER);
        }
    }
}

/// What comes from one goes to all.
pub fn fanout(listener: TcpListener) {
    serve(listener, true);
}

fn serve(listener: TcpListener, to_all: bool) {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).expect("a new socket");
    // Connections are never many: the numbers of those that are gone are not used again.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let (mut input, mut output) = (vec![0; 64 << 10], Vec::with_capacity(64 << 10));
    loop {
        events.clear();
        if epoll::wait(&epoll, spare_capacity(&mut events), None).is_err() {
            continue;
        }
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nodelay(true).expect("a socket can do that");
                stream.set_nonblocking(true).expect("a socket can do that");
                let data = EventData::new_u64(connections.len() as u64);
                epoll::add(&epoll, &stream, data, EventFlags::IN).expect("a new socket");
                connections.push(Some(Connection::new(stream)));
                continue;
            }
            let number = number as usize;
            let Some(connection) = &mut connections[number] else { continue };
            output.clear();
            if !connection.ready(&mut input, &mut output) {
                connections[number] = None;
            }
            let everybody = to_all && !output.is_empty();
            for number in if everybody { 0..connections.len() } else { number..number + 1 } {
                let Some(connection) = &mut connections[number] else { continue };
                if !connection.send(&output) {
                    connections[number] = None;
                    continue;
                }
                let full = !connection.unsent.is_empty();
                if full != connection.was_full {
                    connection.was_full = full;
                    let flags = if full { EventFlags::OUT } else { EventFlags::IN };
                    let data = EventData::new_u64(number as u64);
                    epoll::modify(&epoll, &connection.stream, data, flags).expect("it was added");
                }
            }
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, open: false, frames: Frames::default(), unsent: Vec::new(), was_full: false }
    }

    /// Takes what is there; the frames of it go to `output`. False once it is over.
    fn ready(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> bool {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            return self.send(&unsent);
        }
        let len = match self.stream.read(input) {
            Ok(0) => return false,
            Ok(len) => len,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if !self.open {
            self.open = input[..len].ends_with(b"\r\n\r\n");
            return !self.open || self.send(ANSWER);
        }
        self.frames.echo(&input[..len], output);
        true
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() || !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return true;
        }
        match self.stream.write(bytes) {
            Ok(len) => self.unsent.extend_from_slice(&bytes[len..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.unsent.extend_from_slice(bytes),
            Err(_) => return false,
        }
        true
    }
}

impl Frames {
    /// The frames of a client, as a server sends them.
    fn echo(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            if self.remaining == 0 && !self.header(&mut input, output) {
                return;
            }
            let (payload, rest) = input.split_at(self.remaining.min(input.len()));
            let start = output.len();
            output.extend_from_slice(payload);
            let [a, b, c, d] = self.key;
            let twice = [a, b, c, d, a, b, c, d];
            let key = u64::from_ne_bytes(twice);
            let (words, tail) = output[start..].as_chunks_mut::<8>();
            for word in words {
                *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
            }
            tail.iter_mut().zip(twice).for_each(|(byte, key)| *byte ^= key);
            // The rest of the payload may come later, in the middle of the key.
            self.key.rotate_left(payload.len() % 4);
            self.remaining -= payload.len();
            input = rest;
        }
    }

    /// Reads a header, and answers it; false if more of it has to arrive.
    fn header(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> bool {
        let held = std::mem::take(&mut self.header);
        let mut joined = Vec::new();
        let bytes = if held.is_empty() {
            *input
        } else {
            joined.extend_from_slice(&held);
            joined.extend_from_slice(&input[..input.len().min(14)]);
            &joined
        };
        let (len, header) = match *bytes {
            [_, 0xFE, a, b, ..] => (usize::from(a) << 8 | usize::from(b), 8),
            [_, 0xFF, a, b, c, d, e, f, g, h, ..] => {
                (u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize, 14)
            }
            [_, short, ..] if short < 0xFE => (usize::from(short & 0x7F), 6),
            _ => (0, usize::MAX),
        };
        if bytes.len() < header {
            self.header = bytes.to_vec();
            *input = &[];
            return false;
        }
        self.key = bytes[header - 4..header].try_into().expect("four");
        self.remaining = len;
        output.extend_from_slice(&bytes[..header - 4]);
        let start = output.len() - (header - 4);
        output[start + 1] &= 0x7F;
        *input = &input[header - held.len()..];
        true
    }
}
