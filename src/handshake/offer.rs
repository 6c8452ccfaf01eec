//! What our client asks for, as bytes, and whether an answer is what was asked for (RFC 6455, section 4.1).
//!
//! Whatever a caller puts in is checked here, once: no CR, LF or NUL gets out of a host, a target, a name, a value or a
//! protocol, and the headers that make a request a handshake are ours alone.

use std::fmt;

use super::answer::Answered;
use super::headers::is_token;
use super::key::Key;
use super::origin::Authority;
use super::response::ExtraHeaders;
use super::{HandshakeError, extensions};
use crate::protocol::DeflateParams;

/// Headers that callers may not set, in lower case: those of the handshake, those that frame a request, and `Origin`,
/// which has a method.
const OURS: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "origin",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A handshake to be sent, put together bit by bit.
pub(crate) struct Offer {
    host: String,
    target: String,
    /// The best liked first.
    protocols: Vec<String>,
    origin: Option<String>,
    extra: ExtraHeaders,
}

impl Offer {
    /// Asks `host` for `target`. A fault leaves an offer that must not be sent.
    pub(crate) fn new(host: &str, target: &str) -> (Self, Option<HandshakeError>) {
        let offer = Self {
            host: host.to_owned(),
            target: target.to_owned(),
            protocols: Vec::new(),
            origin: None,
            extra: ExtraHeaders::default(),
        };
        let fault = match (Authority::parse(host), is_target(target)) {
            (None, _) => Some(HandshakeError::InvalidHost { host: host.to_owned() }),
            (_, false) => Some(HandshakeError::InvalidTarget { target: path_of(target).to_owned() }),
            _ => None,
        };
        (offer, fault)
    }

    pub(crate) fn push_protocol(&mut self, protocol: &str) -> Result<(), HandshakeError> {
        // "The elements ... MUST all be unique strings."
        if !is_token(protocol.as_bytes()) || self.protocols.iter().any(|offered| offered == protocol) {
            return Err(HandshakeError::InvalidProtocol { protocol: protocol.to_owned() });
        }
        self.protocols.push(protocol.to_owned());
        Ok(())
    }

    pub(crate) fn push_header(&mut self, name: &str, value: &[u8]) -> Result<(), HandshakeError> {
        self.extra.push_unless(&OURS, name, value)
    }

    pub(crate) fn set_origin(&mut self, origin: &str) -> Result<(), HandshakeError> {
        if origin.is_empty() || !origin.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HandshakeError::InvalidHeader { name: "Origin".to_owned() });
        }
        self.origin = Some(origin.to_owned());
        Ok(())
    }

    /// The request, which offers `deflate` as well.
    pub(crate) fn encode(&self, key: &Key, deflate: Option<DeflateParams>) -> Vec<u8> {
        let Self { host, target, protocols, origin, extra } = self;
        let mut bytes = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        bytes.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(b"\r\nSec-WebSocket-Version: 13\r\n");
        if !protocols.is_empty() {
            bytes.extend_from_slice(
                format!("Sec-WebSocket-Protocol: {}\r\n", protocols.join(", ")).as_bytes(),
            );
        }
        if let Some(deflate) = deflate {
            let offered = extensions::offer(deflate);
            bytes.extend_from_slice(format!("Sec-WebSocket-Extensions: {offered}\r\n").as_bytes());
        }
        if let Some(origin) = origin {
            bytes.extend_from_slice(format!("Origin: {origin}\r\n").as_bytes());
        }
        bytes.extend_from_slice(extra.lines());
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// Whether `answer`, which has status 101, opens the connection that was asked for with `key` and `deflate`; what the server
    /// chose of it. The steps are those of section 4.1, in its order.
    pub(crate) fn check(
        &self,
        key: Key,
        deflate: Option<DeflateParams>,
        answer: &Answered,
    ) -> Result<Chosen, HandshakeError> {
        if !answer.is_http_1_1 {
            return Err(HandshakeError::HttpVersion);
        }
        let headers = &answer.headers;
        if !headers.names("upgrade", "websocket") {
            return Err(HandshakeError::MissingUpgrade);
        }
        // "... or contains a value that is not ... a match for the value `websocket`."
        if headers.members("upgrade").any(|member| !member.eq_ignore_ascii_case(b"websocket")) {
            return Err(HandshakeError::OtherUpgrade);
        }
        if !headers.names("connection", "upgrade") {
            return Err(HandshakeError::MissingConnection);
        }
        for name in ["Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"] {
            if headers.get_all(name).count() > 1 {
                return Err(HandshakeError::DuplicateHeader { name });
            }
        }
        let accept = headers.get("sec-websocket-accept").ok_or(HandshakeError::MissingAccept)?;
        if accept != key.accept().as_bytes() {
            return Err(HandshakeError::Accept);
        }
        let deflate = extensions::check(headers, deflate)?;
        let protocol = match headers.get("sec-websocket-protocol") {
            None => None,
            Some(chosen) => {
                let offered = self.protocols.iter().find(|offered| offered.as_bytes() == chosen);
                Some(offered.cloned().ok_or(HandshakeError::ForeignProtocol)?)
            }
        };
        Ok(Chosen { protocol, deflate })
    }
}

/// As of a request, the query is not shown: a token may be in it.
impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("host", &self.host)
            .field("path", &path_of(&self.target))
            .field("protocols", &self.protocols)
            .field("origin", &self.origin)
            .field("extra", &self.extra)
            .finish()
    }
}

/// What a server chose of what was offered to it.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) protocol: Option<String>,
    pub(crate) deflate: Option<DeflateParams>,
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// A path with an optional query, and no fragment: those have no meaning here (section 3).
fn is_target(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::head::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { max_head: 16 << 10, max_headers: 100 };

    fn offer() -> Offer {
        let (mut offer, fault) = Offer::new("server.example.com", "/chat");
        assert!(fault.is_none());
        offer.push_protocol("chat").unwrap();
        offer.push_protocol("superchat").unwrap();
        offer
    }

    #[test]
    fn the_request_of_section_1_2() {
        let mut offer = offer();
        offer.set_origin("http://example.com").unwrap();
        offer.push_header("X-Room", b" 7\t").unwrap();

        let bytes = offer.encode(&Key::from_nonce(*b"the sample nonce"), None);

        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: chat, superchat\r\nOrigin: http://example.com\r\nX-Room: 7\r\n\r\n"
        );
    }

    /// What `offer` says of an answer with status 101, the accept value of its key, and `lines`.
    fn check(offer: &Offer, lines: &str) -> Result<Option<String>, HandshakeError> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{lines}\r\n"
        );
        let answer = Answered::parse(head.as_bytes(), LIMITS)?;
        offer.check(Key::from_nonce(*b"the sample nonce"), None, &answer).map(|chosen| chosen.protocol)
    }

    #[test]
    fn one_of_the_protocols_offered_may_be_chosen() {
        assert!(matches!(check(&offer(), ""), Ok(None)));
        assert_eq!(check(&offer(), "Sec-WebSocket-Protocol:  superchat \r\n").unwrap().unwrap(), "superchat");
        for other in ["", "Chat", "chat, superchat", "chat,", "super", "\u{e9}"] {
            let checked = check(&offer(), &format!("Sec-WebSocket-Protocol: {other}\r\n"));
            assert!(matches!(checked, Err(HandshakeError::ForeignProtocol)), "{other}");
        }
        let (none, _) = Offer::new("a", "/");
        let checked = check(&none, "Sec-WebSocket-Protocol: chat\r\n");
        assert!(matches!(checked, Err(HandshakeError::ForeignProtocol)));
    }

    #[test]
    fn a_list_of_extensions_with_none_in_it_is_none() {
        assert!(check(&offer(), "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: ,\r\n").is_ok());
        let checked = check(&offer(), "Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: x-foo\r\n");
        assert!(matches!(checked, Err(HandshakeError::ForeignExtension)));
    }
}
