//! Servers, to be measured: `server NAME JOB` serves on one thread, and prints its port. `server --list JOB` says which there are for that
//! job: `echo`; `fanout`, where what one connection sends is sent to all; or a level ("default" or a number), an echo that agrees on
//! permessage-deflate without context takeover.
//!
//! Each is written the way its own documentation does it, without care for the odd: the load is known to be well-behaved.

mod ours;
#[cfg(feature = "peers")]
mod peers;
mod raw;
#[cfg(feature = "peers")]
mod rooms;

use std::net::{Ipv4Addr, TcpListener};

struct Server {
    name: &'static str,
    echo: fn(TcpListener, Option<Level>),
    /// Whether its echo can compress.
    deflates: bool,
    fanout: Option<fn(TcpListener)>,
}

impl Server {
    const fn new(name: &'static str, echo: fn(TcpListener, Option<Level>)) -> Self {
        Self { name, echo, deflates: false, fanout: None }
    }

    const fn deflates(self) -> Self {
        Self { deflates: true, ..self }
    }

    const fn fanout(self, fanout: fn(TcpListener)) -> Self {
        Self { fanout: Some(fanout), ..self }
    }

    const fn can(&self, job: &Job) -> bool {
        match job {
            Job::Echo(level) => level.is_none() || self.deflates,
            Job::Fanout => self.fanout.is_some(),
        }
    }
}

/// What to do with connections.
enum Job {
    Echo(Option<Level>),
    Fanout,
}

impl Job {
    fn new(argument: &str) -> Self {
        match argument {
            "echo" => Self::Echo(None),
            "fanout" => Self::Fanout,
            level => Self::Echo(Some(level.parse().map_or(Level::Default, Level::Of))),
        }
    }
}

/// How hard to compress.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Default,
    Of(u32),
}

const SERVERS: &[Server] = &[
    Server::new("raw", raw::echo).fanout(raw::fanout),
    Server::new("raw (async-io)", raw::echo_on_async_io),
    Server::new("raw (local)", raw::echo_on_local),
    Server::new("raw (tokio)", raw::echo_on_tokio),
    Server::new("ours (async-io)", ours::echo_on_async_io).deflates().fanout(ours::fanout_on_async_io),
    Server::new("ours (local)", ours::echo_on_local).deflates().fanout(ours::fanout_on_local),
    Server::new("ours (tokio)", ours::echo_on_tokio).deflates().fanout(ours::fanout_on_tokio),
    #[cfg(feature = "peers")]
    Server::new("fastwebsockets", peers::fastwebsockets::serve).fanout(rooms::fastwebsockets::serve),
    #[cfg(feature = "peers")]
    Server::new("soketto", peers::soketto::serve).fanout(rooms::soketto::serve),
    #[cfg(feature = "peers")]
    Server::new("sockudo-ws", peers::sockudo::serve).deflates(),
    #[cfg(feature = "peers")]
    Server::new("tokio-tungstenite", peers::tungstenite::serve).fanout(rooms::tungstenite::serve),
    #[cfg(feature = "peers")]
    Server::new("tokio-websockets", peers::tokio_websockets::serve).fanout(rooms::tokio_websockets::serve),
    #[cfg(feature = "peers")]
    Server::new("wtx", peers::wtx::serve).deflates(),
    #[cfg(feature = "peers")]
    Server::new("yawc", peers::yawc::serve).deflates(),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [name, job] = &arguments[..] else {
        eprintln!("usage: server NAME|--list echo|fanout|LEVEL");
        std::process::exit(2);
    };
    let job = Job::new(job);
    let mut able = SERVERS.iter().filter(|server| server.can(&job));
    if name == "--list" {
        able.for_each(|server| println!("{}", server.name));
        return;
    }
    let Some(server) = able.find(|server| server.name == name) else {
        eprintln!("{name}: no such server");
        std::process::exit(2);
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket can do that");
    println!("{}", listener.local_addr().expect("it is bound").port());
    match (job, server.fanout) {
        (Job::Echo(level), _) => (server.echo)(listener, level),
        (Job::Fanout, Some(fanout)) => fanout(listener),
        (Job::Fanout, None) => {}
    }
}

/// Serves each connection in a task of its own, on tokio's runtime for one thread.
fn on_tokio<F: Future + 'static>(
    listener: TcpListener,
    serve: impl Fn(tokio::net::TcpStream) -> F + 'static,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).expect("a runtime");
    // A task like the others: what `block_on` is given is polled more often.
    let accepting = async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is a socket");
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a socket can do that");
            tokio::task::spawn_local(serve(stream));
        }
    };
    runtime.block_on(async { tokio::task::spawn_local(accepting).await }).expect("it accepts for ever");
}
