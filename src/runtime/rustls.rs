//! `wss://`: TLS for clients, by rustls with ring. The certificate is verified, and that it is the host's.

use std::cell::OnceCell;
use std::io;
use std::net::TcpStream;

use async_io::Async;
use futures_rustls::TlsConnector;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::pki_types::ServerName;
use futures_rustls::rustls::{ClientConfig, Error, RootCertStore};

use super::client_stream::ClientStream;
use crate::connection::Config;
use crate::handshake::{Client, HandshakeError, Scheme, Url};

/// TLS over TCP. In a box, for it is much larger than a socket.
pub(crate) type TlsStream = Box<futures_rustls::client::TlsStream<Async<TcpStream>>>;

/// The socket below.
pub(crate) fn socket_of(stream: &TlsStream) -> &Async<TcpStream> {
    stream.get_ref().0
}

/// What makes TLS of TCP.
pub(crate) struct Tls(TlsConnector);

thread_local! {
    /// Sessions are in it, so that the second connection to a server takes less.
    static BY_DEFAULT: OnceCell<TlsConnector> = const { OnceCell::new() };
}

impl Tls {
    /// That which trusts whom Mozilla trusts.
    pub(crate) fn by_default() -> Result<Self, HandshakeError> {
        // At the end of a thread, when its locals are gone, somebody may still connect.
        let kept = BY_DEFAULT.try_with(|kept| kept.get().cloned()).ok().flatten();
        if let Some(connector) = kept {
            return Ok(Self(connector));
        }
        let connector = trusting_mozilla().map_err(|error| HandshakeError::Tls(io::Error::other(error)))?;
        let _ended = BY_DEFAULT.try_with(|kept| kept.set(connector.clone()));
        Ok(Self(connector))
    }

    /// TLS over `stream`, with `host` at the other end.
    pub(crate) async fn over(
        self,
        stream: Async<TcpStream>,
        host: String,
    ) -> Result<TlsStream, HandshakeError> {
        let name =
            ServerName::try_from(host).map_err(|error| HandshakeError::Tls(io::Error::other(error)))?;
        let stream = self.0.connect(name, stream).await.map_err(HandshakeError::Tls)?;
        Ok(Box::new(stream))
    }
}

/// The provider is named, for another crate of the program may have brought a second one.
fn trusting_mozilla() -> Result<TlsConnector, Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // What a WebSocket begins with (RFC 6455, section 4.1); a server that would rather speak HTTP/2 has to be told.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let shared: std::sync::Arc<_> = config.into();
    Ok(shared.into())
}

impl Client<ClientStream> {
    /// As [`open`](Self::open), but `wss://` is spoken as `tls` says: with authorities of one's own, or a client's certificate.
    ///
    /// `tls` is an `Arc<rustls::ClientConfig>`, of rustls 0.23. It should offer HTTP/1.1 by ALPN, or nothing: a WebSocket begins as that.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Cancel safety
    ///
    /// As [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use futures_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    /// use futures_rustls::rustls::{ClientConfig, RootCertStore};
    /// use unsync_websocket::{Client, Config};
    ///
    /// # futures_lite::future::block_on(async {
    /// let mut roots = RootCertStore::empty();
    /// roots.add(CertificateDer::from_pem_file("authority.pem")?)?;
    /// let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    /// let client = Client::open_with_tls("wss://localhost:9001/", Config::new(), Arc::new(tls)).await?;
    /// let websocket = client.connect().await?;
    /// # drop(websocket);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # });
    /// ```
    pub async fn open_with_tls(
        url: impl AsRef<str>,
        config: Config,
        tls: impl Into<TlsConnector>,
    ) -> Result<Self, HandshakeError> {
        let url = Url::parse(url.as_ref())?;
        let tls = (url.scheme == Scheme::Wss).then(|| Tls(tls.into()));
        Self::dial(url, config, tls).await
    }
}
