//! The headers of a head, owned: one allocation for their text, one for where each ends.

use std::fmt;

/// The headers of a request, or of an answer to ours, in the order they came.
///
/// Names are compared without regard to ASCII case. Values are bytes, since that is what HTTP sends: a value with
/// bytes from 0x80 on is no fault. `Debug` shows names and lengths only, for values hold cookies and passwords.
///
/// # Examples
///
/// ```
/// # use futures_lite::io::Cursor;
/// # futures_lite::future::block_on(async {
/// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\naccept: */*\r\n\r\n".to_vec());
/// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
/// let request = server.receive_request().await?;
/// let headers = request.headers();
/// assert_eq!(headers.get("HOST"), Some(&b"a"[..]));
/// assert_eq!(headers.get_all("accept").count(), 2);
/// # Ok::<(), unsync_websocket::HandshakeError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// Name, value, name, value.
    text: Vec<u8>,
    /// Where in `text` each of these ends.
    ends: Vec<usize>,
}

impl Headers {
    /// Room for `count` headers, with `len` bytes of names and values.
    fn with_capacity(count: usize, len: usize) -> Self {
        Self { text: Vec::with_capacity(len), ends: Vec::with_capacity(count.saturating_mul(2)) }
    }

    /// Copies what the parser found, without the blanks around values.
    pub(crate) fn from_parsed(parsed: &[httparse::Header<'_>]) -> Self {
        let text_len = parsed.iter().map(|header| header.name.len().saturating_add(header.value.len()));
        let mut headers = Self::with_capacity(parsed.len(), text_len.fold(0, usize::saturating_add));
        for header in parsed {
            headers.push(header.name, header.value.trim_ascii());
        }
        headers
    }

    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.text.extend_from_slice(part);
            self.ends.push(self.text.len());
        }
    }

    /// The value of the first header called `name`, as bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nX-Bytes: \xff\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.headers().get("x-bytes"), Some(&b"\xff"[..]));
    /// assert_eq!(request.headers().get("cookie"), None);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The value of the first header called `name`, as text. `None` also says that it is not UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nX-Bytes: \xff\r\n\r\n".to_vec());
    /// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
    /// let request = server.receive_request().await?;
    /// assert_eq!(request.headers().get_str("host"), Some("a"));
    /// assert_eq!(request.headers().get_str("x-bytes"), None);
    /// assert_eq!(request.headers().get("x-bytes"), Some(&b"\xff"[..]));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn get_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The values of all headers called `name`, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// let cookies: Vec<_> = request.headers().get_all("cookie").collect();
    /// assert_eq!(cookies, [b"a=1", b"b=2"]);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers, in order, as name and value.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::io::Cursor;
    /// # futures_lite::future::block_on(async {
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// # let server = unsync_websocket::Server::with_timer(stream, unsync_websocket::NoTimer);
    /// let request = server.receive_request().await?;
    /// for (name, value) in request.headers().iter() {
    ///     println!("{name}: {}", value.escape_ascii());
    /// }
    /// # assert_eq!(request.headers().iter().next(), Some(("Host", &b"a"[..])));
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// # }).unwrap();
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut start = 0;
        let mut parts = self.ends.iter().map(move |&end| {
            let part = self.text.get(start..end).unwrap_or_default();
            start = end;
            part
        });
        std::iter::from_fn(move || {
            let name = parts.next()?;
            Some((std::str::from_utf8(name).unwrap_or_default(), parts.next()?))
        })
    }

    /// How many there are.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert_eq!(request.headers().len(), 2);
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futures_lite::{future::block_on, io::Cursor};
    /// # use unsync_websocket::{NoTimer, Server};
    /// # let stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    /// let request = block_on(Server::with_timer(stream, NoTimer).receive_request())?;
    /// assert!(!request.headers().is_empty()); // there is always a Host
    /// # Ok::<(), unsync_websocket::HandshakeError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The members of a list that may be spread over several headers called `name` (RFC 9110, section 5.6.1):
    /// between commas, without the blanks around them, empty ones left out.
    pub(crate) fn members(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    /// Whether the list called `name` has `token`, in whatever case.
    pub(crate) fn names(&self, name: &str, token: &str) -> bool {
        self.members(name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Bytes(usize);
        impl fmt::Debug for Bytes {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} bytes", self.0)
            }
        }
        f.debug_map().entries(self.iter().map(|(name, value)| (name, Bytes(value.len())))).finish()
    }
}

/// Whether `text` is a token (RFC 9110, section 5.6.2): what names, methods and subprotocols are made of.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `byte` may be in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&str, &[u8])]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in given {
            headers.push(name, value);
        }
        headers
    }

    #[test]
    fn headers_come_back_in_order_with_their_bytes() {
        let given: [(&str, &[u8]); 4] = [("A", b"1"), ("b", b""), ("a", b"\xff\xfe"), ("c", b"2")];
        let headers = headers(&given);

        assert_eq!(headers.iter().collect::<Vec<_>>(), given);
        assert_eq!(headers.get_all("A").collect::<Vec<_>>(), [&b"1"[..], b"\xff\xfe"]);
        assert_eq!(headers.get("B"), Some(&b""[..]));
        assert_eq!(headers.len(), 4);
        assert!(!headers.is_empty());
        assert!(Headers::default().is_empty());
    }

    #[test]
    fn lists_are_joined_over_lines_and_cut_at_commas() {
        let headers = headers(&[("p", b"a, b ,,\tc"), ("x", b"y"), ("P", b"d"), ("p", b" , ")]);

        let members: Vec<_> = headers.members("p").collect();

        assert_eq!(members, [&b"a"[..], b"b", b"c", b"d"]);
        assert!(headers.names("p", "B"));
        assert!(!headers.names("p", "ab"));
    }

    #[test]
    fn debug_shows_no_values() {
        let text = format!("{:?}", headers(&[("Cookie", b"secret")]));

        assert_eq!(text, r#"{"Cookie": 6 bytes}"#);
    }
}
