//! Our client against our server, through a pipe: what one builds the other takes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_lite::future::{block_on, zip};
use futures_lite::{AsyncRead, AsyncWrite};
use unsync_websocket::{
    Client, CloseCode, Error, HandshakeError, Incoming, Message, NoTimer, Server, WebSocket,
};

/// One direction; `None` in front is its end.
type Queue = Rc<RefCell<VecDeque<Option<u8>>>>;

/// One end of a pipe; reads up to `step` bytes at once.
pub(crate) struct End {
    from: Queue,
    to: Queue,
    step: usize,
}

pub(crate) fn pipe(step: usize) -> (End, End) {
    let (one, two) = (Queue::default(), Queue::default());
    let ours = End { from: Rc::clone(&one), to: Rc::clone(&two), step };
    (ours, End { from: two, to: one, step })
}

impl Drop for End {
    fn drop(&mut self) {
        self.to.borrow_mut().push_back(None);
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut from = self.from.borrow_mut();
        let count = from.iter().take(self.step.min(space.len())).take_while(|byte| byte.is_some()).count();
        if count > 0 {
            space.iter_mut().zip(from.drain(..count).flatten()).for_each(|(to, byte)| *to = byte);
        } else if from.is_empty() {
            // Both ends are polled by one task.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.to.borrow_mut().extend(bytes.iter().map(|&byte| Some(byte)));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.borrow_mut().push_back(None);
        Poll::Ready(Ok(()))
    }
}

/// Sends back all it gets, until the end.
pub(crate) async fn echo(mut server: WebSocket<End>) -> Error {
    loop {
        match server.receiver.receive().await {
            Ok(Incoming::Message(message)) => server.sender.send(message).await.unwrap(),
            Ok(_) => {}
            Err(error) => {
                server.close().await.unwrap();
                return error;
            }
        }
    }
}

#[test]
fn they_agree_talk_and_close() {
    for step in [1, 3, 64, 100_000] {
        let (ours, theirs) = pipe(step);
        let client = async {
            let client = Client::with_timer(ours, "[::1]:9001", "/room?n=7", NoTimer);
            let client =
                client.protocol("chat").protocol("battle").origin("http://[::1]:9001").header("X-Y", "z");
            let mut client = client.connect().await.unwrap();
            assert_eq!(client.subprotocol(), Some("battle"));
            for text in ["", "hello", &"x".repeat(70_000)] {
                client.sender.send(text).await.unwrap();
                let echoed = client.receiver.receive().await.unwrap();
                assert!(matches!(echoed, Incoming::Message(Message::Text(echoed)) if echoed == text));
            }
            client.close_with(CloseCode::GOING_AWAY, "enough").await.unwrap();
        };
        let server = async {
            let request =
                Server::with_timer(theirs, NoTimer).same_origin().require_origin().receive_request();
            let request = request.await.unwrap();
            assert_eq!(
                (request.path(), request.query(), request.host()),
                ("/room", Some("n=7"), "[::1]:9001")
            );
            assert_eq!(request.headers().get_str("x-y"), Some("z"));
            assert_eq!(request.protocols().collect::<Vec<_>>(), ["chat", "battle"]);
            let server = request.protocol("battle").header("Set-Cookie", "a=b").accept().await.unwrap();
            echo(server).await
        };
        let ((), end) = block_on(zip(client, server));
        let frame = end.close_frame().unwrap();
        assert_eq!((frame.code(), frame.reason()), (CloseCode::GOING_AWAY, "enough"));
    }
}

#[test]
fn a_rejection_and_a_redirect_arrive_whole() {
    for step in [1, 100_000] {
        let (ours, theirs) = pipe(step);
        let client = Client::with_timer(ours, "a", "/9", NoTimer).connect();
        let server = async {
            let request = Server::with_timer(theirs, NoTimer).receive_request().await.unwrap();
            request.reject(404).header("x-rooms", "1-8").body("no such room").await.unwrap();
        };
        let (refused, ()) = block_on(zip(client, server));
        let Err(HandshakeError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!((refusal.status(), refusal.body(), refusal.is_whole()), (404, &b"no such room"[..], true));
        assert_eq!(refusal.headers().get_str("x-rooms"), Some("1-8"));

        let (ours, theirs) = pipe(step);
        let client = Client::with_timer(ours, "a", "/", NoTimer).connect();
        let server = async {
            let request = Server::with_timer(theirs, NoTimer).receive_request().await.unwrap();
            request.respond(302).header("Location", "/lobby").await.unwrap();
        };
        let (redirected, ()) = block_on(zip(client, server));
        assert!(
            matches!(redirected, Err(HandshakeError::Redirected(to)) if to.location() == Some(b"/lobby"))
        );
    }
}

#[test]
fn a_page_from_elsewhere_is_told_that_it_may_not() {
    let (ours, theirs) = pipe(7);
    let client = Client::with_timer(ours, "a", "/", NoTimer).origin("https://b").connect();
    let server = Server::with_timer(theirs, NoTimer).same_origin().accept();
    let (refused, accepted) = block_on(zip(client, server));
    assert_eq!(refused.unwrap_err().status(), Some(403));
    assert!(matches!(accepted, Err(HandshakeError::ForeignOrigin { .. })));
}
