//! Which pages may connect: the `Origin` a browser sends, against the host it connects to or a list (RFC 6455,
//! section 10.2; RFC 6454).
//!
//! A browser lets any page open a WebSocket to any server, with the user's cookies; only the `Origin` header tells
//! the server whose page it is. Comparing hosts and origins is where others went wrong, so it is done here once:
//! parsed, never by prefix or suffix; ASCII letters without regard to case; a missing port is the default one.

use std::net::Ipv6Addr;

use super::{HandshakeError, Request};

/// A host with an optional port: what `Host` holds, and an origin after its scheme.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// A name or an IPv4 address, in lower case.
    Name(String),
    /// What stood between brackets.
    V6(Ipv6Addr),
}

impl Authority {
    /// `None` for anything but `host`, `host:` and `host:port`.
    ///
    /// Of the characters that the grammar of a host allows (RFC 3986, section 3.2.2) only letters, digits, `-`,
    /// `.` and `_` are taken: no name in use has others, and a comma would be two hosts to some proxies.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (address, port) = bracketed.split_once(']')?;
                (Host::V6(address.parse().ok()?), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, port) = text.split_at_checked(end)?;
                (Host::Name(parse_name(name)?), port)
            }
        };
        Some(Self { host, port: parse_port(port)? })
    }

    fn is(&self, other: &Self, default_port: Option<u16>) -> bool {
        self.host == other.host && self.port.or(default_port) == other.port.or(default_port)
    }
}

/// Where it leads, for who connects there.
#[cfg(feature = "async-io")]
impl Authority {
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Name or address, as a resolver wants it.
    pub(crate) fn host_to_resolve(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::V6(address) => address.to_string(),
        }
    }

    /// Name or address, as `Host` has it.
    pub(crate) fn host_to_show(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::V6(address) => format!("[{address}]"),
        }
    }
}

fn parse_name(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (!name.is_empty() && name.bytes().all(allowed)).then(|| name.to_ascii_lowercase())
}

/// What follows a host: nothing, or a colon and digits, of which there may be none (RFC 3986, section 3.2.3).
/// The outer `None` says that it is neither.
fn parse_port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None => text.is_empty().then_some(None),
        Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        Some(_) => None,
    }
}

/// The serialised origin of a page: `scheme://host[:port]` (RFC 6454, section 6.2), and no path after it.
#[derive(Clone, Debug)]
struct Origin {
    /// In lower case.
    scheme: String,
    authority: Authority,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let begins = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !begins || !scheme.bytes().all(allowed) {
            return None;
        }
        Some(Self { scheme: scheme.to_ascii_lowercase(), authority: Authority::parse(authority)? })
    }

    fn default_port(&self) -> Option<u16> {
        match self.scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.authority.is(&other.authority, self.default_port())
    }

    /// Whether a page from here and `host` are the same place. A host without a port stands for the default port
    /// of the page's scheme: whether there is TLS in front of us we cannot know, and a page served by `https`
    /// cannot connect without it.
    fn is_host(&self, host: &Authority) -> bool {
        let default_port = self.default_port();
        default_port.is_some() && self.authority.is(host, default_port)
    }
}

/// Whether `origin`, as a browser sent it, is a page of `host`. `null` is no page of anybody's.
pub(crate) fn is_same_origin(origin: &str, host: &str) -> bool {
    match (Origin::parse(origin), Authority::parse(host)) {
        (Some(origin), Some(host)) => origin.is_host(&host),
        _ => false,
    }
}

/// Which origins may open a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginPolicy {
    same: bool,
    /// `None`: nobody gave a list.
    listed: Option<Vec<Allowed>>,
    required: bool,
}

#[derive(Clone, Debug)]
enum Allowed {
    Origin(Origin),
    /// `Origin: null`: sandboxed frames, `file:` pages, redirects across origins.
    Null,
}

impl OriginPolicy {
    pub(crate) fn allow_same(&mut self) {
        self.same = true;
    }

    pub(crate) fn require(&mut self) {
        self.required = true;
    }

    /// Adds `entry` to the list.
    pub(crate) fn allow(&mut self, entry: &str) -> Result<(), HandshakeError> {
        let listed = self.listed.get_or_insert_default();
        let allowed = match entry {
            "null" => Allowed::Null,
            _ => Allowed::Origin(
                Origin::parse(entry)
                    .ok_or_else(|| HandshakeError::InvalidAllowedOrigin { origin: entry.to_owned() })?,
            ),
        };
        listed.push(allowed);
        Ok(())
    }

    /// Takes note of a list, which may be empty: then nothing is on it.
    pub(crate) fn restrict(&mut self) {
        self.listed.get_or_insert_default();
    }

    /// Refuses the request of a page that may not connect. A request without `Origin` comes from no browser.
    pub(crate) fn check(&self, request: &Request) -> Result<(), HandshakeError> {
        let allowed = match request.origin() {
            None => !self.required,
            Some(origin) => self.allows(origin, request.host()),
        };
        match allowed {
            true => Ok(()),
            false => Err(HandshakeError::ForeignOrigin { origin: request.origin().map(str::to_owned) }),
        }
    }

    fn allows(&self, origin: &str, host: &str) -> bool {
        let unrestricted = !self.same && self.listed.is_none();
        unrestricted || (self.same && is_same_origin(origin, host)) || self.lists(origin)
    }

    fn lists(&self, origin: &str) -> bool {
        let parsed = Origin::parse(origin);
        self.listed.iter().flatten().any(|allowed| match (allowed, &parsed) {
            (Allowed::Null, _) => origin == "null",
            (Allowed::Origin(allowed), Some(origin)) => allowed.is(origin),
            (Allowed::Origin(_), None) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_hosts_with_an_optional_port() {
        for good in [
            "example.com",
            "EXAMPLE.com",
            "example.com:80",
            "example.com:",
            "a",
            "localhost:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:65535",
            "[2001:db8::1]:",
            "my_box",
            "xn--bcher-kva.example",
            "example.com.",
        ] {
            assert!(Authority::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            ":80",
            "example.com:x",
            "example.com:65536",
            "example.com:-1",
            "example.com:+1",
            "a b",
            "a/b",
            "a,b",
            "a@b",
            "http://a",
            "[::1",
            "::1",
            "[]",
            "[::1]x",
            "[::g]",
            "[::1%25eth0]",
            "a:1:2",
            "a?b",
            "a#b",
            "a\\b",
            "b\u{fc}cher.example",
            "a%20b",
            "*",
        ] {
            assert!(Authority::parse(bad).is_none(), "{bad}");
        }
    }
}
