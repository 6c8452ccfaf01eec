//! The receiving side of a connection: bytes in, events out (RFC 6455, sections 5.2 to 5.6, 7.1 and 8.1).
//!
//! [`Inbound`] keeps whatever a cut of the input leaves unfinished (the start of a header, of a control frame, of a
//! message), so it takes bytes in pieces of any size and gives the same events. It copies every payload byte once,
//! unmasking on the way. It checks sizes and counts before it looks at a payload, and holds memory for bytes that
//! came, never for bytes that a header announced.
//!
//! It knows nothing of what is to be sent in answer: that is for whoever reads the events.

use super::deflate::{Deflate, Inflater};
use super::{CloseFrame, FrameHeader, Mask, OpCode, ProtocolError, Role, Utf8Validator, spare};

/// Payload of which this much is still to come, and no less, is read straight to where it stays.
const LONG: usize = 64 << 10;
/// Bytes of it that are read at a time, at most: a turn's work.
const MAX_LONG_READ: usize = 512 << 10;

/// How much a peer may send us at once (RFC 6455, section 10.4).
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::Limits;
///
/// let limits = Limits { max_message: 64 << 10, ..Limits::default() };
/// assert_eq!(limits.max_fragments, 4096);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a message, as it is after inflation. Default 1 MiB.
    pub max_message: usize,
    /// Bytes of one frame's payload, as it is on the wire. Default 1 MiB.
    pub max_frame: usize,
    /// Frames of one message, empty ones counted. Default 4,096.
    pub max_fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_message: 1 << 20, max_frame: 1 << 20, max_fragments: 4096 }
    }
}

/// The type of a message's data (RFC 6455, section 5.6).
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::MessageKind;
///
/// assert_ne!(MessageKind::Text, MessageKind::Binary);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
}

impl MessageKind {
    pub(crate) const fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// What [`Inbound::receive`] found in the bytes it was given.
///
/// # Examples
///
/// See [`Inbound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message is whole; its data are the [`payload`](Inbound::payload), and valid UTF-8 if it is text.
    Message(MessageKind),
    /// A frame of a message ended that is not the last one: nothing to act upon, but it was work.
    Fragment,
    /// A Ping, to be answered with its [`payload`](Inbound::payload) (section 5.5.2).
    Ping,
    /// A Pong and its [`payload`](Inbound::payload) (section 5.5.3).
    Pong,
    /// The peer's Close (section 5.5.1). Whatever follows is dropped.
    Close(Option<CloseFrame>),
}

/// The receiving side of a connection.
///
/// # Examples
///
/// ```
/// use unsync_websocket::Role;
/// use unsync_websocket::protocol::{Event, Inbound, Limits, MessageKind};
///
/// let mut inbound = Inbound::new(Role::Client, Limits::default());
/// // The fragmented "Hello" of section 5.7, cut in the middle.
/// let mut input = &[0x01, 0x03, b'H', b'e'][..];
/// assert_eq!(inbound.receive(&mut input)?, None);
///
/// let mut input = &[b'l', 0x80, 0x02, b'l', b'o', 0x89, 0x00][..];
/// assert_eq!(inbound.receive(&mut input)?, Some(Event::Fragment));
/// assert_eq!(inbound.receive(&mut input)?, Some(Event::Message(MessageKind::Text)));
/// assert_eq!(inbound.payload(), b"Hello");
/// assert_eq!(inbound.receive(&mut input)?, Some(Event::Ping));
/// assert_eq!(inbound.receive(&mut input)?, None);
/// # Ok::<(), unsync_websocket::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Inbound {
    role: Role,
    limits: Limits,
    stage: Stage,
    /// The message that has begun and not ended.
    assembly: Option<Assembly>,
    /// The data of that message so far, or of the one that the last event told of.
    message: Vec<u8>,
    /// The payload of the control frame that is arriving, or that the last event told of.
    control: Vec<u8>,
    /// What the last event lets its reader look at.
    shown: Shown,
    /// Bytes that the next long read is given space for: as many as the last one brought, on whichever connection, or twice as many if
    /// it filled all.
    long_read: usize,
    /// RSV1 is legal exactly when this is there.
    inflater: Option<Box<Inflater>>,
}

/// Where the next byte belongs.
#[derive(Debug)]
enum Stage {
    /// Between frames, with this much of the next header.
    Header(PartialHeader),
    /// `remaining` payload bytes of the frame have not arrived.
    Payload { header: FrameHeader, mask: Option<Mask>, remaining: usize },
    /// All of a compressed message is here, and not all of it is inflated.
    Inflating,
    /// A Close ended the stream; what follows is dropped (sections 1.4 and 7.1.1).
    Finished,
    /// The peer broke a rule; nothing after that can be trusted (section 7.1.7).
    Failed(ProtocolError),
}

#[derive(Clone, Copy, Debug, Default)]
struct PartialHeader {
    bytes: [u8; FrameHeader::MAX_LEN],
    len: u8,
}

/// A message of which some frames have come.
#[derive(Debug)]
struct Assembly {
    kind: MessageKind,
    frame_count: u32,
    /// Bytes that the headers so far announced; never more than the limit.
    len: usize,
    /// Its data go through the inflater.
    compressed: bool,
    utf8: Utf8Validator,
}

/// A message in one frame, at the front of the input: its payload, as a range of that.
struct WholeFrame {
    kind: MessageKind,
    mask: Option<Mask>,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Message,
    Control,
}

impl Inbound {
    /// The receiving side of an endpoint that acts as `role`, at the start of the stream.
    ///
    /// # Examples
    ///
    /// See [`Inbound`].
    #[must_use]
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            stage: Stage::Header(PartialHeader { bytes: [0; FrameHeader::MAX_LEN], len: 0 }),
            assembly: None,
            message: Vec::new(),
            control: Vec::new(),
            shown: Shown::Nothing,
            long_read: LONG,
            inflater: None,
        }
    }

    /// Whether it stands between two messages and holds nothing, so that any other is as good.
    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.stage, Stage::Header(PartialHeader { len: 0, .. }))
            && self.assembly.is_none()
            && self.message.is_empty()
            && self.shown == Shown::Nothing
    }

    /// Whether a buffer of a message that has been taken is still here.
    pub(crate) const fn holds_memory(&self) -> bool {
        self.message.capacity() > 0 || self.control.capacity() > 0
    }

    /// What compressed messages go through; between two of them, all that a later one depends on.
    pub(crate) const fn inflater(&mut self) -> &mut Option<Box<Inflater>> {
        &mut self.inflater
    }

    /// What tells one at rest from another.
    pub(crate) const fn terms(&self) -> (Role, Limits) {
        (self.role, self.limits)
    }

    /// Makes one at rest that of another connection.
    pub(crate) const fn take_on(&mut self, role: Role, limits: Limits) {
        self.role = role;
        self.limits = limits;
    }

    /// Takes compressed messages, if that was agreed on.
    pub(crate) fn agree(mut self, deflate: Option<&Deflate>) -> Self {
        self.inflater = deflate.map(|agreed| Box::new(Inflater::new(agreed, self.role)));
        self
    }

    /// Takes bytes from the front of `input` up to the end of the next event, and returns it; `None` when `input`
    /// is used up first. What the last event had as its payload is forgotten.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke. Everything before it has been told of by then; from now on every call returns
    /// the same error.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Role;
    /// use unsync_websocket::protocol::{Event, Inbound, Limits, MessageKind};
    ///
    /// let mut inbound = Inbound::new(Role::Client, Limits::default());
    /// let mut input = &b"\x81\x02hi\x81\x05hel"[..];
    /// assert_eq!(inbound.receive(&mut input)?, Some(Event::Message(MessageKind::Text)));
    /// assert_eq!(input, b"\x81\x05hel"); // behind the event
    /// assert_eq!(inbound.receive(&mut input)?, None);
    /// assert_eq!(input, b""); // and kept inside
    /// # Ok::<(), unsync_websocket::ProtocolError>(())
    /// ```
    pub fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Event>, ProtocolError> {
        loop {
            let event = self.step(input, None)?;
            if event.is_some() || !self.has_more() {
                return Ok(event);
            }
        }
    }

    /// As [`receive`](Self::receive), but the data of a message are appended to `data` by the call that returns
    /// [`Event::Message`], and are not in [`payload`](Self::payload). A frame that holds a whole message and has
    /// arrived whole is unmasked straight into `data`.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); `data` is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Role;
    /// use unsync_websocket::protocol::{Event, Inbound, Limits, MessageKind};
    ///
    /// let mut inbound = Inbound::new(Role::Client, Limits::default());
    /// let mut data = b"so far, ".to_vec();
    /// let event = inbound.receive_into(&mut &b"\x82\x05so go"[..], &mut data)?;
    /// assert_eq!(event, Some(Event::Message(MessageKind::Binary)));
    /// assert_eq!(data, b"so far, so go");
    /// # Ok::<(), unsync_websocket::ProtocolError>(())
    /// ```
    pub fn receive_into(
        &mut self,
        input: &mut &[u8],
        data: &mut Vec<u8>,
    ) -> Result<Option<Event>, ProtocolError> {
        loop {
            let event = self.step(input, Some(data))?;
            if event.is_some() || !self.has_more() {
                return Ok(event);
            }
        }
    }

    /// As [`receive_into`](Self::receive_into) or [`receive`](Self::receive), but no call takes long: where it
    /// [has more](Self::has_more) to do it returns `None`, and the next goes on.
    pub(crate) fn step(
        &mut self,
        input: &mut &[u8],
        mut data: Option<&mut Vec<u8>>,
    ) -> Result<Option<Event>, ProtocolError> {
        self.forget_shown();
        if let Some(kind) = self.whole_message(input, data.as_deref_mut()) {
            return Ok(Some(Event::Message(kind)));
        }
        let event = match self.next_event(input) {
            Ok(event) => event,
            Err(error) => {
                self.stage = Stage::Failed(error);
                self.end_stream();
                return Err(error);
            }
        };
        if let Some(data) = data
            && self.shown == Shown::Message
        {
            if data.is_empty() {
                fit(&mut self.message);
                std::mem::swap(data, &mut self.message);
            } else {
                data.extend_from_slice(&self.message);
            }
            self.message.clear();
            self.shown = Shown::Nothing;
        }
        Ok(event)
    }

    /// Reads payload straight to where it stays, if the frame at hand has much more of it: `read` is given zeroed space, at most
    /// 512 KiB of it, and tells how much it filled. `None` if there is no such frame. What that comes to, the next call of
    /// [`step`](Self::step) says, which needs no input for it.
    pub(crate) fn read_long<R>(&mut self, read: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        let Stage::Payload { header, mask, remaining } = &mut self.stage else { return None };
        let assembly = self.assembly.as_mut().filter(|assembly| !assembly.compressed)?;
        if header.opcode.is_control() || *remaining < LONG {
            return None;
        }
        let start = self.message.len();
        // Into the room there is; only what is full grows.
        let room = match self.message.capacity().saturating_sub(start) {
            0 => start.max(LONG),
            room => room,
        };
        let len = room.min(self.long_read).min(*remaining);
        let most = if header.fin { assembly.len } else { self.limits.max_message };
        make_room(&mut self.message, len, most);
        self.message.resize(start.saturating_add(len), 0);
        let (count, result) = read(self.message.get_mut(start..).unwrap_or_default());
        self.message.truncate(start.saturating_add(count));
        *remaining = remaining.saturating_sub(count);
        // What is zeroed and not filled costs as much as if it were.
        let next = if count < len { count } else { self.long_read.max(len.saturating_mul(2)) };
        self.long_read = next.clamp(LONG, MAX_LONG_READ);
        let piece = self.message.get_mut(start..).unwrap_or_default();
        if let Some(mask) = mask {
            mask.apply(piece);
        }
        if let Err(error) = assembly.extend(piece) {
            self.stage = Stage::Failed(error);
        }
        Some(result)
    }

    /// Whether there is something to do that needs no input.
    pub(crate) const fn has_more(&self) -> bool {
        matches!(self.stage, Stage::Inflating)
    }

    /// What the last step of inflating took, in bytes of a message that need not be inflated: 64 KiB or more, if it was not the last.
    pub(crate) fn inflating_cost(&self) -> usize {
        self.inflater.as_ref().map_or(0, |inflater| inflater.cost())
    }

    /// The data of the message, or of the Ping or Pong, that the last call told of; empty otherwise.
    ///
    /// # Examples
    ///
    /// See [`Inbound`].
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self.shown {
            Shown::Nothing => &[],
            Shown::Message => &self.message,
            Shown::Control => &self.control,
        }
    }

    /// Whether the bytes so far end between two messages: a stream that stops here was not cut inside anything.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Role;
    /// use unsync_websocket::protocol::{Inbound, Limits};
    ///
    /// let mut inbound = Inbound::new(Role::Client, Limits::default());
    /// assert!(inbound.is_between_messages());
    /// inbound.receive(&mut &b"\x81\x05hel"[..])?;
    /// assert!(!inbound.is_between_messages()); // a stream that ends here was cut
    /// # Ok::<(), unsync_websocket::ProtocolError>(())
    /// ```
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        match &self.stage {
            Stage::Header(partial) => partial.len == 0 && self.assembly.is_none(),
            Stage::Payload { .. } | Stage::Inflating => false,
            Stage::Finished | Stage::Failed(_) => true,
        }
    }

    /// Forgets the last event's payload, and hands its buffer to whichever connection of the thread needs one next. Of a message that has
    /// begun keeps no more than twice what has come, or 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::Role;
    /// use unsync_websocket::protocol::{Inbound, Limits};
    ///
    /// let mut inbound = Inbound::new(Role::Client, Limits::default());
    /// inbound.receive(&mut &b"\x81\x02hi"[..])?;
    /// assert_eq!(inbound.payload(), b"hi");
    /// inbound.release_memory();
    /// assert_eq!(inbound.payload(), b"");
    /// # Ok::<(), unsync_websocket::ProtocolError>(())
    /// ```
    pub fn release_memory(&mut self) {
        self.give_back();
        self.cut();
    }

    /// The same for a wait, of which there may be many in a long message: it keeps its room if it may hold that.
    pub(crate) fn wait(&mut self, hold: &mut Option<spare::Hold>) {
        self.give_back();
        if hold.is_some() || self.message.capacity() > LONG {
            self.wait_with_long(hold);
        } else {
            self.cut();
        }
    }

    #[cold]
    fn wait_with_long(&mut self, hold: &mut Option<spare::Hold>) {
        let capacity = self.message.capacity();
        // What was held may have become too much: it is asked for again.
        *hold = None;
        if capacity > fitting(&self.message) {
            *hold = spare::hold(capacity);
        }
        if hold.is_none() {
            self.cut();
        }
    }

    /// Gives back what is empty.
    fn give_back(&mut self) {
        self.forget_shown();
        for buffer in [&mut self.message, &mut self.control] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                spare::give(std::mem::take(buffer));
            }
        }
    }

    /// Gives back what has no bytes in it of what has come.
    fn cut(&mut self) {
        fit(&mut self.message);
        if let Some(inflater) = &mut self.inflater {
            fit(inflater.packed());
        }
    }

    #[inline]
    fn forget_shown(&mut self) {
        match self.shown {
            Shown::Nothing => {}
            Shown::Message => self.message.clear(),
            Shown::Control => self.control.clear(),
        }
        self.shown = Shown::Nothing;
    }

    /// The frame that is next, if it is a whole message and all of it is here, as nearly always. Whatever is odd about it,
    /// [`next_event`](Self::next_event) has to say.
    #[inline]
    fn whole_frame(&self, input: &[u8]) -> Option<WholeFrame> {
        if !matches!(&self.stage, Stage::Header(PartialHeader { len: 0, .. })) || self.assembly.is_some() {
            return None;
        }
        // FIN, no reserved bit, and the opcode.
        let kind = match input.first()? {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let (header, start) = FrameHeader::decode(input).ok()??;
        let is_masked_as_due = header.mask.is_some() == (self.role == Role::Server);
        let Limits { max_message, max_frame, max_fragments } = self.limits;
        let len = usize::try_from(header.payload_len).ok()?;
        if !is_masked_as_due || len > max_frame.min(max_message) || max_fragments == 0 {
            return None;
        }
        let end = start.saturating_add(len);
        (end <= input.len()).then_some(WholeFrame { kind, mask: header.mask.map(Mask::new), start, end })
    }

    /// The message that is next, if it is one frame and all of it is here: unmasked where it lies. Tells its kind, and where it begins and
    /// ends. If it is text, whoever shows it has to see whether it is UTF-8.
    #[inline]
    pub(crate) fn unmask_message(&mut self, input: &mut [u8]) -> Option<(MessageKind, usize, usize)> {
        let WholeFrame { kind, mask, start, end } = self.whole_frame(input)?;
        self.forget_shown();
        if let Some(mask) = mask {
            mask.apply_once(input.get_mut(start..end)?);
        }
        Some((kind, start, end))
    }

    /// The Ping or Pong that is next, if all of it is here: the same.
    pub(crate) fn unmask_control(&mut self, input: &mut [u8]) -> Option<(Event, usize, usize)> {
        // FIN, no reserved bit, and the opcode.
        let event = match input.first()? {
            0x89 => Event::Ping,
            0x8A => Event::Pong,
            _ => return None,
        };
        if !matches!(&self.stage, Stage::Header(PartialHeader { len: 0, .. })) {
            return None;
        }
        let (header, start) = FrameHeader::decode(input).ok()??;
        let end = start.saturating_add(usize::try_from(header.payload_len).ok()?);
        let payload = input.get_mut(start..end)?;
        match (self.role, header.mask) {
            (Role::Server, Some(key)) => Mask::new(key).apply_once(payload),
            (Role::Client, None) => {}
            _ => return None,
        }
        self.forget_shown();
        Some((event, start, end))
    }

    /// The same, but unmasked to the end of `data`; and text is judged.
    #[inline]
    pub(crate) fn copy_message(&mut self, input: &mut &[u8], data: &mut Vec<u8>) -> Option<MessageKind> {
        self.forget_shown();
        self.whole_message(input, Some(data))
    }

    /// The message that is next, if it is one frame and all of it is here: unmasked to where it shall be, with nothing kept in between.
    fn whole_message(&mut self, input: &mut &[u8], data: Option<&mut Vec<u8>>) -> Option<MessageKind> {
        let WholeFrame { kind, mask, start, end } = self.whole_frame(input)?;
        let (frame, rest) = input.split_at_checked(end)?;
        let payload = frame.get(start..)?;
        let shown = if data.is_some() { Shown::Nothing } else { Shown::Message };
        let to = data.unwrap_or_else(|| {
            if self.message.capacity() == 0 {
                self.message = spare::take();
            }
            make_room(&mut self.message, payload.len(), payload.len());
            &mut self.message
        });
        let start = to.len();
        match mask {
            Some(mut mask) => mask.copy(payload, to),
            None => to.extend_from_slice(payload),
        }
        if kind == MessageKind::Text
            && simdutf8::basic::from_utf8(to.get(start..).unwrap_or_default()).is_err()
        {
            to.truncate(start);
            return None;
        }
        self.shown = shown;
        *input = rest;
        Some(kind)
    }

    fn next_event(&mut self, input: &mut &[u8]) -> Result<Option<Event>, ProtocolError> {
        loop {
            match &mut self.stage {
                Stage::Header(partial) => match partial.complete(input)? {
                    Some(header) => self.begin_frame(header)?,
                    None => return Ok(None),
                },
                Stage::Payload { header, mask, remaining } => {
                    let (header, len) = (*header, (*remaining).min(input.len()));
                    let is_whole = *remaining == len;
                    if *remaining > 0 && len == 0 {
                        return Ok(None);
                    }
                    let (piece, rest) = input.split_at_checked(len).unwrap_or_default();
                    *input = rest;
                    *remaining = remaining.saturating_sub(len);
                    let mut mask_now = *mask;
                    let mut copy = |to: &mut Vec<u8>| match &mut mask_now {
                        Some(mask) => mask.copy(piece, to),
                        None => to.extend_from_slice(piece),
                    };
                    if header.opcode.is_control() {
                        copy(&mut self.control);
                    } else if let Some(inflater) = self
                        .inflater
                        .as_mut()
                        .filter(|_| self.assembly.as_ref().is_some_and(|it| it.compressed))
                    {
                        let max = Inflater::max_packed(self.limits.max_message);
                        make_room(inflater.packed(), len, max);
                        copy(inflater.packed());
                    } else if let Some(assembly) = &mut self.assembly {
                        if self.message.capacity() == 0 {
                            self.message = spare::take();
                        }
                        let most = if header.fin { assembly.len } else { self.limits.max_message };
                        make_room(&mut self.message, len, most);
                        let start = self.message.len();
                        copy(&mut self.message);
                        assembly.extend(self.message.get(start..).unwrap_or_default())?;
                    }
                    *mask = mask_now;
                    if is_whole {
                        self.end_frame();
                        return self.frame_event(header);
                    }
                }
                Stage::Inflating => return self.inflate(),
                Stage::Finished => {
                    *input = &[];
                    return Ok(None);
                }
                Stage::Failed(error) => return Err(*error),
            }
        }
    }

    /// Judges a header in the light of our role and of what came before, and charges the message for the frame.
    fn begin_frame(&mut self, header: FrameHeader) -> Result<(), ProtocolError> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(ProtocolError::NotMasked),
            (Role::Client, Some(_)) => return Err(ProtocolError::Masked),
            _ => {}
        }
        let remaining = if header.opcode.is_control() {
            self.control.clear();
            usize::try_from(header.payload_len).map_err(|_| ProtocolError::ControlTooLong)?
        } else {
            self.charge(header)?
        };
        self.stage = Stage::Payload { header, mask: header.mask.map(Mask::new), remaining };
        Ok(())
    }

    /// Counts a data frame against the limits, before any of its payload is looked at (section 10.4).
    fn charge(&mut self, header: FrameHeader) -> Result<usize, ProtocolError> {
        let kind = match header.opcode {
            OpCode::Text => Some(MessageKind::Text),
            OpCode::Binary => Some(MessageKind::Binary),
            _ => None,
        };
        // Only the first frame of a message may claim that it is compressed (RFC 7692, section 6).
        if header.rsv1 && (self.inflater.is_none() || kind.is_none()) {
            return Err(ProtocolError::ReservedBit);
        }
        match (&self.assembly, kind) {
            (None, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(_), Some(_)) => return Err(ProtocolError::ExpectedContinuation { found: header.opcode }),
            (None, Some(kind)) => {
                self.assembly = Some(Assembly::new(kind, header.rsv1));
                if let Some(inflater) = self.inflater.as_mut().filter(|_| header.rsv1) {
                    inflater.begin();
                }
            }
            (Some(_), None) => {}
        }
        let Limits { mut max_message, mut max_frame, max_fragments } = self.limits;
        if self.assembly.as_ref().is_some_and(|assembly| assembly.compressed) {
            // What does not shrink may have grown a little; what it comes to is counted when it is inflated.
            let max_packed = Inflater::max_packed(max_message);
            max_frame = if max_frame < max_message { max_frame } else { max_packed };
            max_message = max_packed;
        }
        let len = match usize::try_from(header.payload_len) {
            Ok(len) if len <= max_frame => len,
            _ => {
                return Err(ProtocolError::FrameTooBig { len: header.payload_len, max: max_frame });
            }
        };
        let Some(assembly) = &mut self.assembly else {
            return Ok(len);
        };
        assembly.frame_count = assembly.frame_count.saturating_add(1);
        if assembly.frame_count > max_fragments {
            return Err(ProtocolError::TooManyFragments { max: max_fragments });
        }
        assembly.len = assembly.len.saturating_add(len);
        if assembly.len > max_message {
            let len = u64::try_from(assembly.len).unwrap_or(u64::MAX);
            return Err(ProtocolError::MessageTooBig { len, max: max_message });
        }
        Ok(len)
    }

    /// No message follows.
    fn end_stream(&mut self) {
        self.assembly = None;
        spare::give(std::mem::take(&mut self.message));
        if let Some(inflater) = &mut self.inflater {
            inflater.release();
        }
    }

    fn end_frame(&mut self) {
        self.stage = Stage::Header(PartialHeader::default());
    }

    /// What a frame means, now that all of it is here; `None` if that is not to be seen before it is inflated.
    fn frame_event(&mut self, header: FrameHeader) -> Result<Option<Event>, ProtocolError> {
        match header.opcode {
            OpCode::Ping | OpCode::Pong => {
                self.shown = Shown::Control;
                Ok(Some(if header.opcode == OpCode::Ping { Event::Ping } else { Event::Pong }))
            }
            OpCode::Close => {
                let frame = CloseFrame::decode(&self.control)?;
                self.stage = Stage::Finished;
                self.end_stream();
                Ok(Some(Event::Close(frame)))
            }
            OpCode::Continuation | OpCode::Text | OpCode::Binary => match &self.assembly {
                Some(assembly) if header.fin && assembly.compressed => {
                    self.stage = Stage::Inflating;
                    Ok(None)
                }
                Some(_) if header.fin => self.message_event().map(Some),
                _ => Ok(Some(Event::Fragment)),
            },
        }
    }

    /// Inflates some more of the message.
    fn inflate(&mut self) -> Result<Option<Event>, ProtocolError> {
        if self.message.capacity() == 0 {
            self.message = spare::take();
        }
        if let (Some(inflater), Some(assembly)) = (&mut self.inflater, &mut self.assembly) {
            let start = self.message.len();
            let is_whole = inflater.step(&mut self.message, self.limits.max_message)?;
            assembly.extend(self.message.get(start..).unwrap_or_default())?;
            if !is_whole {
                return Ok(None);
            }
        }
        self.end_frame();
        self.message_event().map(Some)
    }

    /// What has come of the message is all of it.
    fn message_event(&mut self) -> Result<Event, ProtocolError> {
        let Some(assembly) = self.assembly.take() else { return Ok(Event::Fragment) };
        self.shown = Shown::Message;
        assembly.finish()
    }
}

/// Makes room for `more` bytes: twice as much as there was, but never for more than the message can come to.
fn make_room(buffer: &mut Vec<u8>, more: usize, most: usize) {
    let needed = buffer.len().saturating_add(more);
    if needed > buffer.capacity() {
        grow(buffer, needed, most);
    }
}

#[cold]
fn grow(buffer: &mut Vec<u8>, needed: usize, most: usize) {
    if needed > LONG
        && let Some(mut large) = spare::take_large(most)
    {
        // The thread had it already: it need not grow by what has come. Should the rest not come at once, it is cut to that.
        large.extend_from_slice(buffer);
        spare::give(std::mem::replace(buffer, large));
    }
    let capacity = buffer.capacity().saturating_mul(2).min(most).max(needed);
    buffer.reserve_exact(capacity.saturating_sub(buffer.len()));
}

/// Gives back what is more than twice the data of a long message: its buffer may have been the thread's, made for a longer one.
fn fit(buffer: &mut Vec<u8>) {
    let most = fitting(buffer);
    if buffer.capacity() > most {
        buffer.shrink_to(most);
    }
}

/// The most room that a message may have of which so much has come.
fn fitting(buffer: &[u8]) -> usize {
    buffer.len().saturating_mul(2).max(LONG)
}

impl PartialHeader {
    /// Takes from `input` what the header still lacks; `None` if there is not enough.
    fn complete(&mut self, input: &mut &[u8]) -> Result<Option<FrameHeader>, ProtocolError> {
        if self.len == 0 {
            // Nearly always the whole header is in one piece, and can be read where it lies.
            if let Some((header, len)) = FrameHeader::decode(input)? {
                *input = input.get(len..).unwrap_or_default();
                return Ok(Some(header));
            }
        }
        while let [next, rest @ ..] = *input {
            if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
                *place = *next;
                self.len = self.len.saturating_add(1);
            }
            *input = rest;
            let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
            if let Some((header, _)) = FrameHeader::decode(bytes)? {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }
}

impl Assembly {
    const fn new(kind: MessageKind, compressed: bool) -> Self {
        Self { kind, frame_count: 0, len: 0, compressed, utf8: Utf8Validator::new() }
    }

    fn extend(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        match self.kind {
            MessageKind::Text => self.utf8.push(piece),
            MessageKind::Binary => Ok(()),
        }
    }

    fn finish(&self) -> Result<Event, ProtocolError> {
        self.utf8.finish()?;
        Ok(Event::Message(self.kind))
    }
}

/// The quick ways, which come to the same as the others: that they are taken.
#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    fn inbound(role: Role, max_message: usize) -> Inbound {
        Inbound::new(role, Limits { max_message, ..Limits::default() })
    }

    /// As the peer of `role` sends it.
    fn frame(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
        let len = u8::try_from(payload.len()).unwrap();
        match role {
            Role::Client => [&[first, len], payload].concat(),
            Role::Server => {
                let mut frame = [&[first, 0x80 | len][..], &KEY].concat();
                Mask::new(KEY).copy(payload, &mut frame);
                frame
            }
        }
    }

    #[test]
    fn a_message_that_is_there_whole_is_unmasked_where_it_lies() {
        for (role, start) in [(Role::Server, 6), (Role::Client, 2)] {
            for (first, kind) in [(0x81, MessageKind::Text), (0x82, MessageKind::Binary)] {
                // Just as long as is allowed.
                let mut input = frame(role, first, b"hello");
                assert_eq!(inbound(role, 5).unmask_message(&mut input), Some((kind, start, start + 5)));
                assert!(input.ends_with(b"hello"));
                let mut input = frame(role, first, b"hello");
                assert_eq!(inbound(role, 4).unmask_message(&mut input), None);
                input.pop();
                assert_eq!(inbound(role, 5).unmask_message(&mut input), None);

                let input = frame(role, first, b"hello");
                let (mut input, mut data) = (&*input, b"so: ".to_vec());
                assert_eq!(inbound(role, 5).copy_message(&mut input, &mut data), Some(kind));
                assert_eq!((input, &*data), (&b""[..], &b"so: hello"[..]));
            }
        }
    }

    #[test]
    fn a_control_frame_that_is_there_whole_is_unmasked_where_it_lies() {
        for (role, other, start) in [(Role::Server, Role::Client, 6), (Role::Client, Role::Server, 2)] {
            for (first, event) in [(0x89, Event::Ping), (0x8A, Event::Pong)] {
                let mut input = frame(role, first, b"hello");
                assert_eq!(inbound(role, 0).unmask_control(&mut input), Some((event, start, start + 5)));
                assert!(input.ends_with(b"hello"));
                let mut input = frame(role, first, b"hello");
                input.pop();
                assert_eq!(inbound(role, 0).unmask_control(&mut input), None);
                assert_eq!(inbound(role, 0).unmask_control(&mut frame(other, first, b"")), None);
            }
            assert_eq!(inbound(role, 0).unmask_control(&mut frame(role, 0x88, b"")), None);
        }
    }

    #[test]
    fn it_is_at_rest_only_between_two_messages() {
        let mut inbound = inbound(Role::Client, 100);
        assert!(inbound.is_at_rest());
        for (input, is_at_rest) in [
            (&b"\x81"[..], false),
            (b"\x02h", false),
            // The message is shown.
            (b"i", false),
            (b"\x01\x01a", false),
            (b"\x80\x00", false),
        ] {
            inbound.receive(&mut &*input).unwrap();
            assert_eq!(inbound.is_at_rest(), is_at_rest, "after {input:?}");
        }
        inbound.release_memory();
        assert!(inbound.is_at_rest());
        inbound.receive(&mut &b"\x89\x01?"[..]).unwrap();
        assert!(!inbound.is_at_rest(), "a Ping is shown");
    }

    /// An inbound that has the header of a frame of `len` bytes.
    fn begun(first: u8, len: usize) -> Inbound {
        let limits = Limits { max_message: 4 << 20, max_frame: 4 << 20, ..Limits::default() };
        let mut inbound = Inbound::new(Role::Client, limits);
        let header = [&[first, 127][..], &u64::try_from(len).unwrap().to_be_bytes()].concat();
        assert_eq!(inbound.receive(&mut &header[..]), Ok(None));
        inbound
    }

    /// The space that a long read is given which fills so much of it.
    fn space(inbound: &mut Inbound, filled: usize) -> Option<usize> {
        inbound.read_long(|space| (space.len().min(filled), space.len()))
    }

    #[test]
    fn payload_is_read_to_where_it_stays_if_there_is_much_to_come() {
        assert_eq!(space(&mut begun(0x82, LONG - 1 + (1 << 10)), 0), Some(LONG));
        assert_eq!(space(&mut begun(0x82, LONG), LONG), Some(LONG));
        let mut less = begun(0x82, LONG);
        less.receive(&mut &[0][..]).unwrap();
        assert_eq!(space(&mut less, 0), None);
        let mut control = inbound(Role::Client, 4 << 20);
        control.receive(&mut &begun_message()[..]).unwrap();
        control.receive(&mut &b"\x89\x05H"[..]).unwrap();
        assert_eq!(space(&mut control, 0), None, "a Ping inside a message");
    }

    /// The first frame of a message in fragments.
    fn begun_message() -> Vec<u8> {
        vec![0x02, 1, b'.']
    }

    /// Most of the time a message that waits has no more room than it may: this is for one that was given the thread's buffer just before.
    #[test]
    fn a_long_message_that_waits_keeps_its_room_if_it_may_hold_that_and_is_cut_to_what_has_come_otherwise() {
        const LARGE: usize = 2 << 20;
        /// What room a message has of which 100 bytes have come, after a wait.
        fn wait(room: usize, hold: &mut Option<spare::Hold>) -> usize {
            let mut inbound = begun(0x82, 4 << 20);
            inbound.message.reserve_exact(room);
            assert_eq!(space(&mut inbound, 100), Some(LONG));
            inbound.wait(hold);
            assert_eq!(inbound.message.len(), 100);
            inbound.message.capacity()
        }
        std::thread::spawn(|| {
            let mut holds = [None, None, None];
            assert_eq!(holds.each_mut().map(|hold| wait(LARGE, hold)), [LARGE, LARGE, LONG]);
            assert_eq!(holds.each_ref().map(Option::is_some), [true, true, false]);
            let [first, second, third] = &mut holds;
            assert_eq!(wait(LARGE, first), LARGE, "again");
            assert_eq!((wait(LARGE + 1, first), first.is_some()), (LONG, false), "that is too much to hold");
            assert_eq!(wait(LARGE, third), LARGE);
            begun(0x82, LARGE).wait(second);
            assert!(second.is_none(), "there is nothing to hold");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_long_read_is_given_the_space_that_the_last_one_filled_or_twice_as_much_if_it_filled_all() {
        let mut inbound = begun(0x82, 4 << 20);
        // Room for all of it, so that nothing else bounds a read.
        inbound.message.reserve_exact(4 << 20);
        let spaces = [LONG, 2 * LONG, 4 * LONG, 8 * LONG, 8 * LONG].map(|expected| {
            assert_eq!(space(&mut inbound, usize::MAX), Some(expected));
            expected
        });
        assert_eq!(spaces[4], MAX_LONG_READ);
        assert_eq!(space(&mut inbound, 3 * LONG), Some(8 * LONG));
        assert_eq!(space(&mut inbound, 0), Some(3 * LONG));
        assert_eq!(space(&mut inbound, 1), Some(LONG));
    }

    #[test]
    fn a_long_message_takes_the_large_buffer_of_the_thread_and_a_short_one_does_not() {
        std::thread::spawn(|| {
            spare::give(Vec::with_capacity(2 << 20));
            let mut short = begun(0x82, LONG);
            short.receive(&mut &vec![0; LONG][..]).unwrap();
            assert!(short.message.capacity() < 1 << 20);
            let mut long = begun(0x82, 1 << 20);
            for _ in 0..2 {
                long.receive(&mut &vec![0; LONG][..]).unwrap();
            }
            assert_eq!(long.message.capacity(), 2 << 20);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_long_read_that_is_no_utf_8_fails_the_connection_and_nothing_is_in_the_middle_then() {
        let mut text = begun(0x81, LONG);
        assert!(!text.is_between_messages());
        assert_eq!(text.read_long(|space| (space.iter_mut().map(|byte| *byte = 0xFF).count(), ())), Some(()));
        assert_eq!(text.receive(&mut &[][..]), Err(ProtocolError::InvalidUtf8));
        assert!(text.is_between_messages());
        let mut closed = inbound(Role::Client, 5);
        assert_eq!(closed.receive(&mut &b"\x88\x00"[..]), Ok(Some(Event::Close(None))));
        assert!(closed.is_between_messages());
    }
}
