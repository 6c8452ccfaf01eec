//! Echo servers, to see what it brings to have the halves of a connection on two threads: `claim-halves WAY` prints its port.
//! `claim-halves --list` says which there are.
//!
//! All but ours are the same library, tokio-tungstenite. Its `split` puts the stream behind a lock that both halves take.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;
use std::thread;

use async_executor::LocalExecutor;
use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use unsync_websocket::{Incoming, Server};

const QUEUE: usize = 256;

/// Its default of 128 KiB is filled with zeros for every read.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(16 << 10)
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Its name, and how to run it.
type Way = (&'static str, fn(TcpListener) -> Outcome);

const WAYS: [Way; 8] = [
    ("one task, one thread", one_task),
    ("two tasks, one thread", two_tasks),
    ("two tasks, work-stealing", stealing),
    ("two tasks, each half a thread", two_threads),
    ("one task, work-stealing", one_task_stealing),
    ("one task, each thread its clients", one_task_each_thread),
    ("ours, one thread", ours),
    ("ours (tokio), one thread", ours_on_tokio),
];

/// Both halves in one task, and the state that they share in an `Rc`.
async fn echo<T: AsyncRead + AsyncWrite + Unpin + 'static>(server: Server<T>) -> Result<(), Box<dyn Error>> {
    let mut websocket = server.accept().await?;
    let echo = websocket.cork(async |websocket| {
        let (sender, receiver) = (&mut websocket.sender, &mut websocket.receiver);
        loop {
            match receiver.receive().await {
                Ok(Incoming::Message(message)) => sender.send(message).await?,
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        }
    });
    Ok(echo.await?)
}

fn ours(listener: TcpListener) -> Outcome {
    let listener = Async::new(listener)?;
    let executor = Rc::new(LocalExecutor::new());
    async_io::block_on(executor.run(async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            executor.spawn(async { drop(echo(Server::new(stream)).await) }).detach();
        }
    }))
}

fn ours_on_tokio(listener: TcpListener) -> Outcome {
    on_one_thread(listener, |stream| drop(spawn_local(async { drop(echo(Server::on_tokio(stream)).await) })))
}

/// One task a connection: nothing is split.
async fn echo_whole(stream: TcpStream) -> Outcome {
    let mut websocket = accept_async_with_config(stream, Some(config())).await?;
    while let Some(message) = websocket.next().await {
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            websocket.send(message).await?;
        }
    }
    Ok(())
}

fn one_task(listener: TcpListener) -> Outcome {
    on_one_thread(listener, |stream| drop(spawn_local(echo_whole(stream))))
}

/// One task a connection, and a thread for each core, which take tasks from each other.
fn one_task_stealing(listener: TcpListener) -> Outcome {
    let threads = thread::available_parallelism()?.get();
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let accepting = accept(listener, |stream| drop(tokio::spawn(echo_whole(stream))));
    runtime.block_on(async { tokio::spawn(accepting).await? })
}

/// One task a connection, and a thread for each core, each with its own runtime and its own connections, in turn.
fn one_task_each_thread(listener: TcpListener) -> Outcome {
    let mut threads = Vec::new();
    for _ in 0..thread::available_parallelism()?.get() {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        threads.push(runtime.handle().clone());
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    }
    listener.set_nonblocking(false)?;
    for thread in threads.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        thread.spawn(async { echo_whole(TcpStream::from_std(stream)?).await });
    }
    Ok(())
}

fn on_one_thread(listener: TcpListener, serve: impl Fn(TcpStream) + 'static) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async { spawn_local(accept(listener, serve)).await? })
}

/// A task for each half, and a channel between them; all on one thread.
fn two_tasks(listener: TcpListener) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    runtime.block_on(async { tokio::spawn(serve_split(listener, handle)).await? })
}

/// The same, and the runtime has a thread for each core, which take tasks from each other.
fn stealing(listener: TcpListener) -> Outcome {
    let threads = thread::available_parallelism()?.get();
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let handle = runtime.handle().clone();
    runtime.block_on(async { tokio::spawn(serve_split(listener, handle)).await? })
}

/// The same, and the two threads are told who does what: one receives on all connections, the other sends.
fn two_threads(listener: TcpListener) -> Outcome {
    let sending = Builder::new_current_thread().enable_all().build()?;
    let handle = sending.handle().clone();
    thread::spawn(move || sending.block_on(std::future::pending::<()>()));
    let receiving = Builder::new_current_thread().enable_all().build()?;
    receiving.block_on(async { tokio::spawn(serve_split(listener, handle)).await? })
}

async fn accept(listener: TcpListener, serve: impl Fn(TcpStream)) -> Outcome {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        serve(stream);
    }
}

/// Receives where it is, sends where `sending` is.
async fn serve_split(listener: TcpListener, sending: Handle) -> Outcome {
    accept(listener, move |stream| drop(tokio::spawn(echo_split(stream, sending.clone())))).await
}

async fn echo_split(stream: TcpStream, sending: Handle) -> Outcome {
    let (mut sender, mut receiver) = accept_async_with_config(stream, Some(config())).await?.split();
    let (queue, mut queued) = mpsc::channel(QUEUE);
    sending.spawn(async move {
        while let Some(message) = queued.recv().await {
            if sender.send(message).await.is_err() {
                break;
            }
        }
    });
    while let Some(message) = receiver.next().await {
        if let message @ (Message::Text(_) | Message::Binary(_)) = message? {
            queue.send(message).await?;
        }
    }
    Ok(())
}

fn main() -> Outcome {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name == "--list" {
        WAYS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    let (_, serve) = WAYS.iter().find(|(known, _)| *known == name).ok_or("no such way")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?.port());
    serve(listener)
}
