//! What the command line says.

use unsync_websocket::Config;

pub(crate) const USAGE: &str = "\
usage: client [OPTIONS] ws://HOST[:PORT][/PATH][?QUERY]    (wss:// if built with `--features rustls`)

Sends each line that is typed as a text message, and prints what comes. The end of the input (Ctrl-D) or Ctrl-C
closes the connection.

  --ping                a Ping each second, and how long its Pong took
  --subprotocol NAME    offers a subprotocol; may be given again, best liked first
  --header 'NAME: VALUE'  adds a header to the request; may be given again
  --max-message BYTES   the longest message that is taken (default 67108864)
  --deflate             offers compression (built with `--features deflate`)
  --takeover            the same, and lets each message refer to earlier ones
  --authority FILE      of a wss:// server, takes a certificate of this authority's (PEM), and no other's
  --echo                sends back all messages until the end, instead of talking
  --check               tries whether the server is a proper echo server, instead of talking
  --help                this text

Exit codes: 0 closed with code 1000 or without a code, or all checks went well; 1 a check failed; 2 bad usage;
3 no connection; 4 the server closed with another code; 5 the connection broke off.";

/// What is done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Talk,
    Echo,
    Check,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) mode: Mode,
    pub(crate) ping: bool,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// Limits, and compression if that is wanted.
    pub(crate) config: Config,
    pub(crate) deflate: bool,
    /// Who is trusted, if not whom Mozilla trusts.
    pub(crate) tls: Option<Tls>,
}

#[cfg(feature = "rustls")]
pub(crate) type Tls = std::sync::Arc<futures_rustls::rustls::ClientConfig>;
#[cfg(not(feature = "rustls"))]
pub(crate) type Tls = std::convert::Infallible;

impl Options {
    /// `None` if help is asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            url: String::new(),
            mode: Mode::Talk,
            ping: false,
            subprotocols: Vec::new(),
            headers: Vec::new(),
            config: Config::new().max_message(64 << 20),
            deflate: false,
            tls: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--ping" => options.ping = true,
                "--echo" => options.mode = Mode::Echo,
                "--check" => options.mode = Mode::Check,
                "--subprotocol" => options.subprotocols.push(value()?),
                "--header" => options.headers.push(header(&value()?)?),
                "--max-message" => {
                    let bytes = value()?.parse().map_err(|_| "--max-message takes a number of bytes")?;
                    options.config = options.config.max_message(bytes);
                }
                "--deflate" | "--takeover" => {
                    options.config = with_deflate(options.config, argument == "--takeover")?;
                    options.deflate = true;
                }
                "--authority" => options.tls = Some(trusting(&value()?)?),
                option if option.starts_with('-') => return Err(format!("there is no option {option}")),
                url if options.url.is_empty() => options.url = url.to_owned(),
                more => return Err(format!("one URL is enough: {more}")),
            }
        }
        if options.url.is_empty() { Err("which URL?".to_owned()) } else { Ok(Some(options)) }
    }
}

#[cfg(feature = "deflate")]
fn with_deflate(config: Config, takeover: bool) -> Result<Config, String> {
    let deflate = unsync_websocket::Deflate::new();
    let keeps = deflate.server_no_context_takeover(false).client_no_context_takeover(false);
    Ok(config.deflate(if takeover { keeps } else { deflate }))
}

#[cfg(not(feature = "deflate"))]
fn with_deflate(_: Config, _: bool) -> Result<Config, String> {
    Err("this client was built without compression; `cargo run --features deflate ..` builds one that has it"
        .to_owned())
}

#[cfg(feature = "rustls")]
fn trusting(file: &str) -> Result<Tls, String> {
    use futures_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    use futures_rustls::rustls::{ClientConfig, RootCertStore};

    let authority = CertificateDer::from_pem_file(file).map_err(|error| format!("{file}: {error:?}"))?;
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(|error| format!("{file}: {error}"))?;
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth().into())
}

#[cfg(not(feature = "rustls"))]
fn trusting(_: &str) -> Result<Tls, String> {
    Err("this client was built without TLS; `cargo run --features rustls ..` builds one that has it"
        .to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or(format!("{text} is not NAME: VALUE"))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}
