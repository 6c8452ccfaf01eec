//! A server of `wss://`, with a certificate of an authority that is made for one test, and forgotten.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "tests say what they expect by failing")]

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use async_io::Async;
use futures_lite::future::block_on;
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::server::TlsStream;
pub use rcgen;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use socket2::SockRef;
use unsync_websocket::{Client, ClientStream, Config, Server, WebSocket};

/// What the server talks through.
pub type Secure = TlsStream<Async<TcpStream>>;

/// An authority that nobody knows, and a listener with a certificate of its for some host.
pub struct House {
    pub listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Trusts the authority.
    pub guest: Arc<ClientConfig>,
}

impl House {
    /// Called so.
    #[must_use]
    pub fn of(host: &str) -> Self {
        Self::certified(host, |_| ())
    }

    /// The same, with another certificate.
    #[must_use]
    pub fn certified(host: &str, certify: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        certify(&mut params);
        let certificate = params.signed_by(&key, &authority).unwrap();

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

    #[must_use]
    pub fn url(&self, host: &str) -> String {
        format!("wss://{host}:{}/chat", self.listener.local_addr().unwrap().port())
    }

    /// The next client's stream. It holds little.
    pub async fn accept(&self) -> std::io::Result<Secure> {
        let (stream, _) = self.listener.accept()?;
        SockRef::from(&stream).set_send_buffer_size(8 << 10)?;
        self.acceptor.accept(Async::new(stream)?).await
    }

    /// Serves one client, on a thread of its own.
    pub fn serve<R: Send + 'static>(
        self,
        serve: impl AsyncFnOnce(WebSocket<Secure>) -> R + Send + 'static,
    ) -> thread::JoinHandle<R> {
        thread::spawn(move || {
            block_on(async { serve(Server::new(self.accept().await.unwrap()).accept().await.unwrap()).await })
        })
    }

    /// A client that trusts the house.
    pub async fn visit(url: String, guest: Arc<ClientConfig>, config: Config) -> WebSocket<ClientStream> {
        Client::open_with_tls(url, config, guest).await.unwrap().connect().await.unwrap()
    }
}
