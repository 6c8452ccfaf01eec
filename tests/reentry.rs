//! The stream calls back into its own connection: from inside its polls messages are queued, tasks are dropped that
//! hold the halves, and all else is done that does not wait (DESIGN.md, section 3, rule 6).
//!
//! Real ones do: a TLS layer or a test double may hold a handle, and a waker that a stream wakes inside its poll may make an executor
//! drop a task at once, whose send or whose half then enters its `Drop`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::await_holding_refcell_ref,
    clippy::mem_forget,
    reason = "tests say what they expect by failing"
)]

mod ends;
mod kit;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use ends::cancel::{Fate, Op, perform};
use ends::{FROM, Socket, maybe_deflate, pair};
use futures_lite::future::zip;
use kit::cut::{cut, yield_now};
use kit::ledger::{self, Ledger, Sent};
use kit::net::{Config as Net, Model, SimNet, SimStream};
use kit::runs::{Shared, each_seed_and_model, is_replay, shared};
use kit::sim::{Sim, TaskId};
use kit::slow::{self, Event};
use kit::wire;
use unsync_websocket::{
    CloseCode, Config, CorkHandle, EncodedFrame, Error, Incoming, Message, QueueError, QueueHandle, Receiver,
    Sender, batch,
};

/// Numbers of messages that were queued from inside a poll begin here.
const QUEUED: u32 = 1000;

#[test]
fn messages_queued_from_inside_a_poll_of_the_stream_arrive_in_order() {
    let (accepted, full) = (Cell::new(0), Cell::new(0));
    each_seed_and_model("messages_queued_from_inside_a_poll_of_the_stream_arrive_in_order", 1_000, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let end = choices.choose(2);
        let config =
            Config::new().outbox(choices.of(&[1, 100, 64 << 10])).fragment(choices.of(&[20, 64 << 10]));
        let large = choices.one_in(20);
        let capacity = if large { 3000 } else { choices.of(&[10, 60, 400]) };
        let (net, sockets) = pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
        let [sent, queued] = [shared(Ledger::default()), shared(Ledger::default())];
        let [mut ours, mut theirs] = sockets;
        if end == 1 {
            std::mem::swap(&mut ours, &mut theirs);
        }

        let handle = ours.sender.queue_handle();
        let (book, next) = (queued.clone(), Cell::new(QUEUED));
        let counts = Rc::new([Cell::new(0), Cell::new(0)]);
        let counting = counts.clone();
        net.reenter(move || {
            let id = next.replace(next.get() + 1);
            let mut book = book.borrow_mut();
            book.begins(id);
            let became = match handle.queue(&EncodedFrame::binary(&ledger::binary(id, 30))) {
                Ok(()) => {
                    counting[0].set(counting[0].get() + 1);
                    Sent::Certainly
                }
                Err(QueueError::Full) => {
                    counting[1].set(counting[1].get() + 1);
                    Sent::Never
                }
                Err(QueueError::Closed) => Sent::Never,
            };
            book.became(id, became);
        });

        let (mut sender, mut receiver) = ours.split();
        let book = sent.clone();
        sim.spawn("we send", async move {
            for id in 0..4 {
                let len = if large { 20 << 10 } else { choices.between(8, 100) };
                book.borrow_mut().begins(id);
                sender.send(&ledger::binary(id, len)).await.unwrap();
                book.borrow_mut().became(id, Sent::Certainly);
            }
            sender.close().await.unwrap();
        });
        sim.spawn("we receive", async move {
            while receiver.receive().await.is_ok() {}
            receiver.close().await.unwrap();
        });
        let (mut their_sender, mut receiver) = theirs.split();
        let (sent_too, queued_too) = (sent.clone(), queued.clone());
        sim.spawn("they", async move {
            their_sender.ping(b"!").await.unwrap();
            loop {
                match receiver.receive().await {
                    Ok(Incoming::Message(Message::Binary(data))) => match ledger::binary_id(data) {
                        id @ QUEUED.. => queued_too.borrow_mut().receives(id),
                        id => sent_too.borrow_mut().receives(id),
                    },
                    Ok(_) => {}
                    Err(error) => break assert!(error.is_clean_close(), "{error:?}"),
                }
            }
            receiver.close().await.unwrap();
        });
        sim.run_in_no_time();
        sent.borrow().settle();
        queued.borrow().settle();
        wire::check_closed(FROM[end], &net.recorded(end));
        accepted.set(accepted.get() + counts[0].get());
        full.set(full.get() + counts[1].get());
    });
    assert!(
        is_replay() || (accepted.get() > 1000 && full.get() > 100),
        "{accepted:?} accepted, {full:?} refused"
    );
}

#[test]
fn halves_and_sends_dropped_from_inside_a_poll_of_their_stream_cut_nothing() {
    let killed = Cell::new([0; 3]);
    each_seed_and_model(
        "halves_and_sends_dropped_from_inside_a_poll_of_their_stream_cut_nothing",
        1_500,
        |run| {
            let sim = Sim::new(run);
            let choices = sim.choices().clone();
            let config =
                Config::new().outbox(choices.of(&[1, 64 << 10])).fragment(choices.of(&[3000, 64 << 10]));
            let large = choices.one_in(3);
            let capacity = if large { 2000 } else { choices.of(&[20, 200]) };
            let (net, [server, client]) =
                pair(&sim, Net::new(run.model).capacity(capacity), [config.clone(), config]);
            let books = [shared(Ledger::default()), shared(Ledger::default())];

            let (mut sender, mut receiver) = server.split();
            let book = books[0].clone();
            let sends = sim.spawn("server sends", async move {
                for id in 0..4 {
                    let len = if large { 18 << 10 } else { 60 };
                    book.borrow_mut().begins(id);
                    if sender.send(&ledger::binary(id, len)).await.is_err() {
                        break;
                    }
                    book.borrow_mut().became(id, Sent::Certainly);
                }
                let _ = sender.close().await;
            });
            let book = books[1].clone();
            let receives = sim.spawn("server receives", async move {
                loop {
                    match receiver.receive().await {
                        Ok(Incoming::Message(Message::Binary(data))) => {
                            book.borrow_mut().receives_binary(data)
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
                let _ = receiver.close().await;
            });
            let (mut sender, mut receiver) = client.split();
            let book = books[1].clone();
            sim.spawn("client sends", async move {
                for id in 0..3 {
                    book.borrow_mut().begins(id);
                    let _ = sender.ping(b"?").await;
                    if sender.send(&ledger::binary(id, 50)).await.is_ok() {
                        book.borrow_mut().became(id, Sent::Certainly);
                    }
                }
                let _ = sender.close().await;
            });
            let book = books[0].clone();
            sim.spawn("client receives", async move {
                loop {
                    match receiver.receive().await {
                        Ok(Incoming::Message(Message::Binary(data))) => {
                            book.borrow_mut().receives_binary(data)
                        }
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
                let _ = receiver.close().await;
            });

            // One of the server's tasks, or both, from inside whatever poll it comes to.
            let victims = choices.of(&[&[sends][..], &[receives], &[sends, receives]]).to_vec();
            let only_the_sender = victims == [sends];
            let (killer, count) = (sim.clone(), victims.len());
            let mut victims = victims.into_iter();
            net.reenter(move || {
                if let Some(victim) = victims.next() {
                    killer.kill(victim);
                }
            });
            let outcome = sim.run();
            assert!(outcome.elapsed <= Duration::from_secs(5));
            for (end, from) in FROM.into_iter().enumerate() {
                wire::check_broken(from, &net.recorded(end));
            }
            if only_the_sender {
                // Its receiver lives and finishes what it began, also the message that was going out just then.
                let seen = wire::check_closed(FROM[0], &net.recorded(0));
                wire::no_message_is_cut(&seen);
            }
            books[0].borrow().settle_broken();
            let mut kills = killed.get();
            kills[count] += 1;
            killed.set(kills);
        },
    );
    let [_, one, both] = killed.get();
    assert!(is_replay() || (one > 100 && both > 100));
}

// --- everything else ----------------------------------------------------------------------------------------------

/// What can be done to a connection without waiting: by its handles, and by its halves when nobody is using them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Queue,
    /// The same at the other end.
    Tell,
    /// A future of the sender, dropped when it has been polled once; as those of the receiver, and of closing.
    Sender(Op),
    Receive,
    // The others end the connection.
    Close,
    CloseNow,
    QueueClose,
    QueueCloseNow,
    /// Drops a task with what it is doing, and the half that is in it, or both.
    Kill,
}

const CALLS: [Call; 14] = [
    Call::Queue,
    Call::Tell,
    Call::Sender(Op::Send(0)),
    Call::Sender(Op::SendAsIs(0)),
    Call::Sender(Op::Feed(0)),
    Call::Sender(Op::Ping),
    Call::Sender(Op::Pong),
    Call::Sender(Op::Flush),
    Call::Receive,
    Call::Close,
    Call::CloseNow,
    Call::QueueClose,
    Call::QueueCloseNow,
    Call::Kill,
];
/// So many of them go on.
const GENTLE: usize = 9;

/// An end whose stream does all that to it. The halves are the tasks' alone, and go with them.
struct Ours {
    sim: Sim,
    net: SimNet,
    end: usize,
    /// Of this end, and of the other.
    handles: [QueueHandle<SimStream>; 2],
    cork: CorkHandle<SimStream>,
    sender: Weak<RefCell<Sender<SimStream>>>,
    receiver: Weak<RefCell<Receiver<SimStream>>>,
    tasks: RefCell<Vec<TaskId>>,
    longest: usize,
    /// The peer stays to the end.
    is_well: bool,
    next: Cell<u32>,
    /// Of what we say and of what we hear: what halves send, what streams queue, what others do.
    books: [[Shared<Ledger>; 3]; 2],
    /// What our Close may say: what a handle said last, and halves after that.
    codes: RefCell<Vec<u16>>,
    /// A handle was told that it closes the connection.
    is_closing: Cell<bool>,
    /// Bytes on the wire when a handle first dropped what had not begun.
    gave_up_at: Cell<Option<usize>>,
    /// Whether what was accepted arrives, here and there.
    promises: [Cell<bool>; 2],
    /// A half has seen the end; the receiver has.
    is_closed: Cell<bool>,
    has_heard_all: Cell<bool>,
    pauses: Cell<usize>,
}

impl Ours {
    /// A number for a message of one of the three.
    fn id(&self, who: u32) -> u32 {
        self.next.set(self.next.get() + 1);
        who << 16 | self.next.get()
    }

    fn arrived(&self, way: usize, data: &[u8]) {
        let id = ledger::binary_id(data);
        self.books[way][(id >> 16) as usize].borrow_mut().receives(id);
    }

    fn length(&self) -> usize {
        let choices = self.sim.choices();
        choices.between(8, choices.of(&[100, self.longest, self.longest]))
    }

    async fn pause(&self) {
        self.pauses.set(self.pauses.get() + 1);
        yield_now().await;
    }

    /// Tells whether anything came of it.
    async fn call(&self, call: Call, who: u32) -> bool {
        let code = CloseCode::new(3000 + self.id(0) as u16 % 2000).unwrap();
        match call {
            Call::Queue => {
                let was_closing = self.is_closing.get();
                let accepted = self.queue(0, who);
                assert!(!accepted || !was_closing, "accepted behind our Close");
                accepted
            }
            Call::Tell => self.queue(1, who),
            Call::Sender(op) => {
                let Some(sender) = self.sender.upgrade() else { return false };
                let Ok(mut sender) = sender.try_borrow_mut() else { return false };
                let op = match op {
                    Op::Send(_) => Op::Send(self.length()),
                    Op::SendAsIs(_) => Op::SendAsIs(self.length()),
                    Op::Feed(_) => Op::Feed(self.length()),
                    short => short,
                };
                perform(&mut sender, op, Fate::DroppedAfter(1), self.id(0), &self.books[0][0]).await.is_ok()
            }
            Call::Receive => {
                let Some(receiver) = self.receiver.upgrade() else { return false };
                let Ok(mut receiver) = receiver.try_borrow_mut() else { return false };
                self.receive(&mut receiver, 1).await.is_ok()
            }
            Call::Close | Call::CloseNow => {
                let (sender, receiver) = (self.sender.upgrade(), self.receiver.upgrade());
                let mut sender = sender.as_ref().and_then(|sender| sender.try_borrow_mut().ok());
                let mut receiver = receiver.as_ref().and_then(|receiver| receiver.try_borrow_mut().ok());
                // A receiver that closes throws away what comes.
                self.promises[1].set(self.promises[1].get() && sender.is_some());
                let closes = match (call, &mut sender, &mut receiver) {
                    (Call::Close, Some(sender), _) => sender.close(),
                    (Call::Close, _, Some(receiver)) => receiver.close(),
                    (_, Some(sender), _) => sender.close_now(code, ""),
                    (_, _, Some(receiver)) => receiver.close_now(code, ""),
                    (_, None, None) => return false,
                };
                if call == Call::CloseNow {
                    self.codes.borrow_mut().push(code.get());
                    self.promises[0].set(false);
                }
                cut(closes, 1).await;
                true
            }
            Call::QueueClose => self.closes(self.handles[0].queue_close(code, "soon"), code),
            Call::QueueCloseNow => {
                let at = self.net.recorded_len(self.end);
                let accepted = self.closes(self.handles[0].close_now(code, "now"), code);
                if accepted {
                    self.promises[0].set(false);
                    self.gave_up_at.set(self.gave_up_at.get().or(Some(at)));
                }
                accepted
            }
            Call::Kill => {
                let victim = self.sim.choices().of(&self.tasks.borrow());
                let lives = !self.sim.has_ended(victim);
                self.sim.kill(victim);
                // It may have been the one who was to close.
                self.codes.borrow_mut().push(CloseCode::GOING_AWAY.get());
                let handle = self.handles[0].clone();
                self.sim.spawn("the room closes", async move {
                    let _refused = handle.queue_close(CloseCode::GOING_AWAY, "");
                });
                lives
            }
        }
    }

    fn queue(&self, end: usize, who: u32) -> bool {
        let (id, len) = (self.id(who), if end == 0 { self.length() } else { 16 });
        let (book, handle) = (&self.books[end][who as usize], &self.handles[end]);
        book.borrow_mut().begins(id);
        let result = handle.queue(&EncodedFrame::binary(&ledger::binary(id, len)));
        book.borrow_mut().became(id, if result.is_ok() { Sent::Certainly } else { Sent::Never });
        let is_there = self.sender.strong_count() + self.receiver.strong_count() > 0;
        assert!(result != Err(QueueError::Full) || handle.queued_bytes() > 0 || !is_there, "full of nothing");
        result.is_ok()
    }

    fn closes(&self, result: Result<(), QueueError>, code: CloseCode) -> bool {
        if result.is_ok() {
            *self.codes.borrow_mut() = vec![code.get()];
            self.is_closing.set(true);
        }
        result.is_ok()
    }

    async fn receive(&self, receiver: &mut Receiver<SimStream>, polls: usize) -> Result<(), Error> {
        match cut(receiver.receive(), polls).await {
            Some(Ok(Incoming::Message(Message::Binary(data)))) => self.arrived(1, data),
            Some(Err(error)) => return Err(error),
            _ => {}
        }
        Ok(())
    }

    /// How a half has ended.
    fn ended(&self, result: &Result<(), Error>) {
        assert!(result.is_ok() || !self.is_well, "{result:?}");
        self.is_closed.set(true);
    }

    async fn receive_all(self: Rc<Self>, receiver: Rc<RefCell<Receiver<SimStream>>>) {
        let error = loop {
            let polls = self.sim.choices().of(&[1, 2, usize::MAX, usize::MAX]);
            if let Err(error) = self.receive(&mut receiver.borrow_mut(), polls).await {
                break error;
            }
            self.pause().await;
        };
        assert!(error.is_clean_close() || !self.is_well, "{error:?}");
        self.has_heard_all.set(true);
        self.ended(&receiver.borrow_mut().close().await);
    }

    async fn send_all(self: Rc<Self>, sender: Rc<RefCell<Sender<SimStream>>>, closes: bool) {
        let choices = self.sim.choices();
        for _ in 0..choices.between(1, 5) {
            let len = self.length();
            let op = choices.of(&[Op::Send(len), Op::SendAsIs(len), Op::Send(len), Op::Feed(len), Op::Ping]);
            let fate = choices.of(&[Fate::Awaited, Fate::Awaited, Fate::DroppedAfter(choices.choose(5))]);
            let sent = perform(&mut sender.borrow_mut(), op, fate, self.id(0), &self.books[0][0]).await;
            assert!(self.sim.elapsed().is_zero() || !self.is_well, "it has waited for the peer's Close");
            if sent.is_err() {
                break;
            }
            for _ in 0..choices.choose(3) {
                self.pause().await;
            }
        }
        if closes {
            self.ended(&sender.borrow_mut().close().await);
        }
    }

    /// Somebody else queues, from outside.
    async fn queue_all(self: Rc<Self>) {
        for _ in 0..self.sim.choices().choose(6) {
            for _ in 0..self.sim.choices().between(1, 4) {
                self.call(self.sim.choices().of(&[Call::Queue, Call::Queue, Call::Tell]), 2).await;
            }
            self.pause().await;
        }
    }

    /// What the stream does inside a poll: some of `calls`, at times in a scope and a batch of their own, that are dropped then.
    fn reenter(&self, most_calls: usize, mut count: impl FnMut(usize, bool)) {
        let choices = self.sim.choices();
        let work = async {
            for _ in 0..choices.between(1, 3) {
                let ends = most_calls > GENTLE && choices.one_in(3);
                let call =
                    if ends { choices.between(GENTLE, most_calls - 1) } else { choices.choose(GENTLE) };
                // Twice in the same poll is a thing of its own.
                for _ in 0..choices.between(1, 2) {
                    let did = self.call(CALLS[call], 1).await;
                    self.sim.trace().say(format!("{:?} {did}", CALLS[call]));
                    count(call, did);
                }
            }
            if choices.one_in(3) {
                yield_now().await;
            }
        };
        let mut once = Context::from_waker(Waker::noop());
        let _dropped = match choices.choose(5) {
            0..2 => pin!(work).poll(&mut once),
            2 => pin!(batch(work)).poll(&mut once),
            3 => pin!(self.cork.scope(work)).poll(&mut once),
            _ => pin!(self.cork.scope(batch(work))).poll(&mut once),
        };
    }

    /// What is on the wire, and in the books, is what it should be; tells how many messages were cut by a Close.
    fn judge(&self, model: Model) -> usize {
        let (end, peer) = (self.end, 1 - self.end);
        let seen = wire::check_broken(FROM[end], &self.net.recorded(end));
        let whole = seen.events.iter().filter(|event| matches!(event, Event::Binary(_))).count();
        let begun = seen.frames.iter().filter(|frame| frame.opcode == slow::BINARY).count();
        if let Some(at) = self.gave_up_at.get() {
            // A stream that keeps what it was given has begun to write it, too.
            let at = if model == Model::ReadMayWrite { at + 48 } else { at };
            let more = wire::frames_from(FROM[end], &seen, at);
            assert!(more.iter().all(|frame| frame.opcode == slow::CLOSE), "{:?}", wire::brief(&seen.events));
        }
        let [said, heard] = self.books.each_ref().map(|books| books.each_ref().map(|book| book.borrow()));
        if self.is_well && self.is_closed.get() {
            let seen = wire::check_closed(FROM[end], &self.net.recorded(end));
            wire::check_closed(FROM[peer], &self.net.recorded(peer));
            let code = wire::close_code(&seen).unwrap();
            assert!(code == 1011 || self.codes.borrow().contains(&code), "{code}, not {:?}", self.codes);
            assert_eq!(whole, said.iter().map(|book| book.received_count()).sum::<usize>());
            // A dropped `send` with more left than is kept gives up, too.
            if self.promises[0].get() && code != 1011 {
                wire::no_message_is_cut(&seen);
                said.iter().for_each(|book| book.settle());
            }
        }
        if self.is_well && self.has_heard_all.get() && self.promises[1].get() {
            heard.iter().for_each(|book| book.settle());
        }
        said.iter().for_each(|book| book.settle_broken());
        if self.promises[1].get() {
            heard.iter().for_each(|book| book.settle_broken());
        }
        assert!(self.net.is_dropped(end), "the stream is not let go");
        assert_eq!(self.handles[0].queue(&EncodedFrame::text("late")), Err(QueueError::Closed));
        begun - whole
    }
}

/// After so long a peer closes that is late.
const LATE: Duration = Duration::from_secs(1);

/// Sends a little, and closes if it is to; receives to the end, and closes, be it late.
fn spawn_peer(ours: &Rc<Ours>, peer: Socket, messages: u32, closes: bool, is_late: bool) -> [TaskId; 2] {
    let (mut sender, mut receiver) = peer.split();
    let (book, ours) = (ours.books[1][0].clone(), ours.clone());
    let sim = ours.sim.clone();
    let sends = sim.spawn("they send", async move {
        for id in 0..messages {
            book.borrow_mut().begins(id);
            let (_pinged, _again) = (sender.ping(b"there?").await, sender.ping(b"and now?").await);
            if sender.send(&ledger::binary(id, 50)).await.is_err() {
                return;
            }
            book.borrow_mut().became(id, Sent::Certainly);
            yield_now().await;
        }
        if closes {
            let _broken = sender.close().await;
        }
    });
    let receives = sim.spawn("they receive", async move {
        loop {
            match receiver.receive().await {
                Ok(Incoming::Message(Message::Binary(data))) => ours.arrived(0, data),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        if is_late {
            ours.sim.sleep(LATE).await;
        }
        let _broken = receiver.close().await;
    });
    [sends, receives]
}

#[test]
fn whatever_a_stream_does_to_its_connection_from_inside_a_poll_cuts_nothing_and_leaves_nobody_waiting() {
    let name =
        "whatever_a_stream_does_to_its_connection_from_inside_a_poll_cuts_nothing_and_leaves_nobody_waiting";
    // For each call and each operation that it came from inside of: how often, and how often anything came of it.
    let counts = shared([[[0_usize; 2]; 4]; CALLS.len()]);
    let (closed, cut) = (Cell::new(0), Cell::new(0));
    each_seed_and_model(name, 800, |run| {
        let sim = Sim::new(run);
        let choices = sim.choices().clone();
        let (end, is_long, is_poor) = (choices.choose(2), choices.one_in(2), choices.one_in(4));
        let fragment = choices.of(if is_long { &[1000, 4000, 64 << 10] } else { &[20, 64 << 10] });
        let config = Config::new().outbox(choices.of(&[1, 200, 64 << 10])).fragment(fragment);
        let config = maybe_deflate(config, &choices);
        let mut configs = [config.clone(), config.clone()];
        configs[end] = config.max_message(if is_poor { 10_000 } else { 1 << 20 });
        let capacity = choices.of(if is_long { &[2000, 9000, 50_000] } else { &[20, 100, 400] });
        let net = Net::new(run.model).capacity(capacity).noise(choices.of(&[50, 200, 1000]));
        let (net, mut sockets) = pair(&sim, net, configs);
        sockets.rotate_left(end);
        let [socket, peer] = sockets;
        let handles = [&socket, &peer].map(|socket| socket.sender.queue_handle());
        let cork = socket.cork_handle();
        let (sender, receiver) = socket.split();
        let (sender, receiver) = (Rc::new(RefCell::new(sender)), Rc::new(RefCell::new(receiver)));
        let ours = Rc::new(Ours {
            sim: sim.clone(),
            net: net.clone(),
            end,
            handles,
            cork: cork.clone(),
            sender: Rc::downgrade(&sender),
            receiver: Rc::downgrade(&receiver),
            tasks: RefCell::default(),
            longest: if is_long { 40 << 10 } else { 150 },
            is_well: !choices.one_in(8),
            next: Cell::new(0),
            books: Default::default(),
            codes: RefCell::new(vec![1000]),
            is_closing: Cell::new(false),
            gave_up_at: Cell::new(None),
            promises: [Cell::new(true), Cell::new(true)],
            is_closed: Cell::new(false),
            has_heard_all: Cell::new(false),
            pauses: Cell::new(0),
        });

        // Both halves in a task, or each in its own, in a scope or a batch or not; or no receiver.
        let shape = choices.choose(6);
        let closes = shape == 5 || choices.one_in(2);
        let is_late = choices.one_in(3);
        let peers =
            spawn_peer(&ours, peer, choices.of(&[0, 2, if is_long { 40 } else { 12 }]), !closes, is_late);
        if !ours.is_well {
            let (ours, turns) = (ours.clone(), choices.choose(20));
            sim.spawn("they die", async move {
                for _ in 0..turns {
                    ours.pause().await;
                }
                peers.into_iter().for_each(|peer| ours.sim.kill(peer));
            });
        }
        let sends = ours.clone().send_all(sender, closes);
        let receives = ours.clone().receive_all(receiver);
        let both = |sends, receives| async { _ = zip(sends, receives).await };
        let tasks = match shape {
            0 | 1 => vec![sim.spawn("we send", sends), sim.spawn("we receive", receives)],
            2 => vec![sim.spawn("we", both(sends, receives))],
            3 => vec![sim.spawn("we, corked", async move { cork.scope(both(sends, receives)).await })],
            4 => vec![
                sim.spawn("we send, corked in a batch", batch(async move { cork.scope(sends).await })),
                sim.spawn("we receive", receives),
            ],
            _ => {
                drop(receives);
                vec![sim.spawn("we send", sends)]
            }
        };
        *ours.tasks.borrow_mut() = tasks;
        if choices.one_in(2) {
            sim.spawn("a room", batch(ours.clone().queue_all()));
        } else {
            sim.spawn("a room", ours.clone().queue_all());
        }

        // Some streams never end the connection; the others, not at once.
        let most_calls = choices.of(&[GENTLE, CALLS.len() - 1, CALLS.len()]);
        let ends_after = choices.choose(choices.of(&[4, 40]));
        let (inside, counting, mut nth) = (ours.clone(), counts.clone(), 0);
        net.reenter_from(move |at, op| {
            nth += 1;
            inside.reenter(if nth < ends_after { GENTLE } else { most_calls }, |call, did| {
                if at == end {
                    let [all, done] = &mut counting.borrow_mut()[call][op as usize];
                    *all += 1;
                    *done += usize::from(did);
                }
            });
        });
        let outcome = sim.run();
        let longest = if is_late { LATE } else { Duration::ZERO };
        let longest = if ours.is_well { longest } else { Duration::from_secs(5) };
        assert!(outcome.elapsed <= longest, "something waited for an alarm");
        // Nobody spins: as in tests/waking.rs, and those who look again by themselves do so as often as they say.
        let most = (outcome.events + net.progress() + net.noise_made() + ours.pauses.get()) * 2 / 3 + 40;
        assert!(outcome.polls <= most, "{} polls, {most} allowed: {outcome:?}", outcome.polls);
        cut.set(cut.get() + ours.judge(run.model));
        closed.set(closed.get() + usize::from(ours.is_closed.get()));
        // It holds what it is called from.
        net.reenter(|| {});
    });
    let counts = *counts.borrow();
    for (call, [read, write, flush, close]) in CALLS.iter().zip(counts) {
        println!("{call:?}: in a read {read:?}, a write {write:?}, a flush {flush:?}, a close {close:?}");
        let often = read[0] > 200 && write[0] > 300 && flush[0] > 20 && close[0] > 2 && write[1] > 150;
        assert!(is_replay() || often, "{call:?} is seldom made");
    }
    println!("{} runs closed to the end, {} messages cut", closed.get(), cut.get());
    assert!(is_replay() || (closed.get() > 3_000 && cut.get() > 200));
}
