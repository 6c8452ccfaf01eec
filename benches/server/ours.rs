//! This library, on the runtimes that it has: the echo loop of the documentation, inside `cork`.

use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use async_executor::LocalExecutor;
use async_io::Async;
use futures_io::{AsyncRead, AsyncWrite};
use unsync_websocket::local;
use unsync_websocket::{Config, Deflate, Error, HandshakeError, Incoming, Server, WebSocket};

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

pub fn on_async_io(listener: TcpListener, level: Option<Level>) {
    let listener = Async::new(listener).expect("it is a socket");
    let (executor, config) = (Rc::new(LocalExecutor::new()), config(level));
    let accepting = executor.spawn({
        let executor = Rc::clone(&executor);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = config.clone();
                executor.spawn(serve(stream, config)).detach();
            }
        }
    });
    async_io::block_on(executor.run(accepting));
}

async fn serve(stream: Async<TcpStream>, config: Config) {
    if stream.get_ref().set_nodelay(true).is_ok() {
        let _ = echo(Server::new(stream).config(config).accept()).await;
    }
}

/// As [`on_async_io`], with sockets of the thread's own.
pub fn on_local(listener: TcpListener, level: Option<Level>) {
    let listener = local::TcpListener::new(listener).expect("it is a socket");
    let (executor, config) = (Rc::new(LocalExecutor::new()), config(level));
    let accepting = executor.spawn({
        let executor = Rc::clone(&executor);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = config.clone();
                executor.spawn(serve_local(stream, config)).detach();
            }
        }
    });
    async_io::block_on(local::run(executor.run(accepting))).expect("a poller");
}

async fn serve_local(stream: local::TcpStream, config: Config) {
    if stream.get_ref().set_nodelay(true).is_ok() {
        let _ = echo(Server::new(stream).config(config).accept()).await;
    }
}

pub fn on_tokio(listener: TcpListener, level: Option<Level>) {
    let config = config(level);
    crate::on_tokio(listener, async move |stream| {
        let _ = echo(Server::on_tokio(stream).config(config.clone()).accept()).await;
    });
}
