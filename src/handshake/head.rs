//! Where a head ends: the bytes of a request (or of an answer) as they come, up to the empty line.
//!
//! Every byte is looked at once, however they are cut, and the rules that need no grammar are kept on the way:
//! lines end in CR LF and in nothing else, no control characters, no folded lines, and limits on bytes and lines.
//! These are the places where two readers of one head may disagree, which is what request smuggling lives on
//! (RFC 9112, section 11.2); so they are refused, where a server may also be lenient.
//!
//! What follows the head is not looked at. Names and values are the parser's (`request`).

use super::HandshakeError;

/// The first room for a head. Those of browsers have about 500 bytes.
const FIRST_ROOM: usize = 1024;

/// The limits of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// Bytes, the empty line included.
    pub(crate) max_head: usize,
    /// Header lines, the first line not counted.
    pub(crate) max_headers: usize,
}

/// The bytes received so far, and how far they have been examined.
pub(crate) struct HeadReader {
    /// Zeros from `filled` on, never longer than the limit: what memory a pending handshake costs.
    buffer: Vec<u8>,
    /// Where the head begins: behind those that were passed over.
    start: usize,
    filled: usize,
    examined: usize,
    place: Place,
    limits: HeadLimits,
}

/// Where in the head the next byte belongs.
#[derive(Clone, Copy)]
struct Place {
    /// The byte before it.
    last: u8,
    /// Bytes of its line before it.
    line_len: usize,
    /// Lines before its own.
    line_count: usize,
}

impl HeadReader {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { buffer: Vec::new(), start: 0, filled: 0, examined: 0, place: Place::START, limits }
    }

    /// The bytes of the head received so far, and what came behind it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.filled).unwrap_or_default()
    }

    /// The head, once it has ended.
    pub(crate) fn head(&self) -> &[u8] {
        self.buffer.get(self.start..self.examined).unwrap_or_default()
    }

    /// Passes over the head that has ended: the next one begins behind it. Its bytes count on, so that the limit
    /// holds for all of them together. The first [`fill`](Self::fill) after it may well be of 0 bytes.
    pub(crate) fn pass_over(&mut self) {
        self.start = self.examined;
        self.place = Place::START;
    }

    /// Where the next bytes go; empty only when the head is as long as it may be.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            let room = self.filled.saturating_mul(2).max(FIRST_ROOM).min(self.limits.max_head);
            self.buffer.reserve_exact(room.saturating_sub(self.buffer.len()));
            self.buffer.resize(room, 0);
        }
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// Takes note that `count` bytes were put into [`space`](Self::space), and looks for the end of the head: its
    /// length, once it is there. (Of the heads passed over, too.)
    pub(crate) fn fill(&mut self, count: usize) -> Result<Option<usize>, HandshakeError> {
        self.filled = self.filled.saturating_add(count).min(self.buffer.len());
        let unseen = self.buffer.get(self.examined..self.filled).unwrap_or_default();
        for &byte in unseen {
            let line = self.place.advance(byte, self.examined)?;
            self.examined = self.examined.saturating_add(1);
            match line {
                Line::Open => {}
                Line::Ended => self.check_headers()?,
                Line::Empty => return Ok(Some(self.examined)),
            }
        }
        if self.filled >= self.limits.max_head {
            return Err(HandshakeError::HeadTooLong { max: self.limits.max_head });
        }
        Ok(None)
    }

    /// A line has ended: is it one too many?
    fn check_headers(&self) -> Result<(), HandshakeError> {
        let headers = self.place.line_count.saturating_sub(1);
        match headers > self.limits.max_headers {
            true => Err(HandshakeError::TooManyHeaders { max: self.limits.max_headers }),
            false => Ok(()),
        }
    }

    /// The head, which ends after `len` bytes, and what came after it.
    pub(crate) fn into_head_and_rest(mut self, len: usize) -> (Vec<u8>, Vec<u8>) {
        self.buffer.truncate(self.filled);
        let rest = self.buffer.split_off(len.min(self.buffer.len()));
        (self.buffer.split_off(self.start.min(self.buffer.len())), rest)
    }
}

/// What a byte did to its line.
enum Line {
    /// The line goes on.
    Open,
    /// The line is over.
    Ended,
    /// A line without anything in it is over, and so is the head.
    Empty,
}

impl Place {
    /// Before the first byte.
    const START: Self = Self { last: b'\n', line_len: 0, line_count: 0 };

    /// Goes past `byte`, which is number `at` of the head.
    fn advance(&mut self, byte: u8, at: usize) -> Result<Line, HandshakeError> {
        let line = match (self.last, byte) {
            (b'\r', b'\n') => {
                let line = match self.line_len {
                    0 => Line::Empty,
                    _ => Line::Ended,
                };
                self.line_len = 0;
                self.line_count = self.line_count.saturating_add(1);
                line
            }
            (b'\r', _) => return Err(HandshakeError::BareCarriageReturn { at }),
            (_, b'\n') => return Err(HandshakeError::BareLineFeed { at }),
            (b'\n', b' ' | b'\t') if self.line_count > 0 => return Err(HandshakeError::FoldedHeader { at }),
            (_, b'\r') => Line::Open,
            (_, b'\t' | b' '..=b'~' | 0x80..) => {
                self.line_len = self.line_len.saturating_add(1);
                Line::Open
            }
            _ => return Err(HandshakeError::ControlCharacter { at }),
        };
        self.last = byte;
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_head: 16 << 10, max_headers: 100 };

    /// Puts `bytes` in, `step` at a time, and returns what the last `fill` said, and the reader.
    fn read(
        bytes: &[u8],
        step: usize,
        limits: HeadLimits,
    ) -> (Result<Option<usize>, HandshakeError>, HeadReader) {
        let mut reader = HeadReader::new(limits);
        let mut rest = bytes;
        loop {
            let space = reader.space();
            let count = rest.len().min(step).min(space.len());
            space[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            let end = reader.fill(count);
            if rest.is_empty() || !matches!(end, Ok(None)) {
                return (end, reader);
            }
        }
    }

    #[test]
    fn the_end_is_the_same_however_the_bytes_are_cut() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x00frames\r\n\r\n";
        for step in 1..=bytes.len() {
            let (end, reader) = read(bytes, step, LIMITS);
            let end = end.unwrap().unwrap();
            assert_eq!(end, 27, "in steps of {step}");
            let came = reader.bytes().len();
            let (head, rest) = reader.into_head_and_rest(end);
            assert_eq!(head, &bytes[..27]);
            assert_eq!(rest, &bytes[27..came], "in steps of {step}");
        }
    }

    #[test]
    fn a_head_of_the_limit_is_taken_and_one_byte_more_is_not() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for step in 1..=head.len() {
            let limits = HeadLimits { max_head: head.len(), ..LIMITS };
            assert!(matches!(read(head, step, limits).0, Ok(Some(27))));
            let limits = HeadLimits { max_head: head.len() - 1, ..LIMITS };
            assert!(matches!(read(head, step, limits).0, Err(HandshakeError::HeadTooLong { max: 26 })));
        }
    }

    #[test]
    fn headers_are_counted_as_their_lines_end() {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        for _ in 0..100 {
            head.extend_from_slice(b"a:b\r\n");
        }
        let mut whole = head.clone();
        whole.extend_from_slice(b"\r\n");
        assert!(matches!(read(&whole, 7, LIMITS).0, Ok(Some(_))));

        head.extend_from_slice(b"a:b\r\n");
        assert!(matches!(read(&head, 7, LIMITS).0, Err(HandshakeError::TooManyHeaders { max: 100 })));
    }

    #[test]
    fn heads_in_a_row_are_told_apart_and_share_the_limit() {
        let bytes = b"HTTP/1.1 100\r\n\r\nHTTP/1.1 103\r\nA: b\r\n\r\nHTTP/1.1 101\r\n\r\n\x81\0";
        for (max_head, fits) in [(bytes.len(), true), (bytes.len() - 2, true), (bytes.len() - 3, false)] {
            let (mut end, mut reader) = read(bytes, bytes.len(), HeadLimits { max_head, ..LIMITS });
            for head in [&b"HTTP/1.1 100\r\n\r\n"[..], b"HTTP/1.1 103\r\nA: b\r\n\r\n"] {
                assert!(end.unwrap().is_some());
                assert!(reader.bytes().starts_with(head));
                reader.pass_over();
                end = reader.fill(0);
            }
            let Ok(Some(len)) = end else {
                assert!(!fits && matches!(end, Err(HandshakeError::HeadTooLong { .. })));
                continue;
            };
            assert!(fits);
            let (head, rest) = reader.into_head_and_rest(len);
            assert_eq!(head, b"HTTP/1.1 101\r\n\r\n");
            assert!(b"\x81\0".starts_with(&rest));
        }
    }

    #[test]
    fn no_more_room_is_taken_than_a_head_may_have() {
        let (end, reader) = read(&[b'a'; 20_000], 20_000, LIMITS);
        assert!(matches!(end, Err(HandshakeError::HeadTooLong { .. })));
        assert_eq!(reader.buffer.capacity(), 16 << 10);
    }

    #[test]
    fn bytes_that_two_readers_may_see_differently_are_refused_where_they_stand() {
        type Refusal = fn(&HandshakeError) -> bool;
        let cases: [(&[u8], Refusal); 9] = [
            (b"GET /\n", |e| matches!(e, HandshakeError::BareLineFeed { at: 5 })),
            (b"GET /\r\nA: b\n", |e| matches!(e, HandshakeError::BareLineFeed { at: 11 })),
            (b"GET /\r\n\n", |e| matches!(e, HandshakeError::BareLineFeed { at: 7 })),
            (b"GET /\rA", |e| matches!(e, HandshakeError::BareCarriageReturn { at: 6 })),
            (b"GET /\r\r\n", |e| matches!(e, HandshakeError::BareCarriageReturn { at: 6 })),
            (b"GET /\r\n A", |e| matches!(e, HandshakeError::FoldedHeader { at: 7 })),
            (b"GET /\r\nA: b\r\n\tc", |e| matches!(e, HandshakeError::FoldedHeader { at: 13 })),
            (b"GET /\0", |e| matches!(e, HandshakeError::ControlCharacter { at: 5 })),
            (b"\x16\x03\x01", |e| matches!(e, HandshakeError::ControlCharacter { at: 0 })),
        ];
        for (bytes, expected) in cases {
            for step in 1..=bytes.len() {
                let error = read(bytes, step, LIMITS).0.unwrap_err();
                assert!(expected(&error), "{bytes:?}: {error:?}");
            }
        }
    }
}
