//! The Autobahn|Testsuite's server under test: what `autobahn/run.sh server` examines. It echoes.
//!
//! ```text
//! cargo run --release --features deflate --example autobahn_server -- [ADDR] [--takeover] [--one-byte]
//! ```
//!
//! Programs of one's own should rather begin from `echo_server.rs`: this one has limits that suit the suite.

mod autobahn;

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use async_executor::LocalExecutor;
use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::Server;

use autobahn::{OneByte, Options, echo};

const USAGE: &str = "\
usage: autobahn_server [ADDR] [--takeover] [--one-byte]

  ADDR         where to listen (default 127.0.0.1:9001; port 0 takes a free one)
  --takeover   lets both sides keep their window from one compressed message to the next
  --one-byte   reads and writes one byte at a time";

fn main() -> ExitCode {
    let options = match Options::parse(USAGE, "127.0.0.1:9001") {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let executor = LocalExecutor::new();
    let Err(error) = async_io::block_on(executor.run(accept(&executor, options)));
    eprintln!("{error}");
    ExitCode::FAILURE
}

/// Accepts connections for ever, each into a task of its own.
async fn accept(
    executor: &LocalExecutor<'_>,
    options: Options,
) -> Result<std::convert::Infallible, Box<dyn Error>> {
    let listener = Async::<TcpListener>::bind(options.address)?;
    println!("listening on ws://{}", listener.get_ref().local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        executor.spawn(serve(stream, options)).detach();
    }
}

async fn serve(stream: Async<TcpStream>, options: Options) {
    let result = match stream.get_ref().set_nodelay(true) {
        Err(error) => Err(error.into()),
        Ok(()) if options.one_byte => answer(OneByte(stream), options).await,
        Ok(()) => answer(stream, options).await,
    };
    // All handshakes of the suite are good ones.
    if let Err(error) = result {
        eprintln!("{error}");
    }
}

async fn answer<T>(stream: T, options: Options) -> Result<(), Box<dyn Error>>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    echo(Server::new(stream).config(options.config()).accept().await?).await;
    Ok(())
}
