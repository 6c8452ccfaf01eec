//! WebSockets for local executors.

mod connection;
pub mod protocol;
mod runtime;

pub use connection::{
    CloseFuture, Config, CorkHandle, Error, FeedFuture, FlushFuture, Incoming, Message, NoTimer, QueueError,
    QueueHandle, ReceiveDataFuture, ReceiveFuture, Receiver, ReuniteError, SendFuture, Sender, Sleep, Timer,
    WebSocket,
};
pub use protocol::{CloseCode, CloseFrame, EncodedFrame, ProtocolError, Role};
#[cfg(feature = "async-io")]
pub use runtime::async_io::AsyncIoTimer;
