//! A small battle in the browser: ships, shots and scores over WebSockets, on one thread.
//!
//! `cargo run --release --example battle -- --bots 5`, then open the page it names.
//!
//! * [`battle`] is the whole life of one client: two futures that share the room by `Rc<RefCell<..>>`, joined by
//!   `zip`, with no lock, no channel and no task between them.
//! * `manager.rs` says who meets whom, `battle.rs` what is told to whom, `arena.rs` what happens and `round.rs` for how
//!   long, `wire/` how it looks on the wire; `ticket.rs` who may come back, `allowance.rs` how much a client may ask
//!   for, `dismissal.rs` how the server parts with one; `bots.rs` who plays when nobody does, `brain.rs` how; `pages.rs`
//!   what the browser gets, `page/` the client.
//!
//! The manager lives longer than the executor, so its tasks borrow it.

mod allowance;
mod arena;
mod battle;
mod bots;
mod brain;
mod dismissal;
#[cfg(test)]
#[path = "../../tests/kit/mod.rs"]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "as in the library's own tests"
)]
mod kit;
mod manager;
mod name;
mod options;
mod pages;
mod round;
mod rules;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod ticket;
mod wire;

use std::env;
use std::error::Error;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_executor::LocalExecutor;
use async_io::{Async, Timer, block_on};
use async_signal::{Signal, Signals};
use futures_lite::future::{or, zip};
use futures_lite::{AsyncRead, AsyncWrite, StreamExt};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use socket2::SockRef;
use unsync_websocket::{
    BufReader, BufWriter, Config, HandshakeError, Server, ServerRequest, new_shared, new_shared_with_capacity,
};

use dismissal::Notice;
use manager::BattleManager;
use options::{HELP, Options};
use ticket::Ticket;

/// Bytes of the longest message a client may send: a join with a long name, and some keys.
const MAX_MESSAGE: usize = 1024;

/// Bytes of states that a client may be behind, and of those that the kernel keeps for it: seconds of a battle.
const RING: usize = 32 << 10;
const SEND_BUFFER: usize = 32 << 10;

/// Time for a client to answer our Close, and for all of them when the server ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 4 });
const PATIENCE: Duration = Duration::from_secs(5);

/// What ends the server: Ctrl-C, and where there is such a thing, the word of a service manager.
const ENDING: &[Signal] = if cfg!(unix) { &[Signal::Int, Signal::Term] } else { &[Signal::Int] };

fn main() -> ExitCode {
    let options = match Options::parse(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("{complaint}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    log::set_max_level(log::LevelFilter::Info);
    if log::set_logger(&StderrLogger).is_err() {
        eprintln!("somebody else logs already");
    }
    match serve_all(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("battle on {}: {error}", options.listen);
            ExitCode::FAILURE
        }
    }
}

fn serve_all(options: &Options) -> Result<(), Box<dyn Error>> {
    // The manager outlives the executor, so that tasks may borrow it.
    let manager = BattleManager::new(options.rules, StdRng::try_from_rng(&mut SysRng)?);
    let executor = Rc::new(LocalExecutor::new());
    block_on(executor.run(run(&executor, &manager, options)))
}

/// From the first client to Ctrl-C, and until the last one has left.
async fn run<'m>(
    executor: &Rc<LocalExecutor<'m>>,
    manager: &'m BattleManager,
    options: &Options,
) -> Result<(), Box<dyn Error>> {
    let mut signals = Signals::new(ENDING)?;
    let address = options.listen.to_socket_addrs()?.next().ok_or("no such address")?;
    let listener = Async::<TcpListener>::bind(address)?;
    let address = listener.get_ref().local_addr()?;
    println!("open http://{address}/ in a browser; Ctrl-C ends");

    // Nothing is ever written to this ring: every client's task holds its writer, and the last one to end wakes us.
    let (present, mut all_gone) = new_shared();
    // Two tasks, and not part of this future: it is polled whenever anything happens on this thread.
    let accepting = executor.spawn(accept(
        Rc::clone(executor),
        manager,
        listener,
        config(options.deflate),
        Rc::new(present),
    ));
    let ticking = executor.spawn(tick(manager));
    // The bots end by themselves, when they are told that the server does.
    let mustering = executor.spawn(bots::muster(Rc::clone(executor), manager, address));

    signals.next().await;
    log::info!("closing; Ctrl-C again to end at once");
    accepting.cancel().await;
    ticking.cancel().await;
    mustering.cancel().await;
    let second_signal = async {
        signals.next().await;
    };
    or(part(manager, &mut all_gone), second_signal).await;
    Ok(())
}

/// What every connection is like.
fn config(deflate: bool) -> Config {
    let config = Config::new().max_message(MAX_MESSAGE).close_timeout(CLOSE_TIMEOUT);
    #[cfg(feature = "deflate")]
    if deflate {
        // One state of the battle is much like the last: they shrink best with the last at hand. What a client says is short.
        let deflate = unsync_websocket::Deflate::new().server_no_context_takeover(false).threshold(32);
        return config.deflate(deflate);
    }
    _ = deflate;
    config
}

/// Tells all clients to go, and waits until they have.
async fn part(manager: &BattleManager, all_gone: &mut BufReader) {
    manager.dismiss_all();
    let gone = async {
        all_gone.read().await;
    };
    // The clients' own deadlines come first, but for those that were just opening.
    let patience = async {
        Timer::after(PATIENCE).await;
        log::warn!("not waiting any longer");
    };
    or(gone, patience).await;
}

/// Takes clients in, each in a task of its own.
async fn accept<'m>(
    executor: Rc<LocalExecutor<'m>>,
    manager: &'m BattleManager,
    listener: Async<TcpListener>,
    config: Config,
    present: Rc<BufWriter>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (config, present) = (config.clone(), Rc::clone(&present));
                executor
                    .spawn(async move {
                        if let Err(error) = serve(Server::new(tune(stream)), config, manager).await {
                            log::warn!("{error}");
                        }
                        drop(present);
                    })
                    .detach();
            }
            Err(error) => {
                // Out of file descriptors, most likely: some will be free again.
                log::error!("accept: {error}");
                Timer::after(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Moves all battles on, evenly. A tick that comes too late is not made up for.
async fn tick(manager: &BattleManager) {
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        next = next.checked_add(arena::TICK).filter(|&next| next > now).unwrap_or(now);
        Timer::at(next).await;
        manager.tick();
    }
}

/// A socket for what is stale soon: nothing waits to be sent along with more, and little waits at all. (The kernel would take
/// megabytes of states that nobody will ever look at, and a client that does not read would look well for minutes.)
fn tune(stream: Async<TcpStream>) -> Async<TcpStream> {
    let socket = SockRef::from(stream.get_ref());
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_send_buffer_size(SEND_BUFFER)) {
        log::warn!("a socket cannot be tuned: {error}");
    }
    stream
}

/// One connection: a page, or a client of a battle.
async fn serve<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    server: Server<T>,
    config: Config,
    manager: &BattleManager,
) -> Result<(), HandshakeError> {
    let request = server.config(config).same_origin().receive_request().await?;
    if request.is_upgrade() && request.path() == "/ws" {
        battle(request, manager).await
    } else {
        pages::answer(request).await
    }
}

/// One client's life in a battle.
async fn battle<T: AsyncRead + AsyncWrite + Unpin + 'static>(
    request: ServerRequest<T>,
    manager: &BattleManager,
) -> Result<(), HandshakeError> {
    let ticket = request.query().and_then(Ticket::in_query);
    let websocket = request.accept().await?;
    let cork = websocket.cork_handle();
    let (mut sender, mut receiver) = websocket.split();

    let (writer, mut reader) = new_shared_with_capacity(RING); // !Sync halves of a quasi-ring buffer
    let notice = Rc::new(Notice::default());
    let battle = manager.matchmake(ticket); // Rc<RefCell<Battle>>
    let cid = battle.borrow_mut().join(writer, Rc::clone(&notice), ticket);

    let outgoing = async move {
        let sending = async {
            while let Some(mut buf) = reader.read().await {
                if let Err(err) = sender.send(&mut buf[..]).await {
                    log::error!("client {cid}: send: {err}");
                    break;
                }
                // `buf` is dropped here, which advances the read head
            }
            None
        };
        // A client that does not read is stuck in `send` when the battle parts with it.
        let closed = match or(async { Some(notice.wait().await) }, sending).await {
            Some(dismissal) => sender.close_now(dismissal.code(), &dismissal.reason()).await,
            None => sender.close().await,
        };
        if let Err(err) = closed {
            log::info!("client {cid}: close: {err}");
        }
    };

    let incoming = async move {
        let mut data = Vec::new();
        loop {
            data.clear();
            if let Err(err) = receiver.receive_data(&mut data).await {
                if !err.is_clean_close() {
                    log::warn!("client {cid}: receive: {err}");
                }
                battle.borrow_mut().leave(cid);
                break;
            }
            let mut battle = battle.borrow_mut();
            for message in wire::Decoder::new(&data) {
                battle.handle_message(cid, message);
            }
            battle.flush(); // broadcast what is buffered for all clients
        }
    };

    cork.scope(zip(incoming, outgoing)).await;
    Ok(())
}

/// Writes every line to standard error.
struct StderrLogger;

impl log::Log for StderrLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{:<5} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}
