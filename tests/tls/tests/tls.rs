//! `wss://` (feature `rustls`), against servers of this process, over the loopback:
//!
//! cargo test --manifest-path tests/tls/Cargo.toml
//!
//! What is held of every transport elsewhere is shown to hold over TLS too, which neither reads nor writes when its socket does: T5, that
//! closing ends, that futures may be dropped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests say what they expect by failing"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::future::{block_on, or, poll_once, zip};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::LazyConfigAcceptor;
use futures_rustls::rustls::server::Acceptor;
use unsync_websocket::{
    Client, CloseCode, Config, Error, HandshakeError, Incoming, Message, Role, Server, WebSocket, connect,
};
use unsync_websocket_tls::{House, Secure, rcgen};

async fn echo(mut websocket: WebSocket<Secure>) -> Result<(), Error> {
    loop {
        match websocket.receiver.receive().await {
            Ok(Incoming::Message(message)) => websocket.sender.send(message).await?,
            Ok(Incoming::Close(_)) | Err(_) => return websocket.close().await,
            Ok(_) => {}
        }
    }
}

fn refused(url: &str) -> std::io::Error {
    match block_on(connect(url)).map(drop) {
        Err(HandshakeError::Tls(error)) => error,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn a_server_with_a_certificate_for_its_host_is_talked_to() {
    for host in ["localhost", "127.0.0.1"] {
        let house = House::of(host);
        let (url, guest) = (house.url(host), Arc::clone(&house.guest));
        let serving = house.serve(async |websocket| {
            // SNI: a name, and never an address (RFC 6066, section 3).
            let named = websocket.get_ref().unwrap().get_ref().1.server_name().map(str::to_owned);
            echo(websocket).await.map(|()| named)
        });
        block_on(async {
            let mut websocket = House::visit(url, guest, Config::new()).await;
            let address = websocket.get_ref().unwrap().get_ref().get_ref().peer_addr().unwrap();
            assert!(address.ip().is_loopback());
            assert!(websocket.get_ref().unwrap().get_ref().get_ref().nodelay().unwrap());
            for len in [0, 10, 20_000, 300_000] {
                let data = vec![7; len];
                let WebSocket { sender, receiver, .. } = &mut websocket;
                let (sent, received) = zip(sender.send(&data), receiver.receive()).await;
                sent.unwrap();
                assert_eq!(received.unwrap(), Incoming::Message(Message::Binary(&data)), "{len} bytes");
            }
            websocket.close().await.unwrap();
        });
        let named = serving.join().unwrap().unwrap();
        assert_eq!(named.as_deref(), (host == "localhost").then_some(host));
    }
}

#[test]
fn a_client_says_whom_it_wants_to_talk_to_and_that_it_will_be_http_1_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://LocalHost:{}/", listener.local_addr().unwrap().port());
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let hello = LazyConfigAcceptor::new(Acceptor::default(), Async::new(stream).unwrap());
        let hello = block_on(hello).unwrap();
        let hello = hello.client_hello();
        let protocols = hello.alpn().unwrap().map(<[u8]>::to_vec).collect::<Vec<_>>();
        (hello.server_name().map(str::to_owned), protocols)
    });
    assert_eq!(refused(&url).kind(), ErrorKind::UnexpectedEof);
    assert_eq!(serving.join().unwrap(), (Some("localhost".to_owned()), vec![b"http/1.1".to_vec()]));
}

/// faye-websocket, CVE-2020-15133, and Tomcat's client, CVE-2018-8034, verified nothing, or not the host.
#[test]
fn a_stranger_s_certificate_and_one_for_another_host_are_refused_before_anything_is_said() {
    // From an authority that Mozilla does not know.
    let house = House::of("localhost");
    let url = house.url("localhost");
    let serving = thread::spawn(move || block_on(house.accept()).map(drop).unwrap_err());
    let error = refused(&url);
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(serving.join().unwrap().to_string().contains("UnknownCA"));

    // From one that is trusted, but for somebody else.
    let house = House::of("localhost");
    let (url, guest) = (house.url("127.0.0.1"), Arc::clone(&house.guest));
    let serving = thread::spawn(move || block_on(house.accept()).map(drop).unwrap_err());
    let error = block_on(Client::open_with_tls(url, Config::new(), guest)).map(drop).unwrap_err();
    assert!(
        matches!(&error, HandshakeError::Tls(why) if why.to_string().contains("not valid for name")),
        "{error}"
    );
    serving.join().unwrap();
}

#[test]
fn a_certificate_whose_time_is_over_or_has_not_come_is_refused() {
    for (from, until, why) in [(2000, 2001, "expired"), (4000, 4001, "not valid yet")] {
        let house = House::certified("localhost", |certificate| {
            certificate.not_before = rcgen::date_time_ymd(from, 1, 1);
            certificate.not_after = rcgen::date_time_ymd(until, 1, 1);
        });
        let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
        let serving = thread::spawn(move || block_on(house.accept()).map(drop).unwrap_err());
        let error = block_on(Client::open_with_tls(url, Config::new(), guest)).map(drop).unwrap_err();
        assert!(matches!(&error, HandshakeError::Tls(tls) if tls.to_string().contains(why)), "{error}");
        assert!(serving.join().unwrap().to_string().contains("CertificateExpired"));
    }
}

#[test]
fn a_server_without_tls_and_a_silent_one_are_no_secure_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let plain = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut hello = Vec::new();
        stream.read_to_end(&mut hello).unwrap_or_default();
        hello
    });
    assert_eq!(refused(&url).kind(), ErrorKind::InvalidData);
    assert!(plain.join().unwrap().starts_with(&[0x16, 3]), "a TLS record, and no plain request");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", silent.local_addr().unwrap());
    let config = Config::new().handshake_timeout(Duration::from_millis(200));
    let started = Instant::now();
    let error = block_on(Client::open(url, config)).map(drop).unwrap_err();
    assert!(matches!(error, HandshakeError::ConnectTimeout), "{error}");
    assert!((190..1000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

/// One deadline for all of it: TLS that comes in drops, and a server that says nothing behind it.
#[test]
fn the_time_for_the_handshake_is_that_of_tls_and_of_what_follows_together() {
    let config = Config::new().handshake_timeout(Duration::from_secs(1));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let dripping = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A handshake record of 16,000 bytes, whose first message is as long as that: a byte each 10 ms, and until the client goes.
        let hello = [&[0x16, 3, 3, 0x3e, 0x80, 2, 0, 0x3e, 0x7c][..], &[3; 2000]].concat();
        hello
            .iter()
            .take_while(|byte| {
                thread::sleep(Duration::from_millis(10));
                stream.write_all(&[**byte]).is_ok()
            })
            .count()
    });
    let started = Instant::now();
    let error = block_on(Client::open(url, config.clone())).map(drop).unwrap_err();
    assert!(matches!(error, HandshakeError::ConnectTimeout), "{error}");
    assert!((990..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert!((2..1000).contains(&dripping.join().unwrap()));

    let house = House::of("localhost");
    let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
    let silent = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
        block_on(async {
            let mut request = Vec::new();
            let mut stream = house.accept().await.unwrap();
            stream.read_to_end(&mut request).await.unwrap_or_default();
        });
    });
    let started = Instant::now();
    let opened = block_on(Client::open_with_tls(url, config, guest)).unwrap();
    let error = block_on(opened.connect()).map(drop).unwrap_err();
    assert!(matches!(error, HandshakeError::ResponseTimeout), "{error}");
    assert!((990..1600).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    silent.join().unwrap();
}

/// T5. Neither end reads or writes one thing after the other, and the sockets hold a few kilobytes.
#[test]
fn large_messages_and_pings_pass_each_other() {
    const COUNT: usize = 4;
    const LEN: usize = 1 << 20;

    async fn talk<T: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin>(
        websocket: WebSocket<T>,
        role: Role,
    ) -> Result<(), Error> {
        let (mut sender, mut receiver) = websocket.split();
        let sending = async {
            for _ in 0..COUNT {
                sender.ping(b"still there?").await?;
                sender.send(&vec![7; LEN]).await?;
            }
            sender.flush().await
        };
        let receiving = async {
            let (mut messages, mut pongs) = (0, 0);
            while messages < COUNT || pongs == 0 {
                match receiver.receive().await? {
                    Incoming::Message(message) => {
                        assert_eq!(message.as_bytes().len(), LEN);
                        messages += 1;
                    }
                    Incoming::Pong(_) => pongs += 1,
                    other => panic!("{other:?}"),
                }
            }
            Ok::<(), Error>(())
        };
        let (sent, received) = zip(sending, receiving).await;
        sent.and(received)?;
        match role {
            Role::Client => receiver.close().await,
            Role::Server => match receiver.receive_data(&mut Vec::new()).await {
                Err(end) if end.is_clean_close() => receiver.close().await,
                other => panic!("{other:?}"),
            },
        }
    }

    for cork in [false, true] {
        let house = House::of("localhost");
        let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
        let serving = house.serve(async move |websocket| {
            let handle = websocket.cork_handle();
            match cork {
                true => handle.scope(talk(websocket, Role::Server)).await,
                false => talk(websocket, Role::Server).await,
            }
        });
        let client = House::visit(url, guest, Config::new().max_message(LEN));
        block_on(async { talk(client.await, Role::Client).await }).unwrap();
        serving.join().unwrap().unwrap();
    }
}

/// Many servers end TCP and say nothing in TLS. That is an end like that of a bare TCP stream: a clean one after a Close only.
#[test]
fn an_end_without_tls_s_own_words_is_an_end() {
    for says_close in [true, false] {
        let house = House::of("localhost");
        let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
        let serving = thread::spawn(move || {
            block_on(async {
                let mut websocket = Server::new(house.accept().await.unwrap()).accept().await.unwrap();
                websocket.sender.send("the last word").await.unwrap();
                if says_close {
                    websocket.sender.queue_handle().queue_close(CloseCode::NORMAL, "").unwrap();
                }
                websocket.sender.flush().await.unwrap();
                let (socket, _session) = websocket.into_inner().unwrap().into_inner();
                socket.get_ref().shutdown(Shutdown::Write).unwrap();
                // Until the client goes, too.
                socket.get_ref().set_nonblocking(false).unwrap();
                let _ = socket.get_ref().read_to_end(&mut Vec::new());
            });
        });
        block_on(async {
            let mut websocket = House::visit(url, guest, Config::new()).await;
            let received = websocket.receiver.receive().await.unwrap();
            assert_eq!(received, Incoming::Message("the last word".into()));
            if says_close {
                assert!(matches!(websocket.receiver.receive().await, Ok(Incoming::Close(Some(_)))));
                websocket.close().await.unwrap();
            } else {
                let end = websocket.receiver.receive().await.unwrap_err();
                assert!(matches!(end, Error::EndOfStream { inside_message: false }), "{end:?}");
            }
        });
        serving.join().unwrap();
    }
}

/// The same inside a message: what there is of it is not a message.
#[test]
fn a_message_that_is_cut_off_is_none() {
    let house = House::of("localhost");
    let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
    let serving = house.serve(async |websocket| {
        let mut stream = websocket.into_inner().unwrap();
        stream.write_all(&[0x81, 10, b'h', b'e']).await.unwrap();
        stream.flush().await.unwrap();
        // The end of TCP alone.
        drop(stream);
    });
    block_on(async {
        let mut websocket = House::visit(url, guest, Config::new()).await;
        let end = websocket.receiver.receive().await.unwrap_err();
        assert!(matches!(end, Error::EndOfStream { inside_message: true }), "{end:?}");
    });
    serving.join().unwrap();
}

#[test]
fn a_plain_url_stays_plain_whatever_tls_there_would_be() {
    let house = House::of("localhost");
    let listener = house.listener.try_clone().unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        block_on(async { Server::new(Async::new(stream).unwrap()).accept().await.unwrap().close().await })
    });
    block_on(async {
        let mut websocket = House::visit(url, house.guest, Config::new()).await;
        assert_eq!(format!("{:?}", websocket.get_ref().unwrap()).split(',').next(), Some("ClientStream(Tcp"));
        assert!(matches!(websocket.receiver.receive().await, Ok(Incoming::Close(Some(_)))));
        websocket.close().await.unwrap();
    });
    serving.join().unwrap().unwrap();
}

/// Rule 12 needs it: the peer sees the end while we still hold the socket.
#[test]
fn closing_the_stream_ends_its_writing_side_with_tls_and_without() {
    for scheme in ["ws", "wss"] {
        let house = House::of("localhost");
        let url = house.url("localhost").replace("wss://", &format!("{scheme}://"));
        let guest = Arc::clone(&house.guest);
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let end = block_on(async {
                let end = match scheme {
                    "ws" => {
                        let stream = Async::new(house.listener.accept().unwrap().0).unwrap();
                        Server::new(stream).accept().await.unwrap().receiver.receive().await.map(drop)
                    }
                    _ => {
                        let stream = house.accept().await.unwrap();
                        Server::new(stream).accept().await.unwrap().receiver.receive().await.map(drop)
                    }
                };
                end.unwrap_err()
            });
            tell.send(end).unwrap();
        });
        let stream = block_on(async {
            let mut stream = House::visit(url, guest, Config::new()).await.into_inner().unwrap();
            stream.close().await.unwrap();
            stream
        });
        let end = told.recv_timeout(Duration::from_secs(5)).expect("the server sees the end");
        assert!(matches!(end, Error::EndOfStream { inside_message: false }), "{scheme}: {end:?}");
        drop(stream);
    }
}

/// "Each party MUST send a close_notify alert before closing its write side" (RFC 8446, section 6.1); who does not looks like an attack.
#[test]
fn a_client_that_closes_says_so_in_tls_s_words_too_and_then_ends_tcp() {
    let house = House::of("localhost");
    let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
    let serving = house.serve(async |websocket| {
        let mut stream = websocket.into_inner().unwrap();
        // Close 1000, and the end, after which the client may end, too.
        stream.write_all(&[0x88, 2, 3, 232]).await.unwrap();
        stream.close().await.unwrap();
        stream.get_ref().0.get_ref().shutdown(Shutdown::Write).unwrap();
        let mut said = Vec::new();
        let notified = stream.read_to_end(&mut said).await.map(|_| said.len());
        let (socket, _session) = stream.into_inner();
        socket.get_ref().set_nonblocking(false).unwrap();
        socket.get_ref().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (notified, socket.get_ref().read(&mut [0; 100]))
    });
    block_on(async {
        let mut websocket = House::visit(url, guest, Config::new()).await;
        assert!(matches!(websocket.receiver.receive().await, Ok(Incoming::Close(Some(_)))));
        websocket.close().await.unwrap();
    });
    let (notified, ended) = serving.join().unwrap();
    assert_eq!(notified.unwrap(), 8, "a masked Close with a code, and close_notify");
    assert_eq!(ended.unwrap(), 0, "FIN");
}

#[test]
fn closing_is_over_in_time_though_nobody_reads() {
    let house = House::of("localhost");
    let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
    let (tell, told) = mpsc::channel::<()>();
    let serving = house.serve(async move |websocket| {
        told.recv_timeout(Duration::from_secs(30)).unwrap_err();
        drop(websocket);
    });
    let config = Config::new().max_message(64 << 20).close_timeout(Duration::from_millis(300));
    block_on(async {
        let mut websocket = House::visit(url, guest, config).await;
        let data = vec![7; 64 << 20];
        // More than all sockets take.
        drop(poll_once(websocket.sender.send(&data)).await);
        let started = Instant::now();
        let end = websocket.close().await.unwrap_err();
        assert!(matches!(end, Error::CloseTimeout), "{end:?}");
        assert!((290..2000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    });
    drop(tell);
    serving.join().unwrap();
}

/// Rule 3. What TLS has encrypted and not yet written is part of what has begun.
#[test]
fn a_send_that_is_dropped_has_sent_nothing_or_sends_all_of_it() {
    const LEN: usize = 3 << 20;

    let house = House::of("localhost");
    let (url, guest) = (house.url("localhost"), Arc::clone(&house.guest));
    let serving = thread::spawn(move || {
        block_on(async {
            let config = Config::new().max_message(LEN);
            let server = Server::new(house.accept().await.unwrap()).config(config);
            let mut websocket = server.accept().await.unwrap();
            let mut lens = Vec::new();
            while let Ok(Incoming::Message(message)) = websocket.receiver.receive().await {
                assert!(message.as_bytes().iter().all(|byte| usize::from(*byte) == lens.len()));
                lens.push(message.as_bytes().len());
            }
            websocket.close().await.unwrap();
            lens
        })
    });
    block_on(async {
        let mut websocket = House::visit(url, guest, Config::new().max_message(LEN)).await;
        for nth in 0..5 {
            let data = vec![nth; LEN];
            let mut sending = Box::pin(websocket.sender.send(&data));
            for _ in 0..=nth {
                if poll_once(&mut sending).await.is_some() {
                    break;
                }
            }
            drop(sending);
            // The next one finds room, and begins.
            websocket.sender.flush().await.unwrap();
        }
        websocket.close().await.unwrap();
    });
    assert_eq!(serving.join().unwrap(), [LEN; 5]);
}

#[test]
fn an_opening_that_is_dropped_takes_its_socket_along() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let (said, opening) = (
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut hello = Vec::new();
            stream.read_to_end(&mut hello).map(|_| hello)
        }),
        Client::open(url, Config::new()),
    );
    let late = async {
        async_io::Timer::after(Duration::from_millis(100)).await;
    };
    block_on(or(
        async {
            opening.await.map(drop).unwrap_err();
            panic!("it waits")
        },
        late,
    ));
    assert!(said.join().unwrap().unwrap().starts_with(&[0x16, 3]), "the client's hello, and then the end");
}
