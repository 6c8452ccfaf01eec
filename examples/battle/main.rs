//! A small battle in the browser: ships, shots and scores over WebSockets, on one thread; or on one a core.
//!
//! `cargo run --release --example battle -- --bots 5`, then open the page it names.
//!
//! * [`battle`] is the whole life of one client: two futures that share the room by `Rc<RefCell<..>>`, joined by
//!   `zip`, with no lock, no channel and no task between them.
//! * `manager.rs` says who meets whom, `battle.rs` what is told to whom, `arena.rs` what happens and `round.rs` for how
//!   long, `wire/` how it looks on the wire; `ticket.rs` who may come back, `allowance.rs` how much a client may ask
//!   for, `dismissal.rs` how the server parts with one; `bots.rs` who plays when nobody does, `brain.rs` how; `pages.rs`
//!   what the browser gets, `page/` the client.
//! * `change.rs` lets a player go on in another battle, with the connection; `lobby.rs` is what cores tell each other of theirs.
//! * `sockets.rs` says what a connection runs over: with `--features local`, a poller of each thread's own.
//! * `logs.rs` is how log lines look; `desk.rs` takes connections in, `wish.rs` reads what they ask for, `results.rs` keeps the best of all time; `counts.rs` and
//!   `limits.rs` are what an operator looks at and sets.
//!
//! The manager lives longer than the executor, so its tasks borrow it.
//!
//! # Every core
//!
//! `--threads 4` is the same program four times. `per_core.rs` runs [`host`] on four threads, each with a manager and an
//! executor of its own, and nothing in a battle knows of it. One more thread takes connections in, reads the request, and
//! hands the socket to the core of the battle (`cores.rs`: where that is, and the bounded way there). After that nothing of
//! a player crosses threads, but for one who changes to a battle elsewhere; and a panic that ends a thread ends no battle but those that were on it. With `--share-port`
//! each core takes in connections of its own (`listen.rs`), and only who has a ticket of another is handed over.

mod allowance;
mod arena;
mod attention;
mod battle;
mod bots;
mod brain;
mod change;
#[cfg(test)]
mod change_tests;
mod cores;
mod counts;
mod desk;
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
mod limits;
mod listen;
mod lobby;
mod logs;
mod manager;
mod name;
#[cfg(test)]
mod operator_tests;
mod options;
mod pages;
mod per_core;
mod results;
mod round;
mod rules;
#[cfg(test)]
mod simulation;
mod sockets;
#[cfg(test)]
mod spread_tests;
#[cfg(test)]
mod tests;
mod ticket;
mod wire;
mod wish;

use std::env;
use std::error::Error;
use std::net::{self, SocketAddr, ToSocketAddrs};
use std::process::{self, ExitCode};
use std::rc::{Rc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use async_executor::{LocalExecutor, Task};
use async_io::{Timer, block_on};
use async_signal::{Signal, Signals};
use futures_lite::future::{or, pending, yield_now, zip};
use futures_lite::{Stream, StreamExt};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use unsync_websocket::{
    BufReader, BufWriter, Config, Incoming, WebSocket, new_shared, new_shared_with_capacity,
};

use change::depart;
use cores::{Cores, INBOX, Inbox};
use desk::{Desk, Spawner, accept, receive};
use dismissal::Notice;
use limits::{Entry, Limits};
use listen::Listeners;
use manager::BattleManager;
use options::{HELP, Options};
use per_core::{Core, per_core};
use results::{Results, Scores};
use sockets::{Packed, Socket, TcpListener};
use wire::Why;
use wish::Wish;

/// Bytes of the longest message a client may send: a join with a long name, and some keys.
const MAX_MESSAGE: usize = 1024;

/// Bytes of states that a client may be behind: seconds of a battle.
const RING: usize = 32 << 10;

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
    logs::begin(options.log);
    match serve_all(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("battle on {}: {error}", options.listen);
            ExitCode::FAILURE
        }
    }
}

fn serve_all(options: &Options) -> Result<(), Box<dyn Error>> {
    let signals = Signals::new(ENDING)?;
    let address = options.listen.to_socket_addrs()?.next().ok_or("no such address")?;
    let threads = options.threads.get();
    let listeners = match options.share_port {
        true => Listeners::sharing_port(address, threads)?,
        false => Listeners::bind(address)?,
    };
    println!("open http://{}/ in a browser; Ctrl-C ends", listeners.address());
    let (cores, inboxes) = Cores::new(threads, INBOX, Limits::new(options.most));
    let results =
        options.results.as_deref().map(Results::open).transpose().map_err(|error| error.to_string())?;
    let cores = cores.keeping(results);
    let ended = run(options, &cores, inboxes, listeners, signals);
    ended.into_iter().collect::<Result<(), String>>().map_err(Into::into)
}

/// From the first client to Ctrl-C, and until the last one has left.
///
/// One core alone is this thread, which then does everything. For several, this thread takes connections in and hands each player
/// to the core of the battle.
fn run(
    options: &Options,
    cores: &Cores<Packed>,
    inboxes: Vec<Inbox>,
    listeners: Listeners,
    signals: impl Stream + Unpin,
) -> Vec<Result<(), String>> {
    let address = listeners.address();
    let (of_cores, of_all) = listeners.deal(inboxes.len());
    let front = async {
        let ended = front(options, cores, of_all, signals).await;
        // Without it, nobody else could end the others.
        cores.end();
        ended
    };
    let host = |core, entrance| host(core, entrance, options, cores, address);
    let entrances: Vec<Entrance> = inboxes.into_iter().zip(of_cores).collect();
    let (mut ended, front) = match <[Entrance; 1]>::try_from(entrances) {
        Ok([entrance]) => {
            let (host, front) = block_on(zip(host(Core::ALONE, entrance), front));
            (vec![host], front)
        }
        Err(entrances) => thread::scope(|scope| {
            let hosts = scope.spawn(|| per_core(entrances, options.pin, host));
            let front = block_on(front);
            let ended = hosts.join().unwrap_or_default();
            (ended.into_iter().map(|host| host.and_then(|ended| ended)).collect(), front)
        }),
    };
    ended.extend(front.err().map(Err));
    ended
}

/// Where a core's clients come in: its door, and the listener that is its own, if there is one.
type Entrance = (Inbox, Option<net::TcpListener>);

/// What is not of any one core: the listener of all, if there is one, and the end.
async fn front(
    options: &Options,
    cores: &Cores<Packed>,
    listener: Option<net::TcpListener>,
    mut signals: impl Stream + Unpin,
) -> Result<(), String> {
    let desk = Desk { cores, config: config(options.deflate), manager: None };
    let executor = Rc::new(LocalExecutor::new());
    let spawner = Spawner::new(&executor);
    let accepting = watched(listener)?.map(|it| executor.spawn(accept(spawner, &desk, it, Weak::new())));
    let mut signal = async || {
        signals.next().await;
    };
    let ending = async {
        or(signal(), cores.all_gone()).await;
        log::info!("ends; Ctrl-C again to end at once");
        cores.end();
        let second_signal = async {
            signal().await;
            process::exit(1);
        };
        or(cores.all_gone(), second_signal).await;
    };
    sockets::run(executor.run(or(ending, forever(accepting)))).await.map_err(|error| error.to_string())
}

/// A listener, from now on this thread's.
fn watched(listener: Option<net::TcpListener>) -> Result<Option<TcpListener>, String> {
    listener.map(TcpListener::new).transpose().map_err(|error| error.to_string())
}

/// The life of a core: its battles, and its clients, until the server ends and the last of them has left.
async fn host(
    core: Core,
    (inbox, listener): Entrance,
    options: &Options,
    cores: &Cores<Packed>,
    address: SocketAddr,
) -> Result<(), String> {
    let rng = StdRng::try_from_rng(&mut SysRng).map_err(|error| error.to_string())?;
    // The manager outlives the executor, so that tasks may borrow it.
    let manager = BattleManager::new(core, options.rules, rng).counting(cores.counts(core));
    let desk = Desk { cores, config: config(options.deflate), manager: Some(&manager) };
    let executor = Rc::new(LocalExecutor::new());
    let spawner = || Spawner::new(&executor);

    // Nothing is ever written to this ring: every client's task holds its writer, and the last one to end wakes us.
    let (present, mut all_gone) = new_shared();
    let present = Rc::new(present);
    let guests = || Rc::downgrade(&present);
    // Tasks, and not part of this future: it is polled whenever anything happens on this thread.
    let accepting = watched(listener)?.map(|it| executor.spawn(accept(spawner(), &desk, it, guests())));
    let door = inbox.clone();
    let receiving = executor.spawn(receive(spawner(), &desk, &manager, inbox, guests()));
    let ticking = executor.spawn(or(tick(spawner(), &manager, cores, guests()), cores.ending()));
    // The bots end by themselves, when they are told that the server does.
    let muster = bots::muster(spawner(), &manager, address);
    let mustering = executor.spawn(or(muster, cores.ending()));
    // Who waits for a task hears of its panic: these are the core, and the thread ends with them. That of a client ends alone.
    let working = async {
        zip(zip(ticking, mustering), receiving).await;
        pending().await
    };

    let ending = async {
        cores.ending().await;
        // Who is at the door is still taken in, to be told as well.
        while !door.is_empty() {
            yield_now().await;
        }
        // Who comes now is refused, and not waited for.
        drop(present);
        part(&manager, &mut all_gone).await;
    };
    let living = executor.run(or(working, or(forever(accepting), ending)));
    sockets::run(living).await.map_err(|error| error.to_string())
}

/// Waits for a task that does not end, if there is one: a panic in it is one here.
async fn forever(task: Option<Task<()>>) {
    if let Some(task) = task {
        task.await;
    }
    pending().await
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
    // Again and again, for those that are just opening.
    let dismissing = async {
        loop {
            manager.dismiss_all();
            Timer::after(Duration::from_millis(50)).await;
        }
    };
    let gone = async {
        all_gone.read().await;
    };
    // The clients' own deadlines come first, but for those that have yet to say what they want.
    let patience = async {
        Timer::after(PATIENCE).await;
        log::warn!(core = manager.core().index; "not waiting any longer");
    };
    or(gone, or(patience, dismissing)).await;
}

/// Moves all battles on, evenly. A tick that comes too late is not made up for.
async fn tick<'m, T>(
    spawner: Spawner<'m>,
    manager: &'m BattleManager,
    cores: &'m Cores<T>,
    present: Weak<BufWriter>,
) {
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        next = next.checked_add(arena::TICK).filter(|&next| next > now).unwrap_or(now);
        Timer::at(next).await;
        manager.tick();
        cores.tell(manager.core(), manager.survey());
        keep(&spawner, cores, manager.take_results(), &present);
        exchange(manager, cores);
    }
}

/// Tells the other cores what there is to tell, and hears what they have told.
fn exchange<T>(manager: &BattleManager, cores: &Cores<T>) {
    if manager.lobby().tick() {
        cores.tell_list(&manager.list());
    }
    for won in manager.take_won() {
        cores.tell_news(manager.core(), &won);
    }
    let (lists, news) = cores.post(manager.core());
    lists.into_iter().for_each(|list| manager.lobby().hear(list));
    news.iter().for_each(|won| manager.hear(won));
}

/// Sees to it that what was won is kept. The disk is waited for in a task, which the server's end waits for.
fn keep<T>(spawner: &Spawner<'_>, cores: &Cores<T>, scores: Scores, present: &Weak<BufWriter>) {
    if let Some(results) = cores.results().filter(|_| !scores.is_empty()) {
        let (results, present) = (results.clone(), present.upgrade());
        spawner.spawn(async move {
            if let Err(error) = results.save(scores).await {
                log::error!(error:%; "results are lost");
            }
            drop(present);
        });
    }
}

/// One client's life in a battle, until it leaves or goes on in another.
async fn battle<S: Socket>(
    mut websocket: WebSocket<S>,
    wish: Wish,
    mut entry: Entry,
    manager: &BattleManager,
    cores: &Cores<S::Packed>,
) {
    let (writer, mut reader) = new_shared_with_capacity(RING); // !Sync halves of a quasi-ring buffer
    let conn = entry.conn;
    let notice = Rc::new(Notice::of(conn));
    let battle = manager.matchmake(wish); // Rc<RefCell<Battle>>
    let cid = battle.borrow_mut().join(writer, Rc::clone(&notice), wish.ticket);
    let (core, number) = (manager.core().index, battle.borrow().number());

    loop {
        let cork = websocket.cork_handle();
        let (mut sender, receiver) = websocket.split();
        let mut receiver = Some(receiver);

        let outgoing = async {
            let sending = async {
                while let Some(mut buf) = reader.read().await {
                    if let Err(err) = sender.send(&mut buf[..]).await {
                        log::error!(conn, core, battle = number, client = cid, error:% = err; "send");
                        break;
                    }
                    manager.counts().sent(buf.len());
                    // There is a record with each tick, and so behind it a place for whatever the tick asks.
                    if let Some(question) = notice.question.get() {
                        if let Err(err) = sender.ping(&question.to_be_bytes()).await {
                            log::error!(conn, core, battle = number, client = cid, error:% = err; "ping");
                            break;
                        }
                        notice.question.set(None);
                    }
                    // `buf` is dropped here, which advances the read head
                }
                None
            };
            // A client that does not read is stuck in `send` when the battle parts with it.
            let closed = match or(async { Some(notice.dismissal.wait().await) }, sending).await {
                Some(dismissal) => {
                    manager.counts().dismissed(dismissal);
                    sender.close_now(dismissal.code(), &dismissal.reason()).await
                }
                None => sender.close().await,
            };
            if let Err(err) = closed {
                log::info!(conn, core, battle = number, client = cid, error:% = err; "close");
            }
        };

        let incoming = async {
            while let Some(half) = &mut receiver {
                let message = match half.receive().await {
                    Ok(Incoming::Message(message)) => message,
                    Ok(Incoming::Pong(payload)) => {
                        battle.borrow_mut().handle_pong(cid, payload);
                        continue;
                    }
                    Ok(_) => continue, // a Close, behind which the end comes
                    Err(err) => {
                        if !err.is_clean_close() {
                            log::warn!(conn, core, battle = number, client = cid, error:% = err; "receive");
                        }
                        battle.borrow_mut().leave(cid);
                        receiver = None; // what still comes, `close` reads
                        break;
                    }
                };
                let data = message.as_bytes();
                manager.counts().received(data.len());
                let mut battle = battle.borrow_mut();
                for message in wire::Decoder::new(data) {
                    battle.handle_message(cid, message);
                }
                battle.flush(); // broadcast what is buffered for all clients
            }
        };

        // Meanwhile it may wish for a seat in another battle, and be given one.
        let changing = async {
            loop {
                let change = notice.change.wait().await;
                let wanted = change.battle;
                let answer = cores.ask(change).await;
                match answer {
                    // Who has left, or was told to go, goes nowhere else.
                    _ if !battle.borrow().has(cid) => pending().await,
                    Ok(seat) => break Some(seat),
                    Err(why) => battle.borrow().stay(cid, wanted, why),
                }
            }
        };
        let living = async {
            zip(incoming, outgoing).await;
            None
        };
        let Some(seat) = cork.scope(or(changing, living)).await else { return };

        // Nothing waits from here on, so the player is in one battle, and then in the other.
        let Some(receiver) = receiver else { return };
        let Ok(whole) = WebSocket::reunite(sender, receiver) else { return };
        match depart(whole, seat, entry, cores) {
            Ok(None) => return battle.borrow_mut().go_on(cid),
            Ok(Some(back)) => (websocket, entry) = back,
            Err(err) => {
                log::error!(conn, core, battle = number, client = cid, error:% = err; "is lost");
                return battle.borrow_mut().leave(cid);
            }
        }
        battle.borrow().stay(cid, seat.battle, Why::NotNow);
    }
}
