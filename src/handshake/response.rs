//! Our answers as bytes: the 101 that opens a connection, and everything else, after which the stream is closed.
//!
//! Whatever a caller puts in is checked here, once: no CR, LF or NUL gets out of a name, a value or a protocol, and
//! the headers that decide where an answer ends, or whether it is a handshake, are ours alone.

use std::fmt;

use super::HandshakeError;
use super::headers::is_token;

/// Headers that callers may not set, in lower case: those that frame the answer, and those of the handshake.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The caller's headers, checked and encoded.
#[derive(Clone, Default)]
pub(crate) struct ExtraHeaders {
    lines: Vec<u8>,
    has_content_type: bool,
}

impl ExtraHeaders {
    /// Adds `name: value`, if that can be sent: a token, and a value without control characters and without blanks
    /// at its ends (RFC 9110, section 5.5).
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) -> Result<(), HandshakeError> {
        self.push_unless(&OURS, name, value)
    }

    /// As [`push`](Self::push), but with another list of names that are not the caller's, in lower case.
    pub(crate) fn push_unless(
        &mut self,
        ours: &[&str],
        name: &str,
        value: &[u8],
    ) -> Result<(), HandshakeError> {
        let lower = name.to_ascii_lowercase();
        let clean = value.iter().all(|&byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
        if !is_token(name.as_bytes()) || !clean || ours.contains(&lower.as_str()) {
            return Err(HandshakeError::InvalidHeader { name: name.to_owned() });
        }
        self.has_content_type |= lower == "content-type";
        for part in [name.as_bytes(), b": ", value.trim_ascii(), b"\r\n"] {
            self.lines.extend_from_slice(part);
        }
        Ok(())
    }

    /// As they are sent, each with its CR LF.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Lengths only: there are cookies in it.
impl fmt::Debug for ExtraHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.lines.len())
    }
}

/// The answer that opens a connection (section 4.2.2). `protocol` is one that the client offered, and so are `extensions`.
pub(crate) fn encode_switching_protocols(
    accept: &str,
    protocol: Option<&str>,
    extensions: Option<&str>,
    extra: &ExtraHeaders,
) -> Vec<u8> {
    let protocol = protocol.map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
    let extensions = extensions.map(|extensions| format!("Sec-WebSocket-Extensions: {extensions}\r\n"));
    let mut bytes = format!(
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\
         {}{}",
        protocol.unwrap_or_default(),
        extensions.unwrap_or_default()
    )
    .into_bytes();
    bytes.extend_from_slice(&extra.lines);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Any other answer: the whole of it, and that nothing comes after it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) extra: ExtraHeaders,
    pub(crate) body: Vec<u8>,
}

/// Whether the client wants the body, or only to be told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyMode {
    Sent,
    /// The answer to HEAD (RFC 9110, section 9.3.2).
    Announced,
}

impl BodyMode {
    /// For a request whose head begins with `head`.
    pub(crate) fn for_head(head: &[u8]) -> Self {
        if head.starts_with(b"HEAD ") { Self::Announced } else { Self::Sent }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, headers of {:?}, body of {} bytes", self.status, self.extra, self.body.len())
    }
}

impl Answer {
    /// An answer with nothing in it yet. A status outside 200..=599 is none: 1xx would not be the last word.
    pub(crate) fn new(status: u16) -> Result<Self, HandshakeError> {
        match status {
            200..=599 => Ok(Self { status, extra: ExtraHeaders::default(), body: Vec::new() }),
            _ => Err(HandshakeError::InvalidStatus { status }),
        }
    }

    /// The answer to a request that broke a rule; `None` where nobody is there to be answered.
    pub(crate) fn to_fault(fault: &HandshakeError) -> Option<Self> {
        let status = fault.status()?;
        let mut extra = ExtraHeaders::default();
        if status == 405 {
            // "An Allow header field" (RFC 9110, section 15.5.6).
            extra.lines.extend_from_slice(b"Allow: GET\r\n");
        }
        Some(Self { status, extra, body: fault.answer().into_bytes() })
    }

    /// Its bytes. `Content-Length` is always there, but for statuses that have no body (RFC 9110, sections 15.3.5
    /// and 15.4.5), whose body is left out.
    pub(crate) fn encode(&self, mode: BodyMode) -> Vec<u8> {
        let bodiless = matches!(self.status, 204 | 304);
        let mut bytes = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        bytes.extend_from_slice(match self.status {
            // "An Upgrade header field" (RFC 9110, section 15.5.22), which `Connection` has to name (7.8); and the
            // version we speak (RFC 6455, section 4.4).
            426 => b"Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                .as_slice(),
            _ => b"Connection: close\r\n",
        });
        if !bodiless {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
            if !self.body.is_empty() && !self.extra.has_content_type {
                bytes.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
            }
        }
        bytes.extend_from_slice(&self.extra.lines);
        bytes.extend_from_slice(b"\r\n");
        if !bodiless && mode == BodyMode::Sent {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// The phrase beside a status (RFC 9110, section 15). Clients go by the number; an empty phrase is legal.
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_answer_of_section_1_3() {
        let mut extra = ExtraHeaders::default();
        extra.push("X-Room", b" 7\t").unwrap();

        let bytes =
            encode_switching_protocols("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", Some("chat"), Some("x; y=1"), &extra);

        assert_eq!(
            text(&bytes),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\
             Sec-WebSocket-Extensions: x; y=1\r\nX-Room: 7\r\n\r\n"
        );
    }

    #[test]
    fn nothing_gets_out_of_a_builder_field_that_ends_a_line() {
        for byte in 0..=u8::MAX {
            let name = format!("x{}y", char::from(byte));
            let accepted = ExtraHeaders::default().push(&name, b"v").is_ok();
            assert_eq!(accepted, is_token(&[byte]), "{byte} in a name");

            let accepted = ExtraHeaders::default().push("x", &[b'v', byte, b'w']).is_ok();
            let control = byte != b'\t' && byte.is_ascii_control();
            assert_eq!(accepted, !control, "{byte} in a value");
        }
        assert!(ExtraHeaders::default().push("", b"v").is_err());
        assert!(ExtraHeaders::default().push("x", b"v\r\nSet-Cookie: a=b").is_err());
        assert!(ExtraHeaders::default().push("x", b"").is_ok());
    }

    #[test]
    fn the_headers_that_frame_an_answer_are_not_the_callers() {
        for name in
            ["Content-Length", "connection", "TRANSFER-ENCODING", "Upgrade", "Sec-WebSocket-Extensions"]
        {
            let fault = ExtraHeaders::default().push(name, b"1").unwrap_err();
            assert!(matches!(fault, HandshakeError::InvalidHeader { name: given } if given == name));
        }
    }

    #[test]
    fn a_failed_header_leaves_nothing_behind() {
        let mut extra = ExtraHeaders::default();
        assert!(extra.push("content-type", b"a\nb").is_err());
        assert!(extra.lines.is_empty() && !extra.has_content_type);
    }

    #[test]
    fn an_answer_says_how_long_it_is_and_that_it_is_the_last() {
        let mut answer = Answer::new(404).unwrap();
        answer.body = b"no such room".to_vec();

        let whole = answer.encode(BodyMode::Sent);
        let head = answer.encode(BodyMode::Announced);

        assert_eq!(
            text(&whole),
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 12\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\nno such room"
        );
        assert_eq!(text(&head), text(&whole).strip_suffix("no such room").unwrap());
    }

    #[test]
    fn a_content_type_of_the_callers_is_the_only_one() {
        let mut answer = Answer::new(200).unwrap();
        answer.body = b"<p>".to_vec();
        answer.extra.push("content-type", b"text/html").unwrap();

        let bytes = answer.encode(BodyMode::Sent);

        assert_eq!(text(&bytes).to_ascii_lowercase().matches("content-type").count(), 1);
    }

    #[test]
    fn statuses_without_a_body_have_none() {
        for status in [204, 304] {
            let mut answer = Answer::new(status).unwrap();
            answer.body = b"x".to_vec();
            let bytes = answer.encode(BodyMode::Sent);
            assert!(text(&bytes).ends_with("Connection: close\r\n\r\n"), "{status}");
        }
    }

    #[test]
    fn only_a_last_word_is_an_answer() {
        for status in [0, 99, 100, 101, 199, 600, 1000, u16::MAX] {
            assert!(matches!(Answer::new(status), Err(HandshakeError::InvalidStatus { .. })), "{status}");
        }
        assert_eq!(
            text(&Answer::new(599).unwrap().encode(BodyMode::Sent)).lines().next(),
            Some("HTTP/1.1 599 ")
        );
    }

    #[test]
    fn status_426_tells_what_to_upgrade_to() {
        let bytes = Answer::to_fault(&HandshakeError::Version).unwrap().encode(BodyMode::Sent);

        let text = text(&bytes);
        assert!(text.starts_with(
            "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\n"
        ));
    }
}
