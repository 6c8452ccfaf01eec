//! What all contenders talk to: a stream in memory, which hands out prepared frames and keeps what is written.
//!
//! A read is a `memcpy` out of the frames and a write one into a buffer, as with a socket. What was written is checked between
//! batches, while no clock runs.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use unsync_websocket::Role;

/// No read hands out more, as sockets seldom do.
const READ: usize = 64 << 10;
/// Payloads repeat this many bytes, so that what they are compared with stays in the fastest cache.
const PATTERN: usize = 4 << 10;

/// What is moved: one message again and again.
#[derive(Clone)]
pub struct Case {
    /// Ours: a server receives masked frames and sends bare ones.
    pub role: Role,
    pub text: bool,
    pub payload: Vec<u8>,
}

pub enum Owned {
    Text(String),
    Binary(Vec<u8>),
}

impl Case {
    pub fn new(role: Role, text: bool, size: usize) -> Self {
        // xorshift: as good as random, and the same in each run.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match text {
                true => b' ' + (state >> 32) as u8 % 95,
                false => (state >> 32) as u8,
            }
        };
        let pattern: Vec<u8> = (0..PATTERN).map(|_| byte()).collect();
        Self { role, text, payload: pattern.into_iter().cycle().take(size).collect() }
    }

    /// Messages that are sent before what was written is checked.
    pub fn batch(&self) -> usize {
        (128 << 10) / self.payload.len().max(128) + 1
    }

    /// What the peer sends: frames for a read or two, or a single one.
    pub fn frames(&self) -> Vec<u8> {
        let mut frame = self.header(self.role == Role::Server);
        let start = frame.len();
        frame.extend_from_slice(&self.payload);
        if self.role == Role::Server {
            let key = [0x37, 0xFA, 0x21, 0x3D];
            frame.splice(start..start, key);
            xor(key, &mut frame[start + 4..]);
        }
        frame.repeat((READ / frame.len()).max(1))
    }

    const fn opcode(&self) -> u8 {
        if self.text { 0x01 } else { 0x02 }
    }

    /// How many bytes of the length follow this one (RFC 6455, section 5.2).
    pub const fn bytes_of_len(second: u8) -> usize {
        match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    /// Before the masking key.
    pub fn header(&self, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut header = vec![0x80 | self.opcode()];
        match self.payload.len() {
            len @ 0..126 => header.push(mask | len as u8),
            len @ 126..65536 => {
                header.push(mask | 126);
                header.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                header.push(mask | 127);
                header.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        header
    }

    /// The message, to be sent as a slice, or from a buffer that may be masked in place.
    pub fn bytes(&self) -> Vec<u8> {
        self.payload.clone()
    }

    /// The message, for those that want its text as text.
    pub fn owned(&self) -> Owned {
        match self.text {
            true => Owned::Text(String::from_utf8(self.bytes()).expect("it is text")),
            false => Owned::Binary(self.bytes()),
        }
    }

    /// Compares every byte with what was sent. All contenders pay for that alike.
    #[inline]
    pub fn check(&self, payload: &[u8]) {
        assert_eq!(payload.len(), self.payload.len());
        let pattern = &self.payload[..payload.len().min(PATTERN)];
        assert!(payload.chunks(PATTERN).all(|chunk| chunk == &pattern[..chunk.len()]), "another payload");
    }
}

/// Unmasks, or masks, eight bytes at a time.
pub fn xor([a, b, c, d]: [u8; 4], payload: &mut [u8]) {
    let twice = [a, b, c, d, a, b, c, d];
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(twice)).to_ne_bytes();
    }
    tail.iter_mut().zip(twice).for_each(|(byte, key)| *byte ^= key);
}

thread_local! {
    /// Some libraries never show the stream that they were given.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Checks every byte that was written since the last time: `count` messages, each in one frame or more.
pub fn check_written(case: &Case, count: usize) {
    WRITTEN.with_borrow_mut(|written| {
        let mut rest = &mut written[..];
        for _ in 0..count {
            let (mut fin, mut offset) = (false, 0);
            while !fin {
                let (head, after) = rest.split_first_chunk_mut::<2>().expect("a header");
                let opcode = if offset > 0 { 0 } else { case.opcode() };
                assert_eq!(head[0] & 0x7F, opcode);
                fin = head[0] & 0x80 != 0;
                let (bytes, mask) = (Case::bytes_of_len(head[1]), head[1] & 0x80 != 0);
                assert_eq!(mask, case.role == Role::Client);
                let (len, after) = after.split_at_mut(bytes);
                let len = match bytes {
                    0 => usize::from(head[1] & 0x7F),
                    _ => len.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                };
                let (key, after) = after.split_at_mut(if mask { 4 } else { 0 });
                let (payload, after) = after.split_at_mut(len);
                if let Ok(key) = <[u8; 4]>::try_from(&*key) {
                    xor(key, payload);
                }
                assert!(case.payload[offset..].starts_with(payload), "another payload");
                (rest, offset) = (after, offset + len);
            }
            assert_eq!(offset, case.payload.len());
        }
        assert!(rest.is_empty(), "more than was sent");
        written.clear();
    });
}

/// The stream.
pub struct Wire {
    frames: Vec<u8>,
    at: usize,
}

impl Wire {
    pub fn new(frames: Vec<u8>) -> Self {
        Self { frames, at: 0 }
    }

    #[inline]
    fn next(&mut self, most: usize) -> &[u8] {
        let start = self.at;
        let end = self.frames.len().min(start + most.min(READ));
        self.at = if end == self.frames.len() { 0 } else { end };
        &self.frames[start..end]
    }
}

impl Read for Wire {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buffer.len());
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Wire {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| slices.iter().for_each(|bytes| written.extend_from_slice(bytes)));
        Ok(slices.iter().map(|bytes| bytes.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl futures_io::AsyncRead for Wire {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.read(buffer))
    }
}

impl futures_io::AsyncWrite for Wire {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_vectored(slices))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncRead for Wire {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.next(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Wire {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_vectored(slices))
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

#[cfg(feature = "peers")]
impl wtx::stream::StreamReader for Wire {
    #[inline]
    async fn read(&mut self, bytes: &mut [u8]) -> wtx::Result<usize> {
        Ok(Read::read(self, bytes)?)
    }
}

#[cfg(feature = "peers")]
impl wtx::stream::StreamWriter for Wire {
    #[inline]
    async fn write_all(&mut self, bytes: &[u8]) -> wtx::Result<()> {
        Ok(Write::write_all(self, bytes)?)
    }

    #[inline]
    async fn write_all_vectored(&mut self, slices: &[&[u8]]) -> wtx::Result<()> {
        WRITTEN.with_borrow_mut(|written| slices.iter().for_each(|bytes| written.extend_from_slice(bytes)));
        Ok(())
    }
}
