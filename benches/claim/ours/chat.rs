//! The chat itself: every path is a room, and all who are in it hear what is said there. One thread's worth of it: no lock, no channel,
//! no task but the client's own.
//!
//! Bounds: 4 KiB a message, 64 KiB queued for a client (the default outbox). A client that has not taken its 64 KiB is told 1013, and
//! goes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};

use unsync_websocket::{
    CloseCode, Config, EncodedFrame, Incoming, Message, QueueError, QueueHandle, ServerRequest,
};

use crate::Stream;

const MAX_MESSAGE: usize = 4 << 10;

/// The rooms of one thread, by path; in each, a queue to everybody who is there.
#[derive(Default)]
pub struct Rooms(RefCell<HashMap<String, BTreeMap<u64, QueueHandle<Stream>>>>);

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

/// One client's life.
pub async fn chat(request: ServerRequest<Stream>, id: u64, rooms: &Rooms) -> Result<(), Box<dyn Error>> {
    let room = request.path().to_owned();
    let mut websocket = request.config(Config::new().max_message(MAX_MESSAGE)).accept().await?;
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

/// The thread on which this room is, of so many.
pub fn thread_of(room: &str, threads: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    room.hash(&mut hasher);
    hasher.finish() as usize % threads
}
