//! The other libraries, on tokio's runtime for one thread, each written the way its own documentation echoes: one `send` a message.
//! Limits are raised where 1 MiB would not pass.

pub mod fastwebsockets {
    use std::net::TcpListener;

    use fastwebsockets::upgrade::{UpgradeFut, upgrade};
    use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
    use hyper::service::service_fn;

    use crate::Level;

    pub fn serve(listener: TcpListener, _: Option<Level>) {
        crate::on_tokio(listener, async |stream| {
            let service = service_fn(async |mut request| {
                let (response, upgraded) = upgrade(&mut request)?;
                tokio::task::spawn_local(async { echo(upgraded).await });
                Ok::<_, WebSocketError>(response)
            });
            let stream = hyper_util::rt::TokioIo::new(stream);
            let http = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
            let _ = http.with_upgrades().await;
        });
    }

    async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
        let mut websocket = FragmentCollector::new(upgraded.await?);
        loop {
            let frame = websocket.read_frame().await?;
            match frame.opcode {
                OpCode::Close => return Ok(()),
                OpCode::Text | OpCode::Binary => websocket.write_frame(frame).await?,
                _ => {}
            }
        }
    }
}

pub mod soketto {
    use std::net::TcpListener;

    use soketto::connection::Error;
    use soketto::handshake::{Server, server::Response};
    use soketto::{BoxedError, Data};
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use crate::Level;

    pub fn serve(listener: TcpListener, _: Option<Level>) {
        crate::on_tokio(listener, echo);
    }

    async fn echo(stream: tokio::net::TcpStream) -> Result<(), BoxedError> {
        let mut server = Server::new(stream.compat());
        let key = server.receive_request().await?.key();
        server.send_response(&Response::Accept { key, protocol: None }).await?;
        let (mut sender, mut receiver) = server.into_builder().finish();
        let mut message = Vec::new();
        loop {
            message.clear();
            match receiver.receive_data(&mut message).await {
                Ok(Data::Binary(_)) => sender.send_binary_mut(&mut message).await?,
                Ok(Data::Text(_)) => sender.send_text(std::str::from_utf8(&message)?).await?,
                Err(Error::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            sender.flush().await?;
        }
    }
}

pub mod sockudo {
    use std::net::TcpListener;

    use futures_util::{SinkExt, StreamExt};
    use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};
    use sockudo_ws::error::{Error, Result};
    use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
    use sockudo_ws::protocol::Message;
    use sockudo_ws::stream::CompressedWebSocketStream;
    use sockudo_ws::{Config, WebSocketStream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use crate::Level;

    pub fn serve(listener: TcpListener, level: Option<Level>) {
        crate::on_tokio(listener, move |stream| echo(stream, level));
    }

    async fn echo(mut stream: TcpStream, level: Option<Level>) -> Result<()> {
        let deflate = shake_hands(&mut stream, level).await?;
        if let Some(deflate) = deflate {
            let mut websocket = CompressedWebSocketStream::server(stream, Config::default(), deflate);
            while let Some(message) = websocket.next().await {
                match message? {
                    message @ (Message::Text(_) | Message::Binary(_)) => websocket.send(message).await?,
                    Message::Close(_) => break,
                    _ => {}
                }
            }
            return Ok(());
        }
        let mut websocket = WebSocketStream::server(stream, Config::default());
        while let Some(message) = websocket.next().await {
            match message? {
                message @ (Message::Text(_) | Message::Binary(_)) => websocket.send(message).await?,
                Message::Close(_) => break,
                _ => {}
            }
        }
        Ok(())
    }

    async fn shake_hands(stream: &mut TcpStream, level: Option<Level>) -> Result<Option<DeflateConfig>> {
        let mut head = Vec::new();
        loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(Error::ConnectionClosed);
            }
            let Some((request, _)) = parse_request(&head)? else { continue };
            let mut policy = DeflateConfig { compression_threshold: 0, ..DeflateConfig::default() };
            if let Some(Level::Of(level)) = level {
                policy.compression_level = level;
            }
            let offers = request.extensions.filter(|_| level.is_some());
            let agreed = offers.and_then(|offers| negotiate_server_deflate(offers, &policy));
            let answer = agreed.as_ref().map(|agreed| agreed.to_response_header());
            let accept = generate_accept_key(request.key);
            stream.write_all(&build_response(&accept, None, answer.as_deref())).await?;
            return Ok(agreed.map(|agreed| agreed.config));
        }
    }
}

pub mod tungstenite {
    use std::net::TcpListener;

    use futures_util::{SinkExt, StreamExt};
    use tokio::net::TcpStream;
    use tokio_tungstenite::tungstenite::Error;

    use crate::Level;

    pub fn serve(listener: TcpListener, _: Option<Level>) {
        crate::on_tokio(listener, echo);
    }

    async fn echo(stream: TcpStream) -> Result<(), Error> {
        let mut websocket = tokio_tungstenite::accept_async(stream).await?;
        while let Some(message) = websocket.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                websocket.send(message).await?;
            }
        }
        Ok(())
    }
}

pub mod tokio_websockets {
    use std::net::TcpListener;

    use futures_util::{SinkExt, StreamExt};
    use tokio::net::TcpStream;
    use tokio_websockets::{Error, ServerBuilder};

    use crate::Level;

    pub fn serve(listener: TcpListener, _: Option<Level>) {
        crate::on_tokio(listener, echo);
    }

    async fn echo(stream: TcpStream) -> Result<(), Error> {
        let (_, mut websocket) = ServerBuilder::new().accept(stream).await?;
        while let Some(message) = websocket.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                websocket.send(message).await?;
            }
        }
        Ok(())
    }
}

pub mod wtx {
    use std::net::TcpListener;

    use tokio::net::TcpStream;
    use wtx::collection::Vector;
    use wtx::web_socket::compression::{CompressionLevel, DeflateConfig, Flate2, WindowBits};
    use wtx::web_socket::{Compression, Frame, OpCode, WebSocketAcceptor, WebSocketPayloadOrigin};

    use crate::Level;

    pub fn serve(listener: TcpListener, level: Option<Level>) {
        crate::on_tokio(listener, move |stream| async move {
            let Some(level) = level else {
                let _ = echo(stream, ()).await;
                return;
            };
            // The window of all the others; its default is 12.
            let mut config = DeflateConfig {
                client_max_window_bits: WindowBits::Fifteen,
                server_max_window_bits: WindowBits::Fifteen,
                ..DeflateConfig::default()
            };
            if level == Level::Of(1) {
                config.compression_level = CompressionLevel::One;
            }
            let _ = echo(stream, Flate2::from(config)).await;
        });
    }

    async fn echo<C: Compression<false>>(stream: TcpStream, compression: C) -> wtx::Result<()> {
        let mut websocket = WebSocketAcceptor::default().compression(compression).accept(stream).await?;
        let mut buffer = Vector::new();
        loop {
            let frame = websocket.read_frame(&mut buffer, WebSocketPayloadOrigin::Consistent).await?;
            match frame.op_code() {
                op_code @ (OpCode::Text | OpCode::Binary) => {
                    websocket.write_frame(&mut Frame::new_fin(op_code, &mut buffer[..])).await?
                }
                OpCode::Close => return Ok(()),
                _ => {}
            }
            buffer.clear();
        }
    }
}

pub mod yawc {
    use std::net::TcpListener;

    use futures_util::SinkExt;
    use hyper::service::service_fn;
    use yawc::{CompressionLevel, DeflatePool, OpCode, Options, UpgradeFut, WebSocket, WebSocketError};

    use crate::Level;

    pub fn serve(listener: TcpListener, level: Option<Level>) {
        let mut options = Options::default().with_limits(2 << 20, 4 << 20);
        if let Some(level) = level {
            // As it is recommended for many connections.
            options = options
                .server_no_context_takeover()
                .client_no_context_takeover()
                .with_deflate_pool(DeflatePool::new(1));
            if let Level::Of(level) = level {
                options = options.with_compression_level(CompressionLevel::new(level));
            }
        }
        crate::on_tokio(listener, move |stream| {
            let options = options.clone();
            async move {
                let service = service_fn(async |request| {
                    let (response, upgraded) = WebSocket::upgrade_with_options(request, options.clone())?;
                    tokio::task::spawn_local(async { echo(upgraded).await });
                    Ok::<_, WebSocketError>(response)
                });
                let stream = hyper_util::rt::TokioIo::new(stream);
                let http = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
                let _ = http.with_upgrades().await;
            }
        });
    }

    async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
        let mut websocket = upgraded.await?;
        loop {
            let frame = websocket.next_frame().await?;
            match frame.opcode() {
                OpCode::Text | OpCode::Binary => websocket.send(frame).await?,
                OpCode::Close => return Ok(()),
                _ => {}
            }
        }
    }
}
