//! Connections in a simulated world, of which the input makes the decisions: whose turn it is, how many bytes an operation moves,
//! what is dropped, and when.

use std::io::ErrorKind;
use std::time::Duration;

use unsync_websocket::{Config, Error, Incoming, Receiver, Sender};

use crate::ends::cancel::{self, dropped_receives, dropped_sends};
use crate::ends::talk::Talk;
use crate::ends::{FROM, cause, enter, maybe_deflate, pair, spawn_all};
use crate::input::Input;
use crate::kit::ledger::{self, Ledger};
use crate::kit::net::{Config as Net, Fault, Model, Op, SimNet, SimStream};
use crate::kit::runs::{Shared, shared};
use crate::kit::sim::{Sim, Trace};
use crate::kit::slow::Event;
use crate::kit::wire;

/// Two ends of ours lose nothing, double nothing and wait for nothing that has happened, whatever is dropped half way; what is on the
/// wire always parses, and each says Close once. If tasks are killed or the connection is reset, then what did arrive was sent, whole
/// and in order.
///
/// The way a transport keeps its wakers, what is done, capacities and sizes; then decisions.
pub fn duplex_workload(data: &[u8]) {
    let mut input = Input::new(data);
    let model = input.of(&Model::ALL);
    let (script, shape) = (input.below(4), input.byte());
    let capacity = [6, 50, 300, 3000][usize::from(shape & 3)];
    let fragment = [10, 64, 3000, 64 << 10][usize::from(shape >> 2 & 3)];
    let outbox = [1, 200, 5000, 64 << 10][usize::from(shape >> 4 & 3)];
    let choices = input.chooser();
    let sim = Sim::with(choices.clone(), Trace::default());
    let config = maybe_deflate(Config::new().fragment(fragment).outbox(outbox), &choices);
    let configs = [config.clone(), config];
    let net = Net::new(model).capacity(capacity);
    // Long ones through a narrow pipe take many steps, of which each is like the last.
    let longest = [60, 300, 1000, 2000][usize::from(shape & 3)];
    match script {
        0 => {
            Talk::chosen(&choices, longest).run(&sim, net, configs);
        }
        1 => {
            let (net, [server, client]) = pair(&sim, net, configs);
            let end = choices.choose(2);
            let (ours, peer) = if end == 0 { (server, client) } else { (client, server) };
            let (book, cause) = (shared(Ledger::default()), shared(None::<Error>));
            sim.spawn("peer receives", cancel::peer(peer, book.clone(), cause.clone()));
            spawn_all(&sim, dropped_sends(ours, (8, longest), &book, &choices, sim.trace()));
            sim.run_in_no_time();
            assert!(cause.borrow().as_ref().is_some_and(Error::is_clean_close));
            book.borrow().settle();
            closed(&net);
            let seen = wire::check_closed(FROM[end], &net.recorded(end));
            let whole = seen.events.iter().filter(|event| matches!(event, Event::Binary(_))).count();
            assert_eq!(whole, book.borrow().received_count(), "messages on the wire and messages received");
        }
        2 => {
            let (net, sockets) = pair(&sim, net, configs);
            let books = [shared(Ledger::default()), shared(Ledger::default())];
            spawn_all(&sim, dropped_receives(sockets, &[30, longest], &books, &choices, false));
            sim.run_in_no_time();
            // The client closes when it has sent everything; the server may be in the middle.
            books[1].borrow().settle();
            books[0].borrow().settle_broken();
            closed(&net);
        }
        _ => breaks(&sim, net, configs),
    }
}

fn closed(net: &SimNet) {
    for (end, from) in FROM.into_iter().enumerate() {
        wire::check_closed(from, &net.recorded(end));
    }
}

/// A conversation of which a task is killed, or the connection is reset, at any moment.
fn breaks(sim: &Sim, net: Net, configs: [Config; 2]) {
    let choices = sim.choices().clone();
    let keepalive = |config: Config| config.keepalive(Duration::from_secs(20), Duration::from_secs(20));
    let (net, sockets) = pair(sim, net, configs.map(keepalive));
    let books = [shared(Ledger::default()), shared(Ledger::default())];
    let tasks = dropped_receives(sockets, &[30, 300], &books, &choices, true);
    let ids: Vec<_> = tasks.into_iter().map(|(name, task)| sim.spawn(name, task)).collect();
    let kills = choices.one_in(2);
    if kills {
        sim.kill_at(choices.of(&ids), choices.choose(20));
    }
    // Where nobody is left to close, two receivers keep each other alive for ever: then something must happen.
    if kills || choices.one_in(2) {
        let (net, sim_too, after) = (net.clone(), sim.clone(), choices.choose(60));
        sim.spawn("trouble", async move {
            for _ in 0..after {
                crate::kit::cut::yield_now().await;
            }
            if sim_too.choices().one_in(2) {
                sim_too.sleep(Duration::from_secs(30)).await;
            }
            let end = sim_too.choices().choose(2);
            if sim_too.choices().one_in(2) { net.reset(end) } else { net.fin(end) }
        });
    }
    let outcome = sim.run_unjudged();
    assert!(outcome.parked.is_empty(), "{:?} wait for ever", outcome.parked);
    for (end, from) in FROM.into_iter().enumerate() {
        wire::check_broken(from, &net.recorded(end));
        books[end].borrow().settle_broken();
    }
}

/// What an operation of a stream does instead of its work. (Panics are left to `tests/faults.rs`: they would end the fuzzer.)
const FAULTS: [Fault; 9] = [
    Fault::Error(ErrorKind::Interrupted),
    Fault::Error(ErrorKind::WouldBlock),
    Fault::Error(ErrorKind::ConnectionReset),
    Fault::Error(ErrorKind::BrokenPipe),
    Fault::Error(ErrorKind::TimedOut),
    Fault::Error(ErrorKind::Other),
    Fault::Zero,
    Fault::TooMany,
    Fault::Hang,
];

const OPS: [Op; 4] = [Op::Read, Op::Write, Op::Flush, Op::Close];

/// A stream that fails, lies and forgets, and a peer that talks nonsense: everything ends, in bounded time and steps; what a half
/// once said it says for ever; what had arrived had been sent.
///
/// The way a transport keeps its wakers; up to four faults, each with the end, the operation and its number; what the client says
/// that it never meant to, and how much of it; then decisions.
pub fn hostile_transport(data: &[u8]) {
    let mut input = Input::new(data);
    let model = input.of(&Model::ALL);
    let count = input.below(5);
    let faults: Vec<_> =
        (0..count).map(|_| (input.below(2), input.of(&OPS), input.below(40), input.of(&FAULTS))).collect();
    let (nonsense_from, len) = (input.below(2), input.below(64));
    let nonsense = input.take(len);
    let sim = Sim::with(input.chooser(), Trace::default());
    let config = || {
        Config::new()
            .keepalive(Duration::from_secs(20), Duration::from_secs(20))
            .fragment(5000)
            .max_message(30_000)
    };
    let (net, sockets) = pair(&sim, Net::new(model).capacity(3000).noise(20), [config(), config()]);
    for (end, op, nth, fault) in &faults {
        net.fail(*end, *op, *nth, *fault);
    }
    if !nonsense.is_empty() {
        net.inject(nonsense_from, nonsense);
    }
    let lied = |end: usize| {
        faults.iter().any(
            |(at, op, _, fault)| matches!((at, op, fault), (at, Op::Write, Fault::TooMany) if *at == end),
        )
    };
    // Messages that the ledger knows come out only where nobody put others between them.
    let is_kept = |end: usize| nonsense.is_empty() || end == nonsense_from;
    let books = [shared(Ledger::default()), shared(Ledger::default())];
    let (sent, ends) = (shared(0), shared([None, None]));
    for (this, socket) in sockets.into_iter().enumerate() {
        let (sender, mut receiver) = socket.split();
        // Only a server's can be written from where it lies.
        let last = if this == 0 { 17_000 } else { 6_000 };
        sim.spawn("sender", send(sender, books[this].clone(), sent.clone(), last));
        let book = is_kept(this).then(|| books[1 - this].clone());
        let ends = ends.clone();
        sim.spawn("receiver", async move {
            let error = receive(&mut receiver, book).await;
            ends.borrow_mut()[this] = Some(error);
        });
    }
    sim.most_steps(20_000);
    let outcome = sim.run_unjudged();
    assert!(outcome.parked.is_empty(), "{:?} wait for ever", outcome.parked);
    assert!(outcome.elapsed <= Duration::from_secs(120), "it took {:?}", outcome.elapsed);
    for (this, from) in FROM.into_iter().enumerate() {
        if !lied(this) && (nonsense.is_empty() || this != nonsense_from) {
            wire::check_broken(from, &net.recorded(this));
        }
        if is_kept(1 - this) && !lied(this) {
            books[this].borrow().settle_broken();
        }
    }
    let failed = faults.iter().any(|(end, op, nth, fault)| {
        net.calls(*end, *op) > *nth && !matches!(fault, Fault::Error(ErrorKind::Interrupted))
    });
    if !failed && nonsense.is_empty() {
        assert!(
            ends.borrow().iter().flatten().all(Error::is_clean_close),
            "nothing failed: {:?}",
            ends.borrow()
        );
        // An end that was slow may have been told of the other's Close before it had sent anything.
        let received = books.iter().map(|book| book.borrow().received_count()).sum::<usize>();
        assert_eq!(received, *sent.borrow());
    }
}

/// Sends three messages, the last of so many bytes, and counts them in `sent`; then closes.
async fn send(mut sender: Sender<SimStream>, book: Shared<Ledger>, sent: Shared<usize>, last: usize) {
    let mut first = None;
    for (id, len) in [(0, 40), (1, 9), (2, last)] {
        book.borrow_mut().begins(id);
        if let Err(error) = sender.send(&ledger::binary(id, len)).await {
            first = Some(error);
            break;
        }
        *sent.borrow_mut() += 1;
    }
    if let Some(first) = &first {
        for _ in 0..2 {
            let again = sender.send("more").await.expect_err("it has failed");
            // A Close that had arrived tells more than a failed write.
            assert!(again.is_clean_close() || cause(&again) == cause(first), "{first:?}, then {again:?}");
        }
    }
    let closed = sender.close().await;
    let again = sender.close().await;
    assert_eq!(closed.is_ok(), again.is_ok(), "{closed:?}, then {again:?}");
}

async fn receive(receiver: &mut Receiver<SimStream>, book: Option<Shared<Ledger>>) -> Error {
    let first = loop {
        match (receiver.receive().await, &book) {
            (Ok(Incoming::Message(message)), Some(book)) => enter(&mut book.borrow_mut(), message),
            (Ok(_), _) => {}
            (Err(error), _) => break error,
        }
    };
    for _ in 0..2 {
        let again = receiver.receive().await.expect_err("it has failed");
        assert_eq!(cause(&again), cause(&first));
    }
    let _ = receiver.close().await;
    first
}
