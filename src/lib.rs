//! WebSockets for local executors.

mod connection;
mod handshake;
pub mod protocol;
mod ring;
mod runtime;

pub use connection::{
    CloseFuture, Config, CorkHandle, Error, FeedFuture, FlushFuture, Incoming, Message, NoTimer, QueueError,
    QueueHandle, ReceiveDataFuture, ReceiveFuture, Receiver, ReuniteError, SendFuture, Sender, Sleep, Timer,
    WebSocket,
};
pub use handshake::{HandshakeError, Headers, Parts, Request, Responding, Response, Server, ServerRequest};
pub use protocol::{CloseCode, CloseFrame, EncodedFrame, ProtocolError, Role};
pub use ring::{BufReader, BufWriter, ReadGuard, RingError, new_shared, new_shared_with_capacity};
#[cfg(feature = "async-io")]
pub use runtime::async_io::AsyncIoTimer;
