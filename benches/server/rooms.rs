//! What one member says, the other libraries send to all: each member has a channel, as in tokio-tungstenite's example of a chat, and a task
//! that sends from it. Where the library is a `Sink`, the channel is forwarded to it, which writes together what has gathered; the others
//! write message by message.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::{Stream, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Ways to everybody who is there.
struct Room<M>(Rc<RefCell<Vec<UnboundedSender<M>>>>);

impl<M: Clone> Room<M> {
    fn new() -> Self {
        Self(Rc::default())
    }

    fn join(&self) -> UnboundedReceiver<M> {
        let (sender, receiver) = unbounded_channel();
        self.0.borrow_mut().push(sender);
        receiver
    }

    fn tell(&self, message: &M) {
        for member in &*self.0.borrow() {
            let _ = member.send(message.clone());
        }
    }
}

impl<M> Clone for Room<M> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

fn stream_of<M>(mut receiver: UnboundedReceiver<M>) -> impl Stream<Item = M> {
    stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

pub mod fastwebsockets {
    use std::convert::Infallible;
    use std::net::TcpListener;

    use bytes::Bytes;
    use fastwebsockets::upgrade::{UpgradeFut, upgrade};
    use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, WebSocketError};
    use hyper::service::service_fn;

    use super::Room;

    pub fn serve(listener: TcpListener) {
        let room = Room::new();
        crate::on_tokio(listener, move |stream| {
            let room = room.clone();
            async move {
                let service = service_fn(async |mut request| {
                    let (response, upgraded) = upgrade(&mut request)?;
                    let room = room.clone();
                    tokio::task::spawn_local(async move { member(upgraded, &room).await });
                    Ok::<_, WebSocketError>(response)
                });
                let stream = hyper_util::rt::TokioIo::new(stream);
                let http = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
                let _ = http.with_upgrades().await;
            }
        });
    }

    async fn member(upgraded: UpgradeFut, room: &Room<(OpCode, Bytes)>) -> Result<(), WebSocketError> {
        let (receiver, mut sender) = upgraded.await?.split(tokio::io::split);
        let (mut receiver, mut told) = (FragmentCollectorRead::new(receiver), room.join());
        tokio::task::spawn_local(async move {
            while let Some((opcode, bytes)) = told.recv().await {
                sender.write_frame(Frame::new(true, opcode, None, bytes[..].into())).await?;
            }
            Ok::<_, WebSocketError>(())
        });
        loop {
            // The load sends no Ping, so that nothing has to be answered.
            let frame = receiver.read_frame(&mut |_| async { Ok::<_, Infallible>(()) }).await?;
            match frame.opcode {
                OpCode::Close => return Ok(()),
                OpCode::Text | OpCode::Binary => {
                    room.tell(&(frame.opcode, Bytes::copy_from_slice(&frame.payload)))
                }
                _ => {}
            }
        }
    }
}

pub mod soketto {
    use std::net::TcpListener;

    use bytes::Bytes;
    use soketto::BoxedError;
    use soketto::connection::Error;
    use soketto::handshake::{Server, server::Response};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::Room;

    pub fn serve(listener: TcpListener) {
        let room = Room::new();
        crate::on_tokio(listener, move |stream| {
            let room = room.clone();
            async move { member(stream, &room).await }
        });
    }

    async fn member(stream: tokio::net::TcpStream, room: &Room<Bytes>) -> Result<(), BoxedError> {
        let mut server = Server::new(stream.compat());
        let key = server.receive_request().await?.key();
        server.send_response(&Response::Accept { key, protocol: None }).await?;
        let (mut sender, mut receiver) = server.into_builder().finish();
        let mut told = room.join();
        tokio::task::spawn_local(async move {
            while let Some(bytes) = told.recv().await {
                sender.send_binary(&bytes).await?;
                sender.flush().await?;
            }
            Ok::<_, Error>(())
        });
        let mut message = Vec::new();
        loop {
            message.clear();
            match receiver.receive_data(&mut message).await {
                Ok(_) => room.tell(&Bytes::copy_from_slice(&message)),
                Err(Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

pub mod tungstenite {
    use std::net::TcpListener;

    use futures_util::StreamExt;
    use tokio::net::TcpStream;
    use tokio_tungstenite::tungstenite::{Error, Message};

    use super::Room;

    pub fn serve(listener: TcpListener) {
        let room = Room::new();
        crate::on_tokio(listener, move |stream| {
            let room = room.clone();
            async move { member(stream, &room).await }
        });
    }

    async fn member(stream: TcpStream, room: &Room<Message>) -> Result<(), Error> {
        let (sink, mut messages) = tokio_tungstenite::accept_async(stream).await?.split();
        tokio::task::spawn_local(super::stream_of(room.join()).map(Ok).forward(sink));
        while let Some(message) = messages.next().await {
            room.tell(&message?);
        }
        Ok(())
    }
}

pub mod tokio_websockets {
    use std::net::TcpListener;

    use futures_util::StreamExt;
    use tokio::net::TcpStream;
    use tokio_websockets::{Error, Message, ServerBuilder};

    use super::Room;

    pub fn serve(listener: TcpListener) {
        let room = Room::new();
        crate::on_tokio(listener, move |stream| {
            let room = room.clone();
            async move { member(stream, &room).await }
        });
    }

    async fn member(stream: TcpStream, room: &Room<Message>) -> Result<(), Error> {
        let (_, websocket) = ServerBuilder::new().accept(stream).await?;
        let (sink, mut messages) = websocket.split();
        tokio::task::spawn_local(super::stream_of(room.join()).map(Ok).forward(sink));
        while let Some(message) = messages.next().await {
            room.tell(&message?);
        }
        Ok(())
    }
}
