//! A stream under one deadline, while its handshake lasts.
//!
//! All that is known here is how to read a head, to write and to say goodbye on a stream that may do anything: be
//! interrupted, end, fail, count wrongly, never be ready. No future is made here; `server` and `client` await these
//! polls.
//!
//! The deadline is one instant for the whole handshake, so a peer that sends a byte a second gains nothing. It is
//! looked at when there is nothing else to do, so what can be done at once is done even after it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::HandshakeError;
use super::head::HeadReader;
use crate::connection::{Sleep, Socket, Timer};

/// How often a call that says `Interrupted` is made again before we let others run.
const MAX_INTERRUPTS: usize = 16;
/// Bytes of input thrown away a poll, before we let others run.
const DRAIN_PER_POLL: usize = 64 << 10;
/// Bytes of input thrown away before we drop the stream: a small upload, not a flood.
const DRAIN_MAX: usize = 1 << 20;

/// The stream, and the time it has.
pub(crate) struct Link<T> {
    pub(crate) stream: T,
    pub(crate) timer: Box<dyn Timer>,
    pub(crate) socket: Option<Socket<T>>,
    deadline: Deadline,
}

/// The end of the handshake's time.
enum Deadline {
    /// Nobody has begun to wait yet.
    NotStarted,
    /// The timer has no alarms, or none so far away.
    Never,
    Running(Sleep),
    Passed,
}

impl<T> Link<T> {
    pub(crate) fn new(stream: T, timer: Box<dyn Timer>) -> Self {
        Self { stream, timer, socket: None, deadline: Deadline::NotStarted }
    }

    /// Starts the clock, if it is not running yet.
    pub(crate) fn start(&mut self, timeout: Duration) {
        if matches!(self.deadline, Deadline::NotStarted) {
            let alarm = self.timer.now().checked_add(timeout).and_then(|at| self.timer.sleep_until(at));
            self.deadline = alarm.map_or(Deadline::Never, Deadline::Running);
        }
    }

    /// Ready once the time is over. To be asked after the stream was, and only when that is pending.
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.deadline {
            Deadline::NotStarted | Deadline::Never => return Poll::Pending,
            Deadline::Passed => {}
            Deadline::Running(alarm) => ready!(alarm.as_mut().poll(cx)),
        }
        self.deadline = Deadline::Passed;
        Poll::Ready(())
    }
}

impl<T: AsyncRead + Unpin> Link<T> {
    /// Reads into `space`, which is not empty. 0 is the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = ready!(retry(cx, |cx| Pin::new(&mut self.stream).poll_read(cx, space)))?;
        Poll::Ready(possible(count, space.len()))
    }

    /// Ready with the length of the head, once it is there; with `late`, should the deadline pass before.
    pub(crate) fn poll_head(
        &mut self,
        reader: &mut HeadReader,
        late: HandshakeError,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, HandshakeError>> {
        loop {
            let Poll::Ready(count) = self.poll_read(cx, reader.space()) else {
                return self.poll_deadline(cx).map(|()| Err(late));
            };
            let count = count?;
            if count == 0 {
                return Poll::Ready(Err(HandshakeError::EndOfStream { received: reader.bytes().len() }));
            }
            if let Some(len) = reader.fill(count)? {
                return Poll::Ready(Ok(len));
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> Link<T> {
    /// Writes some of `bytes`, which is not empty.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(retry(cx, |cx| Pin::new(&mut self.stream).poll_write(cx, bytes)))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(possible(count, bytes.len())),
        }
    }

    /// Ends our side of the stream, as far as it knows how.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        retry(cx, |cx| Pin::new(&mut self.stream).poll_close(cx))
    }
}

/// Makes `call` again while it is interrupted, up to a point: then the task is woken, and others run first.
fn retry<R>(
    cx: &mut Context<'_>,
    mut call: impl FnMut(&mut Context<'_>) -> Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    for _ in 0..MAX_INTERRUPTS {
        match call(cx) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// A count that a stream may return for `len` bytes.
fn possible(count: usize, len: usize) -> io::Result<usize> {
    match count <= len {
        true => Ok(count),
        false => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the stream counted more bytes than there were"))
        }
    }
}

/// Bytes on their way out, and how many of them are.
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
}

impl Outgoing {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }

    /// Ready once everything is written and flushed; with `late`, should the deadline pass before.
    pub(crate) fn poll<T: AsyncWrite + Unpin>(
        &mut self,
        link: &mut Link<T>,
        late: HandshakeError,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), HandshakeError>> {
        match self.poll_stream(link, cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(HandshakeError::Io)),
            Poll::Pending => link.poll_deadline(cx).map(|()| Err(late)),
        }
    }

    fn poll_stream<T: AsyncWrite + Unpin>(
        &mut self,
        link: &mut Link<T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.written..) {
            let count = ready!(link.poll_write(cx, rest))?;
            self.written = self.written.saturating_add(count);
        }
        retry(cx, |cx| Pin::new(&mut link.stream).poll_flush(cx))
    }
}

/// A last answer, and the end of the stream after it.
///
/// A socket that is dropped with unread input tells its peer to throw away what it has not read yet (RFC 9112,
/// section 9.6), our answer included. So: write, end our side, read and forget until the peer ends its own; within
/// the deadline, and up to a bound.
pub(crate) struct Farewell {
    answer: Outgoing,
    stage: Stage,
}

/// How far we are with it.
enum Stage {
    Answering,
    Closing,
    /// `drained` bytes of input were thrown away.
    Draining {
        drained: usize,
    },
    Gone,
}

impl Farewell {
    pub(crate) fn new(answer: Vec<u8>) -> Self {
        Self { answer: Outgoing::new(answer), stage: Stage::Answering }
    }

    /// Ready once the stream may be dropped. Fails only if the answer could not be written: whatever happens after
    /// that has nobody left to care.
    pub(crate) fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        link: &mut Link<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), HandshakeError>> {
        loop {
            self.stage = match self.stage {
                Stage::Answering => match ready!(self.answer.poll(link, HandshakeError::ResponseTimeout, cx))
                {
                    Ok(()) => Self::half_close(link),
                    Err(error) => {
                        self.stage = Stage::Gone;
                        return Poll::Ready(Err(error));
                    }
                },
                Stage::Closing => match ready!(poll_or_deadline(link, cx, Link::poll_close)) {
                    Some(Ok(())) => Stage::Draining { drained: 0 },
                    Some(Err(_)) | None => Stage::Gone,
                },
                Stage::Draining { ref mut drained } => {
                    match ready!(poll_or_deadline(link, cx, |link, cx| poll_drain(link, cx, drained))) {
                        Some(()) | None => Stage::Gone,
                    }
                }
                Stage::Gone => return Poll::Ready(Ok(())),
            }
        }
    }

    /// What `poll_close` of some streams leaves undone. If it fails, the peer has gone before us.
    fn half_close<T>(link: &mut Link<T>) -> Stage {
        match link.socket.map(|socket| (socket.half_close)(&mut link.stream)) {
            Some(Err(_)) => Stage::Gone,
            Some(Ok(())) | None => Stage::Closing,
        }
    }
}

/// Ready with `None` if the deadline passes before `poll` is ready.
pub(crate) fn poll_or_deadline<T, R>(
    link: &mut Link<T>,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Link<T>, &mut Context<'_>) -> Poll<R>,
) -> Poll<Option<R>> {
    match poll(link, cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => link.poll_deadline(cx).map(|()| None),
    }
}

/// Ready once the peer has ended its side, or has sent too much.
fn poll_drain<T: AsyncRead + Unpin>(
    link: &mut Link<T>,
    cx: &mut Context<'_>,
    drained: &mut usize,
) -> Poll<()> {
    let mut scratch = [0; 4096];
    let pause = drained.saturating_add(DRAIN_PER_POLL);
    while *drained < DRAIN_MAX {
        if *drained >= pause {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match ready!(link.poll_read(cx, &mut scratch)) {
            Ok(0) | Err(_) => break,
            Ok(count) => *drained = drained.saturating_add(count),
        }
    }
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::connection::NoTimer;

    /// Its peer never ends its side.
    #[derive(Default)]
    struct Stream {
        written: Vec<u8>,
        reads: usize,
        close_fails: bool,
    }

    impl AsyncRead for Stream {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            self.reads = self.reads.saturating_add(1);
            Poll::Pending
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(if self.close_fails { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) })
        }
    }

    /// Says goodbye on `stream`, once: how that ended, and what was read behind the answer.
    fn say_goodbye(stream: Stream, half_close: fn(&mut Stream) -> io::Result<()>) -> (Poll<bool>, usize) {
        let mut link = Link::new(stream, Box::new(NoTimer));
        link.socket = Some(Socket { half_close, poll_readable: None });
        let mut farewell = Farewell::new(b"refused".to_vec());
        let ended = farewell.poll(&mut link, &mut Context::from_waker(Waker::noop()));
        assert_eq!(link.stream.written, b"refused");
        (ended.map(|result| result.is_ok()), link.stream.reads)
    }

    #[test]
    fn a_stream_that_cannot_be_half_closed_behind_a_refusal_is_not_waited_for() {
        assert_eq!(say_goodbye(Stream::default(), |_| Ok(())), (Poll::Pending, 1), "its peer is still there");
        let gone = (Poll::Ready(true), 0);
        assert_eq!(say_goodbye(Stream::default(), |_| Err(io::ErrorKind::NotConnected.into())), gone);
        assert_eq!(say_goodbye(Stream { close_fails: true, ..Stream::default() }, |_| Ok(())), gone);
    }
}
