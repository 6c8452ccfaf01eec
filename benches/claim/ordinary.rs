//! The same chat in the ordinary way: tokio's work-stealing runtime, axum, rooms behind a lock, a channel and a task for each client.
//!
//! `claim-ordinary [--threads N] [--one-by-one]` prints its port. N worker threads. What has gathered for a client leaves in one write,
//! or, one by one, each message in its own, as most chats in most tutorials do it.
//!
//! Bounds: 4 KiB a message, 256 messages queued for a client. A client whose queue is full is cut off.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::AbortHandle;

const MAX_MESSAGE: usize = 4 << 10;
const QUEUE: usize = 256;

/// The rooms, by path; in each, a queue to everybody who is there, and what ends its task.
#[derive(Clone, Default)]
struct Rooms(Arc<RwLock<HashMap<String, BTreeMap<u64, Member>>>>);

struct Member {
    queue: mpsc::Sender<Message>,
    outgoing: AbortHandle,
}

impl Rooms {
    fn join(&self, room: &str, id: u64, member: Member) {
        let mut rooms = self.0.write().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(room.to_owned()).or_default().insert(id, member);
    }

    /// The text is shared, not copied; nobody is waited for.
    fn tell(&self, room: &str, message: &Message) {
        let rooms = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for member in rooms.get(room).into_iter().flat_map(BTreeMap::values) {
            if let Err(TrySendError::Full(_)) = member.queue.try_send(message.clone()) {
                member.outgoing.abort();
            }
        }
    }

    fn leave(&self, room: &str, id: u64) {
        let mut rooms = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(members) = rooms.get_mut(room) {
            members.remove(&id);
            if members.is_empty() {
                rooms.remove(room);
            }
        }
    }
}

async fn chat(websocket: WebSocket, room: String, Chat { rooms, gather }: Chat) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let (mut sender, mut receiver) = websocket.split();
    let (queue, mut queued) = mpsc::channel(QUEUE);
    let mut outgoing = tokio::spawn(async move {
        let mut messages = Vec::new();
        while queued.recv_many(&mut messages, gather).await > 0 {
            if sender.send_all(&mut stream::iter(messages.drain(..).map(Ok))).await.is_err() {
                break;
            }
        }
    });
    rooms.join(&room, id, Member { queue, outgoing: outgoing.abort_handle() });
    let incoming = async {
        while let Some(Ok(message)) = receiver.next().await {
            if let Message::Text(_) = message {
                rooms.tell(&room, &message);
            }
        }
    };
    tokio::select! {
        () = incoming => outgoing.abort(),
        _ = &mut outgoing => {}
    }
    rooms.leave(&room, id);
}

#[derive(Clone)]
struct Chat {
    rooms: Rooms,
    /// Messages that leave together, at most.
    gather: usize,
}

async fn upgrade(upgrade: WebSocketUpgrade, Path(room): Path<String>, State(state): State<Chat>) -> Response {
    // By default a client's read buffer has 128 KiB.
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).read_buffer_size(MAX_MESSAGE);
    upgrade.on_upgrade(|websocket| chat(websocket, room, state))
}

async fn run(gather: usize) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("{error}");
        }
    });
    let routes =
        Router::new().route("/{room}", any(upgrade)).with_state(Chat { rooms: Rooms::default(), gather });
    axum::serve(listener, routes).await
}

fn main() -> Result<(), Box<dyn Error>> {
    let threads = match std::env::args().skip_while(|argument| argument != "--threads").nth(1) {
        Some(number) => number.parse()?,
        None => 1,
    };
    let gather = if std::env::args().any(|argument| argument == "--one-by-one") { 1 } else { QUEUE };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    Ok(runtime
        .worker_threads(threads)
        .enable_all()
        .build()?
        .block_on(async { tokio::spawn(run(gather)).await? })?)
}
