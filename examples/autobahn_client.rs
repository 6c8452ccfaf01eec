//! The Autobahn|Testsuite's client under test: what `autobahn/run.sh client` examines. It asks the suite's server
//! (`wstest -m fuzzingserver`) for one case after the other, and echoes.
//!
//! ```text
//! cargo run --release --features deflate --example autobahn_client -- [ADDR] [--takeover] [--one-byte]
//! ```

mod autobahn;

use std::error::Error;
use std::net::TcpStream;
use std::process::ExitCode;

use async_executor::LocalExecutor;
use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::{Client, Incoming, Message};

use autobahn::{OneByte, Options, echo};

/// The name of the report.
const AGENT: &str = "unsync-websocket";

const USAGE: &str = "\
usage: autobahn_client [ADDR] [--takeover] [--one-byte]

  ADDR         where the suite listens (default 127.0.0.1:9001)
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
    match async_io::block_on(executor.run(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    for case in 1..=case_count(options).await? {
        let target = format!("/runCase?case={case}&agent={AGENT}");
        let stream = open(options).await?;
        let result = match options.one_byte {
            true => play(OneByte(stream), options, &target).await,
            false => play(stream, options, &target).await,
        };
        // The others may be well all the same.
        if let Err(error) = result {
            eprintln!("{target}: {error}");
        }
    }
    // The suite writes its reports before it closes this one.
    play(open(options).await?, options, &format!("/updateReports?agent={AGENT}")).await
}

/// A new socket to the suite.
async fn open(options: Options) -> Result<Async<TcpStream>, Box<dyn Error>> {
    let stream = Async::<TcpStream>::connect(options.address).await?;
    stream.get_ref().set_nodelay(true)?;
    Ok(stream)
}

/// How many cases there are, which is a text message of its own.
async fn case_count(options: Options) -> Result<u32, Box<dyn Error>> {
    let client = Client::new(open(options).await?, options.address.to_string(), "/getCaseCount");
    let mut websocket = client.connect().await?;
    let count = match websocket.receiver.receive().await? {
        Incoming::Message(Message::Text(count)) => count.parse()?,
        other => return Err(format!("instead of the number of cases came {other:?}").into()),
    };
    websocket.close().await?;
    Ok(count)
}

/// Does what the suite asks for at `target`.
async fn play<T>(stream: T, options: Options, target: &str) -> Result<(), Box<dyn Error>>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let client = Client::new(stream, options.address.to_string(), target).config(options.config());
    echo(client.connect().await?).await;
    Ok(())
}
