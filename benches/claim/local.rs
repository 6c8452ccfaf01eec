//! The chat once more, to tell what is the executor's doing and what the library's: tokio-tungstenite on tokio's runtime for one
//! thread, rooms in an `Rc<RefCell<..>>`, one task for each client.
//!
//! `claim-local` prints its port.
//!
//! Bounds: 4 KiB a message, 256 messages queued for a client. A client whose queue is full is cut off.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::rc::Rc;

use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

const MAX_MESSAGE: usize = 4 << 10;
const QUEUE: usize = 256;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The rooms, by path; in each, a queue to everybody who is there.
#[derive(Clone, Default)]
struct Rooms(Rc<RefCell<HashMap<String, BTreeMap<u64, Member>>>>);

struct Member {
    queue: mpsc::Sender<Message>,
    /// Dropped with the rest of it, this ends the member's task.
    _here: oneshot::Sender<()>,
}

impl Rooms {
    fn join(&self, room: &str, id: u64, member: Member) {
        self.0.borrow_mut().entry(room.to_owned()).or_default().insert(id, member);
    }

    /// The text is shared, not copied; nobody is waited for.
    fn tell(&self, room: &str, message: &Message) {
        let full =
            |member: &Member| matches!(member.queue.try_send(message.clone()), Err(TrySendError::Full(_)));
        if let Some(members) = self.0.borrow_mut().get_mut(room) {
            members.retain(|_, member| !full(member));
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

async fn chat(stream: TcpStream, id: u64, rooms: Rooms) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut room = String::new();
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).read_buffer_size(MAX_MESSAGE);
    #[expect(clippy::result_large_err, reason = "the callback is what it is")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut room);
        Ok(response)
    };
    let websocket = accept_hdr_async_with_config(stream, look, Some(config)).await?;
    let ((queue, queued), (_here, gone)) = (mpsc::channel(QUEUE), oneshot::channel());
    rooms.join(&room, id, Member { queue, _here });
    let ended = tokio::select! {
        ended = talk(websocket, queued, &room, &rooms) => ended,
        _ = gone => Ok(()),
    };
    rooms.leave(&room, id);
    Ok(ended?)
}

async fn talk(
    mut websocket: WebSocketStream<TcpStream>,
    mut queued: mpsc::Receiver<Message>,
    room: &str,
    rooms: &Rooms,
) -> Result<(), tungstenite::Error> {
    let mut messages = Vec::new();
    loop {
        tokio::select! {
            message = websocket.next() => match message {
                Some(Ok(message @ Message::Text(_))) => rooms.tell(room, &message),
                Some(message) => drop(message?),
                None => return Ok(()),
            },
            _ = queued.recv_many(&mut messages, QUEUE) => {
                websocket.send_all(&mut stream::iter(messages.drain(..).map(Ok))).await?;
            }
        }
    }
}

async fn run() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let rooms = Rooms::default();
    for id in 0.. {
        let ((stream, _), rooms) = (listener.accept().await?, rooms.clone());
        spawn_local(
            async move { chat(stream, id, rooms).await.unwrap_or_else(|error| eprintln!("{error}")) },
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    // A task like the others: what `block_on` is given is polled more often.
    runtime.block_on(async { spawn_local(run()).await? })
}
