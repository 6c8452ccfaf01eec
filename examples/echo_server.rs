//! An echo server: every message goes back to whoever sent it, text as text and bytes as bytes.
//!
//! ```text
//! cargo run --release --example echo_server -- [ADDR] [--max-message BYTES] [--origin same|URL,..] [--deflate|--takeover]
//! ```
//!
//! One thread, one `LocalExecutor`, a task a connection. The address it listens on is printed; what goes wrong with a
//! connection is told on stderr.

use std::error::Error;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use unsync_websocket::{Config, Incoming, Server};

const USAGE: &str = "\
usage: echo_server [ADDR] [--max-message BYTES] [--origin same|URL,..] [--deflate|--takeover]

  ADDR                  where to listen (default 127.0.0.1:9001; port 0 takes a free one)
  --max-message BYTES   the longest message that is taken (default 1048576)
  --origin LIST         whose pages may connect, `same` for those of this host (default any)
  --deflate             compresses, if the client asks for it (built with `--features deflate`)
  --takeover            the same, and each message may refer to earlier ones, if the client lets it";

/// What the command line says.
struct Options {
    address: String,
    config: Config,
    /// Empty: any.
    origins: Vec<String>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// `None` if help is asked for.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options =
        Options { address: "127.0.0.1:9001".to_owned(), config: Config::new(), origins: Vec::new() };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--max-message" => {
                let bytes = value()?.parse().map_err(|_| "--max-message takes a number of bytes")?;
                options.config = options.config.max_message(bytes);
            }
            "--deflate" => options.config = with_deflate(options.config, false)?,
            "--takeover" => options.config = with_deflate(options.config, true)?,
            "--origin" => options.origins = value()?.split(',').map(str::to_owned).collect(),
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            address => options.address = address.to_owned(),
        }
    }
    Ok(Some(options))
}

#[cfg(feature = "deflate")]
fn with_deflate(config: Config, takeover: bool) -> Result<Config, String> {
    let deflate = unsync_websocket::Deflate::new();
    let keeps = deflate.server_no_context_takeover(false).client_no_context_takeover(false);
    Ok(config.deflate(if takeover { keeps } else { deflate }))
}

#[cfg(not(feature = "deflate"))]
fn with_deflate(_: Config, _: bool) -> Result<Config, String> {
    Err("this echo_server was built without compression; `cargo run --features deflate ..` builds one that has it".to_owned())
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let address = options.address.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| format!("{} has no address", options.address))?;
    let listener = Async::<TcpListener>::bind(address)?;
    println!("listening on ws://{}", listener.get_ref().local_addr()?);

    let executor = Rc::new(LocalExecutor::new());
    // A task like the others, so that nothing is polled that was not woken: `run` polls the future it is given
    // whenever anything at all happens.
    let accepting = executor.spawn(accept(listener, Rc::clone(&executor), Rc::new(options)));
    async_io::block_on(executor.run(accepting));
    Ok(())
}

/// Accepts connections for ever, each into a task of its own.
async fn accept(listener: Async<TcpListener>, executor: Rc<LocalExecutor<'static>>, options: Rc<Options>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                executor.spawn(serve(stream, peer, Rc::clone(&options))).detach();
            }
            // Out of file descriptors, say: those who leave make room.
            Err(error) => {
                eprintln!("accept: {error}");
                Timer::after(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection, from its first byte to its last.
async fn serve(stream: Async<TcpStream>, peer: SocketAddr, options: Rc<Options>) {
    if let Err(error) = echo(stream, &options).await {
        eprintln!("{peer}: {error}");
    }
}

async fn echo(stream: Async<TcpStream>, options: &Options) -> Result<(), Box<dyn Error>> {
    stream.get_ref().set_nodelay(true)?;
    let mut server = Server::new(stream).config(options.config.clone());
    if !options.origins.is_empty() {
        let (same, listed): (Vec<_>, Vec<_>) = options.origins.iter().partition(|origin| *origin == "same");
        server = server.allow_origins(listed);
        if !same.is_empty() {
            server = server.same_origin();
        }
    }
    let mut websocket = server.accept().await?;

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
    // Whatever ended it, `close` sends the Close that is still due to the peer, and waits for the peer to go.
    let closed = websocket.close().await;
    if !end.is_clean_close() {
        return Err(end.into());
    }
    Ok(closed?)
}
