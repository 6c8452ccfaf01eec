//! The chat on async-executor's `LocalExecutor` and async-io: `claim-ours [--threads N]` prints its port.
//!
//! One executor a thread, on each its own rooms: a client is moved to the thread of its room before its handshake is answered, and
//! from then on nothing of it crosses threads. One that finds 1024 others at that thread's door is answered 503.

mod chat;

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender, TrySendError};
use async_executor::LocalExecutor;
use async_io::{Async, Timer, block_on};
use futures_lite::future::or;
use unsync_websocket::{Parts, Server, ServerRequest};

use chat::{Rooms, chat, thread_of};

const ARRIVALS: usize = 1024;

type Stream = Async<TcpStream>;

/// Reads the request, and moves the client to the thread of the room it asks for.
async fn usher(stream: Stream, doors: &[Sender<Parts<Stream>>]) -> Result<(), Box<dyn Error>> {
    stream.get_ref().set_nodelay(true)?;
    let request = Server::new(stream).receive_request().await?;
    let door = &doors[thread_of(request.path(), doors.len())];
    match door.try_send(request.into_parts()) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(parts) | TrySendError::Closed(parts)) => {
            Ok(ServerRequest::from_parts(parts).reject(503).await?)
        }
    }
}

/// One thread: takes clients in for all, and keeps those of its own rooms.
fn run(listener: TcpListener, doors: &[Sender<Parts<Stream>>], arrivals: &Receiver<Parts<Stream>>) {
    // The rooms outlive the executor, so that all tasks borrow them.
    let rooms = Rooms::default();
    let executor = LocalExecutor::new();
    let log = |ended: Result<(), Box<dyn Error>>| ended.unwrap_or_else(|error| eprintln!("{error}"));
    let accepting = async {
        let listener = Async::new(listener).expect("it is a socket");
        loop {
            match listener.accept().await {
                Ok((stream, _)) => executor.spawn(async move { log(usher(stream, doors).await) }).detach(),
                Err(error) => {
                    // Out of file descriptors, most likely: some will be free again.
                    eprintln!("accept: {error}");
                    Timer::after(Duration::from_millis(100)).await;
                }
            }
        }
    };
    let receiving = async {
        let (rooms, mut id) = (&rooms, 0);
        while let Ok(parts) = arrivals.recv().await {
            id += 1;
            let request = ServerRequest::from_parts(parts);
            executor.spawn(async move { log(chat(request, id, rooms).await) }).detach();
        }
    };
    block_on(executor.run(or(accepting, receiving)));
}

fn main() -> Result<(), Box<dyn Error>> {
    let threads = match std::env::args().skip_while(|argument| argument != "--threads").nth(1) {
        Some(number) => number.parse()?,
        None => 1,
    };
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    let listeners = (0..threads).map(|_| listener.try_clone()).collect::<Result<Vec<_>, _>>()?;
    let (doors, arrivals): (Vec<_>, Vec<_>) = (0..threads).map(|_| async_channel::bounded(ARRIVALS)).unzip();
    thread::scope(|scope| {
        for (listener, arrivals) in listeners.into_iter().zip(&arrivals) {
            let doors = &doors;
            scope.spawn(move || run(listener, doors, arrivals));
        }
    });
    Ok(())
}
