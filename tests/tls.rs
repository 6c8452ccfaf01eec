//! `wss://` (feature `rustls`), against servers of this process, over the loopback. An authority is made for each test, and forgotten.
//!
//! What is held of every transport elsewhere is shown to hold over TLS too, which neither reads nor writes when its socket does: T5, and
//! that closing ends.
#![cfg(feature = "rustls")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests say what they expect by failing"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use async_io::Async;
use futures_lite::AsyncWriteExt;
use futures_lite::future::{block_on, zip};
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::server::TlsStream;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use socket2::SockRef;
use unsync_websocket::{
    Client, ClientStream, CloseCode, Config, Error, HandshakeError, Incoming, Message, Role, Server,
    WebSocket, connect,
};

type Secure = TlsStream<Async<TcpStream>>;

/// An authority that nobody knows, and a listener with a certificate of its for some host.
struct House {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Trusts the authority.
    guest: Arc<ClientConfig>,
}

impl House {
    /// Called so.
    fn of(host: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();

        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let guest = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Small segments: of these each second one is acknowledged at once, a lone large one after 40 ms.
        SockRef::from(&listener).set_tcp_mss(1000).unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(server)), guest: Arc::new(guest) }
    }

    fn url(&self, host: &str) -> String {
        format!("wss://{host}:{}/chat", self.listener.local_addr().unwrap().port())
    }

    /// The next client's stream. It holds little.
    async fn accept(&self) -> std::io::Result<Secure> {
        let (stream, _) = self.listener.accept()?;
        SockRef::from(&stream).set_send_buffer_size(8 << 10)?;
        self.acceptor.accept(Async::new(stream)?).await
    }

    /// Serves one client on a thread of its own, and then calls `with` what came of it.
    fn serve<R: Send + 'static>(
        self,
        serve: impl AsyncFnOnce(WebSocket<Secure>) -> R + Send + 'static,
    ) -> thread::JoinHandle<R> {
        thread::spawn(move || {
            block_on(async { serve(Server::new(self.accept().await.unwrap()).accept().await.unwrap()).await })
        })
    }

    /// A client that trusts the house.
    async fn visit(url: String, guest: Arc<ClientConfig>, config: Config) -> WebSocket<ClientStream> {
        Client::open_with_tls(url, config, guest).await.unwrap().connect().await.unwrap()
    }
}

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
        let serving = house.serve(echo);
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
        serving.join().unwrap().unwrap();
    }
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
