//! What people get to see: the text of every error, what `{:?}` gives away of a connection, and the phrases beside a status.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::task::Context;

use futures_lite::future::block_on;
use futures_lite::io::Cursor;
use unsync_websocket::protocol::{MessageKind, Outbound};
use unsync_websocket::{
    AsyncIoTimer, Client, CloseCode, CloseFrame, Config, EncodedFrame, Error, HandshakeError, Message,
    NoTimer, ProtocolError, QueueError, RingError, Role, Server, Timer, WebSocket, new_shared,
};

fn broken() -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, "cut")
}

#[test]
fn every_error_of_a_connection_has_its_words_and_its_kind_of_io_error() {
    let closed = |reason: &str| Error::Closed(Some(CloseFrame::new(CloseCode::GOING_AWAY, reason)));
    for (error, words, kind) in [
        (Error::Closed(None), "the peer closed the connection", ErrorKind::ConnectionAborted),
        (closed(""), "the peer closed the connection with 1001", ErrorKind::ConnectionAborted),
        (
            closed("\"bye\""),
            r#"the peer closed the connection with 1001 ("\"bye\"")"#,
            ErrorKind::ConnectionAborted,
        ),
        (Error::Closing, "the connection has been closed on this side", ErrorKind::ConnectionAborted),
        (
            Error::EndOfStream { inside_message: false },
            "the stream ended without a close",
            ErrorKind::UnexpectedEof,
        ),
        (
            Error::EndOfStream { inside_message: true },
            "the stream ended inside a message",
            ErrorKind::UnexpectedEof,
        ),
        (Error::Io(broken()), "the stream failed: cut", ErrorKind::ConnectionReset),
        (Error::CloseTimeout, "the closing handshake took too long", ErrorKind::TimedOut),
        (Error::KeepaliveTimeout, "the peer has fallen silent", ErrorKind::TimedOut),
        (
            Error::ControlTooLong { len: 126 },
            "a ping or pong of 126 bytes, 125 are allowed",
            ErrorKind::InvalidInput,
        ),
        (Error::SendLeaked, "a send future was leaked inside a frame", ErrorKind::Other),
        (Error::StreamPanicked, "the stream panicked", ErrorKind::Other),
        (Error::NoRandomness, "the operating system gives no randomness", ErrorKind::Other),
    ] {
        assert_eq!(error.to_string(), words);
        assert_eq!(error.source().is_some(), matches!(error, Error::Io(_)), "{words}");
        assert_eq!(io::Error::from(error).kind(), kind, "{words}");
    }
    let error = Error::Protocol(ProtocolError::NotMasked);
    assert!(error.to_string().starts_with("the peer broke the protocol: "), "{error}");
    assert_eq!(error.source().unwrap().to_string(), ProtocolError::NotMasked.to_string());
    assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidData);
    assert_eq!(QueueError::Closed.to_string(), "the connection is closed");
    assert_eq!(QueueError::Full.to_string(), "the outbox is full: the peer reads too slowly");
    assert_eq!((Error::Closing.close_frame(), Error::CloseTimeout.io_kind()), (None, None));
}

#[test]
fn a_broken_rule_has_its_words_and_its_section() {
    let found = unsync_websocket::protocol::OpCode::Text;
    for (error, words, section) in [
        (ProtocolError::ReservedBit, "reserved bit set without an extension", "5.2"),
        (ProtocolError::ReservedOpCode { opcode: 11 }, "reserved opcode 0xb", "5.2"),
        (ProtocolError::LengthNotMinimal, "payload length in a longer form than needed", "5.2"),
        (ProtocolError::LengthTopBit, "payload length with its top bit set", "5.2"),
        (ProtocolError::FragmentedControl, "control frame in fragments", "5.5"),
        (ProtocolError::ControlTooLong, "control frame of more than 125 bytes", "5.5"),
        (ProtocolError::NotMasked, "frame from a client is not masked", "5.1"),
        (ProtocolError::Masked, "frame from a server is masked", "5.1"),
        (ProtocolError::UnexpectedContinuation, "continuation frame without a message", "5.4"),
        (ProtocolError::ExpectedContinuation { found }, "Text frame inside a message in fragments", "5.4"),
        (ProtocolError::InvalidUtf8, "text is not UTF-8", "8.1"),
        (ProtocolError::CloseTooShort, "close frame with half a code", "5.5.1"),
        (ProtocolError::CloseCode { code: 1005 }, "close code 1005 may not travel", "7.4"),
        (ProtocolError::FrameTooBig { len: 9, max: 8 }, "frame of 9 bytes, 8 are allowed", "10.4"),
        (ProtocolError::MessageTooBig { len: 9, max: 8 }, "message of 9 bytes, 8 are allowed", "10.4"),
        (ProtocolError::TooManyFragments { max: 7 }, "message in more than 7 frames", "10.4"),
    ] {
        assert_eq!(error.section(), section, "{error:?}");
        assert_eq!(error.to_string(), format!("{words} (RFC 6455, section {section})"));
    }
    let error = ProtocolError::InvalidDeflate;
    let words = "compressed message that cannot be inflated (RFC 7692, section 7.2.2)";
    assert_eq!((error.section(), error.to_string().as_str()), ("7.2.2", words));
}

#[test]
fn the_stream_s_own_error_comes_out_of_a_handshake_as_it_was() {
    let error = HandshakeError::from(broken());
    assert_eq!(error.source().unwrap().to_string(), "cut");
    assert_eq!(io::Error::from(error).to_string(), "cut");
    assert_eq!(HandshakeError::Tls(broken()).source().unwrap().to_string(), "cut");
    assert!(HandshakeError::ConnectTimeout.source().is_none());
    assert_eq!(HandshakeError::NoRandomness.to_string(), "the operating system gives no randomness");
    assert_eq!(HandshakeError::NoRandomness.io_kind(), ErrorKind::Other);
    let nowhere = HandshakeError::ForeignOrigin { origin: None };
    assert_eq!(nowhere.to_string(), "there is no Origin header");
    assert_eq!(nowhere.io_kind(), ErrorKind::PermissionDenied);
    assert_eq!(io::Error::from(HandshakeError::ConnectTimeout).kind(), ErrorKind::TimedOut);
}

#[test]
fn a_ring_says_why_it_took_nothing() {
    for (error, words) in [
        (RingError::Full { len: 9, free: 3 }, "a record of 9 bytes does not fit: 3 are free"),
        (RingError::TooLong { len: 9, capacity: 8 }, "a record of 9 bytes will never fit a ring of 8"),
        (RingError::ReaderGone, "the reader of the ring is gone"),
    ] {
        assert_eq!(error.to_string(), words);
    }
    let (writer, reader) = new_shared();
    assert!(!writer.is_closed());
    drop(reader);
    assert!(writer.is_closed());
}

#[test]
fn a_close_code_is_shown_as_its_number() {
    let code = CloseCode::PROTOCOL_ERROR;
    assert_eq!(
        (format!("{code}"), format!("{code:?}"), u16::from(code)),
        ("1002".into(), "1002".into(), 1002)
    );
    assert_eq!((Role::Server.peer(), Role::Client.peer()), (Role::Client, Role::Server));
}

/// Nothing of what `secret` came with is shown: a log is no place for what people say, nor for what they log in with.
#[track_caller]
fn keeps_quiet(shown: &str, name: &str) {
    assert!(shown.starts_with(name), "{shown} for {name}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn debug_tells_what_a_thing_is_and_nothing_of_what_was_said() {
    let stream = Cursor::new(b"\x82\x06secret".to_vec());
    let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), Vec::new(), NoTimer);
    keeps_quiet(&format!("{:?}", Config::new()), "Config");
    keeps_quiet(&format!("{:?}", EncodedFrame::text("secret")), "EncodedFrame");
    keeps_quiet(&format!("{:?}", websocket.receiver.receive()), "ReceiveFuture");
    keeps_quiet(&format!("{:?}", websocket.receiver.receive_data(&mut Vec::new())), "ReceiveDataFuture");
    keeps_quiet(&format!("{:?}", websocket.sender.send("secret")), "SendFuture");
    keeps_quiet(&format!("{:?}", websocket.sender.feed("secret")), "FeedFuture");
    keeps_quiet(&format!("{:?}", websocket.sender.ping(b"secret")), "FeedFuture");
    keeps_quiet(&format!("{:?}", websocket.sender.flush()), "FlushFuture");
    keeps_quiet(&format!("{:?}", websocket.sender.close()), "CloseFuture");
    keeps_quiet(&format!("{:?}", websocket.cork_handle()), "CorkHandle");
    keeps_quiet(&format!("{:?}", websocket.sender.queue_handle()), "QueueHandle");
    block_on(async {
        let received = websocket.receiver.receive().await.unwrap();
        assert_eq!(format!("{received:?}"), "Message(Binary(6 bytes))");
    });
    keeps_quiet(&format!("{websocket:?}"), "WebSocket");
    let handles = (websocket.cork_handle(), websocket.sender.queue_handle());
    keeps_quiet(&format!("{:?}", handles.0.clone()), "CorkHandle");
    keeps_quiet(&format!("{:?}", handles.1.clone()), "QueueHandle");
    let (sender, receiver) = websocket.split();
    assert_eq!((receiver.subprotocol(), receiver.get_ref().unwrap().position()), (None, 8));
    keeps_quiet(&format!("{sender:?}"), "Sender");
    keeps_quiet(&format!("{receiver:?}"), "Receiver");
    // The other half knows the same connection.
    assert_eq!((sender.role(), receiver.role()), (Role::Client, Role::Client));
    let client = Client::with_timer(Cursor::new(Vec::<u8>::new()), "a", "/path?token=secret", NoTimer);
    let shown = format!("{client:?}");
    keeps_quiet(&shown, "Client");
    assert!(shown.contains("/path"), "{shown}");
    // Nor where the target is no target.
    let stream = Cursor::new(Vec::<u8>::new());
    let faulty = Client::with_timer(stream, "a", "/pa th?token=secret", NoTimer);
    keeps_quiet(&format!("{faulty:?}"), "Client");
    let error = block_on(faulty.connect()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "\"/pa th\" is no path with an optional query");
    keeps_quiet(&format!("{:?}", Server::with_timer(Cursor::new(b"secret".to_vec()), NoTimer)), "Server");
    assert_eq!(format!("{AsyncIoTimer:?}"), "AsyncIoTimer");
    let (writer, mut reader) = new_shared();
    writer.write(b"secret").unwrap();
    keeps_quiet(&format!("{writer:?}"), "BufWriter");
    keeps_quiet(&format!("{reader:?}"), "BufReader");
    let polled = reader.poll_read(&mut Context::from_waker(std::task::Waker::noop()));
    keeps_quiet(&format!("{polled:?}"), "Ready");
}

#[test]
fn a_connection_on_its_way_to_another_thread_tells_lengths_and_nothing_of_what_was_said() {
    let stream = Cursor::new(Vec::new());
    let ahead = b"\x82\x06secret".to_vec();
    let mut websocket = WebSocket::with_timer(stream, Role::Client, Config::new(), ahead, NoTimer);
    websocket.sender.queue_handle().queue(&EncodedFrame::text("secret")).unwrap();
    websocket.sender.start_send("secret").unwrap();
    let parts = websocket.into_parts().unwrap();
    keeps_quiet(&format!("{parts:?}"), "WebSocketParts");
    keeps_quiet(&format!("{:?}", parts.state), "WebSocketState");
    assert!(format!("{parts:?}").contains("unread: 8"), "{parts:?}");
    assert!(format!("{parts:?}").contains("UnsentFrames { len: 12 }"), "{parts:?}");
    let timer: &dyn Timer = &NoTimer;
    assert_eq!(format!("{timer:?}"), "Timer");
}

#[test]
fn the_core_tells_lengths_and_nothing_of_what_was_said() {
    let mut outbound = Outbound::server();
    outbound.push(MessageKind::Text, b"secret");
    keeps_quiet(&format!("{outbound:?}"), "Outbound");
    let batch = outbound.take().unwrap();
    keeps_quiet(&format!("{batch:?}"), "Batch");
    outbound.put_back(batch, 0);
}

#[test]
fn a_request_and_its_answer_tell_where_they_are_and_nothing_of_what_was_said() {
    let head = "GET /path?token=secret HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n";
    let server = Server::with_timer(Cursor::new(head.as_bytes().to_vec()), NoTimer);
    let request = block_on(server.receive_request()).unwrap();
    let shown = format!("{request:?}");
    keeps_quiet(&shown, "ServerRequest");
    assert!(shown.contains(r#"method: "GET", path: "/path""#), "{shown}");
    assert!(shown.contains("is_upgrade: false"), "{shown}");
    let answer = request.respond(404).header("Set-Cookie", "secret").body("a secret");
    let shown = format!("{answer:?}");
    keeps_quiet(&shown, "Response");
    assert!(shown.contains("404, headers of 20 bytes, body of 8 bytes"), "{shown}");
    keeps_quiet(&format!("{:?}", answer.into_future()), "Responding");
}

#[test]
fn what_is_the_default_is_what_new_makes() {
    assert_eq!(format!("{:?}", Config::default()), format!("{:?}", Config::new()));
    #[cfg(feature = "deflate")]
    assert_eq!(unsync_websocket::Deflate::default(), unsync_websocket::Deflate::new());
}

#[test]
fn an_encoded_frame_shows_the_bytes_that_a_server_sends() {
    assert_eq!(EncodedFrame::text("hi").as_bytes(), b"\x81\x02hi");
    assert_eq!(EncodedFrame::binary(&[7; 126]).as_bytes()[..4], [0x82, 126, 0, 126]);
}

#[test]
fn bytes_are_a_binary_message_whoever_lends_them() {
    let mut bytes = *b"abc";
    assert!(matches!(Message::from(&mut bytes), Message::Binary(b"abc")));
    assert!(matches!(Message::from(&mut bytes.to_vec()), Message::Binary(b"abc")));
}

#[test]
fn a_refusal_says_what_was_wrong_and_nothing_of_our_own_insides() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let refused = |lines: &str, protocol: Option<&str>| {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut stream = Cursor::new(head.into_bytes());
        let accepted = block_on(async {
            let server = Server::with_timer(&mut stream, NoTimer).same_origin();
            let request = server.receive_request().await?;
            let request = match protocol {
                Some(protocol) => request.protocol(protocol),
                None => request,
            };
            request.accept().await.map(drop)
        });
        let text = String::from_utf8(stream.into_inner()).unwrap();
        (accepted.unwrap_err(), text.rsplit("\r\n\r\n").next().unwrap().to_owned())
    };
    let (error, body) = refused(&upgrade.replace("13", "12"), None);
    assert!(matches!(error, HandshakeError::Version), "{error:?}");
    assert_eq!(body, format!("{error}\n"));
    let (error, body) = refused(upgrade, Some("secret"));
    assert!(matches!(error, HandshakeError::ProtocolNotOffered { .. }), "{error:?}");
    assert_eq!(body, "the server's answer was not fit to be sent\n");
    let (error, body) = refused(&format!("{upgrade}Origin: http://b\r\n"), None);
    assert!(matches!(error, HandshakeError::ForeignOrigin { .. }), "{error:?}");
    assert_eq!(body, "pages from there may not connect here\n");
}

#[test]
fn a_status_has_its_phrase() {
    let phrases = [
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (204, "No Content"),
        (206, "Partial Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (406, "Not Acceptable"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (410, "Gone"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (418, "I'm a teapot"),
        (421, "Misdirected Request"),
        (422, "Unprocessable Content"),
        (426, "Upgrade Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
        (599, ""),
    ];
    for (status, phrase) in phrases {
        let mut stream = Cursor::new(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
        block_on(async {
            let request = Server::with_timer(&mut stream, NoTimer).receive_request().await.unwrap();
            request.respond(status).body("").await.unwrap();
        });
        let text = String::from_utf8(stream.into_inner()).unwrap();
        assert!(text.contains(&format!("HTTP/1.1 {status} {phrase}\r\n")), "{text}");
    }
}
