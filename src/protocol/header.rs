//! The header of a frame, bytes ⇄ value (RFC 6455, section 5.2).
//!
//! Knows one header at a time: nothing of messages, of roles or of extensions. Refuses what no endpoint may ever
//! send: reserved bits and opcodes, lengths in a longer form than needed, control frames that are long or in parts.

use super::ProtocolError;

/// Which end of the connection we are (RFC 6455, section 1.2): a client masks what it sends, a server does not.
///
/// # Examples
///
/// ```
/// use unsync_websocket::Role;
///
/// assert_eq!(Role::Server.peer(), Role::Client);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We accepted the connection.
    Server,
    /// We opened the connection.
    Client,
}

impl Role {
    /// The role of the other end.
    ///
    /// # Examples
    ///
    /// See [`Role`].
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

/// What a frame is (RFC 6455, section 5.2). The reserved opcodes have no name here: they never get past
/// [`FrameHeader::decode`].
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::OpCode;
///
/// assert!(OpCode::Ping.is_control());
/// assert!(!OpCode::Continuation.is_control());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpCode {
    /// A further fragment of the message that has begun.
    Continuation,
    /// The first, or only, frame of a text message.
    Text,
    /// The first, or only, frame of a binary message.
    Binary,
    /// The last frame of a direction (section 5.5.1).
    Close,
    /// To be answered with a Pong (section 5.5.2).
    Ping,
    /// The answer to a Ping, or a heartbeat nobody asked for (section 5.5.3).
    Pong,
}

impl OpCode {
    /// Whether this is a control frame: at most 125 bytes, never in fragments (section 5.5).
    ///
    /// # Examples
    ///
    /// See [`OpCode`].
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// The first byte of a frame.
    pub(super) const fn first_byte(self, fin: bool, rsv1: bool) -> u8 {
        self.bits() | if fin { FIN } else { 0 } | if rsv1 { RSV1 } else { 0 }
    }
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_AND_3: u8 = 0x30;
const OPCODE: u8 = 0x0F;
pub(super) const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7F;
/// The length field's two ways to say "see the bytes that follow".
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
/// Payload data a control frame may have (section 5.5).
pub(crate) const MAX_CONTROL: usize = 125;

/// The header of one frame (RFC 6455, section 5.2).
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::{FrameHeader, OpCode};
///
/// // The masked "Hello" of section 5.7.
/// let bytes = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
/// let (header, len) = FrameHeader::decode(&bytes)?.expect("six bytes are enough");
/// assert_eq!(len, 6);
/// assert_eq!(header.opcode, OpCode::Text);
/// assert_eq!(header.mask, Some([0x37, 0xFA, 0x21, 0x3D]));
/// assert_eq!(header.payload_len, 5);
/// assert_eq!(header.encode().as_slice(), &bytes[..6]);
/// # Ok::<(), unsync_websocket::ProtocolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The bit that permessage-deflate uses for "this message is compressed" (RFC 7692, section 6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: OpCode,
    /// The masking key, if the payload is masked (section 5.3).
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload data that follow.
    pub payload_len: u64,
}

impl FrameHeader {
    /// Bytes the longest header has.
    pub const MAX_LEN: usize = 14;

    /// Reads the header at the front of `bytes`, and tells how many bytes it took.
    ///
    /// `None` says that the header is not whole yet; this is never said of 14 bytes or more.
    ///
    /// # Errors
    ///
    /// The rule that the header breaks, as soon as the bytes show it.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::ProtocolError;
    /// use unsync_websocket::protocol::FrameHeader;
    ///
    /// assert_eq!(FrameHeader::decode(b"\x82")?, None); // more has to come
    /// let (header, len) = FrameHeader::decode(b"\x82\x7E\x01\x00...")?.expect("it is whole");
    /// assert_eq!((header.payload_len, len), (256, 4));
    /// assert_eq!(FrameHeader::decode(b"\x82\x7E\x00\x05"), Err(ProtocolError::LengthNotMinimal));
    /// # Ok::<(), ProtocolError>(())
    /// ```
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [first, rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & RSV2_AND_3 != 0 {
            return Err(ProtocolError::ReservedBit);
        }
        let bits = first & OPCODE;
        let opcode = OpCode::from_bits(bits).ok_or(ProtocolError::ReservedOpCode { opcode: bits })?;
        let fin = first & FIN != 0;
        let rsv1 = first & RSV1 != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if opcode.is_control() && rsv1 {
            return Err(ProtocolError::ReservedBit);
        }

        let [second, rest @ ..] = rest else {
            return Ok(None);
        };
        let short = second & LENGTH;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL {
            return Err(ProtocolError::ControlTooLong);
        }
        let (payload_len, rest, length_bytes) = match (short, rest) {
            (LENGTH_64, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                (long_length(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))?, rest, 8)
            }
            (LENGTH_16, [a, b, rest @ ..]) => (medium_length(u16::from_be_bytes([*a, *b]))?, rest, 2),
            (LENGTH_64 | LENGTH_16, _) => return Ok(None),
            (short, rest) => (u64::from(short), rest, 0),
        };

        let mask = match (second & MASK != 0, rest) {
            (false, _) => None,
            (true, [a, b, c, d, ..]) => Some([*a, *b, *c, *d]),
            (true, _) => return Ok(None),
        };
        let len = match mask {
            None => 2_usize,
            Some(_) => 6,
        }
        .saturating_add(length_bytes);
        Ok(Some((Self { fin, rsv1, opcode, mask, payload_len }, len)))
    }

    /// The bytes of this header, its length in the shortest form.
    ///
    /// # Examples
    ///
    /// See [`EncodedHeader`].
    #[must_use]
    pub fn encode(&self) -> EncodedHeader {
        let mut encoded = EncodedHeader::EMPTY;
        let first = self.opcode.first_byte(self.fin, self.rsv1);
        let mask = if self.mask.is_some() { MASK } else { 0 };
        match (u8::try_from(self.payload_len), u16::try_from(self.payload_len)) {
            (Ok(len), _) if len < LENGTH_16 => encoded.put([first, mask | len]),
            (_, Ok(len)) => {
                encoded.put([first, mask | LENGTH_16]);
                encoded.put(len.to_be_bytes());
            }
            _ => {
                encoded.put([first, mask | LENGTH_64]);
                encoded.put(self.payload_len.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            encoded.put(key);
        }
        encoded
    }
}

/// A length in the 16-bit form must not fit the 7-bit one (section 5.2).
fn medium_length(len: u16) -> Result<u64, ProtocolError> {
    if len < u16::from(LENGTH_16) { Err(ProtocolError::LengthNotMinimal) } else { Ok(u64::from(len)) }
}

/// A length in the 64-bit form must not fit the 16-bit one, and its top bit must be 0 (section 5.2).
fn long_length(len: u64) -> Result<u64, ProtocolError> {
    if len <= u64::from(u16::MAX) {
        Err(ProtocolError::LengthNotMinimal)
    } else if len > u64::MAX >> 1 {
        Err(ProtocolError::LengthTopBit)
    } else {
        Ok(len)
    }
}

/// The bytes of a [`FrameHeader`], without an allocation.
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::{FrameHeader, OpCode};
///
/// let header = FrameHeader { fin: true, rsv1: false, opcode: OpCode::Binary, mask: None, payload_len: 256 };
/// assert_eq!(header.encode().as_slice(), [0x82, 126, 1, 0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; FrameHeader::MAX_LEN],
    len: usize,
}

impl EncodedHeader {
    pub(super) const EMPTY: Self = Self { bytes: [0; FrameHeader::MAX_LEN], len: 0 };

    /// The bytes.
    ///
    /// # Examples
    ///
    /// See [`EncodedHeader`].
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut::<N>) {
            *place = bytes;
            self.len = self.len.saturating_add(N);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDARY_LENGTHS: [u64; 13] = [
        0,
        1,
        125,
        126,
        127,
        65535,
        65536,
        (1 << 31) - 1,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        1 << 53,
        (1 << 63) - 1,
    ];

    #[test]
    fn every_boundary_length_survives_the_round_trip_and_every_cut() {
        for payload_len in BOUNDARY_LENGTHS {
            for mask in [None, Some([1, 2, 3, 4])] {
                for (fin, rsv1) in [(true, false), (false, false), (true, true), (false, true)] {
                    let header = FrameHeader { fin, rsv1, opcode: OpCode::Binary, mask, payload_len };
                    let encoded = header.encode();
                    let bytes = encoded.as_slice();
                    assert_eq!(FrameHeader::decode(bytes), Ok(Some((header, bytes.len()))));
                    for cut in 0..bytes.len() {
                        assert_eq!(FrameHeader::decode(&bytes[..cut]), Ok(None), "{header:?} at {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_length_in_a_longer_form_than_needed_is_refused() {
        assert_eq!(FrameHeader::decode(&[0x82, 126, 0, 125]), Err(ProtocolError::LengthNotMinimal));
        assert!(FrameHeader::decode(&[0x82, 126, 0, 126]).is_ok());
        assert_eq!(
            FrameHeader::decode(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]),
            Err(ProtocolError::LengthNotMinimal)
        );
        assert!(FrameHeader::decode(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]).is_ok());
    }

    #[test]
    fn a_length_with_the_top_bit_set_is_refused() {
        for top in [0x80, 0xFF] {
            let bytes = [0x82, 127, top, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(FrameHeader::decode(&bytes), Err(ProtocolError::LengthTopBit));
        }
        let longest = [0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert_eq!(FrameHeader::decode(&longest).unwrap().unwrap().0.payload_len, (1 << 63) - 1);
    }

    #[test]
    fn every_first_byte_has_its_verdict() {
        for first in 0..=u8::MAX {
            let verdict = FrameHeader::decode(&[first, 0]);
            let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
            if rsv & 3 != 0 {
                assert_eq!(verdict, Err(ProtocolError::ReservedBit));
            } else if ![0, 1, 2, 8, 9, 10].contains(&opcode) {
                assert_eq!(verdict, Err(ProtocolError::ReservedOpCode { opcode }));
            } else if opcode >= 8 && !fin {
                assert_eq!(verdict, Err(ProtocolError::FragmentedControl));
            } else if opcode >= 8 && rsv != 0 {
                assert_eq!(verdict, Err(ProtocolError::ReservedBit));
            } else {
                let (header, len) = verdict.unwrap().unwrap();
                assert_eq!((header.fin, header.rsv1, header.opcode.bits(), len), (fin, rsv == 4, opcode, 2));
            }
        }
    }

    #[test]
    fn a_control_frame_has_at_most_125_bytes() {
        for opcode in [0x88, 0x89, 0x8A] {
            assert!(FrameHeader::decode(&[opcode, 125]).is_ok());
            assert_eq!(FrameHeader::decode(&[opcode, 126]), Err(ProtocolError::ControlTooLong));
            assert_eq!(FrameHeader::decode(&[opcode, 0xFF]), Err(ProtocolError::ControlTooLong));
        }
    }
}
