//! Tries an echo server: messages of all kinds, Pings, and how it closes.

use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::future::{or, zip};
use unsync_websocket::{ClientStream, CloseCode, Incoming, Message, WebSocket};

use crate::options::Options;
use crate::{End, connect};

type Failure = Box<dyn std::error::Error>;
type Connection = WebSocket<ClientStream>;

/// Time for one check.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs all checks, and says what came of each.
pub(crate) async fn run(options: &Options) -> End {
    let mut report = Report { failed: false };
    if options.deflate {
        report.check("compression is agreed on", compression(options)).await;
    }
    report.check("text", text(options)).await;
    report.check("binary", binary(options)).await;
    report.check("empty messages", empty(options)).await;
    report.check("5 MiB", large(options)).await;
    report.check("fragments", fragments(options)).await;
    report.check("a thousand messages at once, in order", many(options)).await;
    report.check("ping and pong", ping(options)).await;
    report.check("close code and reason", close(options, CloseCode::NORMAL, "all is well")).await;
    report.check("a close code of one's own", close(options, own_code(), "\u{1f44b}")).await;
    if report.failed { End::CheckFailed } else { End::Passed }
}

struct Report {
    failed: bool,
}

impl Report {
    async fn check(&mut self, name: &str, check: impl Future<Output = Result<(), Failure>>) {
        let started = Instant::now();
        let late = async {
            Timer::after(PATIENCE).await;
            Err(format!("no end after {} s", PATIENCE.as_secs()).into())
        };
        let result = or(check, late).await;
        let took = started.elapsed().as_millis();
        match result {
            Ok(()) => println!("ok     {name} ({took} ms)"),
            Err(error) => {
                println!("FAILED {name} ({took} ms): {error}");
                self.failed = true;
            }
        }
    }
}

/// One of those that programs may give a meaning (section 7.4.2).
fn own_code() -> CloseCode {
    CloseCode::new(4321).unwrap_or(CloseCode::NORMAL)
}

/// Sends `message`, and waits for the same to come back: at the same time, for a server may begin to answer before it
/// has read to the end.
async fn echoes(websocket: &mut Connection, message: Message<'_>) -> Result<(), Failure> {
    let WebSocket { sender, receiver, .. } = websocket;
    let (sent, received) = zip(sender.send(message), receiver.receive()).await;
    sent?;
    match received? {
        Incoming::Message(came) if came == message => Ok(()),
        other => Err(format!("{message:?} came back as {other:?}").into()),
    }
}

/// Ends a connection in order, so that the server's end counts too.
async fn finish(mut websocket: Connection) -> Result<(), Failure> {
    Ok(websocket.close().await?)
}

async fn compression(options: &Options) -> Result<(), Failure> {
    let websocket = connect(options, options.config.clone()).await?;
    if !is_compressed(&websocket) {
        return Err("the server declined".into());
    }
    finish(websocket).await
}

#[cfg(feature = "deflate")]
fn is_compressed(websocket: &Connection) -> bool {
    websocket.deflate().is_some()
}

#[cfg(not(feature = "deflate"))]
fn is_compressed(_: &Connection) -> bool {
    false
}

async fn text(options: &Options) -> Result<(), Failure> {
    let mut websocket = connect(options, options.config.clone()).await?;
    for text in
        ["hello", "gr\u{fc}\u{df}e, \u{4e16}\u{754c} \u{1f980}", "\0\u{7f}\u{10ffff}", &"x".repeat(70_000)]
    {
        echoes(&mut websocket, text.into()).await?;
    }
    finish(websocket).await
}

async fn binary(options: &Options) -> Result<(), Failure> {
    let mut websocket = connect(options, options.config.clone()).await?;
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(65_536).collect();
    // Around each place where a frame tells its length in another form.
    for len in [1, 2, 125, 126, 127, 256, 65_535, 65_536] {
        echoes(&mut websocket, bytes.get(..len).unwrap_or_default().into()).await?;
    }
    finish(websocket).await
}

async fn empty(options: &Options) -> Result<(), Failure> {
    let mut websocket = connect(options, options.config.clone()).await?;
    echoes(&mut websocket, Message::Text("")).await?;
    echoes(&mut websocket, Message::Binary(b"")).await?;
    echoes(&mut websocket, Message::Text("")).await?;
    finish(websocket).await
}

async fn large(options: &Options) -> Result<(), Failure> {
    let bytes: Vec<u8> = (0..=250).cycle().take(5 << 20).collect();
    let mut websocket = connect(options, options.config.clone()).await?;
    echoes(&mut websocket, Message::Binary(&bytes)).await?;
    finish(websocket).await
}

/// Many small ones, so that characters are cut apart.
async fn fragments(options: &Options) -> Result<(), Failure> {
    for size in [1, 7, 1000] {
        let mut websocket = connect(options, options.config.clone().fragment(size)).await?;
        let text = "\u{1f980} \u{4e16} a ".repeat(200);
        echoes(&mut websocket, Message::Text(&text)).await?;
        echoes(&mut websocket, Message::Binary(text.as_bytes())).await?;
        finish(websocket).await?;
    }
    Ok(())
}

async fn many(options: &Options) -> Result<(), Failure> {
    let websocket = connect(options, options.config.clone()).await?;
    let (mut sender, mut receiver) = websocket.split();
    let sending = async {
        for number in 0..1000 {
            sender.send(&format!("message {number}")).await?;
        }
        Ok::<(), Failure>(())
    };
    let receiving = async {
        for number in 0..1000 {
            match receiver.receive().await? {
                Incoming::Message(Message::Text(text)) if text == format!("message {number}") => {}
                other => return Err(format!("instead of message {number} came {other:?}").into()),
            }
        }
        Ok::<(), Failure>(())
    };
    let (sent, received) = zip(sending, receiving).await;
    sent.and(received)?;
    Ok(receiver.close().await?)
}

async fn ping(options: &Options) -> Result<(), Failure> {
    let mut websocket = connect(options, options.config.clone()).await?;
    for payload in [&b""[..], b"are you there?", &[0xff; 125]] {
        websocket.sender.ping(payload).await?;
        websocket.sender.flush().await?;
        match websocket.receiver.receive().await? {
            Incoming::Pong(came) if came == payload => {}
            other => {
                return Err(format!("a ping of {} bytes was answered by {other:?}", payload.len()).into());
            }
        }
    }
    finish(websocket).await
}

async fn close(options: &Options, code: CloseCode, reason: &str) -> Result<(), Failure> {
    let mut websocket = connect(options, options.config.clone()).await?;
    echoes(&mut websocket, Message::Text("before the close")).await?;
    websocket.close_with(code, reason).await?;
    match websocket.close_frame() {
        Some(frame) if frame.code() == code && frame.reason() == reason => Ok(()),
        frame => Err(format!("{code} {reason:?} was answered by {frame:?}").into()),
    }
}
