//! The sending side of a connection: messages in, bytes out (RFC 6455, sections 5.4, 5.5 and 7.1).
//!
//! All bytes leave through one outbox of whole frames, so whoever writes it can stop anywhere and go on later. Beside it are
//! one slot for a Pong that found the outbox full (the newest wins, section 5.5.3) and one for our Close, which
//! goes after everything accepted before it. So what a peer can make us hold is the outbox and 125 bytes.
//!
//! The bytes are handed out as a [`Batch`], by value: nothing here is borrowed while they are being written.
//! A large message can go past the outbox, written from where it lies, or by a client a piece at a time as it is masked: `Outbound`
//! then keeps the place ([`Direct`]), and lets nothing but a Pong or a Close between its fragments.
//!
//! `Rc<[u8]>` stands in [`EncodedFrame`] for bytes that never change and that many outboxes share.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use super::deflate::{Deflate, Deflater, Variants};
use super::header::{MASK, MAX_CONTROL};
use super::{CloseFrame, EncodedHeader, FrameHeader, Mask, MaskingKeys, MessageKind, OpCode, Role, spare};

/// Frames up to this size are copied into the outbox even if they could be shared: a short copy costs less than
/// a piece of its own in the write.
const COPY: usize = 1024;
/// Chunks up to this size are joined while they wait.
const SHORT: usize = 4096;
/// Pieces that one write is given at most.
const SLICES: usize = 16;

/// A message encoded once, to be queued on any number of connections (a room's broadcast).
///
/// Cloning is cheap: the bytes are shared. It is one frame, so a PONG or a Close waits until all of it is written.
///
/// Connections that agreed on compression without context takeover get a compressed form, made once for all of them whose
/// windows are equal, with the level of the first; those that keep a context get the message as it is.
///
/// # Examples
///
/// ```
/// use unsync_websocket::EncodedFrame;
///
/// let frame = EncodedFrame::text("tick");
/// assert_eq!(frame.as_bytes(), b"\x81\x04tick");
/// assert_eq!(frame.payload(), b"tick");
/// ```
#[derive(Clone)]
pub struct EncodedFrame {
    kind: MessageKind,
    bytes: Rc<[u8]>,
    /// Compressed forms, unless there are to be none.
    packed: Option<Variants>,
}

impl EncodedFrame {
    /// A text message.
    ///
    /// # Examples
    ///
    /// See [`EncodedFrame`].
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(MessageKind::Text, text.as_bytes())
    }

    /// A binary message.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::EncodedFrame;
    ///
    /// assert_eq!(EncodedFrame::binary(&[1, 2, 3]).as_bytes(), b"\x82\x03\x01\x02\x03");
    /// ```
    #[must_use]
    pub fn binary(data: &[u8]) -> Self {
        Self::new(MessageKind::Binary, data)
    }

    fn new(kind: MessageKind, payload: &[u8]) -> Self {
        let header = Head::whole(kind.opcode()).header(None, payload.len()).encode();
        let bytes = [header.as_slice(), payload].concat();
        Self { kind, bytes: bytes.into(), packed: Some(Variants::default()) }
    }

    /// The same message, never to be compressed.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::EncodedFrame;
    ///
    /// let frame = EncodedFrame::text("the secret of somebody, beside what somebody else wrote").uncompressed();
    /// # drop(frame);
    /// ```
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        self.packed = None;
        self
    }

    /// The whole frame as a server with this `deflater` sends it, if that is compressed.
    fn packed(&self, deflater: &Deflater) -> Option<&Rc<[u8]>> {
        self.packed.as_ref()?.get_or_encode(deflater, self.payload(), |packed| {
            let mut frame = Vec::new();
            encode(Head { rsv1: true, ..Head::whole(self.kind.opcode()) }, packed, None, &mut frame);
            frame.into()
        })
    }

    /// The whole frame, as a server sends it that has not agreed on compression.
    ///
    /// # Examples
    ///
    /// See [`EncodedFrame`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What [`as_bytes`](Self::as_bytes) returns, as it is shared.
    pub(crate) const fn shared(&self) -> &Rc<[u8]> {
        &self.bytes
    }

    /// The message's data.
    ///
    /// # Examples
    ///
    /// See [`EncodedFrame`].
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        payload_of(&self.bytes)
    }
}

impl fmt::Debug for EncodedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedFrame").field("kind", &self.kind).field("len", &self.payload().len()).finish()
    }
}

/// Whether a message may be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compress {
    IfAgreed,
    Never,
}

/// The payload of a frame without a mask.
fn payload_of(frame: &[u8]) -> &[u8] {
    let header_len = FrameHeader::decode(frame).ok().flatten().map_or(0, |(_, len)| len);
    frame.get(header_len..).unwrap_or_default()
}

/// The first byte of a frame.
#[derive(Clone, Copy)]
struct Head {
    opcode: OpCode,
    /// Whether it is the last frame of its message.
    fin: bool,
    /// Whether it begins a message that is compressed (RFC 7692, section 6).
    rsv1: bool,
}

impl Head {
    /// Of a frame that is a message, or a control frame.
    const fn whole(opcode: OpCode) -> Self {
        Self { opcode, fin: true, rsv1: false }
    }

    /// With the bits beside the opcode.
    const fn first_byte(self) -> u8 {
        self.opcode.first_byte(self.fin, self.rsv1)
    }

    fn header(self, mask: Option<[u8; 4]>, len: usize) -> FrameHeader {
        let Self { opcode, fin, rsv1 } = self;
        let payload_len = u64::try_from(len).unwrap_or(u64::MAX);
        FrameHeader { fin, rsv1, opcode, mask, payload_len }
    }
}

/// A frame of a short payload, on its way from where it was encoded.
pub(crate) struct ShortFrame([u8; 6 + 128]);

impl ShortFrame {
    pub(crate) const fn new() -> Self {
        Self([0; 6 + 128])
    }

    /// Encodes a whole message or a control frame into it, as a server does, and returns the length.
    #[inline]
    pub(crate) fn encode(&mut self, opcode: OpCode, payload: &[u8]) -> Option<usize> {
        let (header, rest) = self.0.split_first_chunk_mut::<2>()?;
        *header = [Head::whole(opcode).first_byte(), u8::try_from(payload.len()).ok()?];
        rest.get_mut(..payload.len())?.copy_from_slice(payload);
        payload.len().checked_add(header.len())
    }

    /// The same with a masking key.
    fn encode_masked(&mut self, opcode: OpCode, payload: &[u8], key: [u8; 4]) -> Option<usize> {
        let (header, rest) = self.0.split_first_chunk_mut::<6>()?;
        let [a, b, c, d] = key;
        let first = Head::whole(opcode).first_byte();
        *header = [first, MASK | u8::try_from(payload.len()).ok()?, a, b, c, d];
        rest.get_mut(..payload.len())?.copy_from_slice(payload);
        // All of it, without a look at the length: what is behind the payload is not sent.
        Mask::new(key).apply_once(rest);
        payload.len().checked_add(header.len())
    }

    #[inline]
    pub(crate) fn get(&self, len: usize) -> &[u8] {
        self.0.get(..len).unwrap_or_default()
    }
}

/// The sending side of a connection.
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::{MessageKind, Outbound};
/// use unsync_websocket::{CloseCode, CloseFrame};
///
/// let mut outbound = Outbound::server();
/// outbound.push(MessageKind::Text, b"Hello");
/// outbound.close(Some(&CloseFrame::new(CloseCode::NORMAL, "")));
///
/// let mut wire = Vec::new();
/// while let Some(batch) = outbound.take() {
///     wire.extend_from_slice(batch.first());
///     let written = batch.first().len();
///     outbound.put_back(batch, written);
/// }
/// assert_eq!(wire, b"\x81\x05Hello\x88\x02\x03\xE8");
/// ```
pub struct Outbound {
    /// Where masking keys come from, if we are the client.
    keys: Option<Box<dyn MaskingKeys>>,
    /// Payload bytes of the longest fragment we make.
    fragment: usize,
    /// Below this many queued bytes there is room.
    mark: usize,
    /// Chunks that are complete, the next first.
    ready: VecDeque<Chunk>,
    /// The chunk that is being filled; it comes after `ready`.
    tail: Vec<u8>,
    /// Bytes in `ready`, `tail` and in the batch that is out.
    queued: usize,
    /// Whether what comes next on the wire continues a frame.
    place: Place,
    /// The message that is being written from where it lies.
    direct: Option<Direct>,
    /// A Pong that waits for a frame boundary, encoded.
    pong: Option<Vec<u8>>,
    closing: Closing,
    lent: Lent,
    /// What compresses messages, if that was agreed on.
    deflater: Option<Box<Deflater>>,
}

/// Whether something is out, being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lent {
    Nothing,
    Batch,
    /// Fragments of a message that is written from where it lies.
    Direct,
    /// A batch or fragments, and what they hold was dropped meanwhile, but for the frame that has begun by now.
    Discarded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Boundary,
    InsideFrame,
}

/// Our side of the closing handshake (section 7.1.2).
#[derive(Debug)]
enum Closing {
    /// Messages are accepted.
    Open,
    /// Our Close, encoded, waits behind what was accepted before it.
    Queued(Vec<u8>),
    /// It has been handed out. Nothing follows it.
    Sent,
}

/// Whole frames, or the rest of some.
enum Chunk {
    /// Begins with a frame; the first `at` bytes have been written.
    Frames { bytes: Vec<u8>, at: usize },
    /// Frames that are shared with other connections, from `start` to `end`; the first `at` bytes of them have been written.
    Shared { bytes: Rc<[u8]>, start: usize, end: usize, at: usize },
    /// The rest of a frame that was being written from elsewhere; the first `at` bytes of it have been written.
    Rest { bytes: Vec<u8>, at: usize },
    /// The Pong of the slot; goes back there if none of it could be written, else the next Ping's would be a second one.
    Pong { bytes: Vec<u8>, at: usize },
}

impl Chunk {
    fn unwritten(&self) -> &[u8] {
        match self {
            Self::Frames { bytes, at } | Self::Rest { bytes, at } | Self::Pong { bytes, at } => {
                bytes.get(*at..)
            }
            Self::Shared { bytes, start, end, at } => bytes.get(start.saturating_add(*at)..*end),
        }
        .unwrap_or_default()
    }

    /// Marks as written what it can of `written`, and returns what is left of that.
    fn advance(&mut self, written: usize) -> usize {
        let taken = self.unwritten().len().min(written);
        match self {
            Self::Frames { at, .. }
            | Self::Shared { at, .. }
            | Self::Rest { at, .. }
            | Self::Pong { at, .. } => {
                *at = at.saturating_add(taken);
            }
        }
        written.saturating_sub(taken)
    }

    /// All of it has been written.
    fn recycle(self) {
        if let Self::Frames { bytes, .. } = self {
            spare::give(bytes);
        }
    }

    /// Drops all frames of which nothing has been written, of a chunk that has begun.
    fn cut(&mut self) {
        match self {
            // What has begun goes on to its end.
            Self::Rest { .. } | Self::Pong { .. } => {}
            Self::Frames { bytes, at } => bytes.truncate(frame_end(bytes, *at)),
            Self::Shared { bytes, start, end, at } => {
                let frames = bytes.get(*start..*end).unwrap_or_default();
                *end = start.saturating_add(frame_end(frames, *at));
            }
        }
    }
}

/// Where the frame ends that `at` is in, or right behind.
fn frame_end(frames: &[u8], at: usize) -> usize {
    let mut end = 0_usize;
    while end < at {
        let Some(Ok(Some((header, len)))) = frames.get(end..).map(FrameHeader::decode) else {
            break;
        };
        let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        end = end.saturating_add(len).saturating_add(payload_len);
    }
    end
}

/// Bytes to be written next, taken out of an [`Outbound`] so that nothing is borrowed meanwhile. It has to be given
/// back with [`Outbound::put_back`].
///
/// # Examples
///
/// See [`Outbound`].
#[must_use = "the bytes are lost unless they are put back"]
pub struct Batch {
    first: Chunk,
    more: VecDeque<Chunk>,
}

impl Batch {
    const fn of(first: Chunk) -> Self {
        Self { first, more: VecDeque::new() }
    }

    /// The first piece; never empty.
    ///
    /// # Examples
    ///
    /// See [`Outbound`].
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.first.unwritten()
    }

    /// Whether there are pieces behind the first.
    ///
    /// # Examples
    ///
    /// See [`Batch::with_slices`].
    #[must_use]
    pub fn is_vectored(&self) -> bool {
        !self.more.is_empty()
    }

    /// Calls `write` with the pieces, at most 16 of them, for a vectored write.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::EncodedFrame;
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server();
    /// outbound.push(MessageKind::Text, b"small");
    /// outbound.push_frame(&EncodedFrame::binary(&[0; 5000])); // shared, so a piece of its own
    /// let batch = outbound.take().expect("something waits");
    /// assert!(batch.is_vectored());
    /// let written = batch.with_slices(|slices| slices.iter().map(|slice| slice.len()).sum());
    /// assert_eq!(written, 7 + 5004);
    /// outbound.put_back(batch, written);
    /// ```
    pub fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let chunks = std::iter::once(&self.first).chain(&self.more);
        let count = slices
            .iter_mut()
            .zip(chunks)
            .map(|(slice, chunk)| *slice = IoSlice::new(chunk.unwritten()))
            .count();
        write(slices.get(..count).unwrap_or_default())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("first", &self.first().len()).field("more", &self.more.len()).finish()
    }
}

/// Fragments of a direct message that one write is given at most.
const FRAMES: usize = SLICES / 2;
/// Payload bytes of a direct message that one write of a client is given at most: what is masked for it stays in the cache.
const MASKED: usize = 32 << 10;

/// What one write is given of a direct message.
#[expect(clippy::large_enum_variant, reason = "it lives for one write")]
pub(crate) enum DirectFrames<'a> {
    /// Fragments of a server, from where they lie.
    Plain {
        /// Each with how much of it has been written.
        headers: [(EncodedHeader, usize); FRAMES],
        /// One for each header; those that are too many are empty.
        payloads: [&'a [u8]; FRAMES],
    },
    /// A piece of a client's, masked, behind what is left of its header. What of it is not written is masked once more for the next write.
    Masked(Vec<u8>),
}

impl DirectFrames<'_> {
    /// Calls `write` with their bytes in pieces, for a vectored write.
    pub(crate) fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let (headers, payloads) = match self {
            Self::Plain { headers, payloads } => (headers, payloads),
            Self::Masked(bytes) => return write(&[IoSlice::new(bytes)]),
        };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let frames = headers.iter().zip(payloads).take_while(|(_, payload)| !payload.is_empty());
        let pieces = frames
            .flat_map(|((header, written), payload)| {
                [header.as_slice().get(*written..).unwrap_or_default(), payload]
            })
            .filter(|piece| !piece.is_empty());
        let count = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        write(slices.get(..count).unwrap_or_default())
    }
}

/// A message on its way from where it lies: the place it has come to.
#[derive(Clone, Copy, Debug)]
struct Direct {
    header: EncodedHeader,
    /// Whether no frame of the message is before this one.
    is_first: bool,
    /// Bytes of the header that have been written.
    header_written: usize,
    /// The fragment's masking key, turned to the payload that comes next; of a client.
    mask: Option<Mask>,
    /// Payload bytes of the present fragment that have not been written.
    fragment_left: usize,
    /// Payload bytes of the message behind the present fragment.
    message_left: usize,
}

impl Direct {
    fn header_left(&self) -> usize {
        self.header.as_slice().len().saturating_sub(self.header_written)
    }

    /// Appends what is left of the header, and `payload`, which comes next, masked if that is due.
    fn encode(&self, payload: &[u8], mut to: Vec<u8>) -> Vec<u8> {
        let header = self.header.as_slice().get(self.header_written..).unwrap_or_default();
        to.reserve(header.len().saturating_add(payload.len()));
        to.extend_from_slice(header);
        match self.mask {
            Some(mut mask) => mask.copy(payload, &mut to),
            None => to.extend_from_slice(payload),
        }
        to
    }

    /// (The next takes its place as soon as all of it is written.)
    const fn is_inside_frame(&self) -> bool {
        self.header_written > 0
    }
}

/// What to do with the unsent rest of a message whose sender went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// All of it is sent.
    Message,
    /// The frame that has begun is finished, and of all that was queued only our Close follows: the message never looks
    /// whole, and no other begins inside it.
    Frame,
}

impl Outbound {
    /// The sending side of a server: frames are not masked (section 5.1).
    ///
    /// # Examples
    ///
    /// See [`Outbound`].
    #[must_use]
    pub const fn server() -> Self {
        Self::new(None)
    }

    /// The sending side of a client: each frame is masked with a key of its own (section 5.3).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MaskingKeys, MessageKind, Outbound};
    ///
    /// struct Fixed; // for a test; predictable, so never for a network
    ///
    /// impl MaskingKeys for Fixed {
    ///     fn next_key(&mut self) -> [u8; 4] {
    ///         [0x37, 0xFA, 0x21, 0x3D]
    ///     }
    /// }
    ///
    /// let mut outbound = Outbound::client(Box::new(Fixed));
    /// outbound.push(MessageKind::Text, b"Hello");
    /// let wire = outbound.take().expect("something waits");
    /// assert_eq!(wire.first(), b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"); // as in section 5.7
    /// ```
    #[must_use]
    pub fn client(keys: Box<dyn MaskingKeys>) -> Self {
        Self::new(Some(keys))
    }

    const fn new(keys: Option<Box<dyn MaskingKeys>>) -> Self {
        Self {
            keys,
            fragment: 64 << 10,
            mark: 64 << 10,
            ready: VecDeque::new(),
            tail: Vec::new(),
            queued: 0,
            place: Place::Boundary,
            direct: None,
            pong: None,
            closing: Closing::Open,
            lent: Lent::Nothing,
            deflater: None,
        }
    }

    /// Compresses messages, if that was agreed on.
    pub(crate) fn agree(mut self, deflate: Option<&Deflate>) -> Self {
        let role = if self.keys.is_some() { Role::Client } else { Role::Server };
        self.deflater = deflate.map(|agreed| Box::new(Deflater::new(agreed, role)));
        self
    }

    /// Payload bytes of the longest fragment (default 64 KiB), and the mark in bytes below which there
    /// [`has_room`](Self::has_room) (default 64 KiB).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server().with_sizes(3, 64 << 10);
    /// outbound.push(MessageKind::Text, b"Hello");
    /// let wire = outbound.take().expect("something waits");
    /// assert_eq!(wire.first(), b"\x01\x03Hel\x80\x02lo"); // in fragments of 3 bytes
    /// ```
    #[must_use]
    pub const fn with_sizes(mut self, fragment: usize, mark: usize) -> Self {
        self.set_sizes(fragment, mark);
        self
    }

    pub(crate) const fn set_sizes(&mut self, fragment: usize, mark: usize) {
        self.fragment = if fragment == 0 { 1 } else { fragment };
        self.mark = mark;
    }

    /// Whether it is as a new one of a server is: nothing queued, nothing begun, nothing that a later message depends on.
    pub(crate) const fn is_at_rest(&self) -> bool {
        self.is_empty()
            && matches!(
                (&self.closing, self.lent, self.place),
                (Closing::Open, Lent::Nothing, Place::Boundary)
            )
            && self.keys.is_none()
    }

    /// What compresses messages; all that a later one depends on.
    pub(crate) const fn deflater(&mut self) -> &mut Option<Box<Deflater>> {
        &mut self.deflater
    }

    /// Whether a message may still be sent: not after our Close.
    ///
    /// # Examples
    ///
    /// See [`has_room`](Self::has_room).
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.closing, Closing::Open)
    }

    /// Whether our Close has been handed out, so that nothing can change it.
    pub(crate) const fn is_close_sent(&self) -> bool {
        matches!(self.closing, Closing::Sent)
    }

    /// Whether the outbox takes another message: less than the mark is queued. Any message fits an empty outbox.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server().with_sizes(64 << 10, 10);
    /// assert!(outbound.is_empty());
    /// outbound.push(MessageKind::Text, b"a message");
    /// assert_eq!((outbound.queued(), outbound.is_empty()), (11, false));
    /// assert!(!outbound.has_room()); // above the mark of 10 bytes
    /// outbound.close(None);
    /// assert!(!outbound.is_open());
    /// ```
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.queued < self.mark || self.queued == 0
    }

    /// Bytes that wait to be written, headers included.
    ///
    /// # Examples
    ///
    /// See [`has_room`](Self::has_room).
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Whether nothing waits: no frame, no Pong, no Close, no message half written.
    ///
    /// # Examples
    ///
    /// See [`has_room`](Self::has_room).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.queued == 0
            && self.pong.is_none()
            && self.direct.is_none()
            && !matches!(self.closing, Closing::Queued(_))
    }

    /// Queues a message, compressed if that was agreed on and pays; in fragments, if it is long then. Does nothing after
    /// [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server();
    /// outbound.push(MessageKind::Text, b"Hello");
    /// outbound.push(MessageKind::Binary, b"");
    /// assert_eq!(outbound.take().expect("both wait").first(), b"\x81\x05Hello\x82\x00");
    /// ```
    pub fn push(&mut self, kind: MessageKind, payload: &[u8]) {
        let deflater = self.deflater.as_mut().filter(|deflater| deflater.wants(payload.len()));
        match deflater.filter(|_| matches!(self.closing, Closing::Open)).and_then(|it| it.deflate(payload)) {
            Some(packed) => {
                self.fragments(kind, true, &packed);
                spare::give(packed);
            }
            None => self.fragments(kind, false, payload),
        }
    }

    #[inline]
    pub(crate) fn push_with(&mut self, compress: Compress, kind: MessageKind, payload: &[u8]) {
        if self.is_short(payload) && self.is_open() {
            return self.append(Head::whole(kind.opcode()), payload);
        }
        match compress {
            Compress::IfAgreed => self.push(kind, payload),
            Compress::Never => self.push_uncompressed(kind, payload),
        }
    }

    /// Queues a message as it is; in fragments, if it is long. Does nothing after [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server();
    /// outbound.push_uncompressed(MessageKind::Text, b"a secret");
    /// assert_eq!(outbound.take().expect("it waits").first(), b"\x81\x08a secret");
    /// ```
    pub fn push_uncompressed(&mut self, kind: MessageKind, payload: &[u8]) {
        self.fragments(kind, false, payload);
    }

    /// Whether [`push`](Self::push) would try to compress a message of `len` bytes.
    pub(crate) fn compresses(&self, len: usize) -> bool {
        self.deflater.as_ref().is_some_and(|deflater| deflater.wants(len))
    }

    /// Whether a message goes out in one frame of a short payload, as it is.
    #[inline]
    fn is_short(&self, payload: &[u8]) -> bool {
        payload.len() < usize::from(Self::way_with(self.fragment, self.deflater.as_deref()))
    }

    fn fragments(&mut self, kind: MessageKind, compressed: bool, payload: &[u8]) {
        if !self.is_open() {
            return;
        }
        let mut head = Head { opcode: kind.opcode(), fin: false, rsv1: compressed };
        let mut rest = payload;
        while let Some((piece, after)) =
            rest.split_at_checked(self.fragment).filter(|(_, after)| !after.is_empty())
        {
            self.append(head, piece);
            // A chunk ends here, so that a Pong can go between (unless they are short).
            self.seal();
            head = Head { opcode: OpCode::Continuation, fin: false, rsv1: false };
            rest = after;
        }
        self.append(Head { fin: true, ..head }, rest);
    }

    /// Queues a message that is encoded already. Does nothing after [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// See [`Batch::with_slices`].
    pub fn push_frame(&mut self, frame: &EncodedFrame) {
        if !self.is_open() {
            return;
        }
        let packed = self.deflater.as_ref().and_then(|deflater| frame.packed(deflater));
        let bytes = packed.unwrap_or(&frame.bytes);
        if self.keys.is_some() {
            // A client masks each copy with a key of its own.
            let head = Head { rsv1: packed.is_some(), ..Head::whole(frame.kind.opcode()) };
            self.append(head, payload_of(bytes));
        } else {
            self.push_whole(bytes);
        }
    }

    /// Queues one frame of a server: copied, if it is short.
    pub(crate) fn push_whole(&mut self, frame: &Rc<[u8]>) {
        if frame.len() <= COPY {
            self.push_encoded(frame);
        } else {
            self.push_shared(Rc::clone(frame), 0..frame.len());
        }
    }

    /// Queues whole frames of a server, where they lie.
    pub(crate) fn push_shared(&mut self, bytes: Rc<[u8]>, Range { start, end }: Range<usize>) {
        self.seal();
        self.queued = self.queued.saturating_add(end.saturating_sub(start));
        self.ready.push_back(Chunk::Shared { bytes, start, end, at: 0 });
    }

    /// Queues whole frames of a server.
    pub(crate) fn push_encoded(&mut self, frames: &[u8]) {
        self.fill_tail();
        self.tail.extend_from_slice(frames);
        self.queued = self.queued.saturating_add(frames.len());
    }

    /// Queues a Ping; of its payload, the first 125 bytes. Does nothing after [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::Outbound;
    ///
    /// let mut outbound = Outbound::server();
    /// outbound.ping(b"?");
    /// outbound.pong(b"!"); // asked for by nobody
    /// assert_eq!(outbound.take().expect("both wait").first(), b"\x89\x01?\x8A\x01!");
    /// ```
    pub fn ping(&mut self, payload: &[u8]) {
        self.control(OpCode::Ping, payload);
    }

    /// Queues a Pong that nobody asked for (section 5.5.3); of its payload, the first 125 bytes. Does nothing
    /// after [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// See [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) {
        self.control(OpCode::Pong, payload);
    }

    fn control(&mut self, opcode: OpCode, payload: &[u8]) {
        if self.is_open() {
            self.append(Head::whole(opcode), payload.get(..MAX_CONTROL).unwrap_or(payload));
        }
    }

    /// Answers a Ping. While the outbox has room the Pong goes in; else it waits in a slot for the next frame
    /// boundary, and a newer one takes its place (section 5.5.3). Does nothing after [`close`](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server().with_sizes(64 << 10, 1);
    /// outbound.push(MessageKind::Text, b"full now");
    /// outbound.answer_ping(b"1");
    /// outbound.answer_ping(b"2");
    /// // Only the newest is answered, before what has not begun.
    /// assert_eq!(outbound.take().expect("it waits").first(), b"\x8A\x012");
    /// ```
    pub fn answer_ping(&mut self, payload: &[u8]) {
        if !self.is_open() {
            return;
        }
        if self.pong.is_none() && self.direct.is_none() && self.has_room() {
            self.pong(payload);
        } else {
            self.pong = Some(self.encode_control(OpCode::Pong, payload));
        }
    }

    /// Queues our Close, after everything accepted so far. Only the first one counts.
    ///
    /// # Examples
    ///
    /// See [`Outbound`].
    pub fn close(&mut self, frame: Option<&CloseFrame>) {
        if self.is_open() {
            let payload = frame.map(CloseFrame::encode).unwrap_or_default();
            self.closing = Closing::Queued(self.encode_control(OpCode::Close, &payload));
        }
    }

    /// Drops everything that has not begun, and queues our Close right behind the frame that has. If another Close
    /// waits already, this one takes its place; if one has been handed out, none follows.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    /// use unsync_websocket::{CloseCode, CloseFrame};
    ///
    /// let mut outbound = Outbound::server();
    /// outbound.push(MessageKind::Text, b"never read");
    /// outbound.close_now(Some(&CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "")));
    /// assert_eq!(outbound.take().expect("the Close").first(), b"\x88\x02\x03\xF5");
    /// ```
    pub fn close_now(&mut self, frame: Option<&CloseFrame>) {
        if self.is_close_sent() {
            return;
        }
        let payload = frame.map(CloseFrame::encode).unwrap_or_default();
        self.closing = Closing::Queued(self.encode_control(OpCode::Close, &payload));
        self.discard();
    }

    /// Drops everything that has not begun.
    fn discard(&mut self) {
        // If all was dropped before, a direct message is left only where it is out.
        let is_direct_out = matches!(self.lent, Lent::Direct | Lent::Discarded);
        if self.lent != Lent::Nothing {
            self.lent = Lent::Discarded;
        }
        let begun = match self.place {
            Place::InsideFrame if self.lent == Lent::Nothing => self.ready.pop_front(),
            _ => None,
        };
        self.ready.clear();
        spare::give(std::mem::take(&mut self.tail));
        self.pong = None;
        match &mut self.direct {
            // How far it has come is known when it is put back.
            Some(_) if is_direct_out => {}
            // The fragment that has begun is the last; the header that it had never says so.
            Some(direct) if direct.is_inside_frame() => direct.message_left = 0,
            _ => self.direct = None,
        }
        if let Some(mut chunk) = begun {
            chunk.cut();
            if chunk.unwritten().is_empty() {
                self.place = Place::Boundary;
            } else {
                self.ready.push_front(chunk);
            }
        }
        self.queued = total(&self.ready);
    }

    /// The bytes to be written next; `None` if there are none, if a message that is being written from where
    /// it lies has to go on first, or while a batch is out.
    ///
    /// The batch has to be [put back](Self::put_back), with the count of bytes that were written.
    ///
    /// # Examples
    ///
    /// See [`Outbound`].
    #[must_use]
    pub fn take(&mut self) -> Option<Batch> {
        if self.lent != Lent::Nothing {
            return None;
        }
        let batch = match self.place {
            // The frame that has begun comes first, and alone if something other than what is queued behind it goes next:
            // a Pong that waits, or the next fragment of a direct message, for which this frame was a Pong between.
            Place::InsideFrame if self.pong.is_some() || self.direct.is_some() => {
                self.ready.pop_front().map(|chunk| Batch::of(self.begun(chunk)))
            }
            Place::InsideFrame => self.take_ready(),
            Place::Boundary if self.direct.as_ref().is_some_and(Direct::is_inside_frame) => None,
            Place::Boundary => match self.pong.take() {
                Some(bytes) => {
                    self.queued = self.queued.saturating_add(bytes.len());
                    Some(Batch::of(Chunk::Pong { bytes, at: 0 }))
                }
                None if self.direct.is_some() => None,
                None => self.take_ready(),
            },
        };
        if batch.is_some() {
            self.lent = Lent::Batch;
        }
        batch
    }

    /// The frame of `chunk` that has begun. What is behind it goes back, if it is shared: it may be much.
    fn begun(&mut self, mut chunk: Chunk) -> Chunk {
        if let Chunk::Shared { bytes, start, end, at } = &mut chunk {
            let frames = bytes.get(*start..*end).unwrap_or_default();
            let next = start.saturating_add(frame_end(frames, *at));
            if next < *end {
                let behind = Chunk::Shared { bytes: Rc::clone(bytes), start: next, end: *end, at: 0 };
                self.ready.push_front(behind);
                *end = next;
            }
        }
        chunk
    }

    fn take_ready(&mut self) -> Option<Batch> {
        if self.ready.is_empty() {
            return self.take_tail();
        }
        self.seal();
        let mut more = std::mem::take(&mut self.ready);
        more.pop_front().map(|first| Batch { first, more })
    }

    fn take_tail(&mut self) -> Option<Batch> {
        if self.tail.is_empty() {
            let Closing::Queued(close) = &mut self.closing else {
                return None;
            };
            self.tail = std::mem::take(close);
            self.queued = self.queued.saturating_add(self.tail.len());
            self.closing = Closing::Sent;
        }
        Some(Batch::of(Chunk::Frames { bytes: std::mem::take(&mut self.tail), at: 0 }))
    }

    /// The bytes to be written next, if they are one buffer of whole frames: the usual case, without the places that a [`Batch`] has.
    /// To be [put back](Self::put_back_frames) in the same way.
    #[inline]
    pub(crate) fn take_frames(&mut self) -> Option<Vec<u8>> {
        let is_usual = !self.tail.is_empty()
            && self.ready.is_empty()
            && self.lent == Lent::Nothing
            && self.pong.is_none()
            && self.direct.is_none();
        is_usual.then(|| {
            self.lent = Lent::Batch;
            std::mem::take(&mut self.tail)
        })
    }

    /// Messages and control frames of fewer bytes may go past the outbox, one frame each, as they are: nothing is in it, and nothing out of it. 0 if none may.
    pub(crate) fn way(&self) -> u8 {
        let is_idle = self.is_empty() && self.lent == Lent::Nothing && self.is_open();
        if is_idle { Self::way_with(self.fragment, self.deflater.as_deref()) } else { 0 }
    }

    /// The same of one that is idle.
    pub(crate) fn way_with(fragment: usize, deflater: Option<&Deflater>) -> u8 {
        let most = MAX_CONTROL.min(fragment).saturating_add(1);
        let most = deflater.map_or(most, |deflater| deflater.wants_from().min(most));
        u8::try_from(most).unwrap_or(0)
    }

    /// Encodes a client's frame that goes past the outbox, and returns the length.
    pub(crate) fn encode_short(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        frame: &mut ShortFrame,
    ) -> Option<usize> {
        let key = self.keys.as_deref_mut()?.next_key();
        frame.encode_masked(opcode, payload, key)
    }

    /// Takes back a frame that went past the outbox, of which only `written` bytes have gone: it comes before all that was queued
    /// meanwhile.
    pub(crate) fn put_back_short(&mut self, frame: &[u8], written: usize) {
        let mut bytes = spare::take();
        bytes.extend_from_slice(frame);
        self.queued = self.queued.saturating_add(bytes.len());
        self.put_back(Batch::of(Chunk::Frames { bytes, at: 0 }), written);
    }

    /// Takes note of so many bytes that are being written as if they had been handed out here, to be [put back](Self::put_back).
    pub(crate) const fn lend(&mut self, len: usize) {
        self.lent = Lent::Batch;
        self.queued = self.queued.saturating_add(len);
    }

    /// Takes back what [`take_frames`](Self::take_frames) handed out, of which `written` bytes have gone.
    #[inline]
    pub(crate) fn put_back_frames(&mut self, frames: Vec<u8>, written: usize) {
        if written < frames.len() {
            return self.put_back(Batch::of(Chunk::Frames { bytes: frames, at: 0 }), written);
        }
        self.lent = Lent::Nothing;
        self.queued = self.queued.saturating_sub(written);
        spare::give(frames);
    }

    /// Takes back what [`take`](Self::take) handed out, of which `written` bytes have gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::{MessageKind, Outbound};
    ///
    /// let mut outbound = Outbound::server();
    /// outbound.push(MessageKind::Text, b"Hello");
    /// let batch = outbound.take().expect("something waits");
    /// outbound.put_back(batch, 4); // the stream took four bytes
    /// assert_eq!(outbound.take().expect("the rest").first(), b"llo");
    /// ```
    #[inline(never)]
    pub fn put_back(&mut self, batch: Batch, written: usize) {
        let lent = std::mem::replace(&mut self.lent, Lent::Nothing);
        let Batch { first, mut more } = batch;
        self.queued = self.queued.saturating_sub(written);
        // The usual case: one buffer, all of it written.
        if more.is_empty() && first.unwritten().len() <= written {
            self.place = Place::Boundary;
            return first.recycle();
        }
        if written == 0
            && let Chunk::Pong { bytes, at: 0 } = first
        {
            return self.pong_unsent(bytes, lent);
        }
        more.push_front(first);
        let mut left = written;
        while let Some(chunk) = more.front_mut() {
            left = chunk.advance(left);
            if !chunk.unwritten().is_empty() {
                break;
            }
            if let Some(written) = more.pop_front() {
                written.recycle();
            }
        }
        self.place = match more.front() {
            Some(Chunk::Frames { at: 0, .. } | Chunk::Shared { at: 0, .. }) | None => Place::Boundary,
            Some(_) => Place::InsideFrame,
        };
        // What was queued meanwhile comes behind.
        more.append(&mut self.ready);
        self.ready = more;
        if lent == Lent::Discarded {
            self.discard();
        }
    }

    /// Puts the slot's Pong back, unless a newer one has taken its place, or everything was dropped meanwhile.
    fn pong_unsent(&mut self, bytes: Vec<u8>, lent: Lent) {
        self.queued = self.queued.saturating_sub(bytes.len());
        if lent != Lent::Discarded {
            self.pong.get_or_insert(bytes);
        }
    }

    /// Ends the chunk that is being filled. A short one joins the one before it: frames that come one by one while nothing can be
    /// written must not cost a buffer each.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let tail = std::mem::take(&mut self.tail);
        match self.ready.back_mut() {
            Some(Chunk::Frames { bytes, .. }) if bytes.len().saturating_add(tail.len()) <= SHORT => {
                bytes.extend_from_slice(&tail);
                spare::give(tail);
            }
            _ => self.ready.push_back(Chunk::Frames { bytes: tail, at: 0 }),
        }
    }

    /// Sees to it that the chunk that is being filled has a buffer.
    #[inline]
    fn fill_tail(&mut self) {
        if self.tail.capacity() == 0 {
            self.tail = spare::take();
        }
    }

    /// Encodes one frame at the end of the outbox.
    #[inline]
    fn append(&mut self, head: Head, payload: &[u8]) {
        self.fill_tail();
        let before = self.tail.len();
        encode(head, payload, self.keys.as_deref_mut(), &mut self.tail);
        self.queued = self.queued.saturating_add(self.tail.len().saturating_sub(before));
    }

    fn encode_control(&mut self, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(Head::whole(opcode), payload, self.keys.as_deref_mut(), &mut frame);
        frame
    }
}

fn total(chunks: &VecDeque<Chunk>) -> usize {
    chunks.iter().fold(0, |sum, chunk| sum.saturating_add(chunk.unwritten().len()))
}

#[inline(always)]
fn encode(head: Head, payload: &[u8], keys: Option<&mut (dyn MaskingKeys + 'static)>, to: &mut Vec<u8>) {
    match u8::try_from(payload.len()) {
        // The usual case: two bytes, and the payload as it is.
        Ok(len) if keys.is_none() && usize::from(len) <= MAX_CONTROL => {
            to.reserve(payload.len().saturating_add(2));
            to.extend_from_slice(&[head.first_byte(), len]);
            to.extend_from_slice(payload);
        }
        _ => encode_any(head, payload, keys, to),
    }
}

#[inline(never)]
fn encode_any(head: Head, payload: &[u8], keys: Option<&mut (dyn MaskingKeys + 'static)>, to: &mut Vec<u8>) {
    let key = keys.map(MaskingKeys::next_key);
    let header = head.header(key, payload.len()).encode();
    to.reserve(header.as_slice().len().saturating_add(payload.len()));
    to.extend_from_slice(header.as_slice());
    match key {
        Some(key) => Mask::new(key).copy(payload, to),
        None => to.extend_from_slice(payload),
    }
}

/// Messages that are written from where they lie, by the connection's `send`.
impl Outbound {
    /// Whether a message is being written from where it lies.
    pub(crate) const fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Begins a message of `len` bytes. The outbox must be empty.
    pub(crate) fn begin_direct(&mut self, kind: MessageKind, len: usize) {
        self.direct = Some(self.fragment_of(kind.opcode(), len));
    }

    fn fragment_of(&mut self, opcode: OpCode, len: usize) -> Direct {
        let fragment_left = len.min(self.fragment);
        let message_left = len.saturating_sub(fragment_left);
        let key = self.keys.as_deref_mut().map(MaskingKeys::next_key);
        let head = Head { opcode, fin: message_left == 0, rsv1: false };
        let header = head.header(key, fragment_left).encode();
        let is_first = opcode != OpCode::Continuation;
        let mask = key.map(Mask::new);
        Direct { header, is_first, header_written: 0, mask, fragment_left, message_left }
    }

    /// Whether the next bytes on the wire are the direct message's, and not a Pong that goes between.
    pub(crate) fn direct_goes_next(&self) -> bool {
        self.place == Place::Boundary
            && self.direct.as_ref().is_some_and(|direct| direct.is_inside_frame() || self.pong.is_none())
    }

    /// What may be written next of the message, of which `payload` is left: the present fragment, and those behind it, unless a Pong
    /// waits to go between; or, of a client, a piece of the fragment. It has to be [put back](Self::put_back_direct).
    pub(crate) fn take_direct<'a>(&mut self, payload: &'a [u8]) -> DirectFrames<'a> {
        self.lent = Lent::Direct;
        if let Some(direct) = self.direct.filter(|direct| direct.mask.is_some()) {
            let len = direct.fragment_left.min(MASKED);
            let piece = payload.get(..len).unwrap_or(payload);
            return DirectFrames::Masked(direct.encode(piece, spare::take()));
        }
        let mut headers = [(EncodedHeader::EMPTY, 0); FRAMES];
        let mut payloads: [&[u8]; FRAMES] = [&[]; FRAMES];
        let (mut next, mut rest) = (self.direct, payload);
        for (header, piece) in headers.iter_mut().zip(&mut payloads) {
            let Some(direct) = next else { break };
            *header = (direct.header, direct.header_written);
            (*piece, rest) = rest.split_at_checked(direct.fragment_left).unwrap_or((rest, &[]));
            next = if self.pong.is_some() { None } else { self.fragment_after(&direct) };
        }
        DirectFrames::Plain { headers, payloads }
    }

    fn fragment_after(&mut self, direct: &Direct) -> Option<Direct> {
        (direct.message_left > 0).then(|| self.fragment_of(OpCode::Continuation, direct.message_left))
    }

    /// Takes back what [`take_direct`](Self::take_direct) handed out, of which `written` bytes have gone. Returns how many of them were
    /// payload.
    pub(crate) fn put_back_direct(&mut self, frames: DirectFrames<'_>, written: usize) -> usize {
        if let DirectFrames::Masked(bytes) = frames {
            spare::give(bytes);
        }
        let lent = std::mem::replace(&mut self.lent, Lent::Nothing);
        let (mut left, mut of_payload) = (written, 0_usize);
        while let Some(mut direct) = self.direct.filter(|_| left > 0) {
            let of_header = direct.header_left().min(left);
            direct.header_written = direct.header_written.saturating_add(of_header);
            left = left.saturating_sub(of_header);
            let of_fragment = direct.fragment_left.min(left);
            direct.fragment_left = direct.fragment_left.saturating_sub(of_fragment);
            if let Some(mask) = &mut direct.mask {
                mask.advance(of_fragment);
            }
            left = left.saturating_sub(of_fragment);
            of_payload = of_payload.saturating_add(of_fragment);
            let is_through = direct.fragment_left == 0 && direct.header_left() == 0;
            self.direct = if is_through { self.fragment_after(&direct) } else { Some(direct) };
        }
        if lent == Lent::Discarded {
            self.discard();
        }
        of_payload
    }

    /// Ends a direct message whose sender goes away. `unwritten` is its payload from the place it has come to. If
    /// nothing of it has been written, it is as if it had never been sent. Returns whether the message stays cut: it
    /// has begun, and its end will not follow.
    pub(crate) fn end_direct(&mut self, unwritten: &[u8], rest: Rest) -> bool {
        let Some(direct) = self.direct.take() else {
            return false;
        };
        if direct.is_first && direct.header_written == 0 {
            return false;
        }
        let inside = direct.is_inside_frame();
        // The last frame is the end of the message: it is not cut, and what is queued behind it stays.
        let rest = if inside && direct.message_left == 0 { Rest::Message } else { rest };
        if rest == Rest::Frame {
            self.discard();
        }
        // A Pong between two fragments that has begun is finished first.
        let begun = match self.place {
            Place::InsideFrame if self.lent == Lent::Nothing => self.ready.pop_front(),
            _ => None,
        };
        let (of_frame, of_message) =
            unwritten.split_at_checked(direct.fragment_left).unwrap_or((unwritten, &[]));
        let mut of_message = of_message.get(..direct.message_left).unwrap_or_default();
        let mut chunks = VecDeque::new();
        let bytes = direct.encode(of_frame, Vec::new());
        if inside {
            self.place = Place::InsideFrame;
            chunks.push_back(Chunk::Rest { bytes, at: 0 });
        } else if rest == Rest::Message {
            chunks.push_back(Chunk::Frames { bytes, at: 0 });
        }
        if rest == Rest::Message {
            while !of_message.is_empty() {
                let (piece, after) = of_message.split_at_checked(self.fragment).unwrap_or((of_message, &[]));
                let head = Head { opcode: OpCode::Continuation, fin: after.is_empty(), rsv1: false };
                let mut bytes = Vec::new();
                encode(head, piece, self.keys.as_deref_mut(), &mut bytes);
                chunks.push_back(Chunk::Frames { bytes, at: 0 });
                of_message = after;
            }
        }
        self.queued = self.queued.saturating_add(total(&chunks));
        chunks.append(&mut self.ready);
        if let Some(begun) = begun {
            chunks.push_front(begun);
        }
        self.ready = chunks;
        rest == Rest::Frame
    }
}

/// What an [`Outbound`] takes along to another thread: all but the masking keys, of which each thread has its own.
#[derive(Debug)]
pub(crate) struct Unsent {
    fragment: usize,
    mark: usize,
    frames: Vec<UnsentFrames>,
    place: Place,
    pong: Option<Vec<u8>>,
    deflater: Option<Box<Deflater>>,
}

/// A chunk of which no other connection has a share.
struct UnsentFrames {
    bytes: Vec<u8>,
    at: usize,
    /// Whether it begins inside a frame.
    is_rest: bool,
}

impl Unsent {
    /// Bytes of the longest fragment, and the mark.
    pub(crate) const fn sizes(&self) -> (usize, usize) {
        (self.fragment, self.mark)
    }
}

/// Moving to another thread.
impl Outbound {
    /// Takes out all that waits, and what compresses. There must be no batch out, no direct message and no Close.
    pub(crate) fn leave(&mut self) -> Unsent {
        self.seal();
        let frames = self.ready.drain(..).map(|chunk| match chunk {
            Chunk::Frames { bytes, at } => UnsentFrames { bytes, at, is_rest: false },
            Chunk::Shared { bytes, start, end, at } => {
                let bytes = bytes.get(start..end).unwrap_or_default().to_vec();
                UnsentFrames { bytes, at, is_rest: false }
            }
            Chunk::Rest { bytes, at } | Chunk::Pong { bytes, at } => {
                UnsentFrames { bytes, at, is_rest: true }
            }
        });
        Unsent {
            fragment: self.fragment,
            mark: self.mark,
            frames: frames.collect(),
            place: std::mem::replace(&mut self.place, Place::Boundary),
            pong: self.pong.take(),
            deflater: self.deflater.take(),
        }
    }

    /// Goes on with what [`leave`](Self::leave) took out of another. Nothing has been sent here yet.
    pub(crate) fn arrive(&mut self, unsent: Unsent) {
        let Unsent { fragment, mark, frames, place, pong, deflater } = unsent;
        let chunk = |UnsentFrames { bytes, at, is_rest }| {
            if is_rest { Chunk::Rest { bytes, at } } else { Chunk::Frames { bytes, at } }
        };
        self.ready = frames.into_iter().map(chunk).collect();
        self.queued = total(&self.ready);
        (self.fragment, self.mark, self.place, self.pong) = (fragment, mark, place, pong);
        self.deflater = deflater;
    }
}

impl fmt::Debug for UnsentFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsentFrames").field("len", &self.bytes.len().saturating_sub(self.at)).finish()
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("queued", &self.queued)
            .field("is_direct", &self.is_direct())
            .field("pong", &self.pong.is_some())
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through the outbox it would come to the same, and cost three times as much.
    #[test]
    fn a_short_frame_is_encoded_without_the_outbox() {
        let mut frame = ShortFrame::new();
        let len = frame.encode(OpCode::Text, b"Hello").unwrap();
        assert_eq!(frame.get(len), b"\x81\x05Hello");
        // Section 5.7.
        let len = frame.encode_masked(OpCode::Text, b"Hello", [0x37, 0xFA, 0x21, 0x3D]).unwrap();
        assert_eq!(frame.get(len), b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58");
        assert!(Outbound::server().is_short(&[0; 125]) && !Outbound::server().is_short(&[0; 126]));
        struct Zeros;
        impl MaskingKeys for Zeros {
            fn next_key(&mut self) -> [u8; 4] {
                [0; 4]
            }
        }
        let len = Outbound::client(Box::new(Zeros)).encode_short(OpCode::Text, b"Hello", &mut frame).unwrap();
        assert_eq!(frame.get(len), b"\x81\x85\0\0\0\0Hello");
    }

    /// They cost less than the way that all others go.
    #[test]
    fn the_usual_cases_have_ways_of_their_own_and_only_when_nothing_is_out() {
        let mut outbound = Outbound::server();
        assert_eq!(outbound.way(), 126);
        outbound.push(MessageKind::Text, b"Hello");
        assert_eq!(outbound.way(), 0);
        let frames = outbound.take_frames().unwrap();
        assert_eq!(frames, b"\x81\x05Hello");
        outbound.push(MessageKind::Text, b"again");
        assert_eq!(outbound.take_frames(), None);
        outbound.put_back_frames(frames, 3);
        assert_eq!(outbound.take_frames(), None, "there is a rest");
        let batch = outbound.take().unwrap();
        assert_eq!((batch.first(), batch.is_vectored()), (&b"ello\x81\x05again"[..], false));
    }

    #[test]
    fn the_rest_of_a_frame_leaves_in_one_write_with_what_is_behind_it() {
        let mut outbound = Outbound::server();
        let frame = EncodedFrame::binary(&[7; 2 * COPY]);
        outbound.push_frame(&frame);
        outbound.push_frame(&frame);
        let batch = outbound.take().unwrap();
        outbound.put_back(batch, 1);
        let batch = outbound.take().unwrap();
        assert!(batch.first() == &frame.as_bytes()[1..] && batch.is_vectored());
    }

    fn wire(outbound: &mut Outbound) -> Vec<u8> {
        let mut wire = Vec::new();
        while let Some(batch) = outbound.take() {
            wire.extend_from_slice(batch.first());
            let written = batch.first().len();
            outbound.put_back(batch, written);
        }
        wire
    }

    #[test]
    fn a_message_may_go_past_only_if_it_is_short_and_goes_as_it_is() {
        assert_eq!(Outbound::server().way(), 126);
        assert_eq!(Outbound::server().with_sizes(3, 10).way(), 4);
        #[cfg(feature = "deflate")]
        for (threshold, way) in [(0, 1), (20, 20), (1000, 126)] {
            let agreed = Deflate::new().threshold(threshold);
            assert_eq!(Outbound::server().agree(Some(&agreed)).way(), way);
        }
    }

    #[test]
    fn of_frames_that_are_shared_the_one_that_has_begun_is_finished_and_no_other() {
        let frames: Rc<[u8]> = b"before\x81\x03one\x81\x03two\x81\x05threebehind".as_slice().into();
        for (written, expected) in [(0, &b""[..]), (5, b""), (6, b"\x03two"), (9, b"o"), (10, b"")] {
            let mut outbound = Outbound::server();
            outbound.push_shared(Rc::clone(&frames), 6..23);
            assert_eq!(outbound.queued(), 17);
            let batch = outbound.take().unwrap();
            assert_eq!(batch.first(), b"\x81\x03one\x81\x03two\x81\x05three");
            outbound.put_back(batch, written);
            outbound.close_now(None);
            assert_eq!(wire(&mut outbound), [expected, b"\x88\x00"].concat(), "after {written}");
        }
    }

    #[test]
    fn what_was_queued_behind_a_message_whose_sender_goes_away_stays_there_if_the_message_does() {
        for (rest, expected) in
            [(Rest::Message, &b"lo\x00\x05 worl\x80\x01d\x81\x06behind"[..]), (Rest::Frame, b"lo")]
        {
            let mut outbound = Outbound::server().with_sizes(5, 1 << 10);
            outbound.begin_direct(MessageKind::Text, 11);
            let frames = outbound.take_direct(b"Hello world");
            assert_eq!(outbound.put_back_direct(frames, 5), 3);
            outbound.push_frame(&EncodedFrame::text("behind"));
            assert_eq!(outbound.end_direct(b"lo world", rest), rest == Rest::Frame);
            assert_eq!(wire(&mut outbound), expected);
        }
    }

    /// Found by `of_the_fragments_..` in `tests/long.rs`, whose stream calls `close_now` in the middle of each of its writes.
    #[test]
    fn a_fragment_that_is_out_while_all_is_dropped_twice_goes_on_to_its_end() {
        let mut outbound = Outbound::server().with_sizes(5, 1 << 10);
        outbound.begin_direct(MessageKind::Text, 11);
        let frames = outbound.take_direct(b"Hello world");
        outbound.close_now(None);
        outbound.close_now(None);
        assert_eq!(outbound.put_back_direct(frames, 5), 3);
        assert!(outbound.is_direct() && outbound.direct_goes_next());
        let frames = outbound.take_direct(b"lo world");
        assert_eq!(frames.with_slices(|it| it.iter().flat_map(|it| it.to_vec()).collect::<Vec<_>>()), b"lo");
        assert_eq!(outbound.put_back_direct(frames, 2), 2);
        assert_eq!(wire(&mut outbound), b"\x88\x00");
    }

    #[test]
    fn a_message_between_two_of_its_fragments_is_dropped_with_all_else() {
        let mut outbound = Outbound::server().with_sizes(5, 1 << 10);
        outbound.begin_direct(MessageKind::Text, 11);
        let frames = outbound.take_direct(b"Hello world");
        assert_eq!(outbound.put_back_direct(frames, 7), 5);
        outbound.close_now(None);
        assert!(!outbound.is_direct());
        assert_eq!(wire(&mut outbound), b"\x88\x00");
    }

    #[test]
    fn a_pong_goes_behind_the_one_frame_of_several_shared_ones_that_has_begun() {
        let frames: Rc<[u8]> = b"\x81\x03one\x81\x03two\x81\x05three".as_slice().into();
        let pong = b"\x8A\x01?";
        for (written, first) in [(1, &b"\x03one"[..]), (6, b"\x03two"), (9, b"o"), (16, b"e")] {
            let mut outbound = Outbound::server().with_sizes(64 << 10, 1);
            outbound.push_shared(Rc::clone(&frames), 0..frames.len());
            let batch = outbound.take().unwrap();
            outbound.put_back(batch, written);
            outbound.answer_ping(b"?");
            let (begun, rest) = frames[written..].split_at(first.len());
            assert_eq!(begun, first);
            assert_eq!(wire(&mut outbound), [begun, pong, rest].concat(), "{written} bytes were written");
        }
    }

    #[test]
    fn nothing_is_handed_out_while_something_is_written_past_the_outbox() {
        let mut outbound = Outbound::server();
        outbound.lend(5);
        outbound.push(MessageKind::Text, b"behind");
        assert_eq!((outbound.queued(), outbound.way()), (13, 0));
        assert!(outbound.take().is_none() && outbound.take_frames().is_none());
        outbound.put_back(Batch::of(Chunk::Frames { bytes: b"\x81\x03out".to_vec(), at: 0 }), 4);
        assert_eq!(wire(&mut outbound), b"t\x81\x06behind");
    }
}
