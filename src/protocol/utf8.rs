//! UTF-8 over the pieces of a message, failing at the first bad octet (RFC 6455, section 8.1).
//!
//! The bulk goes through `simdutf8`; only a character that a cut went through is looked at byte by byte.

use super::ProtocolError;

/// A validator that is given text in pieces, cut anywhere.
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::Utf8Validator;
///
/// let mut text = Utf8Validator::new();
/// text.push(b"10 \xE2\x82")?; // the cut goes through a euro sign
/// text.push(b"\xAC")?;
/// text.finish()?;
///
/// let mut bad = Utf8Validator::new();
/// bad.push(b"\xED")?;
/// assert!(bad.push(b"\xA0").is_err()); // a surrogate: told before its third byte
/// # Ok::<(), unsync_websocket::ProtocolError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    /// The beginning of a character that the last piece ended in.
    cut: [u8; 3],
    cut_len: u8,
}

impl Utf8Validator {
    /// A validator at the start of a text.
    ///
    /// # Examples
    ///
    /// See [`Utf8Validator`].
    #[must_use]
    pub const fn new() -> Self {
        Self { cut: [0; 3], cut_len: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidUtf8`] if no continuation can make the text valid.
    ///
    /// # Examples
    ///
    /// See [`Utf8Validator`].
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.cut_len > 0 {
            let [next, rest @ ..] = piece else { return Ok(()) };
            self.complete(*next)?;
            piece = rest;
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(ProtocolError::InvalidUtf8),
            Err(error) => {
                self.remember(piece.get(error.valid_up_to()..).unwrap_or_default());
                Ok(())
            }
        }
    }

    /// Ends the text.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidUtf8`] if it ends inside a character.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::Utf8Validator;
    ///
    /// let mut text = Utf8Validator::new();
    /// text.push(b"\xE2\x82")?; // might become a euro sign
    /// assert!(text.finish().is_err());
    /// # Ok::<(), unsync_websocket::ProtocolError>(())
    /// ```
    pub fn finish(&self) -> Result<(), ProtocolError> {
        if self.cut_len == 0 { Ok(()) } else { Err(ProtocolError::InvalidUtf8) }
    }

    /// Adds one byte to the character that was cut.
    fn complete(&mut self, next: u8) -> Result<(), ProtocolError> {
        let [a, b, c] = self.cut;
        let joined = match self.cut_len {
            1 => &[a, next][..],
            2 => &[a, b, next],
            _ => &[a, b, c, next],
        };
        match std::str::from_utf8(joined) {
            Ok(_) => self.cut_len = 0,
            Err(error) if error.error_len().is_none() => self.remember(joined),
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }

    fn remember(&mut self, start: &[u8]) {
        (self.cut, self.cut_len) = match *start {
            [a] => ([a, 0, 0], 1),
            [a, b] => ([a, b, 0], 2),
            [a, b, c, ..] => ([a, b, c], 3),
            [] => ([0; 3], 0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the standard library says that a text can no longer become valid: the count of bytes that are fine.
    fn naive(text: &[u8]) -> Option<usize> {
        (1..=text.len())
            .find(|end| std::str::from_utf8(&text[..*end]).is_err_and(|error| error.error_len().is_some()))
    }

    const TEXTS: [&[u8]; 14] = [
        b"",
        b"plain",
        "κόσμε €uro 𝄞 \u{10FFFF}".as_bytes(),
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xC0\xAF",
        b"\xE0\x80\xAF",
        b"ab\xF0\x9D\x84",
        b"\x80",
        b"\xFF",
        b"abc\xE2\x82x",
        b"\xF5\x80",
        b"\xF0\x8F\xBF\xBF",
        b"0123456789012345678901234567890123456789012345678901234567890123456789\xE2\x28\xA1",
    ];

    #[test]
    fn every_cut_fails_at_the_first_bad_octet() {
        for text in TEXTS {
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let mut validator = Utf8Validator::new();
                    let mut verdict = None;
                    let mut end = 0;
                    for piece in [&text[..first], &text[first..second], &text[second..]] {
                        end += piece.len();
                        if validator.push(piece).is_err() {
                            verdict = Some(end);
                            break;
                        }
                    }
                    // A piece is judged as a whole, so the verdict falls in the piece that holds the bad octet.
                    let expected = naive(text)
                        .map(|bad| [first, second, text.len()].into_iter().find(|end| *end >= bad).unwrap());
                    assert_eq!(verdict, expected, "{text:x?} cut at {first} and {second}");
                    if verdict.is_none() {
                        assert_eq!(validator.finish().is_ok(), std::str::from_utf8(text).is_ok());
                    }
                }
            }
        }
    }

    #[test]
    fn byte_by_byte_the_bad_octet_is_told_at_once() {
        for text in TEXTS {
            let mut validator = Utf8Validator::new();
            let failed = text.iter().position(|byte| validator.push(&[*byte]).is_err());
            assert_eq!(failed.map(|at| at + 1), naive(text), "{text:x?}");
        }
    }
}
