//! What a server answers, taken apart: a head, parsed once. What it means is judged elsewhere (`offer`, `refusal`).

use super::HandshakeError;
use super::head::HeadLimits;
use super::headers::Headers;

/// The head of a server's answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// As an answer that opens a connection has to be; refusals may come in 1.0.
    pub(crate) is_http_1_1: bool,
    pub(crate) headers: Headers,
}

impl Answered {
    /// Parses `head`, which ends with its empty line.
    pub(crate) fn parse(head: &[u8], limits: HeadLimits) -> Result<Self, HandshakeError> {
        let line_count = head.iter().filter(|&&byte| byte == b'\n').count();
        let mut slots = vec![httparse::EMPTY_HEADER; limits.max_headers.min(line_count)];
        let mut parsed = httparse::Response::new(&mut slots);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(len)) if len == head.len() => {}
            Ok(_) => return Err(HandshakeError::StatusLine),
            Err(error) => return Err(fault(error, head)),
        }
        match (parsed.code, parsed.version) {
            (Some(status @ 100..), Some(version)) => {
                Ok(Self { status, is_http_1_1: version == 1, headers: Headers::from_parsed(parsed.headers) })
            }
            _ => Err(HandshakeError::StatusLine),
        }
    }

    /// Whether another answer comes after it, the one that counts (RFC 9110, section 15.2).
    pub(crate) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..200)
    }
}

/// Our word for what httparse found. Not that there are too many headers: who read the head has counted them.
fn fault(error: httparse::Error, head: &[u8]) -> HandshakeError {
    match error {
        httparse::Error::Version if names_a_version(head) => HandshakeError::HttpVersion,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HandshakeError::HeaderLine,
        _ => HandshakeError::StatusLine,
    }
}

/// Whether `head` begins with some version of HTTP (RFC 9112, section 2.3).
fn names_a_version(head: &[u8]) -> bool {
    matches!(head, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b' ', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { max_head: 16 << 10, max_headers: 100 };

    fn parse(head: &str) -> Result<Answered, HandshakeError> {
        Answered::parse(head.as_bytes(), LIMITS)
    }

    #[test]
    fn status_lines_may_lack_their_phrase() {
        for line in ["HTTP/1.1 404", "HTTP/1.1 404 ", "HTTP/1.1 404 Not Found", "HTTP/1.0 404 nicht hier"] {
            let answer = parse(&format!("{line}\r\nA: b\r\n\r\n")).unwrap();
            assert_eq!((answer.status, answer.headers.get("a")), (404, Some(&b"b"[..])), "{line}");
            assert_eq!(answer.is_http_1_1, line.starts_with("HTTP/1.1"));
        }
    }

    #[test]
    fn what_is_no_status_line_is_told_from_another_version() {
        for line in [
            "",
            "220 ready",
            "SSH-2.0-x",
            "HTTP/1.1",
            "HTTP/1.1 20",
            "HTTP/1.1 2000",
            "HTTP/1.1 099",
            "HTTP/1.1 +10",
        ] {
            assert!(matches!(parse(&format!("{line}\r\n\r\n")), Err(HandshakeError::StatusLine)), "{line}");
        }
        for line in ["HTTP/2.0 101 x", "HTTP/1.2 101 x", "HTTP/0.9 101"] {
            assert!(matches!(parse(&format!("{line}\r\n\r\n")), Err(HandshakeError::HttpVersion)), "{line}");
        }
    }

    #[test]
    fn only_answers_before_the_last_are_interim() {
        for (status, interim) in
            [(100, true), (101, false), (102, true), (103, true), (199, true), (200, false)]
        {
            assert_eq!(parse(&format!("HTTP/1.1 {status}\r\n\r\n")).unwrap().is_interim(), interim);
        }
    }

    #[test]
    fn a_header_without_a_name_is_a_fault() {
        for line in [": x", "a b: c", "no colon", "a : b"] {
            let parsed = parse(&format!("HTTP/1.1 101 x\r\n{line}\r\n\r\n"));
            assert!(matches!(parsed, Err(HandshakeError::HeaderLine)), "{line}: {parsed:?}");
        }
    }
}
