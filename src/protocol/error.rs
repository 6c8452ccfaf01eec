//! What a peer can do wrong: one variant a rule, with the section of RFC 6455 and the close code it deserves.

use std::fmt;

use super::{CloseCode, OpCode};

/// A rule of RFC 6455 that the peer broke. The connection cannot go on (section 7.1.7).
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::{CloseCode, FrameHeader, ProtocolError};
///
/// let error = FrameHeader::decode(&[0xF1]).unwrap_err();
/// assert_eq!(error, ProtocolError::ReservedBit);
/// assert_eq!(error.section(), "5.2");
/// assert_eq!(error.close_code(), CloseCode::PROTOCOL_ERROR);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A reserved bit is set that no extension claimed (section 5.2).
    ReservedBit,
    /// An opcode that has no meaning (section 5.2).
    ReservedOpCode {
        /// The four bits.
        opcode: u8,
    },
    /// A payload length in a longer form than it needs (section 5.2).
    LengthNotMinimal,
    /// A 64-bit payload length with its top bit set (section 5.2).
    LengthTopBit,
    /// A control frame without FIN (section 5.5).
    FragmentedControl,
    /// A control frame of more than 125 bytes (section 5.5).
    ControlTooLong,
    /// A client sent us, a server, a frame that is not masked (section 5.1).
    NotMasked,
    /// A server sent us, a client, a frame that is masked (section 5.1).
    Masked,
    /// A continuation frame while no message had begun (section 5.4).
    UnexpectedContinuation,
    /// A new message began before the one in fragments had ended (section 5.4).
    ExpectedContinuation {
        /// What came instead.
        found: OpCode,
    },
    /// Text, or the reason of a Close, that is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A compressed message that is none, or lacks its end (RFC 7692, section 7.2.2).
    InvalidDeflate,
    /// A Close with a payload of one byte: half a code (section 5.5.1).
    CloseTooShort,
    /// A Close with a code that may not travel (section 7.4).
    CloseCode {
        /// The code.
        code: u16,
    },
    /// A frame longer than [`Limits::max_frame`](super::Limits::max_frame) (section 10.4).
    FrameTooBig {
        /// Bytes its header announced.
        len: u64,
        /// Bytes it may have.
        max: usize,
    },
    /// A message grew past [`Limits::max_message`](super::Limits::max_message) (section 10.4).
    MessageTooBig {
        /// Bytes, as far as its headers told, or as far as it was inflated.
        len: u64,
        /// Bytes it may have.
        max: usize,
    },
    /// A message in more frames than [`Limits::max_fragments`](super::Limits::max_fragments) (section 10.4).
    TooManyFragments {
        /// Frames it may have.
        max: u32,
    },
}

impl ProtocolError {
    /// The code for our Close frame when we give up over this error (section 7.4.1).
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{CloseCode, ProtocolError};
    ///
    /// assert_eq!(ProtocolError::InvalidUtf8.close_code(), CloseCode::INVALID_PAYLOAD);
    /// assert_eq!(ProtocolError::NotMasked.close_code(), CloseCode::PROTOCOL_ERROR);
    /// assert_eq!(ProtocolError::TooManyFragments { max: 9 }.close_code(), CloseCode::TOO_BIG);
    /// ```
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } | Self::TooManyFragments { .. } => {
                CloseCode::TOO_BIG
            }
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The section of RFC 6455 that has the rule; for [`InvalidDeflate`](Self::InvalidDeflate), of RFC 7692.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::ProtocolError;
    ///
    /// assert_eq!(ProtocolError::NotMasked.section(), "5.1");
    /// assert_eq!(ProtocolError::InvalidDeflate.section(), "7.2.2");
    /// ```
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::ReservedBit | Self::ReservedOpCode { .. } | Self::LengthNotMinimal | Self::LengthTopBit => {
                "5.2"
            }
            Self::FragmentedControl | Self::ControlTooLong => "5.5",
            Self::NotMasked | Self::Masked => "5.1",
            Self::UnexpectedContinuation | Self::ExpectedContinuation { .. } => "5.4",
            Self::InvalidUtf8 => "8.1",
            Self::InvalidDeflate => "7.2.2",
            Self::CloseTooShort => "5.5.1",
            Self::CloseCode { .. } => "7.4",
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } | Self::TooManyFragments { .. } => "10.4",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBit => f.write_str("reserved bit set without an extension"),
            Self::ReservedOpCode { opcode } => write!(f, "reserved opcode {opcode:#x}"),
            Self::LengthNotMinimal => f.write_str("payload length in a longer form than needed"),
            Self::LengthTopBit => f.write_str("payload length with its top bit set"),
            Self::FragmentedControl => f.write_str("control frame in fragments"),
            Self::ControlTooLong => f.write_str("control frame of more than 125 bytes"),
            Self::NotMasked => f.write_str("frame from a client is not masked"),
            Self::Masked => f.write_str("frame from a server is masked"),
            Self::UnexpectedContinuation => f.write_str("continuation frame without a message"),
            Self::ExpectedContinuation { found } => {
                write!(f, "{found:?} frame inside a message in fragments")
            }
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::InvalidDeflate => f.write_str("compressed message that cannot be inflated"),
            Self::CloseTooShort => f.write_str("close frame with half a code"),
            Self::CloseCode { code } => write!(f, "close code {code} may not travel"),
            Self::FrameTooBig { len, max } => write!(f, "frame of {len} bytes, {max} are allowed"),
            Self::MessageTooBig { len, max } => write!(f, "message of {len} bytes, {max} are allowed"),
            Self::TooManyFragments { max } => write!(f, "message in more than {max} frames"),
        }?;
        let rfc = if matches!(self, Self::InvalidDeflate) { 7692 } else { 6455 };
        write!(f, " (RFC {rfc}, section {})", self.section())
    }
}

impl std::error::Error for ProtocolError {}
