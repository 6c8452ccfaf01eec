//! Close codes and the payload of a Close frame (RFC 6455, sections 5.5.1 and 7.4).
//!
//! A [`CloseCode`] is one that may stand in a frame; those that only ever describe a local event (1004, 1005, 1006,
//! 1015) and those nobody may use cannot be made.

use std::fmt;

use super::ProtocolError;
use super::header::MAX_CONTROL;

/// Bytes a reason may have: what a control frame holds, less the code.
const MAX_REASON: usize = MAX_CONTROL - 2;

/// A status code that may travel in a Close frame (RFC 6455, section 7.4).
///
/// 1000 to 1003 and 1007 to 1014 are defined by the RFC and its registry, 3000 to 3999 registered by libraries, 4000 to 4999
/// free for applications.
///
/// # Examples
///
/// ```
/// use unsync_websocket::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
/// assert_eq!(CloseCode::new(4321).map(CloseCode::get), Some(4321));
/// assert_eq!(CloseCode::new(1006), None); // says that there was no Close frame, so no frame may say it
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server is going down, or a page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a rule of the protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that this endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: the data of a message do not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a message that breaks the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: a client misses an extension in the server's answer.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server met something unexpected.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: try again later; used for clients that cannot keep up.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// `code`, if it may travel.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::CloseCode;
    ///
    /// assert_eq!(CloseCode::new(1000), Some(CloseCode::NORMAL));
    /// assert_eq!(CloseCode::new(1006), None); // it says that there was no Close
    /// assert!(CloseCode::new(4321).is_some()); // for programs to give it a meaning
    /// ```
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    ///
    /// # Examples
    ///
    /// See [`CloseFrame`].
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

/// What a Close frame with a payload says (RFC 6455, section 5.5.1). A Close without one is `None` where this is
/// an `Option`.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{CloseCode, CloseFrame};
///
/// let frame = CloseFrame::new(CloseCode::GOING_AWAY, "server restarts");
/// assert_eq!(frame.code().get(), 1001);
/// assert_eq!(frame.reason(), "server restarts");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: Box<str>,
}

impl CloseFrame {
    /// A Close with a code and a reason, which may be empty. A reason of more than 123 bytes is cut after the last
    /// character that fits: a frame has no room for more, and closing must not fail for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{CloseCode, CloseFrame};
    ///
    /// let frame = CloseFrame::new(CloseCode::TRY_AGAIN_LATER, &"too slow, ".repeat(20));
    /// assert_eq!(frame.reason().len(), 123);
    /// ```
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        let end = reason.floor_char_boundary_at(MAX_REASON);
        Self { code, reason: reason.get(..end).unwrap_or_default().into() }
    }

    /// The status code.
    ///
    /// # Examples
    ///
    /// See [`CloseFrame`].
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason; empty if none was given.
    ///
    /// # Examples
    ///
    /// See [`CloseFrame`].
    #[must_use]
    pub const fn reason(&self) -> &str {
        &self.reason
    }

    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    ///
    /// One byte, a code that may not travel, a reason that is not UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{CloseCode, CloseFrame, ProtocolError};
    ///
    /// assert_eq!(CloseFrame::decode(b"")?, None);
    /// assert_eq!(CloseFrame::decode(b"\x03\xE8bye")?, Some(CloseFrame::new(CloseCode::NORMAL, "bye")));
    /// assert_eq!(CloseFrame::decode(b"\x03"), Err(ProtocolError::CloseTooShort));
    /// # Ok::<(), ProtocolError>(())
    /// ```
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(ProtocolError::CloseCode { code })?;
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Some(Self { code, reason: reason.into() }))
    }

    /// The payload of the Close frame that says this.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{CloseCode, CloseFrame};
    ///
    /// assert_eq!(CloseFrame::new(CloseCode::NORMAL, "bye").encode(), b"\x03\xE8bye");
    /// ```
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = self.code.get().to_be_bytes().to_vec();
        payload.extend_from_slice(self.reason.as_bytes());
        payload
    }
}

/// `str::floor_char_boundary` came to std after our minimum Rust version.
trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, index: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_at(&self, index: usize) -> usize {
        (0..=index.min(self.len())).rev().find(|end| self.is_char_boundary(*end)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_codes_just_these_may_travel() {
        for code in 0..=u16::MAX {
            let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(CloseCode::new(code).is_some(), legal, "{code}");
            let frame = CloseFrame::decode(&code.to_be_bytes());
            match CloseCode::new(code) {
                Some(code) => assert_eq!(frame, Ok(Some(CloseFrame::new(code, "")))),
                None => assert_eq!(frame, Err(ProtocolError::CloseCode { code })),
            }
        }
    }

    #[test]
    fn one_byte_is_half_a_code() {
        assert_eq!(CloseFrame::decode(&[3]), Err(ProtocolError::CloseTooShort));
    }

    #[test]
    fn a_reason_cut_inside_a_character_is_not_utf8() {
        assert_eq!(CloseFrame::decode(b"\x03\xE8\xE2\x82"), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = CloseFrame::new(CloseCode::NORMAL, &"€".repeat(60));
        assert_eq!(frame.reason(), "€".repeat(41));
        assert_eq!(frame.encode().len(), 125);
        let odd = CloseFrame::new(CloseCode::NORMAL, &format!("a{}", "€".repeat(60)));
        assert_eq!(odd.reason().len(), 121);
        assert_eq!(CloseFrame::decode(&odd.encode()), Ok(Some(odd)));
    }
}
