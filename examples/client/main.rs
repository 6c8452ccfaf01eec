//! A WebSocket client for the terminal: type a line, see what comes.
//!
//! ```text
//! cargo run --release --example client -- ws://127.0.0.1:9001/
//! ```
//!
//! * `options.rs` reads the command line.
//! * `talk.rs` is the terminal: two futures, one a half of the connection, in one task.
//! * `check.rs` tries an echo server, for those who write one.
//!
//! Standard input and output are files that block, so `blocking` reads and writes them on threads of its own.

mod check;
mod options;
mod talk;

use std::process::ExitCode;

use async_io::block_on;
use unsync_websocket::{Client, ClientStream, CloseCode, Config, Error, HandshakeError, Incoming, WebSocket};

use options::{Mode, Options};

/// What there is to tell at the end, as the exit code does.
enum End {
    /// Closed with code 1000, or without one.
    Closed,
    /// All checks went well.
    Passed,
    /// A check failed.
    CheckFailed,
    /// There was no connection.
    NotConnected(HandshakeError),
    /// The server closed with another code.
    ClosedWith(Error),
    /// The connection ended without a Close, or was ended over a fault.
    Broken(Error),
}

impl End {
    /// What `error`, which ended a connection, means.
    fn of(error: Error) -> Self {
        match &error {
            Error::Closed(None) => Self::Closed,
            Error::Closed(Some(frame)) if frame.code() == CloseCode::NORMAL => Self::Closed,
            Error::Closed(Some(_)) => Self::ClosedWith(error),
            _ => Self::Broken(error),
        }
    }

    fn exit(self) -> ExitCode {
        let (code, text) = match self {
            Self::Passed => return ExitCode::SUCCESS,
            Self::Closed => (0, "closed".to_owned()),
            Self::CheckFailed => (1, "the check failed".to_owned()),
            Self::NotConnected(HandshakeError::Refused(refusal)) => {
                let body = String::from_utf8_lossy(refusal.body());
                (3, format!("the server answered with status {}\n{}", refusal.status(), talk::visible(&body)))
            }
            Self::NotConnected(error) => (3, error.to_string()),
            Self::ClosedWith(error) => (4, error.to_string()),
            Self::Broken(error) => (5, error.to_string()),
        };
        eprintln!("{}", text.trim_end());
        ExitCode::from(code)
    }
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => block_on(run(&options)).exit(),
        Ok(None) => {
            println!("{}", options::USAGE);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\n\n{}", options::USAGE);
            ExitCode::from(2)
        }
    }
}

async fn run(options: &Options) -> End {
    if options.mode == Mode::Check {
        return check::run(options).await;
    }
    match connect(options, options.config.clone()).await {
        Err(error) => End::NotConnected(error),
        Ok(websocket) if options.mode == Mode::Echo => echo(websocket).await,
        Ok(websocket) => talk::run(websocket, options.ping).await,
    }
}

/// A connection as the command line says, but for `config`.
async fn connect(options: &Options, config: Config) -> Result<WebSocket<ClientStream>, HandshakeError> {
    let mut client = open(options, config).await?;
    for protocol in &options.subprotocols {
        client = client.protocol(protocol);
    }
    for (name, value) in &options.headers {
        client = match name.eq_ignore_ascii_case("origin") {
            true => client.origin(value),
            false => client.header(name, value),
        };
    }
    client.connect().await
}

async fn open(options: &Options, config: Config) -> Result<Client<ClientStream>, HandshakeError> {
    match &options.tls {
        None => Client::open(&options.url, config).await,
        #[cfg(feature = "rustls")]
        Some(tls) => Client::open_with_tls(&options.url, config, tls.clone()).await,
        #[cfg(not(feature = "rustls"))]
        Some(tls) => match *tls {},
    }
}

/// Sends back all messages until the end.
async fn echo(mut websocket: WebSocket<ClientStream>) -> End {
    // Corked, replies to messages that came together leave together.
    let end = websocket
        .cork(async |websocket| {
            loop {
                match websocket.receiver.receive().await {
                    Ok(Incoming::Message(message)) => {
                        if let Err(error) = websocket.sender.send(message).await {
                            break error;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => break error,
                }
            }
        })
        .await;
    // The Close that is due to the server, whatever ended it; how it ended is known.
    let _ = websocket.close().await;
    End::of(end)
}
