//! What the sender puts in: past the outbox, into it, or straight from where a message lies.

use std::io;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::stream::{checked_write, poll_write_slices};
use super::{Output, Shared, State};
use crate::connection::Error;
use crate::connection::hub::Slot;
use crate::protocol::{
    CloseCode, CloseFrame, Compress, MessageKind, OpCode, Outbound, Rest, Role, ShortFrame,
};

/// Writes from where a message lies that one poll makes, and bytes of it after which it makes no more, before other tasks get their
/// turn. (A stream may take a header, or a record of TLS, at a time.)
const DIRECT_BUDGET: (usize, usize) = (16, 1 << 20);

/// How a message is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendStage {
    /// It waits for room.
    Waiting,
    /// It is being written from where it lies.
    Direct,
    /// All of it is in the outbox, or written.
    Accepted,
    Done,
}

/// Messages of this size and more are written from where they lie: below, copying costs less.
const DIRECT: usize = 16 << 10;
/// Inside a cork scope, shorter ones than this are gathered where there are several: a write costs more than copying.
const GATHERED: usize = 64 << 10;

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    /// Begins a poll of the sender. A message that is half written belongs to a future that was leaked, unless that is the
    /// one being polled.
    pub(crate) fn enter_sender(&self) {
        self.unpark(Slot::Sender);
        if self.state().outbound.is_direct() {
            self.finish(Error::SendLeaked);
        }
    }

    /// Waits for room in the outbox.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(error) = self.send_error() {
            return Poll::Ready(Err(error));
        }
        if self.state().outbound.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.register(Slot::Sender, cx);
        self.poll_deadline();
        self.drive(Some(Slot::Sender));
        if let Some(error) = self.send_error() {
            return Poll::Ready(Err(error));
        }
        if self.state().outbound.has_room() { Poll::Ready(Ok(())) } else { self.park(Slot::Sender) }
    }

    /// Appends to the outbox; there must be room.
    pub(crate) fn append(&self, append: impl FnOnce(&mut Outbound)) {
        append(&mut self.state_mut().outbound);
    }

    /// Waits until everything accepted has been written and flushed, inside a cork scope too.
    pub(crate) fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        self.register(Slot::Sender, cx);
        self.poll_deadline();
        self.drive(Some(Slot::Sender));
        if self.has_output() {
            return self.park(Slot::Sender);
        }
        Poll::Ready(self.broken().map_or(Ok(()), Err))
    }

    /// Sends a message if it is short and nothing is in its way: the usual case, found out at once. Returns how far that went, for
    /// [`poll_send`](Self::poll_send) to go on with.
    #[inline]
    pub(crate) fn send_at_once(&self, kind: MessageKind, payload: &[u8], compress: Compress) -> SendStage {
        if self.corked.get() > 0 {
            let accepts = !self.receiver_dropped.get() && self.accepts(compress, kind, payload);
            return if accepts { SendStage::Done } else { SendStage::Waiting };
        }
        self.write_past(kind.opcode(), payload, Slot::Sender)
    }

    /// Writes a short frame past the outbox, if nothing is in its way. Returns how far that went.
    #[inline]
    pub(super) fn write_past(&self, opcode: OpCode, payload: &[u8], me: Slot) -> SendStage {
        let is_next = self.heard.get().is_empty() && payload.len() < usize::from(self.way.get());
        if !is_next && !self.has_way(payload.len()) {
            return SendStage::Waiting;
        }
        let mut frame = ShortFrame::new();
        let encoded = match self.role {
            Role::Server => frame.encode(opcode, payload),
            Role::Client => self.state_mut_aside().outbound.encode_short(opcode, payload, &mut frame),
        };
        let Some(len) = encoded else {
            return SendStage::Waiting;
        };
        let frame = frame.get(len);
        let written = self.poll_stream(|stream, cx| stream.poll_write(cx, frame));
        if !matches!(&written, Poll::Ready(Ok(count)) if *count == frame.len()) {
            return self.is_stuck(frame, written, me);
        }
        self.flush_past();
        self.wrote(Some(me));
        // Unless something came in the way of the next: the stream may have queued it.
        if self.way.get() > 0 { SendStage::Done } else { SendStage::Accepted }
    }

    /// Flushes what went past the outbox. A socket holds nothing back.
    #[inline]
    pub(super) fn flush_past(&self) {
        if self.is_bare_socket() {
            return;
        }
        match self.poll_stream(AsyncWrite::poll_flush) {
            Poll::Pending => self.state_mut().unflushed = true,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
    }

    /// The stream did not take all of a short message: the rest goes through the outbox.
    #[cold]
    fn is_stuck(&self, frame: &[u8], written: Poll<io::Result<usize>>, me: Slot) -> SendStage {
        let written = written.map(|result| checked_write(result?, frame.len()));
        let count = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
        {
            let mut state = self.state_mut();
            if count == 0 && !state.outbound.is_open() {
                // The stream has closed the connection meanwhile.
                return SendStage::Waiting;
            }
            state.unflushed = !self.is_bare_socket();
            state.outbound.put_back_short(frame, count);
        }
        match written {
            // Nobody else would see to the rest.
            Poll::Pending if self.receiver_dropped.get() => {}
            Poll::Pending => return SendStage::Done,
            Poll::Ready(Ok(_)) => self.wrote(Some(me)),
            Poll::Ready(Err(error)) => self.write_failed(error),
        }
        SendStage::Accepted
    }

    /// Sends a message: into the outbox and on, or straight from where it lies.
    #[inline(never)]
    pub(crate) fn poll_send(
        &self,
        cx: &Context<'_>,
        kind: MessageKind,
        payload: &[u8],
        compress: Compress,
        stage: &mut SendStage,
        written: &mut usize,
    ) -> Poll<Result<(), Error>> {
        loop {
            match stage {
                SendStage::Waiting if self.accepts(compress, kind, payload) => *stage = SendStage::Accepted,
                SendStage::Waiting => {
                    self.enter_sender();
                    if payload.len() >= DIRECT && !self.compresses(payload.len(), compress) {
                        *stage = std::task::ready!(self.poll_begin_direct(cx, kind, payload))?;
                    } else {
                        std::task::ready!(self.poll_ready(cx))?;
                        self.append(|outbound| outbound.push_with(compress, kind, payload));
                        *stage = SendStage::Accepted;
                    }
                }
                SendStage::Direct => {
                    self.unpark(Slot::Sender);
                    let result = std::task::ready!(self.poll_direct(cx, payload, written));
                    // What was queued behind it, and the flush, as after any message.
                    *stage = if result.is_ok() { SendStage::Accepted } else { SendStage::Done };
                    result?;
                }
                SendStage::Accepted => {
                    self.unpark(Slot::Sender);
                    std::task::ready!(self.poll_accepted(cx))?;
                    *stage = SendStage::Done;
                    return Poll::Ready(Ok(()));
                }
                SendStage::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Puts a short message into the outbox, if nothing is in its way: the usual case, found out at once.
    fn accepts(&self, compress: Compress, kind: MessageKind, payload: &[u8]) -> bool {
        let mut state = self.state_mut();
        let State { outbound, cause, .. } = &mut *state;
        let outbound: &mut Outbound = outbound;
        let is_well = cause.is_none() && !self.polling.get() && !self.spill_failed.get();
        let accepts = is_well
            && (payload.len() < DIRECT || self.gathers(payload.len(), outbound))
            && outbound.is_open()
            && !outbound.is_direct()
            && outbound.has_room();
        if accepts {
            outbound.push_with(compress, kind, payload);
        }
        accepts
    }

    /// Whether a message that could be written from where it lies had better leave together with others.
    fn gathers(&self, len: usize, outbound: &Outbound) -> bool {
        self.corked.get() > 0 && len < GATHERED && (self.has_more.get() || !outbound.is_empty())
    }

    /// Whether a message is to be compressed, so that it cannot be written from where it lies.
    fn compresses(&self, len: usize, compress: Compress) -> bool {
        compress == Compress::IfAgreed && self.state().outbound.compresses(len)
    }

    /// Writes what was accepted at once, unless a cork scope will. Nobody would see to the rest if the receiver were gone, so
    /// then it is waited for.
    pub(crate) fn poll_accepted(&self, cx: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.receiver_dropped.get() {
            return self.poll_flush(cx);
        }
        self.drive_uncorked(Slot::Sender);
        Poll::Ready(self.broken().map_or(Ok(()), Err))
    }

    /// Begins a message that is to be written from where it lies, once the outbox is empty. If the stream does not take that much just
    /// now, the message is copied behind it like any other: a room that goes on queueing could keep it waiting for ever. Only one
    /// that is longer than we would receive does wait.
    fn poll_begin_direct(
        &self,
        cx: &Context<'_>,
        kind: MessageKind,
        payload: &[u8],
    ) -> Poll<Result<SendStage, Error>> {
        if let Some(error) = self.send_error() {
            return Poll::Ready(Err(error));
        }
        if self.has_output() {
            self.register(Slot::Sender, cx);
            self.poll_deadline();
            self.drive(Some(Slot::Sender));
            if let Some(error) = self.send_error() {
                return Poll::Ready(Err(error));
            }
        }
        let is_stuck = self.has_output();
        let mut state = self.state_mut();
        if !is_stuck {
            state.outbound.begin_direct(kind, payload.len());
            return Poll::Ready(Ok(SendStage::Direct));
        }
        if payload.len() <= self.max_message && state.outbound.has_room() {
            state.outbound.push_uncompressed(kind, payload);
            return Poll::Ready(Ok(SendStage::Accepted));
        }
        drop(state);
        self.park(Slot::Sender)
    }

    /// Writes on at a message from where it lies.
    fn poll_direct(&self, cx: &Context<'_>, payload: &[u8], written: &mut usize) -> Poll<Result<(), Error>> {
        self.register(Slot::Sender, cx);
        self.poll_deadline();
        let enough = written.saturating_add(DIRECT_BUDGET.1);
        for _ in 0..DIRECT_BUDGET.0 {
            if let Some(error) = self.direct_error() {
                self.end_direct(payload.get(*written..).unwrap_or_default(), Rest::Frame);
                self.drive(Some(Slot::Sender));
                return Poll::Ready(Err(error));
            }
            if !self.state().outbound.direct_goes_next() {
                // A Pong waits for this frame boundary.
                self.drive(Some(Slot::Sender));
                // Writing may have failed, or the stream have called `close_now`.
                if self.direct_error().is_some() {
                    continue;
                }
                if !self.state().outbound.direct_goes_next() {
                    return self.park(Slot::Sender);
                }
            }
            let left = payload.get(*written..).unwrap_or_default();
            let frames = self.state_mut().outbound.take_direct(left);
            let result =
                self.poll_stream(|stream, cx| frames.with_slices(|it| poll_write_slices(stream, cx, it)));
            let count = if let Poll::Ready(Ok(count)) = &result { *count } else { 0 };
            let of_payload = self.state_mut().outbound.put_back_direct(frames, count);
            *written = written.saturating_add(of_payload);
            match result {
                Poll::Pending => return self.park(Slot::Sender),
                Poll::Ready(Err(error)) => self.write_failed(error),
                Poll::Ready(Ok(_)) => {
                    self.state_mut().unflushed |= !self.is_bare_socket();
                    self.wrote(Some(Slot::Sender));
                    // A message that lacks its end was cut by `close_now`: that is an error, found above.
                    if !self.state().outbound.is_direct() && *written == payload.len() {
                        return Poll::Ready(Ok(()));
                    }
                    if *written >= enough {
                        break;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Why a message that has begun cannot go on. A Close that is merely asked for, by the peer or by us, waits for it.
    fn direct_error(&self) -> Option<Error> {
        self.check_poison();
        let state = self.state();
        let over = match state.cause.as_deref() {
            None | Some(Error::Closed(_) | Error::EndOfStream { .. }) => state.output != Output::Open,
            Some(_) => true,
        };
        // `close_now` may have ended it, between two of its fragments or at the end of one.
        if over || !state.outbound.is_direct() {
            Some(state.cause.as_deref().map_or(Error::Closing, Error::duplicate))
        } else {
            None
        }
    }
}

impl<T> Shared<T> {
    /// A message that was being written from where it lies goes on from the outbox, or ends.
    fn end_direct(&self, unwritten: &[u8], rest: Rest) {
        self.state_mut().outbound.end_direct(unwritten, rest);
    }

    /// The same, from the `Drop` of its future: whoever waits goes on writing it. A rest above the message limit is not kept:
    /// the frame is finished, and a Close tells the peer that the message is not, if it has begun and now lacks its end.
    pub(crate) fn abandon_direct(&self, unwritten: &[u8]) {
        self.way.set(0);
        self.keep_heard();
        let Ok(mut state) = self.cell.try_borrow_mut() else {
            return self.spill_failed.set(true);
        };
        let rest = if unwritten.len() <= self.max_message { Rest::Message } else { Rest::Frame };
        let is_cut = state.outbound.end_direct(unwritten, rest);
        if is_cut {
            let frame = CloseFrame::new(CloseCode::INTERNAL_ERROR, "message not finished");
            state.outbound.close_now(Some(&frame));
        }
        drop(state);
        if is_cut {
            self.arm();
        }
        self.hand_off(Some(Slot::Sender));
        if self.parked.contains(Slot::Scope) {
            self.hub.wake_slot(Slot::Scope);
        }
    }
}
