//! This library, on the runtimes that it has: the echo loop of the documentation, inside `cork`, and a room.

use std::cell::RefCell;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use async_executor::LocalExecutor;
use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::{
    Config, Deflate, EncodedFrame, Error, HandshakeError, Incoming, Message, QueueHandle, Server,
    TokioStream, WebSocket, batch, local,
};

use crate::Level;

fn config(level: Option<Level>) -> Config {
    let deflate = Deflate::new().threshold(0);
    match level {
        None => Config::new(),
        Some(Level::Default) => Config::new().deflate(deflate),
        Some(Level::Of(level)) => Config::new().deflate(deflate.level(level)),
    }
}

async fn echo<T>(
    accepting: impl Future<Output = Result<WebSocket<T>, HandshakeError>>,
) -> Result<Error, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut websocket = accepting.await?;
    let echo = websocket.cork(async |websocket| {
        loop {
            match websocket.receiver.receive().await {
                Ok(Incoming::Message(message)) => {
                    if let Err(error) = websocket.sender.send(message).await {
                        break error;
                    }
                }
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    });
    Ok(echo.await)
}

/// Everybody who is there.
type Room<T> = Rc<RefCell<Vec<QueueHandle<T>>>>;

/// What comes from one is encoded once, and queued for all, in a batch: nobody else speaks.
async fn fanout<T>(
    accepting: impl Future<Output = Result<WebSocket<T>, HandshakeError>>,
    room: Room<T>,
) -> Result<Error, HandshakeError>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut websocket = accepting.await?;
    room.borrow_mut().push(websocket.sender.queue_handle());
    let listen = batch(websocket.cork(async |websocket| {
        loop {
            let frame = match websocket.receiver.receive().await {
                Ok(Incoming::Message(Message::Text(text))) => EncodedFrame::text(text),
                Ok(Incoming::Message(Message::Binary(bytes))) => EncodedFrame::binary(bytes),
                Ok(_) => continue,
                Err(error) => break error,
            };
            for member in &*room.borrow() {
                // Who is gone, or too slow, hears no more: the load checks that nobody is.
                let _ = member.queue(&frame);
            }
        }
    }));
    Ok(listen.await)
}

pub fn echo_on_async_io(listener: TcpListener, level: Option<Level>) {
    let config = config(level);
    on_async_io(listener, move |stream| echo(Server::new(stream).config(config.clone()).accept()));
}

pub fn fanout_on_async_io(listener: TcpListener) {
    let room = Room::default();
    on_async_io(listener, move |stream| fanout(Server::new(stream).accept(), Rc::clone(&room)));
}

pub fn on_async_io<F: Future + 'static>(
    listener: TcpListener,
    serve: impl Fn(Async<TcpStream>) -> F + 'static,
) {
    let listener = Async::new(listener).expect("it is a socket");
    let executor = Rc::new(LocalExecutor::new());
    let accepting = executor.spawn({
        let executor = Rc::clone(&executor);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.get_ref().set_nodelay(true).expect("a socket can do that");
                executor.spawn(serve(stream)).detach();
            }
        }
    });
    async_io::block_on(executor.run(accepting));
}

pub fn echo_on_local(listener: TcpListener, level: Option<Level>) {
    let config = config(level);
    on_local(listener, move |stream| echo(Server::new(stream).config(config.clone()).accept()));
}

pub fn fanout_on_local(listener: TcpListener) {
    let room = Room::default();
    on_local(listener, move |stream| fanout(Server::new(stream).accept(), Rc::clone(&room)));
}

/// As [`on_async_io`], with sockets of the thread's own.
pub fn on_local<F: Future + 'static>(listener: TcpListener, serve: impl Fn(local::TcpStream) -> F + 'static) {
    let listener = local::TcpListener::new(listener).expect("it is a socket");
    let executor = Rc::new(LocalExecutor::new());
    let accepting = executor.spawn({
        let executor = Rc::clone(&executor);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.get_ref().set_nodelay(true).expect("a socket can do that");
                executor.spawn(serve(stream)).detach();
            }
        }
    });
    async_io::block_on(local::run(executor.run(accepting))).expect("a poller");
}

pub fn echo_on_tokio(listener: TcpListener, level: Option<Level>) {
    let config = config(level);
    crate::on_tokio(listener, move |stream| echo(Server::on_tokio(stream).config(config.clone()).accept()));
}

pub fn fanout_on_tokio(listener: TcpListener) {
    let room: Room<TokioStream<tokio::net::TcpStream>> = Room::default();
    crate::on_tokio(listener, move |stream| fanout(Server::on_tokio(stream).accept(), Rc::clone(&room)));
}
