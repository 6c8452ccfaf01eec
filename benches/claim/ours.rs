//! The chat on local executors: every path is a room, and all who are in it hear what is said there.
//!
//! `claim-ours [--threads N]` prints its port. One executor a thread, on each its own rooms: a client is moved to the thread of
//! its room before its handshake is answered, and from then on nothing of it crosses threads.
//!
//! Bounds: 4 KiB a message, 64 KiB queued for a client (the default outbox), 1024 clients on their way to a thread. A client that has
//! not taken its 64 KiB is told 1013 and goes; one that finds its thread's door full is answered 503.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender, TrySendError};
use async_executor::LocalExecutor;
use async_io::{Async, Timer, block_on};
use futures_lite::future::or;
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Incoming, Message, Parts, QueueError, QueueHandle, Server, ServerRequest,
};

const MAX_MESSAGE: usize = 4 << 10;
const ARRIVALS: usize = 1024;

type Stream = Async<TcpStream>;

// chat: from here
/// The rooms of one thread, by path; in each, a queue to everybody who is there.
#[derive(Default)]
struct Rooms(RefCell<HashMap<String, BTreeMap<u64, QueueHandle<Stream>>>>);

impl Rooms {
    fn join(&self, room: &str, id: u64, queue: QueueHandle<Stream>) {
        self.0.borrow_mut().entry(room.to_owned()).or_default().insert(id, queue);
    }

    /// Encoded once, queued for everybody, nobody waited for.
    fn tell(&self, room: &str, text: &str) {
        let frame = EncodedFrame::text(text);
        for queue in self.0.borrow().get(room).into_iter().flat_map(BTreeMap::values) {
            if let Err(QueueError::Full) = queue.queue(&frame) {
                let _ = queue.close_now(CloseCode::TRY_AGAIN_LATER, "too slow");
            }
        }
    }

    fn leave(&self, room: &str, id: u64) {
        let mut rooms = self.0.borrow_mut();
        if let Some(members) = rooms.get_mut(room) {
            members.remove(&id);
            if members.is_empty() {
                rooms.remove(room);
            }
        }
    }
}

async fn chat(request: ServerRequest<Stream>, id: u64, rooms: &Rooms) -> Result<(), Box<dyn Error>> {
    let room = request.path().to_owned();
    let mut websocket = request.accept().await?;
    rooms.join(&room, id, websocket.sender.queue_handle());
    let listen = websocket.cork(async |websocket| {
        loop {
            match websocket.receiver.receive().await {
                Ok(Incoming::Message(Message::Text(text))) => rooms.tell(&room, text),
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    });
    let ended = listen.await;
    rooms.leave(&room, id);
    let closed = websocket.close().await;
    if ended.is_clean_close() { Ok(closed?) } else { Err(ended.into()) }
}
// chat: to here

/// Reads the request, and moves the client to the thread of the room it asks for.
async fn usher(stream: Stream, doors: &[Sender<Parts<Stream>>]) -> Result<(), Box<dyn Error>> {
    stream.get_ref().set_nodelay(true)?;
    let request = Server::new(stream).receive_request().await?;
    let mut hasher = DefaultHasher::new();
    request.path().hash(&mut hasher);
    let door = &doors[hasher.finish() as usize % doors.len()];
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
            let request = ServerRequest::from_parts(parts).config(Config::new().max_message(MAX_MESSAGE));
            id += 1;
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
