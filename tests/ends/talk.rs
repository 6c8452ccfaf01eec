//! A whole conversation between two ends: both send, both answer, the server closes when all has arrived.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::future::zip;
use unsync_websocket::{Config, Incoming, Receiver, Sender, WebSocket};

use super::super::kit::choices::Chooser;
use super::super::kit::cut::yield_now;
use super::super::kit::ledger::{self, Ledger, Sent};
use super::super::kit::net::{self, SimNet};
use super::super::kit::runs::Shared;
use super::super::kit::sim::{Outcome, Sim};
use super::super::kit::slow::Event;
use super::super::kit::{signal::Signal, wire};
use super::{FROM, Stream, Task, enter, pair, spawn_all, task};

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
    /// Both streams stand still until the clock's first second. (Only the kit's do.)
    pub stalled: bool,
}

/// What the two ends note while they talk.
#[derive(Default)]
pub struct Notes {
    /// What either end sends.
    books: [Shared<Ledger>; 2],
    /// Pongs that either end received.
    pongs: [Rc<Cell<usize>>; 2],
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
    async fn send<T: Stream>(&self, mut sender: Sender<T>) {
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

    async fn receive<T: Stream>(&self, mut receiver: Receiver<T>) {
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
        let notes = Notes::default();
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
        spawn_all(sim, self.tasks(sockets, sim.choices(), &notes));
        let outcome = sim.run();
        let seconds = u64::from(self.stalled);
        assert_eq!(outcome.elapsed.as_secs_f64(), seconds as f64, "something waited for an alarm");
        self.check(&notes);
        self.check_wire(&net);
        let pongs = notes.pongs();
        Talked { outcome, net, pongs }
    }

    /// The conversation, to be run to its end and then [`check`](Self::check)ed.
    pub fn tasks<T: Stream>(
        &self,
        sockets: [WebSocket<T>; 2],
        choices: &Chooser,
        notes: &Notes,
    ) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (end, socket) in sockets.into_iter().enumerate() {
            let part = Rc::new(Part {
                end,
                lengths: self.lengths[end].clone(),
                expected: self.lengths[1 - end].len(),
                pings: self.pings[end],
                receive_data: self.receive_data[end],
                drop_sender: self.drop_sender,
                books: [notes.books[end].clone(), notes.books[1 - end].clone()],
                got_all: Signal::default(),
                ended: Signal::default(),
                pongs: notes.pongs[end].clone(),
                choices: choices.clone(),
            });
            tasks.extend(self.tasks_of(part, socket.split()));
        }
        tasks
    }

    fn tasks_of<T: Stream>(&self, part: Rc<Part>, halves: (Sender<T>, Receiver<T>)) -> Vec<Task> {
        const NAMES: [[&str; 3]; 2] =
            [["server", "server sends", "server receives"], ["client", "client sends", "client receives"]];
        let end = part.end;
        let [both, send, receive] = NAMES[end];
        let (sender, receiver) = halves;
        let again = part.clone();
        let sends = async move { part.send(sender).await };
        let receives = async move { again.receive(receiver).await };
        match (self.one_task[end], self.receiver_first[end]) {
            (true, false) => vec![task(both, async {
                zip(sends, receives).await;
            })],
            (true, true) => vec![task(both, async {
                zip(receives, sends).await;
            })],
            (false, false) => vec![task(send, sends), task(receive, receives)],
            (false, true) => vec![task(receive, receives), task(send, sends)],
        }
    }

    /// Everything has arrived.
    ///
    /// # Panics
    ///
    /// When not.
    pub fn check(&self, notes: &Notes) {
        for end in 0..2 {
            let book = notes.books[end].borrow();
            book.settle();
            assert_eq!(book.received_count(), self.lengths[end].len());
        }
    }

    /// What was on the wire is what was said.
    fn check_wire(&self, net: &SimNet) {
        for (end, from) in FROM.into_iter().enumerate() {
            let seen = wire::check_closed(from, &net.recorded(end));
            assert_eq!(wire::close_code(&seen), Some(1000));
            let pings = seen.events.iter().filter(|event| matches!(event, Event::Ping(_))).count();
            assert_eq!(pings, self.pings[end] * self.lengths[end].len());
            assert!(net.is_dropped(end), "end {end} keeps its stream after the close");
        }
    }
}

impl Notes {
    /// Pongs that either end received.
    pub fn pongs(&self) -> [usize; 2] {
        [self.pongs[0].get(), self.pongs[1].get()]
    }
}
