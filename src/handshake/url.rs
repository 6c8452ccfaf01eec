//! `ws://host:port/path?query`, and the same with `wss`, taken apart (RFC 6455, section 3).

use super::HandshakeError;
use super::origin::Authority;

/// How a server is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Ws,
    /// Over TLS.
    Wss,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    /// Name or address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As it goes into `Host`: with brackets, and with the port if it is not the default one.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
}

impl Url {
    /// Takes no user and password: they would have to be sent as a header, which callers can do themselves.
    pub(crate) fn parse(text: &str) -> Result<Self, HandshakeError> {
        let (scheme, rest) = text.split_once("://").ok_or(HandshakeError::InvalidUrl)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            _ => return Err(HandshakeError::InvalidUrl),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or(HandshakeError::InvalidUrl)?;
        let parsed = Authority::parse(authority).ok_or(HandshakeError::InvalidUrl)?;
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        // "Fragment identifiers are meaningless ... and MUST NOT be used."
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(HandshakeError::InvalidUrl);
        }
        let port = parsed.port().unwrap_or(scheme.default_port());
        let (host, mut authority) = (parsed.host_to_resolve(), parsed.host_to_show());
        if port != scheme.default_port() {
            authority = format!("{authority}:{port}");
        }
        Ok(Self { scheme, host, port, authority, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_host_port_and_target() {
        for (text, host, port, authority, target) in [
            ("wss://a", "a", 443, "a", "/"),
            ("WSS://a:443/x", "a", 443, "a", "/x"),
            ("wss://[::1]:80", "::1", 80, "[::1]:80", "/"),
            ("ws://a:443", "a", 443, "a:443", "/"),
            ("ws://example.com", "example.com", 80, "example.com", "/"),
            ("WS://Example.com:80/", "example.com", 80, "example.com", "/"),
            ("ws://a:9001/chat?x=http://b/?", "a", 9001, "a:9001", "/chat?x=http://b/?"),
            ("ws://a:?x", "a", 80, "a", "/?x"),
            ("ws://[::1]:9001//", "::1", 9001, "[::1]:9001", "//"),
            ("ws://[::1]", "::1", 80, "[::1]", "/"),
            ("ws://127.0.0.1:1/%20", "127.0.0.1", 1, "127.0.0.1:1", "/%20"),
        ] {
            let url = Url::parse(text).unwrap();
            let is_secure = text.to_ascii_lowercase().starts_with("wss:");
            assert_eq!(url.scheme, if is_secure { Scheme::Wss } else { Scheme::Ws }, "{text}");
            assert_eq!(
                (&*url.host, url.port, &*url.authority, &*url.target),
                (host, port, authority, target)
            );
        }
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "ws:",
            "ws://",
            "wss://",
            "wsss://a",
            "ws:///chat",
            "http://a/",
            "example.com/chat",
            "ws://a:b/",
            "ws://a:65536/",
            "ws://user:password@a/",
            "ws://a/#x",
            "ws://a#x",
            "ws://a/b c",
            "ws://a/\r\nX: y",
            "ws://a\r\n/",
            "ws://\u{e9}/",
            "ws://a/\u{e9}",
            "ws://[::1/",
            "ws://a b/",
            "ws://::1/",
            " ws://a/",
        ] {
            assert!(matches!(Url::parse(text), Err(HandshakeError::InvalidUrl)), "{text}");
        }
    }
}
