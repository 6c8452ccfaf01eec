//! Closing, to its end (RFC 6455, section 7.1).

use std::io;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::{Input, Output, Shared};
use crate::connection::Error;
use crate::connection::hub::Slot;
use crate::connection::reading::{Budget, Reading};
use crate::connection::scratch::ReadBuffer;
use crate::protocol::{CloseFrame, Role};

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    /// Queues our Close after everything accepted so far. The first one counts.
    pub(crate) fn request_close(&self, frame: Option<&CloseFrame>) {
        let is_first = {
            let outbound = &mut self.state_mut().outbound;
            let is_first = outbound.is_open();
            outbound.close(frame);
            is_first
        };
        self.arm();
        if is_first {
            self.hand_off(None);
        }
    }

    /// Drops what has not begun to leave, and queues our Close.
    pub(crate) fn request_close_now(&self, frame: &CloseFrame) {
        self.state_mut().outbound.close_now(Some(frame));
        self.arm();
        self.hand_off(None);
    }

    /// Goes on with the closing handshake, to its end: what is queued, our Close, the peer's, the end of the stream
    /// (section 7.1). `reading` is the reading side, if it is at hand; without it, somebody else reads the peer's Close.
    pub(crate) fn poll_close(
        &self,
        slot: Slot,
        cx: &mut Context<'_>,
        reading: Option<&mut Reading>,
    ) -> Poll<Result<(), Error>> {
        self.unpark(slot);
        self.register(slot, cx);
        self.check_poison();
        self.poll_deadline();
        self.drive(Some(slot));
        let is_open = self.state().input == Input::Open;
        let is_reading = reading.is_some();
        if let Some(reading) = reading.filter(|_| is_open) {
            // Also while our own bytes are stuck: the peer may be waiting for us to read before it reads.
            let is_over = reading.poll_discard(self, slot, cx, self.max_message).is_ready();
            // It was a poll of its own.
            self.register(slot, cx);
            if is_over {
                self.drive(Some(slot));
            }
        }
        let (input, output) = {
            let state = self.state();
            (state.input, state.output)
        };
        if output == Output::Broken && (input == Input::Over || !is_reading) {
            // A receiver that is still there may read what came before the fault.
            if input == Input::Over || self.receiver_dropped.get() {
                self.tear_down();
            }
            return Poll::Ready(self.verdict());
        }
        if self.has_output() || input == Input::Open {
            return self.park(slot);
        }
        std::task::ready!(self.poll_shut_down(slot, cx));
        Poll::Ready(self.verdict())
    }

    /// Ends the stream once both Closes are through, or the peer's will never come. A server shuts down its write side and
    /// waits for the client to do the same; a client lets the server go first (section 7.1.1). What is still unread is thrown
    /// away, for a socket dropped with unread input takes our Close with it.
    fn poll_shut_down(&self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        let is_clean = matches!(self.state().cause.as_deref(), Some(Error::Closed(_)));
        let server_goes_first = self.role == Role::Client && is_clean;
        if !server_goes_first && self.poll_shut().is_pending() {
            return self.park(slot);
        }
        let mut budget = Budget::default();
        while !budget.is_spent() {
            let mut buffer = ReadBuffer::default();
            let outcome = self.poll_read(buffer.space());
            match outcome {
                Poll::Ready(Ok(count)) => {
                    buffer.filled(count);
                    budget.spend(count);
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    self.drained.update(|drained| drained.saturating_add(count));
                    let is_full = self.drained.get() == u32::MAX;
                    if !is_full && usize::try_from(self.drained.get()).is_ok_and(|it| it <= self.max_message)
                    {
                        continue;
                    }
                }
                // The server has gone, and we go, too. A bare socket ends by being dropped; other streams may have a last word, as TLS has.
                Poll::Ready(Err(_)) if !self.is_bare_socket() && self.poll_shut().is_pending() => {
                    return self.park(slot);
                }
                Poll::Ready(Err(_)) => {}
                // The peer has had our Close and said all it has to say; a server need not wait for more.
                Poll::Pending if is_clean && self.role == Role::Server => {}
                Poll::Pending => {
                    buffer.untouched();
                    return self.park(slot);
                }
            }
            self.tear_down();
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Shuts down the write side.
    fn poll_shut(&self) -> Poll<()> {
        if self.state().output != Output::Open {
            return Poll::Ready(());
        }
        let closed = std::task::ready!(self.poll_stream(AsyncWrite::poll_close));
        let socket = self.socket;
        let shut = closed.and_then(|()| {
            let mut stream = self.stream.try_borrow_mut().map_err(io::Error::other)?;
            match (socket, stream.as_mut()) {
                (Some(socket), Some(stream)) => (socket.half_close)(stream),
                _ => Ok(()),
            }
        });
        if let Err(error) = shut {
            // The peer was quicker; there is nobody left to tell.
            log::debug!("websocket: shutdown failed: {error}");
        }
        self.state_mut().output = Output::Shut;
        Poll::Ready(())
    }

    /// How the closing handshake went.
    fn verdict(&self) -> Result<(), Error> {
        match self.state().cause.as_deref() {
            None | Some(Error::Closed(_)) => Ok(()),
            Some(cause) => Err(cause.duplicate()),
        }
    }

    /// `close` of a sender: if the receiver is gone, its reading side is at hand.
    pub(crate) fn poll_close_sender(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut orphan = self.orphan.take();
        let result = self.poll_close(Slot::Sender, cx, orphan.as_deref_mut());
        // If there was none, the stream may have dropped the receiver meanwhile, and there is one now.
        if orphan.is_some() {
            self.orphan.set(orphan);
        }
        result
    }
}
