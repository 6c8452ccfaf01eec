//! An answer that opens no connection, for whoever wants to know why: status, headers, and as much of the body as says
//! something to a reader.
//!
//! Where the body ends is said in one of three ways (RFC 9112, section 6.3): by its length, by chunks, or by the end
//! of the stream. Nothing is read behind it, so nothing depends on it but how long we wait.

use std::fmt;

use super::answer::Answered;
use super::headers::Headers;

/// Bytes of a body that are kept: an explanation, not a download.
const MAX_BODY: usize = 16 << 10;
/// Bytes of the line before a chunk: its length in hexadecimal, and extensions nobody uses.
const MAX_CHUNK_LINE: usize = 256;

/// A server's answer that opened no connection: the `why` of
/// [`HandshakeError::Refused`](crate::HandshakeError::Refused) and
/// [`HandshakeError::Redirected`](crate::HandshakeError::Redirected).
///
/// `Debug` shows status, names of headers and lengths, but no values.
///
/// # Examples
///
/// ```
/// # use futures_lite::{future::block_on, io::{AsyncReadExt, AssertAsync}};
/// use unsync_websocket::{Client, HandshakeError, NoTimer};
///
/// # let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 11\r\nWWW-Authenticate: Basic\r\n\r\nwho are you";
/// # let stream = AssertAsync::new(Duplex(std::io::Cursor::new(answer)));
/// # struct Duplex(std::io::Cursor<&'static str>);
/// # impl std::io::Read for Duplex {
/// #     fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> { self.0.read(space) }
/// # }
/// # impl std::io::Write for Duplex {
/// #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> { Ok(bytes.len()) }
/// #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
/// # }
/// let refused = block_on(Client::with_timer(stream, "example.com", "/chat", NoTimer).connect());
/// let Err(HandshakeError::Refused(refusal)) = refused else { panic!("the server refuses") };
/// assert_eq!(refusal.status(), 401);
/// assert_eq!(refusal.headers().get_str("www-authenticate"), Some("Basic"));
/// assert_eq!(refusal.body(), b"who are you");
/// assert!(refusal.is_whole());
/// ```
#[derive(Clone)]
pub struct Refusal {
    status: u16,
    headers: Headers,
    body: Vec<u8>,
    is_whole: bool,
}

impl Refusal {
    /// The HTTP status: anything but 101.
    ///
    /// # Examples
    ///
    /// See [`Refusal`].
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The headers, `Retry-After` say.
    ///
    /// # Examples
    ///
    /// See [`Refusal`].
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where the server sends us, as it came: a whole URL, or one relative to what was asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::HandshakeError;
    ///
    /// fn explain(error: &HandshakeError) {
    ///     if let HandshakeError::Redirected(refusal) = error {
    ///         let location = refusal.location().unwrap_or_default();
    ///         println!("it has moved to {}", String::from_utf8_lossy(location));
    ///     }
    /// }
    /// ```
    pub fn location(&self) -> Option<&[u8]> {
        self.headers.get("location")
    }

    /// The body, or the first 16 KiB of it, as it came: compressed if `Content-Encoding` says so, but without chunks.
    ///
    /// # Examples
    ///
    /// See [`Refusal`].
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Whether the body is all there; else it is longer than 16 KiB, or the stream or the time ended inside it.
    ///
    /// # Examples
    ///
    /// See [`Refusal`].
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Whether it says to ask elsewhere.
    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.status, 300..400) && self.location().is_some()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("is_whole", &self.is_whole)
            .finish()
    }
}

/// A refusal whose body is still coming.
pub(crate) struct RefusalReader {
    refusal: Refusal,
    stage: Stage,
}

/// Where the next byte of the body belongs.
enum Stage {
    /// `remaining` bytes, and the body is over.
    Counted { remaining: u64 },
    /// In the line before a chunk, of which this has come.
    ChunkLine(Vec<u8>),
    /// `remaining` bytes, and then CR LF, are left of a chunk.
    Chunk { remaining: u64 },
    /// Whatever comes until the stream ends.
    UntilEnd,
    /// The body is over, or there is enough of it.
    Finished,
}

impl RefusalReader {
    pub(crate) fn new(answer: Answered) -> Self {
        let stage = framing(&answer);
        let refusal =
            Refusal { status: answer.status, headers: answer.headers, body: Vec::new(), is_whole: false };
        let mut reader = Self { refusal, stage };
        reader.finish_if_over();
        reader
    }

    /// Whether nothing more needs to be read.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished)
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_finished() {
            bytes = self.take_some(bytes);
            self.finish_if_over();
        }
    }

    /// The stream has ended, or nobody wants to wait for the rest of it.
    pub(crate) fn end(mut self, how: BodyEnd) -> Refusal {
        self.refusal.is_whole |= matches!((&self.stage, how), (Stage::UntilEnd, BodyEnd::EndOfStream));
        self.refusal
    }

    /// Takes the bytes that belong together; the others.
    fn take_some<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.stage {
            Stage::Counted { remaining } => {
                let (ours, others) = split(bytes, *remaining);
                *remaining = remaining.saturating_sub(len_of(ours));
                self.keep(ours);
                others
            }
            Stage::ChunkLine(line) => {
                let end = bytes
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(bytes.len(), |at| at.saturating_add(1));
                let (ours, others) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
                line.extend_from_slice(ours);
                self.stage = match httparse::parse_chunk_size(line) {
                    // However it was cut.
                    _ if line.len() > MAX_CHUNK_LINE => Stage::Finished,
                    Ok(httparse::Status::Complete((_, 0))) => {
                        // What may follow, headers behind a body, is nobody's.
                        self.refusal.is_whole = true;
                        Stage::Finished
                    }
                    Ok(httparse::Status::Complete((_, len))) => {
                        Stage::Chunk { remaining: len.saturating_add(2) }
                    }
                    Ok(httparse::Status::Partial) if line.len() < MAX_CHUNK_LINE => return others,
                    _ => Stage::Finished,
                };
                others
            }
            Stage::Chunk { remaining } => {
                let (ours, others) = split(bytes, *remaining);
                let (data, _cr_lf) = split(ours, remaining.saturating_sub(2));
                *remaining = remaining.saturating_sub(len_of(ours));
                if *remaining == 0 {
                    self.stage = Stage::ChunkLine(Vec::new());
                }
                self.keep(data);
                others
            }
            Stage::UntilEnd => {
                self.keep(bytes);
                &[]
            }
            Stage::Finished => &[],
        }
    }

    /// Keeps what there is room for.
    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_BODY.saturating_sub(self.refusal.body.len());
        match bytes.split_at_checked(room) {
            // Room for all of it; or for a part, and then that is enough.
            None | Some((_, [])) => self.refusal.body.extend_from_slice(bytes),
            Some((fits, _)) => {
                self.refusal.body.extend_from_slice(fits);
                self.stage = Stage::Finished;
            }
        }
    }

    fn finish_if_over(&mut self) {
        if matches!(self.stage, Stage::Counted { remaining: 0 }) {
            self.refusal.is_whole = true;
            self.stage = Stage::Finished;
        }
    }
}

/// Why no more of a body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// The stream has ended, in order.
    EndOfStream,
    /// It failed, the time is over, or nobody wants more.
    GivenUp,
}

/// How the body of `answer` is delimited. Where that is ambiguous it goes on until the stream ends: we wait a little,
/// and show too much.
fn framing(answer: &Answered) -> Stage {
    let headers = &answer.headers;
    if matches!(answer.status, 204 | 304) {
        return Stage::Counted { remaining: 0 };
    }
    if let Some(coding) = headers.members("transfer-encoding").last() {
        return match coding.eq_ignore_ascii_case(b"chunked") {
            true => Stage::ChunkLine(Vec::new()),
            false => Stage::UntilEnd,
        };
    }
    let mut lengths = headers.members("content-length");
    match (lengths.next().and_then(parse_length), lengths.next()) {
        (Some(remaining), None) => Stage::Counted { remaining },
        _ => Stage::UntilEnd,
    }
}

fn parse_length(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// The first `count` bytes, as far as they are there, and the others.
fn split(bytes: &[u8], count: u64) -> (&[u8], &[u8]) {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    bytes.split_at_checked(count).unwrap_or((bytes, &[]))
}

fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::head::HeadLimits;

    /// The refusal with `lines` for headers whose body comes as `bytes`, `step` at a time; and whether it was over
    /// before the stream was.
    fn read(lines: &str, bytes: &[u8], step: usize) -> (Refusal, bool) {
        let limits = HeadLimits { max_head: 16 << 10, max_headers: 100 };
        let head = format!("HTTP/1.1 404 Not Found\r\n{lines}\r\n");
        let mut reader = RefusalReader::new(Answered::parse(head.as_bytes(), limits).unwrap());
        bytes.chunks(step).for_each(|piece| reader.take(piece));
        let finished = reader.is_finished();
        (reader.end(BodyEnd::EndOfStream), finished)
    }

    #[test]
    fn a_body_ends_where_its_headers_say_however_it_is_cut() {
        for (lines, bytes, body, finished) in [
            ("Content-Length: 5\r\n", "hello, and more", "hello", true),
            ("Content-Length: 0\r\n", "HTTP/1.1 200 OK", "", true),
            ("", "until the end", "until the end", false),
            (
                "Transfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\nmore",
                "hello world",
                true,
            ),
            ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 3\r\n", "2\r\nab\r\n0\r\n\r\n", "ab", true),
            ("Transfer-Encoding: gzip\r\nContent-Length: 3\r\n", "packed", "packed", false),
            ("Content-Length: 3\r\nContent-Length: 4\r\n", "ambiguous", "ambiguous", false),
            ("Content-Length: 3, 3\r\n", "ambiguous", "ambiguous", false),
            ("Content-Length: +3\r\n", "no number", "no number", false),
            ("Content-Length: 99999999999999999999\r\n", "no number", "no number", false),
        ] {
            for step in 1..=bytes.len() {
                let (refusal, over) = read(lines, bytes.as_bytes(), step);
                assert_eq!(refusal.body(), body.as_bytes(), "{lines:?} in steps of {step}");
                assert!(refusal.is_whole());
                assert_eq!(over, finished, "{lines:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_short_is_not_whole() {
        for (lines, bytes, body) in [
            ("Content-Length: 6\r\n", "hello", "hello"),
            ("Transfer-Encoding: chunked\r\n", "6\r\nhello", "hello"),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "hello"),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\nxyz\r\n", "hello"),
            ("Transfer-Encoding: chunked\r\n", "", ""),
        ] {
            for step in 1..=bytes.len().max(1) {
                let (refusal, _) = read(lines, bytes.as_bytes(), step);
                assert_eq!(
                    (refusal.body(), refusal.is_whole()),
                    (body.as_bytes(), false),
                    "{lines:?} {bytes:?}"
                );
            }
        }
    }

    #[test]
    fn sixteen_kib_of_a_body_are_kept() {
        let bytes = vec![b'x'; 100_000];
        for step in [1, 1000, 16 << 10, 100_000] {
            for (lines, len) in [
                ("Content-Length: 100000\r\n", 16 << 10),
                ("", 16 << 10),
                ("Content-Length: 16384\r\n", 16 << 10),
            ] {
                let (refusal, finished) = read(lines, &bytes, step);
                assert_eq!(refusal.body().len(), len);
                assert!(finished);
                assert_eq!(refusal.is_whole(), lines.contains("16384"));
            }
        }
        let (refusal, finished) =
            read("Transfer-Encoding: chunked\r\n", &[b"18000\r\n", &bytes[..]].concat(), 777);
        assert_eq!((refusal.body().len(), refusal.is_whole(), finished), (16 << 10, false, true));
        let (refusal, finished) = read("Transfer-Encoding: chunked\r\n", &[b'0'; 10_000], 1);
        assert_eq!((refusal.body().len(), refusal.is_whole(), finished), (0, false, true), "endless digits");
    }

    #[test]
    fn debug_shows_no_values() {
        let (refusal, _) = read("Set-Cookie: secret\r\nContent-Length: 6\r\n", b"secret", 6);
        let text = format!("{refusal:?}");
        assert!(!text.contains("secret") && text.contains("404"), "{text}");
    }
}
