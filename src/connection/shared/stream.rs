//! The stream, taken to be hostile: what polls it, and writes what waits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Output, Shared, State};
use crate::connection::Error;
use crate::connection::error::plain;
use crate::connection::hub::Slot;
use crate::protocol::Batch;

/// A stream that answers `Interrupted` is asked again this often, and then later.
const INTERRUPTIONS: usize = 16;

/// What waits to be written after a write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

/// Why there are no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    OfStream,
    /// The connection is over; the reason is in the state.
    OfConnection,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    /// Polls the stream, with the waker of those who wait.
    ///
    /// `Interrupted` is tried again, then left for later. A stream that is busy, because it is being polled further up
    /// the stack or somebody holds on to `get_ref`, is tried again too. One that has panicked ends the connection.
    #[inline(always)]
    pub(super) fn poll_stream<R>(
        &self,
        mut poll: impl FnMut(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let Ok(mut guard) = self.stream.try_borrow_mut() else {
            self.hub.wake_all();
            return Poll::Pending;
        };
        let Some(stream) = guard.as_mut() else {
            return not_connected();
        };
        if self.polling.replace(true) {
            drop(guard);
            self.check_poison();
            return not_connected();
        }
        let result = self.hub.with_waker(|waker| {
            let mut cx = Context::from_waker(waker);
            match poll(Pin::new(&mut *stream), &mut cx) {
                result if !is_interrupted(&result) => Some(result),
                _ => poll_again(stream, &mut cx, poll),
            }
        });
        drop(guard);
        self.polling.set(false);
        result.unwrap_or_else(|| {
            self.hub.wake_all();
            Poll::Pending
        })
    }

    /// Asks the stream for bytes; there is at least one if it has any.
    #[inline]
    pub(crate) fn poll_read(&self, space: &mut [u8]) -> Poll<Result<usize, ReadEnd>> {
        let len = space.len();
        let result = match self.poll_stream(|stream, cx| stream.poll_read(cx, space)) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(result) => result.and_then(|count| checked(count, len)),
        };
        Poll::Ready(match result {
            Ok(0) => Err(ReadEnd::OfStream),
            Ok(count) => {
                self.read_some();
                Ok(count)
            }
            Err(error) => Err(self.read_failed(&error)),
        })
    }

    /// Waits until there may be bytes, if the stream can tell without being asked for them.
    #[inline]
    pub(crate) fn poll_readable(&self) -> Poll<Result<(), ReadEnd>> {
        if self.is_told_of_bytes() { self.poll_told() } else { Poll::Ready(Ok(())) }
    }

    #[inline(never)]
    fn poll_told(&self) -> Poll<Result<(), ReadEnd>> {
        let Some(poll_readable) = self.socket.and_then(|socket| socket.poll_readable) else {
            return Poll::Ready(Ok(()));
        };
        let result = std::task::ready!(self.poll_stream(|stream, cx| poll_readable(&stream, cx)));
        Poll::Ready(result.map_err(|error| self.read_failed(&error)))
    }

    /// Waits on for bytes, for a receiver whose reading side is at rest, if the stream can tell of them; ready when he has to look himself. One
    /// of a thousand that were told something has been woken to write it, or not even that.
    pub(crate) fn poll_at_rest(&self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        if !self.is_told_of_bytes() || self.broken().is_some() {
            return Poll::Ready(());
        }
        self.register(slot, cx);
        match self.poll_told() {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.park(slot),
        }
    }

    /// There is nothing to read: lets out what was answered. Returns why there never will be, if so.
    #[inline]
    pub(crate) fn nothing_came(&self, slot: Slot) -> Option<Error> {
        if self.is_quiet() {
            return None;
        }
        self.drive_uncorked(slot);
        // What had arrived before the fault has been delivered; nothing more is to be hoped for.
        let error = self.broken()?;
        self.finish(error.duplicate());
        Some(error)
    }

    fn read_failed(&self, error: &io::Error) -> ReadEnd {
        log::debug!("websocket: read failed: {error}");
        self.finish(Error::Io(plain(error)));
        ReadEnd::OfConnection
    }

    /// Writes what the outbox holds, as far as the stream takes it, and flushes. Never waits.
    pub(crate) fn drive(&self, me: Option<Slot>) {
        let mut progress = false;
        loop {
            let written = match self.take_frames() {
                Some(frames) => self.write_frames(frames),
                None => match self.write_batch() {
                    Some(written) => written,
                    None => break,
                },
            };
            match written {
                Poll::Ready(Ok(Left::Nothing)) => {
                    progress = true;
                    break;
                }
                Poll::Ready(Ok(Left::Something)) => progress = true,
                Poll::Ready(Err(error)) => return self.write_failed(error),
                Poll::Pending => break,
            }
        }
        progress |= self.flush();
        if progress {
            self.wrote(me);
        }
    }

    fn take_frames(&self) -> Option<Vec<u8>> {
        let mut state = self.state_mut();
        if state.output == Output::Open { state.outbound.take_frames() } else { None }
    }

    /// Writes what was taken from the outbox, and puts back what is left of it.
    #[inline]
    fn write_frames(&self, frames: Vec<u8>) -> Poll<io::Result<Left>> {
        let len = frames.len();
        let written = self.poll_stream(|stream, cx| {
            stream.poll_write(cx, &frames).map(|result| checked_write(result?, len))
        });
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        let mut state = self.state_mut();
        // A socket holds nothing back.
        state.unflushed |= !self.is_bare_socket();
        state.outbound.put_back_frames(frames, count);
        written.map_ok(|_| state.left())
    }

    /// The same of whatever else waits; `None` if nothing does.
    #[inline(never)]
    fn write_batch(&self) -> Option<Poll<io::Result<Left>>> {
        // Left where it is while it is written: moving it the moment it is made costs a tenth of a short message.
        let taken = self.state_mut().take_batch(self.is_bare_socket());
        let batch = taken.as_ref()?;
        let written = self.poll_stream(|stream, cx| poll_write_batch(stream, cx, batch));
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        let mut state = self.state_mut();
        state.outbound.put_back(taken?, count);
        Some(written.map_ok(|_| state.left()))
    }

    /// Flushes if nothing waits and there is something to flush. Tells whether that succeeded.
    ///
    /// What waits, in a slot or directly, may wait for the stream, and a flush that succeeds makes async-net forget that.
    fn flush(&self) -> bool {
        {
            let state = self.state();
            if !state.unflushed || !state.outbound.is_empty() || state.output != Output::Open {
                return false;
            }
        }
        match self.poll_stream(AsyncWrite::poll_flush) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => self.state_mut().unflushed = false,
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
        true
    }

    /// As [`drive`](Self::drive), but inside a cork scope that is left to the scope.
    pub(crate) fn drive_uncorked(&self, me: Slot) {
        if self.wants_drive() {
            self.drive(Some(me));
        }
    }

    /// Whether there is something to write, and no cork scope to do it.
    pub(crate) fn wants_drive(&self) -> bool {
        self.corked.get() == 0 && self.has_output()
    }

    /// Whether the closing handshake has begun, so that its deadline has to be watched.
    pub(crate) const fn is_closing(&self) -> bool {
        self.is_closing.get()
    }
}

impl State {
    fn left(&self) -> Left {
        if self.outbound.is_empty() { Left::Nothing } else { Left::Something }
    }

    fn take_batch(&mut self, is_bare_socket: bool) -> Option<Batch> {
        if self.output != Output::Open {
            return None;
        }
        let batch = self.outbound.take();
        // A socket holds nothing back.
        self.unflushed |= batch.is_some() && !is_bare_socket;
        batch
    }
}

fn is_interrupted<R>(result: &Poll<io::Result<R>>) -> bool {
    matches!(result, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted)
}

/// Polls a stream that was interrupted; `None` if it is so again and again.
#[cold]
fn poll_again<T: Unpin, R>(
    stream: &mut T,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
) -> Option<Poll<io::Result<R>>> {
    (1..INTERRUPTIONS).map(|_| poll(Pin::new(&mut *stream), cx)).find(|result| !is_interrupted(result))
}

#[cold]
fn not_connected<R>() -> Poll<io::Result<R>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

/// A stream that claims to have moved more than it was given is broken.
fn checked(count: usize, len: usize) -> io::Result<usize> {
    if count > len {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the stream counts more bytes than it was given"))
    } else {
        Ok(count)
    }
}

pub(super) fn checked_write(count: usize, len: usize) -> io::Result<usize> {
    if count == 0 && len > 0 { Err(io::ErrorKind::WriteZero.into()) } else { checked(count, len) }
}

fn poll_write_batch<T: AsyncWrite>(
    stream: Pin<&mut T>,
    cx: &mut Context<'_>,
    batch: &Batch,
) -> Poll<io::Result<usize>> {
    if !batch.is_vectored() {
        let len = batch.first().len();
        return stream.poll_write(cx, batch.first()).map(|result| checked_write(result?, len));
    }
    batch.with_slices(|slices| poll_write_slices(stream, cx, slices))
}

pub(super) fn poll_write_slices<T: AsyncWrite>(
    stream: Pin<&mut T>,
    cx: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let len = slices.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
    stream.poll_write_vectored(cx, slices).map(|result| checked_write(result?, len))
}
