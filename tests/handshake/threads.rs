//! `Parts` cross threads, and nothing later does.

use std::net::TcpStream;

use futures_lite::future::block_on;
use unsync_websocket::{NoTimer, Parts, Responding, Response, Server, ServerRequest, WebSocket};

use crate::wire::{Wire, upgrade};

/// Ambiguous, and so an error to name, for a type that is `Send`.
trait NotSend<Marker> {
    fn assert() {}
}
struct IsSend;
impl<T: ?Sized> NotSend<()> for T {}
impl<T: ?Sized + Send> NotSend<IsSend> for T {}

#[test]
fn what_stays_on_its_thread_is_not_send_even_if_the_stream_is() {
    <ServerRequest<TcpStream> as NotSend<_>>::assert();
    <Response<TcpStream> as NotSend<_>>::assert();
    <Responding<TcpStream> as NotSend<_>>::assert();
    <WebSocket<TcpStream> as NotSend<_>>::assert();
}

#[test]
fn parts_are_send_if_the_stream_is() {
    fn assert_send<T: Send>() {}
    assert_send::<Parts<TcpStream>>();
    <Parts<std::rc::Rc<()>> as NotSend<_>>::assert();
}

#[test]
fn a_request_is_accepted_on_another_thread_with_its_frames() {
    let frames = b"\x81\x85\0\0\0\0hello";
    let request = upgrade("/room/7", "Sec-WebSocket-Protocol: chat\r\n");
    let (wire, seen) = Wire::of(&[&request[..], frames].concat());
    let received = block_on(Server::with_timer(wire, NoTimer).receive_request()).unwrap();
    let parts = received.header("x-forgotten", "yes").into_parts();

    let room = std::thread::spawn(move || {
        let read_ahead = [parts.read_ahead.clone(), parts.stream.unread()].concat();
        let request = ServerRequest::from_parts_with_timer(parts, NoTimer);
        assert_eq!(request.path(), "/room/7");
        assert!(block_on(request.protocol("chat").accept()).is_ok());
        read_ahead
    });

    assert_eq!(room.join().unwrap(), frames);
    let written = seen.lock().unwrap().written.clone();
    assert!(written.starts_with(b"HTTP/1.1 101"));
    assert!(!String::from_utf8(written).unwrap().contains("x-forgotten"));
}
