//! From a URL to a connection, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::future::block_on;
use unsync_websocket::{Client, Config, HandshakeError, Incoming, Message, Server, connect};

/// A server that echoes one message, on a thread of its own; its port.
fn echo_once() -> u16 {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let port = listener.get_ref().local_addr().unwrap().port();
    std::thread::spawn(move || {
        block_on(async {
            let (stream, _) = listener.accept().await.unwrap();
            let request = Server::new(stream).receive_request().await.unwrap();
            assert_eq!((request.path(), request.query()), ("/chat", Some("room=7")));
            let mut server = request.accept().await.unwrap();
            while let Ok(Incoming::Message(message)) = server.receiver.receive().await {
                server.sender.send(message).await.unwrap();
            }
            let _ = server.close().await;
        });
    });
    port
}

#[test]
fn addresses_and_names_are_connected_to() {
    for host in ["127.0.0.1", "localhost"] {
        let port = echo_once();
        block_on(async {
            let mut websocket = connect(format!("ws://{host}:{port}/chat?room=7")).await.unwrap();
            assert!(websocket.get_ref().unwrap().get_ref().get_ref().nodelay().unwrap());
            websocket.sender.send("hello").await.unwrap();
            let echoed = websocket.receiver.receive().await.unwrap();
            assert!(matches!(echoed, Incoming::Message(Message::Text("hello"))));
            websocket.close().await.unwrap();
        });
    }
}

#[test]
fn what_is_no_ws_url_is_told_before_anything_is_tried() {
    for url in ["", "localhost", "http://localhost/", "ws://", "ws://u:p@localhost/", "ws://localhost/#x"] {
        let error = block_on(connect(url)).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::InvalidUrl), "{url}");
    }
}

#[cfg(not(feature = "rustls"))]
#[test]
fn without_tls_a_secure_url_is_an_error_before_anything_is_tried() {
    for url in ["wss://127.0.0.1:1/", "WSS://127.0.0.1:1/"] {
        let error = block_on(connect(url)).map(drop).unwrap_err();
        assert!(matches!(error, HandshakeError::Tls(_)), "{url}: {error}");
        assert_eq!(error.io_kind(), std::io::ErrorKind::Unsupported);
    }
}

#[test]
fn a_port_where_nobody_listens_is_an_error_of_the_stream() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = block_on(connect(format!("ws://127.0.0.1:{port}/"))).map(drop).unwrap_err();
    assert_eq!(error.io_kind(), std::io::ErrorKind::ConnectionRefused, "{error}");
}

#[test]
fn the_deadline_holds_from_the_url_to_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let config = Config::new().handshake_timeout(Duration::from_millis(200));
    let started = Instant::now();
    let error = block_on(async {
        let client = Client::open(&url, config).await.unwrap();
        async_io::Timer::after(Duration::from_millis(150)).await;
        client.connect().await.map(drop).unwrap_err()
    });
    assert!(matches!(error, HandshakeError::ResponseTimeout), "{error:?}");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(190) && took < Duration::from_millis(340), "{took:?}");
}

#[test]
fn host_has_the_port_but_for_the_default_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nlater").unwrap();
        String::from_utf8(request).unwrap()
    });
    let refused = block_on(connect(format!("ws://127.0.0.1:{port}")));
    assert!(matches!(refused, Err(HandshakeError::Refused(refusal)) if refusal.body() == b"later"));
    let asked = asked.join().unwrap();
    assert!(asked.starts_with(&format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n")), "{asked}");
}

#[test]
fn dropping_it_ends_the_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = block_on(Client::open(url, Config::new())).unwrap();
    let (mut peer, _): (TcpStream, _) = listener.accept().unwrap();
    drop(client);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
}
