//! The terminal: what is typed goes out, what comes is shown.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Stdin, Stdout};
use std::time::{Duration, Instant};

use async_io::Timer;
use async_signal::{Signal, Signals};
use blocking::Unblock;
use futures_lite::future::{or, pending};
use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use futures_lite::stream::StreamExt;
use unsync_websocket::{ClientStream, Error, Incoming, Message, Receiver, Sender, WebSocket};

use crate::End;

const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a binary message that are shown.
const SHOWN_BYTES: usize = 32;

pub(crate) async fn run(websocket: WebSocket<ClientStream>, ping: bool) -> End {
    match websocket.subprotocol() {
        Some(subprotocol) => eprintln!("connected, speaking {}", visible(subprotocol)),
        None => eprintln!("connected"),
    }
    let started = Instant::now();
    let (mut sender, mut receiver) = websocket.split();
    let typing = async {
        if let Err(error) = send_what_is_typed(&mut sender, ping.then_some(started)).await {
            eprintln!("{error}");
        }
        // The receiver sees how it ends.
        pending().await
    };
    let end = or(show_what_comes(&mut receiver, started), typing).await;
    // The Close that is due to the server, whatever ended it; how it ended is known.
    let _ = receiver.close().await;
    End::of(end)
}

/// What the sender waits for.
enum Event {
    /// A line, with its end; without one at the end of the input.
    Typed(io::Result<usize>),
    PingDue,
    Interrupted,
}

/// Sends lines, and Pings that carry the time since `started`, if that is asked for; closes when the input ends.
async fn send_what_is_typed(
    sender: &mut Sender<ClientStream>,
    started: Option<Instant>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut input = BufReader::new(Unblock::<Stdin>::new(io::stdin()));
    let mut pings = Timer::interval(PING_INTERVAL);
    let mut interrupts = Signals::new([Signal::Int])?;
    let mut line = Vec::new();
    loop {
        // Nothing of a line is lost when a Ping is due: what has been read of it is in `line`.
        let typed = async { Event::Typed(input.read_until(b'\n', &mut line).await) };
        let ping = async {
            match started {
                Some(_) => drop(pings.next().await),
                None => pending().await,
            }
            Event::PingDue
        };
        let interrupted = async {
            interrupts.next().await;
            Event::Interrupted
        };
        match or(interrupted, or(ping, typed)).await {
            Event::Typed(count) => {
                let is_last = count? == 0;
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                if !(is_last && text.is_empty()) {
                    send_line(sender, text).await?;
                }
                if is_last {
                    return Ok(sender.close().await?);
                }
                line.clear();
            }
            Event::PingDue => {
                let sent = started.map_or(Duration::ZERO, |started| started.elapsed());
                sender.ping(&u64::try_from(sent.as_micros())?.to_be_bytes()).await?;
                sender.flush().await?;
            }
            Event::Interrupted => return Ok(sender.close().await?),
        }
    }
}

/// As text, or as bytes if it is none.
async fn send_line(sender: &mut Sender<ClientStream>, line: &[u8]) -> Result<(), Error> {
    match std::str::from_utf8(line) {
        Ok(text) => sender.send(text).await,
        Err(_) => sender.send(line).await,
    }
}

/// Shows messages until the connection ends; how it did.
async fn show_what_comes(receiver: &mut Receiver<ClientStream>, started: Instant) -> Error {
    // Only a terminal obeys what is written to it.
    let is_terminal = io::stdout().is_terminal();
    let mut output = Unblock::<Stdout>::new(io::stdout());
    loop {
        let line = match receiver.receive().await {
            Ok(Incoming::Message(Message::Text(text))) if is_terminal => visible(text),
            Ok(Incoming::Message(Message::Text(text))) => Cow::Borrowed(text),
            Ok(Incoming::Message(Message::Binary(data))) => Cow::Owned(describe(data)),
            Ok(Incoming::Pong(payload)) => {
                eprintln!("{}", describe_pong(payload, started));
                continue;
            }
            Ok(_) => continue,
            Err(error) => return error,
        };
        let written = async {
            output.write_all(line.as_bytes()).await?;
            output.write_all(b"\n").await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            return Error::Io(error);
        }
    }
}

/// `text` with what a terminal would obey, but for line ends and tabs, shown as the escape it is written as in Rust.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let show = |c: char| if obeyed(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(show).collect())
}

fn describe(data: &[u8]) -> String {
    let shown = data.get(..SHOWN_BYTES).unwrap_or(data);
    let bytes: String = shown.iter().map(|byte| format!(" {byte:02x}")).collect();
    let more = if shown.len() < data.len() { " .." } else { "" };
    format!("[{} bytes:{bytes}{more}]", data.len())
}

/// How long a Pong took, if it answers a Ping of ours.
fn describe_pong(payload: &[u8], started: Instant) -> String {
    let sent = payload.try_into().ok().map(|bytes| Duration::from_micros(u64::from_be_bytes(bytes)));
    match sent.and_then(|sent| started.elapsed().checked_sub(sent)) {
        Some(took) => format!("pong after {:.3} ms", took.as_secs_f64() * 1e3),
        None => format!("pong, {} bytes", payload.len()),
    }
}
