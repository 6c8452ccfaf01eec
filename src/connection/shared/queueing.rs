//! What is put into the outbox from beside: answers, and what handles queue, also in a batch.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};

use super::stream::checked_write;
use super::{Output, SendStage, Shared};
use crate::connection::QueueError;
use crate::connection::batch::{self, Member, Span};
use crate::connection::hub::Slot;
use crate::connection::rest::Resting;
use crate::protocol::{CloseFrame, EncodedFrame, OpCode, Outbound};

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    /// A Ping of the keepalive. Where there is no room for it, a peer that reads nothing has been told enough.
    pub(crate) fn keepalive_ping(&self, payload: &[u8]) {
        let mut state = self.state_mut();
        if state.outbound.has_room() {
            state.outbound.ping(payload);
        }
    }

    /// Answers a Ping: at once if it is the last of what was read, or together with whatever else that calls for.
    pub(crate) fn answer_ping(&self, payload: &[u8], me: Slot, is_last: bool) {
        let at_once = is_last && self.corked.get() == 0;
        if !at_once || self.write_past(OpCode::Pong, payload, me) == SendStage::Waiting {
            self.state_mut().outbound.answer_ping(payload);
        }
    }

    // --- what handles put in -----------------------------------------------------------------------------------

    pub(crate) fn queue(self: Rc<Self>, frame: &EncodedFrame) -> Result<(), QueueError>
    where
        T: 'static,
    {
        if batch::is_open() && self.hears() && batch::hear(&self, frame.shared()) {
            return Ok(());
        }
        if self.is_batched.get() && !self.state().outbound.has_room() {
            // Its socket has not been asked yet.
            self.write_queued();
        }
        {
            let mut state = self.state_mut();
            if state.send_error().is_some() {
                return Err(QueueError::Closed);
            }
            if !state.outbound.has_room() {
                return Err(QueueError::Full);
            }
            state.outbound.push_frame(frame);
        }
        if self.corked.get() == 0 && !batch::add(&self) {
            self.see_to_output();
        }
        Ok(())
    }

    pub(crate) fn queue_close(&self, frame: &CloseFrame) -> Result<(), QueueError> {
        if self.state().send_error().is_some() {
            return Err(QueueError::Closed);
        }
        self.request_close(Some(frame));
        self.see_to_output();
        Ok(())
    }

    pub(crate) fn queue_close_now(&self, frame: &CloseFrame) -> Result<(), QueueError> {
        {
            let state = self.state();
            if state.output != Output::Open || state.outbound.is_close_sent() {
                return Err(QueueError::Closed);
            }
        }
        self.request_close_now(frame);
        self.see_to_output();
        Ok(())
    }

    /// Writes what was heard from where it lies.
    fn write_heard(&self, heard: Span) {
        self.is_heard_out.set(true);
        let mut written = Poll::Pending;
        batch::with_heard(heard, |frames| {
            written = self.poll_stream(|stream, cx| {
                stream.poll_write(cx, frames).map(|result| checked_write(result?, frames.len()))
            });
        });
        self.is_heard_out.set(false);
        // If anybody has looked, the outbox knows that it is out.
        let is_known = self.heard.take().is_empty();
        if !is_known && matches!(written, Poll::Ready(Ok(count)) if count == heard.len()) {
            self.flush_past();
            return self.wrote(None);
        }
        let count = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
        {
            let mut state = self.state_mut();
            state.unflushed |= !self.is_bare_socket();
            if !is_known {
                state.outbound.lend(heard.len());
            }
            let mut rest = Outbound::server();
            batch::queue_heard(heard, &mut rest);
            if let Some(frames) = rest.take() {
                state.outbound.put_back(frames, count);
            }
        }
        match written {
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.wrote(None),
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Member for Shared<T> {
    fn is_batched(&self) -> &Cell<bool> {
        &self.is_batched
    }

    fn heard(&self) -> &Cell<Span> {
        &self.heard
    }

    fn write_queued(&self) -> usize {
        let heard = self.heard.get();
        let before = if heard.is_empty() { self.queued() } else { heard.len() };
        if !heard.is_empty() {
            self.write_heard(heard);
            if self.is_quiet() {
                return before;
            }
        }
        if self.wants_drive() {
            self.drive(None);
        }
        let mut state = self.state_mut();
        Resting::rest(&mut state.outbound);
        before.saturating_sub(state.outbound.queued())
    }

    fn wake_one(&self) -> bool {
        self.keep_heard();
        Self::wake_one(self)
    }
}
