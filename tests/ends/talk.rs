//! A whole conversation between two ends: both send, both answer, the server closes when all has arrived.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::zip;
use unsync_websocket::{Config, Incoming, Receiver, Sender};

use super::super::kit::choices::Chooser;
use super::super::kit::cut::yield_now;
use super::super::kit::ledger::{self, Ledger, Sent};
use super::super::kit::net::{self, SimNet, SimStream};
use super::super::kit::runs::{Shared, shared};
use super::super::kit::sim::{Outcome, Sim};
use super::super::kit::slow::Event;
use super::super::kit::{signal::Signal, wire};
use super::{FROM, enter, pair};

/// What the conversation is like.
#[derive(Clone, Debug)]
pub struct Talk {
    /// What either end sends: lengths of messages, of which the odd ones are texts.
    pub lengths: [Vec<usize>; 2],
    /// Before each message, as many pings.
    pub pings: [usize; 2],
    /// Whether both halves of an end live in one task.
    pub one_task: [bool; 2],
    /// Whether the receiver is polled first.
    pub receiver_first: [bool; 2],
    /// Whether it receives into a `Vec` of its own.
    pub receive_data: [bool; 2],
    /// Whether the client's sender is dropped as soon as it has nothing to send.
    pub drop_sender: bool,
    /// Both streams stand still until the clock's first second.
    pub stalled: bool,
}

/// What came of it.
pub struct Talked {
    pub outcome: Outcome,
    pub net: SimNet,
    /// Pongs that either end received.
    pub pongs: [usize; 2],
}

/// One end's part.
struct Part {
    end: usize,
    lengths: Vec<usize>,
    expected: usize,
    pings: usize,
    receive_data: bool,
    drop_sender: bool,
    /// What this end sends, and what the other does.
    books: [Shared<Ledger>; 2],
    /// This end has received everything it was sent.
    got_all: Signal,
    ended: Signal,
    pongs: Rc<Cell<usize>>,
    choices: Chooser,
}

impl Part {
    async fn send(&self, mut sender: Sender<SimStream>) {
        for (id, len) in self.lengths.iter().enumerate() {
            for _ in 0..self.pings {
                sender.ping(b"still there?").await.unwrap();
            }
            let id = id as u32;
            self.books[0].borrow_mut().begins(id);
            if id.is_multiple_of(2) {
                sender.send(&ledger::binary(id, *len)).await.unwrap();
            } else {
                sender.send(&ledger::text(id, *len)).await.unwrap();
            }
            self.books[0].borrow_mut().became(id, Sent::Certainly);
            if self.choices.one_in(3) {
                yield_now().await;
            }
        }
        if self.end == 0 {
            self.got_all.wait().await;
            sender.close().await.unwrap();
        } else if !self.drop_sender {
            self.ended.wait().await;
        }
    }

    async fn receive(&self, mut receiver: Receiver<SimStream>) {
        let mut data = Vec::new();
        let mut count = 0;
        let error = loop {
            if count == self.expected {
                self.got_all.set();
            }
            if self.receive_data {
                data.clear();
                match receiver.receive_data(&mut data).await {
                    Ok(_) => {
                        let mut book = self.books[1].borrow_mut();
                        // The first byte of a number below 2^24 is no hexadecimal digit.
                        if data[0] == 0 {
                            book.receives_binary(&data);
                        } else {
                            book.receives_text(std::str::from_utf8(&data).unwrap());
                        }
                        count += 1;
                    }
                    Err(error) => break error,
                }
                continue;
            }
            match receiver.receive().await {
                Ok(Incoming::Message(message)) => {
                    enter(&mut self.books[1].borrow_mut(), message);
                    count += 1;
                }
                Ok(Incoming::Pong(payload)) => {
                    assert_eq!(payload, b"still there?");
                    self.pongs.set(self.pongs.get() + 1);
                }
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(error.is_clean_close(), "{error:?}");
        assert_eq!(error.close_frame().unwrap().code().get(), 1000);
        receiver.close().await.unwrap();
        self.ended.set();
    }
}

impl Talk {
    /// One of many, by the run's decisions; messages of up to `longest` bytes.
    pub fn chosen(choices: &Chooser, longest: usize) -> Self {
        let lengths = || {
            let count = choices.between(1, 4);
            (0..count).map(|_| choices.between(ledger::SHORTEST, longest)).collect()
        };
        let one_in_two = || [choices.one_in(2), choices.one_in(2)];
        Self {
            lengths: [lengths(), lengths()],
            pings: [choices.choose(3), choices.choose(3)],
            one_task: one_in_two(),
            receiver_first: one_in_two(),
            receive_data: one_in_two(),
            drop_sender: choices.one_in(2),
            stalled: choices.one_in(3),
        }
    }

    /// Has the conversation.
    ///
    /// # Panics
    ///
    /// When it does not come to its end, or anything is lost on the way.
    pub fn run(&self, sim: &Sim, net: net::Config, configs: [Config; 2]) -> Talked {
        let (net, sockets) = pair(sim, net, configs);
        let books = [shared(Ledger::default()), shared(Ledger::default())];
        let pongs: [Rc<Cell<usize>>; 2] = Default::default();
        if self.stalled {
            net.stall(0, true);
            net.stall(1, true);
            let (sim_too, net) = (sim.clone(), net.clone());
            sim.spawn("thaw", async move {
                sim_too.sleep(std::time::Duration::from_secs(1)).await;
                net.stall(0, false);
                net.stall(1, false);
            });
        }
        for (end, socket) in sockets.into_iter().enumerate() {
            let part = Rc::new(Part {
                end,
                lengths: self.lengths[end].clone(),
                expected: self.lengths[1 - end].len(),
                pings: self.pings[end],
                receive_data: self.receive_data[end],
                drop_sender: self.drop_sender,
                books: [books[end].clone(), books[1 - end].clone()],
                got_all: Signal::default(),
                ended: Signal::default(),
                pongs: pongs[end].clone(),
                choices: sim.choices().clone(),
            });
            self.spawn(sim, part, socket.split());
        }
        let outcome = sim.run();
        let seconds = u64::from(self.stalled);
        assert_eq!(outcome.elapsed.as_secs_f64(), seconds as f64, "something waited for an alarm");
        self.check(&net, &books);
        Talked { outcome, net, pongs: pongs.map(|pongs| pongs.get()) }
    }

    fn spawn(&self, sim: &Sim, part: Rc<Part>, halves: (Sender<SimStream>, Receiver<SimStream>)) {
        const NAMES: [[&str; 3]; 2] =
            [["server", "server sends", "server receives"], ["client", "client sends", "client receives"]];
        let end = part.end;
        let (sender, receiver) = halves;
        let again = part.clone();
        let sends = async move { part.send(sender).await };
        let receives = async move { again.receive(receiver).await };
        match (self.one_task[end], self.receiver_first[end]) {
            (true, false) => {
                sim.spawn(NAMES[end][0], async {
                    let ((), ()) = zip(sends, receives).await;
                });
            }
            (true, true) => {
                sim.spawn(NAMES[end][0], async {
                    let ((), ()) = zip(receives, sends).await;
                });
            }
            (false, false) => {
                sim.spawn(NAMES[end][1], sends);
                sim.spawn(NAMES[end][2], receives);
            }
            (false, true) => {
                sim.spawn(NAMES[end][2], receives);
                sim.spawn(NAMES[end][1], sends);
            }
        }
    }

    fn check(&self, net: &SimNet, books: &[Shared<Ledger>; 2]) {
        for end in 0..2 {
            let book = books[end].borrow();
            book.settle();
            assert_eq!(book.received_count(), self.lengths[end].len());
            let seen = wire::check_closed(FROM[end], &net.recorded(end));
            assert_eq!(wire::close_code(&seen), Some(1000));
            let pings = seen.events.iter().filter(|event| matches!(event, Event::Ping(_))).count();
            assert_eq!(pings, self.pings[end] * self.lengths[end].len());
            assert!(net.is_dropped(end), "end {end} keeps its stream after the close");
        }
    }
}
