//! Echo servers, to be measured: `server NAME [LEVEL]` serves on one thread, and prints its port. With a level ("default" or a
//! number), it agrees on permessage-deflate without context takeover. `server --list [deflate]` says which there are.
//!
//! Each is written the way its own documentation does it, without care for the odd: the load is known to be well-behaved.

mod ours;
#[cfg(feature = "peers")]
mod peers;
mod raw;

use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

/// Its name, whether it can compress, and how to run it.
type Server = (&'static str, bool, fn(TcpListener, Option<Level>));

/// How hard to compress.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Default,
    Of(u32),
}

const SERVERS: &[Server] = &[
    ("raw", false, raw::serve),
    ("ours (async-io)", true, ours::on_async_io),
    ("ours (local)", true, ours::on_local),
    ("ours (tokio)", true, ours::on_tokio),
    #[cfg(feature = "peers")]
    ("fastwebsockets", false, peers::fastwebsockets::serve),
    #[cfg(feature = "peers")]
    ("soketto", false, peers::soketto::serve),
    #[cfg(feature = "peers")]
    ("sockudo-ws", true, peers::sockudo::serve),
    #[cfg(feature = "peers")]
    ("tokio-tungstenite", false, peers::tungstenite::serve),
    #[cfg(feature = "peers")]
    ("tokio-websockets", false, peers::tokio_websockets::serve),
    #[cfg(feature = "peers")]
    ("wtx", true, peers::wtx::serve),
    #[cfg(feature = "peers")]
    ("yawc", true, peers::yawc::serve),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let option = arguments.next();
    if name == "--list" {
        for (name, deflates, _) in SERVERS {
            if *deflates || option.is_none() {
                println!("{name}");
            }
        }
        return;
    }
    let level = option.map(|level| level.parse().map_or(Level::Default, Level::Of));
    let Some((_, _, serve)) = SERVERS.iter().find(|(known, ..)| *known == name) else {
        eprintln!("{name}: no such server");
        std::process::exit(2);
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket can do that");
    println!("{}", listener.local_addr().expect("it is bound").port());
    serve(listener, level);
}

/// Serves each connection in a task of its own, on tokio's runtime for one thread.
fn on_tokio(listener: TcpListener, serve: impl AsyncFn(tokio::net::TcpStream) + 'static) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).expect("a runtime");
    // A task like the others: what `block_on` is given is polled more often.
    let accepting = async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is a socket");
        let serve = Rc::new(serve);
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket can do that");
            let serve = Rc::clone(&serve);
            tokio::task::spawn_local(async move { serve(stream).await });
        }
    };
    runtime.block_on(async { tokio::task::spawn_local(accepting).await }).expect("it accepts for ever");
}
