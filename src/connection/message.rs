//! What is sent and what is received.

use std::fmt;

use crate::protocol::{CloseFrame, MessageKind};

/// A message, borrowed (RFC 6455, section 5.6).
///
/// Text and bytes convert into one, so `send("hi")` and `send(&bytes)` do what they look like.
///
/// # Examples
///
/// ```
/// use unsync_websocket::Message;
///
/// assert_eq!(Message::from("hi"), Message::Text("hi"));
/// assert_eq!(Message::from(&vec![1, 2]), Message::Binary(&[1, 2]));
/// assert_eq!(Message::from(&mut [1, 2][..]), Message::Binary(&[1, 2]));
/// assert_eq!(Message::from("hi").as_bytes(), b"hi");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The data, of either type.
    ///
    /// # Examples
    ///
    /// See [`Message`].
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) => data,
        }
    }

    /// The type of the data.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::{Message, MessageKind};
    ///
    /// assert_eq!(Message::from("hi").kind(), MessageKind::Text);
    /// assert_eq!(Message::from(&[1, 2]).kind(), MessageKind::Binary);
    /// ```
    #[must_use]
    pub const fn kind(self) -> MessageKind {
        match self {
            Message::Text(_) => MessageKind::Text,
            Message::Binary(_) => MessageKind::Binary,
        }
    }
}

impl fmt::Debug for Message<'_> {
    /// Type and length; what users send is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.kind(), self.as_bytes().len())
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Message::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Message::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(data: &'a [u8]) -> Self {
        Message::Binary(data)
    }
}

impl<'a> From<&'a mut [u8]> for Message<'a> {
    fn from(data: &'a mut [u8]) -> Self {
        Message::Binary(data)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(data: &'a Vec<u8>) -> Self {
        Message::Binary(data)
    }
}

impl<'a> From<&'a mut Vec<u8>> for Message<'a> {
    fn from(data: &'a mut Vec<u8>) -> Self {
        Message::Binary(data)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(data: &'a [u8; N]) -> Self {
        Message::Binary(data)
    }
}

impl<'a, const N: usize> From<&'a mut [u8; N]> for Message<'a> {
    fn from(data: &'a mut [u8; N]) -> Self {
        Message::Binary(data)
    }
}

/// What [`receive`](crate::Receiver::receive) has to tell.
///
/// Pings are answered by the receiver and not told of.
///
/// # Examples
///
/// ```
/// use unsync_websocket::{Incoming, Message};
///
/// fn describe(incoming: Incoming<'_>) -> String {
///     match incoming {
///         Incoming::Message(Message::Text(text)) => format!("text of {} bytes", text.len()),
///         Incoming::Message(Message::Binary(data)) => format!("{} bytes", data.len()),
///         Incoming::Pong(payload) => format!("pong {payload:?}"),
///         Incoming::Close(Some(frame)) => format!("closed with {}", frame.code()),
///         _ => "closed".into(),
///     }
/// }
/// assert_eq!(describe(Incoming::Message("hi".into())), "text of 2 bytes");
/// ```
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A Pong and its payload, at most 125 bytes: the answer to a Ping of ours, or one that nobody asked for.
    Pong(&'a [u8]),
    /// The peer's Close. The answer is on its way; the next call returns [`Error::Closed`](crate::Error::Closed).
    Close(Option<CloseFrame>),
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incoming::Message(message) => f.debug_tuple("Message").field(message).finish(),
            Incoming::Pong(payload) => write!(f, "Pong({} bytes)", payload.len()),
            Incoming::Close(frame) => f.debug_tuple("Close").field(frame).finish(),
        }
    }
}
