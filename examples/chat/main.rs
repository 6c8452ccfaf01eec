//! A chat in the browser: every path is a room, and whoever is in it hears what is said there. On one thread.
//!
//! ```text
//! cargo run --release --example chat -- [ADDR]
//! ```
//!
//! Everything is text. The first message of a client is its name, each further one is said aloud; what is heard is the
//! speaker's name, a line break, and the words. What the room itself has to say has no name. Ctrl-C closes all connections
//! with 1001, "going away", and ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::{Async, Timer, block_on};
use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use futures_lite::future::or;
use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Incoming, Message, QueueError, QueueHandle, Server, ServerRequest,
    WebSocket,
};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("chat.js");

/// Bytes somebody may say at once, characters of a name, and bytes of a room's path.
const MAX_MESSAGE: usize = 4096;
const MAX_NAME: usize = 20;
const MAX_PATH: usize = 60;

/// Each thing that is said takes so much breath, and somebody has so much of it: eight things at once, then two a second.
const WORD: Duration = Duration::from_millis(500);
const BREATH: Duration = Duration::from_secs(4);

/// Time for all to go when the chat ends.
const PATIENCE: Duration = Duration::from_secs(5);

type Stream = Async<TcpStream>;

/// The rooms in which somebody is, by path.
#[derive(Default)]
struct Rooms(RefCell<BTreeMap<String, Rc<Room>>>);

#[derive(Default)]
struct Room(RefCell<Vec<Seat>>);

struct Seat {
    name: Rc<str>,
    queue: QueueHandle<Stream>,
}

/// Somebody in a room, who leaves when this is dropped.
struct Member<'r> {
    rooms: &'r Rooms,
    path: String,
    room: Rc<Room>,
    name: Rc<str>,
    queue: QueueHandle<Stream>,
    /// Until when breath is short.
    breathless: Instant,
}

impl Rooms {
    fn enter(&self, path: &str, typed: &str, queue: QueueHandle<Stream>) -> Member<'_> {
        let name: String = typed.chars().filter(|it| !it.is_control()).take(MAX_NAME).collect();
        let name: Rc<str> = if name.trim().is_empty() { "somebody".into() } else { name.trim().into() };
        let room = Rc::clone(self.0.borrow_mut().entry(path.to_owned()).or_default());
        room.0.borrow_mut().push(Seat { name: Rc::clone(&name), queue: queue.clone() });
        let here: Vec<String> = room.0.borrow().iter().map(|seat| seat.name.to_string()).collect();
        room.tell("", &format!("{name} comes in. Here: {}.", here.join(", ")));
        Member { rooms: self, path: path.to_owned(), room, name, queue, breathless: Instant::now() }
    }

    /// Tells all to go, and waits until they have.
    async fn close(&self) {
        for room in self.0.borrow().values() {
            for seat in room.0.borrow().iter() {
                let _ = seat.queue.queue_close(CloseCode::GOING_AWAY, "the chat ends");
            }
        }
        while !self.0.borrow().is_empty() {
            Timer::after(Duration::from_millis(10)).await;
        }
    }
}

impl Member<'_> {
    fn say(&mut self, words: &str) {
        let now = Instant::now();
        if self.breathless.saturating_duration_since(now) > BREATH.saturating_sub(WORD) {
            // If there is no room even for this, the next word of somebody else finds it too slow.
            let _ = self.queue.queue(&EncodedFrame::text("\nNot so fast: that was not heard."));
            return;
        }
        self.breathless = self.breathless.max(now).checked_add(WORD).unwrap_or(now);
        self.room.tell(&self.name, words);
    }
}

impl Room {
    /// Encoded once, queued for everybody. Nobody is waited for: who has not taken the last 64 KiB is told to go.
    fn tell(&self, name: &str, words: &str) {
        let frame = EncodedFrame::text(&format!("{name}\n{words}"));
        for seat in self.0.borrow().iter() {
            if let Err(QueueError::Full) = seat.queue.queue(&frame) {
                let _ = seat.queue.close_now(CloseCode::TRY_AGAIN_LATER, "too slow");
            }
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // Names may be the same for several, so it is the seat of this very name that goes.
        self.room.0.borrow_mut().retain(|seat| !Rc::ptr_eq(&seat.name, &self.name));
        self.room.tell("", &format!("{} has left.", self.name));
        if self.room.0.borrow().is_empty() {
            self.rooms.0.borrow_mut().remove(&self.path);
        }
    }
}

/// One client's life: a name, then words, until it goes.
async fn chat(request: ServerRequest<Stream>, rooms: &Rooms) -> Result<(), Box<dyn Error>> {
    let path = request.path().to_owned();
    let mut websocket = request.accept().await?;
    // In a cork, what others say while we are busy leaves in one write.
    let ended = websocket.cork(async |websocket| listen(websocket, rooms, &path).await).await;
    let closed = websocket.close().await;
    if ended.is_clean_close() { Ok(closed?) } else { Err(ended.into()) }
}

async fn listen(websocket: &mut WebSocket<Stream>, rooms: &Rooms, path: &str) -> unsync_websocket::Error {
    let mut member: Option<Member<'_>> = None;
    loop {
        match websocket.receiver.receive().await {
            Ok(Incoming::Message(Message::Text(words))) => match &mut member {
                None => member = Some(rooms.enter(path, words, websocket.sender.queue_handle())),
                Some(member) => member.say(words),
            },
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

async fn serve(stream: Stream, rooms: &Rooms) -> Result<(), Box<dyn Error>> {
    stream.get_ref().set_nodelay(true)?;
    let every = Duration::from_secs(20);
    let config = Config::new().max_message(MAX_MESSAGE).keepalive(every, every);
    let request = Server::new(stream).config(config).same_origin().receive_request().await?;
    let (kind, body) = match request.path() {
        path if path.len() > MAX_PATH => {
            return Ok(request.reject(414).body("that is a long name for a room").await?);
        }
        _ if request.is_upgrade() => return chat(request, rooms).await,
        "/favicon.ico" => return Ok(request.reject(404).body("no icon").await?),
        "/style.css" => ("text/css", STYLE),
        "/chat.js" => ("text/javascript", SCRIPT),
        _ => ("text/html", PAGE),
    };
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:";
    let answer = request.respond(200).header("Content-Type", format!("{kind}; charset=utf-8"));
    Ok(answer.header("Content-Security-Policy", policy).body(body).await?)
}

/// Takes clients in, each in a task of its own.
async fn accept<'r>(executor: &LocalExecutor<'r>, listener: Async<TcpListener>, rooms: &'r Rooms) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let serving =
                    async move { serve(stream, rooms).await.unwrap_or_else(|it| eprintln!("{peer}: {it}")) };
                executor.spawn(serving).detach();
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free again.
                eprintln!("accept: {error}");
                Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| String::from("127.0.0.1:8081"));
    let address = address.to_socket_addrs()?.next().ok_or("no such address")?;
    let mut interrupts = Signals::new([Signal::Int])?;
    // The rooms outlive the executor, so that all tasks borrow them.
    let rooms = Rooms::default();
    let executor = LocalExecutor::new();
    block_on(executor.run(async {
        let listener = Async::<TcpListener>::bind(address)?;
        println!("chat at http://{}/", listener.get_ref().local_addr()?);
        or(accept(&executor, listener, &rooms), async { drop(interrupts.next().await) }).await;
        or(rooms.close(), async {
            Timer::after(PATIENCE).await;
        })
        .await;
        Ok(())
    }))
}
