//! The whole server in a simulated world (T30): its real tasks over the streams and the clock of the test kit, hundreds of lives of
//! clients a run, and all of it decided by a seed.
//!
//! Clients play, fall silent for a while, are cut off in four ways, come back with their ticket in time or too late, or before
//! the server knows that they are gone; some read nothing, talk nonsense, ask for too much, or never finish their request. Time jumps
//! by seconds, as when the machine sleeps. Bots fly as they always do. What must hold:
//!
//! * A client sees each tick of its battle once and in order, from its welcome to its end; at the end of the run it has seen the last.
//! * A fight is followed by its result and a result by a fight, and no shot flies while a result is shown.
//! * No score is lost: not by a tick, not by a cut, not by coming back within the time that seats are kept; and a seat is given up
//!   when that is over, not before. A new fight begins at nothing.
//! * Nobody is closed with a code that it did not earn, and nobody who earned one plays on.
//! * In the end no task is left, no connection, no battle, and nothing has panicked.
//!
//! `SEED=7 cargo test --example battle simulation` replays one run; `RUNS=100000` makes more of them.
#![allow(clippy::arithmetic_side_effects, reason = "a test counts small numbers")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use unsync_websocket::{Client, Server, WebSocket};

use super::*;
use crate::battle::Look;
use crate::brain::Brain;
use crate::kit::choices::Chooser;
use crate::kit::net::{self, Model, SimNet, SimStream};
use crate::kit::runs::{Run, Shared, each_seed, is_replay, shared};
use crate::kit::sim::Sim;
use crate::rules::{Rules, ticks};
use crate::ticket::{Ticket, digits};
use crate::wire::{Command, Event, Phase, events};

/// Clients of a run.
const CLIENTS: usize = 5;

/// There is but one thread.
impl Socket for SimStream {
    type Packed = Self;

    fn pack(self) -> Self {
        self
    }

    fn unpack(packed: Self) -> io::Result<Self> {
        Ok(packed)
    }
}

/// What a run has in common.
#[derive(Clone)]
struct World {
    sim: Sim,
    manager: Rc<BattleManager>,
    cores: Rc<Cores<SimStream>>,
    rules: Rules,
    /// Whether it lasts long enough for one that does not read to be found out.
    is_long: bool,
    /// Ticks so far, of every battle.
    ticks: Rc<Cell<u32>>,
    /// Nobody connects any more.
    is_ending: Rc<Cell<bool>>,
    /// Tasks that are still running: of the server, and of clients.
    serving: Rc<Cell<u32>>,
    living: Rc<Cell<u32>>,
    nets: Shared<Vec<SimNet>>,
    /// The last tick that each client saw which just now plays and reads, by its ticket.
    seen: Shared<BTreeMap<[u8; 16], u32>>,
    /// How often what happened, over all runs.
    tally: Shared<BTreeMap<&'static str, u32>>,
}

impl World {
    fn count(&self, what: &'static str) {
        *self.tally.borrow_mut().entry(what).or_default() += 1;
    }

    fn choices(&self) -> &Chooser {
        self.sim.choices()
    }

    async fn sleep(&self, ticks: usize) {
        self.sim.sleep(arena::TICK * u32::try_from(ticks).unwrap()).await;
    }

    /// A connection to the server, which has its task from now on.
    fn connect(&self) -> (SimNet, SimStream) {
        let choices = self.choices();
        let model = choices.of(&Model::ALL);
        let config =
            net::Config::new(model).capacity(choices.of(&[4096, 300, 64])).chop(choices.choose(2) == 1);
        let (net, server, client) = SimNet::new(&self.sim, config);
        let world = self.clone();
        self.serving.update(|count| count + 1);
        self.sim.spawn("server", async move {
            let server = Server::with_timer(server, world.sim.timer());
            // A client that does not read is to be noticed within the run.
            let desk = Desk { cores: &world.cores, config: config_of_run(), manager: Some(&world.manager) };
            desk.serve(server, None).await;
            world.serving.update(|count| count - 1);
        });
        self.nets.borrow_mut().push(net.clone());
        (net, client)
    }

    async fn open(&self, stream: SimStream, ticket: Option<[u8; 16]>) -> Option<WebSocket<SimStream>> {
        let target = match ticket {
            Some(ticket) => format!("/ws?ticket={}", digits(ticket)),
            None => String::from("/ws"),
        };
        Client::with_timer(stream, "localhost", target, self.sim.timer()).connect().await.ok()
    }
}

fn config_of_run() -> Config {
    config(false).outbox(1024)
}

/// Which seat somebody had, and when it was last sure to be on it.
#[derive(Clone)]
struct Seat {
    ticket: [u8; 16],
    name: String,
    score: u32,
    round: Option<(Phase, u32)>,
    left: u32,
}

/// One connection as its client sees it.
struct View {
    world: World,
    /// What it came back for.
    seat: Option<Seat>,
    you: u16,
    ticket: [u8; 16],
    tick: Option<u32>,
    round: Option<(Phase, u32)>,
    names: BTreeMap<u16, String>,
    scores: BTreeMap<u16, u32>,
    brain: Brain,
}

impl View {
    /// Takes in a payload, whose every event must be one that may follow; gives what the brain says to it.
    fn take(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut asked = Vec::new();
        for event in events(payload) {
            self.look(&event);
            self.brain.hear(&event, &mut asked);
        }
        asked
    }

    fn look(&mut self, event: &Event<'_>) {
        assert_eq!(
            matches!(event, Event::Welcome { .. }),
            self.you == 0,
            "a welcome is the first event and no other"
        );
        match event {
            Event::Welcome { you, ticket, .. } => self.welcome(*you, *ticket),
            Event::Joined { id, name, .. } => {
                let before = self.names.insert(*id, (*name).to_owned());
                assert_eq!(before, None, "{name} is here already");
            }
            Event::Left { id } => {
                assert!(self.names.remove(id).is_some(), "{id} leaves, and was not here");
                self.scores.remove(id);
            }
            Event::Score { id, score } => self.score(*id, *score),
            Event::Hit { .. } => assert!(!self.shows_result(), "a hit while the result is shown"),
            Event::Round { phase, ends, .. } => self.turn(*phase, *ends),
            Event::Frame { tick, ships, shots } => {
                if let Some(before) = self.tick.replace(*tick) {
                    assert_eq!(*tick, before + 1, "a tick is missing, or comes twice");
                }
                self.world.seen.borrow_mut().insert(self.ticket, *tick);
                assert!(shots.is_empty() || !self.shows_result(), "a shot while the result is shown");
                assert!(
                    ships.iter().map(|ship| ship.id).eq(self.names.keys().copied()),
                    "ships have names, pilots ships"
                );
            }
            Event::Refused => panic!("our names are good"),
            Event::Pong(_)
            | Event::Said { .. }
            | Event::Lobby(_)
            | Event::Stay { .. }
            | Event::Won { .. } => {}
        }
    }

    fn shows_result(&self) -> bool {
        matches!(self.round, Some((Phase::Result, _)))
    }

    fn welcome(&mut self, you: u16, ticket: [u8; 16]) {
        (self.you, self.ticket) = (you, ticket);
        let Some(seat) = &self.seat else { return };
        if seat.ticket == ticket {
            self.world.count("came back in time");
            return;
        }
        let away = self.world.ticks.get() - seat.left;
        assert!(away >= self.world.rules.keep, "{}: the seat was given up after {away} ticks", seat.name);
        self.world.count("came back too late");
        self.seat = None;
    }

    fn turn(&mut self, phase: Phase, ends: u32) {
        match (self.round, phase) {
            (Some((Phase::Fight, _)), Phase::Result) => self.world.count("saw a fight end"),
            (Some((Phase::Result, _)), Phase::Result) => panic!("a result follows a result"),
            (Some((Phase::Fight, _)), Phase::Fight) => {
                assert!(self.names.is_empty(), "a fight begins anew while somebody plays");
            }
            _ => {}
        }
        if phase == Phase::Fight && self.round.is_some() {
            self.scores.clear();
        }
        self.round = Some((phase, ends));
    }

    fn score(&mut self, id: u16, score: u32) {
        let before = self.scores.insert(id, score);
        assert!(before.is_none_or(|before| score >= before), "{id} had {before:?} and has {score}");
        if let Some(seat) = self.seat.take_if(|_| id == self.you) {
            assert_eq!(self.names.get(&id), Some(&seat.name));
            if seat.round == self.round {
                assert!(score >= seat.score, "{} had {} and comes back with {score}", seat.name, seat.score);
                if score > 0 {
                    self.world.count("came back with a score");
                }
            }
        }
    }
}

/// What a client does with one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Plays for so many frames, with pauses in which nothing is read, and then ends in that way.
    Play(End),
    /// Comes, and reads nothing until it is parted with.
    Deaf,
    Nonsense,
    Flood,
    /// A frame that breaks the protocol.
    Broken,
    /// A part of a request, and nothing more.
    Silent,
    /// Asks for something else.
    Lost,
}

impl Way {
    const ALL: [Self; 7] = [
        Self::Play(End::Drop),
        Self::Deaf,
        Self::Nonsense,
        Self::Flood,
        Self::Broken,
        Self::Silent,
        Self::Lost,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Close,
    Drop,
    Reset,
    /// The network is gone, and the server does not know.
    Vanish,
    /// When the server says so.
    Stay,
}

impl End {
    const ALL: [Self; 5] = [Self::Stay, Self::Close, Self::Drop, Self::Reset, Self::Vanish];
}

/// A client, life after life.
async fn client(world: World, number: usize) {
    let mut seat: Option<Seat> = None;
    for life in 0.. {
        let pause = world.choices().of(&[0, 1, 20, 60, 200, 310, 400]);
        world.sleep(pause).await;
        if world.is_ending.get() {
            break;
        }
        let way = match world.choices().choose(2) {
            _ if world.is_long && (number, life) == (0, 0) => Way::Deaf,
            0 => Way::Play(world.choices().of(&End::ALL)),
            _ => world.choices().of(&Way::ALL),
        };
        let (net, stream) = world.connect();
        match way {
            Way::Play(end) => {
                let back = seat.take_if(|_| !world.choices().one_in(5));
                let name = format!("{number}.{life}");
                // Nobody sits down twice: who forgets the ticket is somebody else.
                seat = play(&world, net, stream, end, back, name).await;
            }
            Way::Silent => {
                net.inject(1, b"GET /ws HTTP/1.1\r\nHost: localhost\r\n");
                is_hung_up(stream).await;
                world.count("never finished the request");
            }
            Way::Lost => {
                net.inject(1, b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
                is_hung_up(stream).await;
            }
            _ => misbehave(&world, net, stream, way).await,
        }
    }
    world.living.update(|count| count - 1);
}

async fn is_hung_up(mut stream: SimStream) {
    let mut rest = Vec::new();
    let _ = futures_lite::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
}

/// Plays, on the seat that is waiting if there is one; gives the seat that was left, if it is kept.
async fn play(
    world: &World,
    net: SimNet,
    stream: SimStream,
    end: End,
    back: Option<Seat>,
    name: String,
) -> Option<Seat> {
    let mut websocket = world.open(stream, back.as_ref().map(|seat| seat.ticket)).await?;
    let seed = u64::try_from(world.choices().choose(1 << 30)).unwrap();
    let mut view = View {
        world: world.clone(),
        seat: back,
        you: 0,
        ticket: [0; 16],
        tick: None,
        round: None,
        names: BTreeMap::new(),
        scores: BTreeMap::new(),
        brain: Brain::new(StdRng::seed_from_u64(seed)),
    };
    let mut payload = Vec::new();
    let mut frames = world.choices().of(&[5, 60, 200, 300]);
    let mut has_asked = false;
    let mut rested = 0;
    let closed = loop {
        payload.clear();
        if let Err(error) = websocket.receiver.receive_data(&mut payload).await {
            break Some(error);
        }
        let mut asked = view.take(&payload);
        if !has_asked && view.seat.is_none() && !view.names.contains_key(&view.you) {
            Command::Join { version: wire::VERSION, name: &name }.encode(&mut asked);
            has_asked = true;
        }
        // The server may be about to close.
        if !asked.is_empty() && websocket.sender.send(&asked).await.is_err() {
            continue;
        }
        frames -= usize::from(end != End::Stay);
        if frames == 0 {
            break None;
        }
        // It may stand still for two seconds, but not again at once: who is five seconds behind is parted with.
        if rested <= world.ticks.get() && world.choices().one_in(40) {
            net.stall(1, true);
            let pause = world.choices().between(1, 60);
            world.sleep(pause).await;
            net.stall(1, false);
            rested = world.ticks.get() + ticks(4);
        }
    };
    world.seen.borrow_mut().remove(&view.ticket);
    let left = world.ticks.get();
    match (closed, end) {
        (Some(error), _) => {
            let code = error.close_frame().map(|frame| frame.code());
            assert_eq!(code, Some(unsync_websocket::CloseCode::GOING_AWAY), "{error}");
            assert!(world.is_ending.get());
            websocket.close().await.unwrap();
            world.count("played to the end");
            return None;
        }
        (None, End::Close) => {
            // What is still coming is read on the way, and looked at by nobody.
            websocket.close().await.unwrap();
        }
        (None, End::Reset) => net.reset(1),
        (None, End::Vanish) => {
            net.stall(0, true);
            net.stall(1, true);
            let lingers = world.choices().of(&[10, 100, 500]);
            let (other, ghost) = (world.clone(), websocket);
            world.living.update(|count| count + 1);
            world.sim.spawn("ghost", async move {
                other.sleep(lingers).await;
                drop(ghost);
                other.living.update(|count| count - 1);
            });
        }
        (None, End::Drop | End::Stay) => drop(websocket),
    }
    world.count(match end {
        End::Close => "left with a Close",
        End::Reset => "left with a reset",
        End::Vanish => "vanished",
        _ => "left without a word",
    });
    let name = view.names.get(&view.you)?.clone();
    let score = view.scores.get(&view.you).copied().unwrap_or(0);
    Some(Seat { ticket: view.ticket, name, score, round: view.round, left })
}

/// Comes to do something that the server must not bear, and is parted with.
async fn misbehave(world: &World, net: SimNet, stream: SimStream, way: Way) {
    let Some(mut websocket) = world.open(stream, None).await else { return };
    let mut asked = Vec::new();
    Command::Join { version: wire::VERSION, name: "x" }.encode(&mut asked);
    if websocket.sender.send(&asked).await.is_err() || websocket.sender.flush().await.is_err() {
        return;
    }
    asked.clear();
    let code = match way {
        Way::Deaf => {
            net.stall(1, true);
            let mut patience = 80;
            while patience > 0 && !world.is_ending.get() {
                patience -= 1;
                world.sleep(20).await;
            }
            net.stall(1, false);
            1013
        }
        Way::Nonsense => {
            let _ = websocket.sender.send(&[99]).await;
            1008
        }
        Way::Flood => {
            (0..100).for_each(|angle| Command::Aim(angle).encode(&mut asked));
            for _ in 0..6 {
                let _ = websocket.sender.send(&asked).await;
            }
            1008
        }
        _ => {
            net.inject(1, &[0xc2, 0x80, 0, 0, 0, 0]);
            1002
        }
    };
    let mut heard = 0;
    let error = loop {
        let mut payload = Vec::new();
        match websocket.receiver.receive_data(&mut payload).await {
            Ok(_) => heard += 1,
            Err(error) => break error,
        }
        // One that is not deaf any more, and not too late either, leaves.
        if way == Way::Deaf && heard > 2000 {
            return;
        }
    };
    let told = error.close_frame().map(|frame| frame.code().get());
    let is_ending = world.is_ending.get() && told == Some(1001);
    // The network was full: the Close may not have found room in it.
    let is_cut = way == Way::Deaf && told.is_none();
    assert!(told == Some(code) || is_ending || is_cut, "{way:?} should be told {code}: {error}");
    if !is_ending {
        world.count(match way {
            Way::Deaf => "was too slow",
            Way::Nonsense => "talked nonsense",
            Way::Flood => "asked for too much",
            _ => "broke the protocol",
        });
    }
    let _ = websocket.close().await;
}

/// Moves the battles on, looks at them, and in the end sends everybody away.
async fn host(world: World, total: u32) {
    let mut before: BTreeMap<u32, Look> = BTreeMap::new();
    for tick in 0..total {
        world.sim.sleep(arena::TICK).await;
        if world.choices().one_in(80) {
            let seconds = world.choices().of(&[1, 5, 20]);
            world.sim.sleep(Duration::from_secs(seconds)).await;
            world.count("time jumped");
        }
        if tick % 15 == 0 {
            while let Some(ticket) = world.manager.hire() {
                world.living.update(|count| count + 1);
                world.sim.spawn("bot", bot(world.clone(), ticket));
            }
        }
        world.ticks.set(tick + 1);
        world.manager.tick();
        before = compare(&world, before);
    }
    // Everybody has had time to read what there is; then nobody has missed anything.
    world.sleep(1000).await;
    for (ticket, seen) in &*world.seen.borrow() {
        let ticket = Ticket::in_query(&format!("ticket={}", digits(*ticket))).unwrap();
        let battles = world.manager.battles();
        let battle = battles.iter().find(|battle| battle.borrow().knows(ticket)).expect("it plays");
        assert_eq!(*seen, battle.borrow().now(), "the last tick has not arrived");
        world.count("saw the last tick");
    }
    world.is_ending.set(true);
    for _ in 0..2000 {
        world.manager.dismiss_all();
        world.manager.tick();
        world.sleep(1).await;
        if (world.living.get(), world.serving.get(), world.manager.battle_count()) == (0, 0, 0) {
            return;
        }
    }
    panic!(
        "{} clients, {} tasks, {} battles are left",
        world.living.get(),
        world.serving.get(),
        world.manager.battle_count()
    );
}

async fn bot(world: World, ticket: Ticket) {
    let (_, stream) = world.connect();
    if let Some(mut websocket) = world.open(stream, Some(ticket.bytes())).await {
        let brain = Brain::new(StdRng::seed_from_u64(u64::from(world.ticks.get())));
        bots::play(&mut websocket, ticket, brain).await.unwrap();
        let _ = websocket.close().await;
        world.count("bots flew");
    }
    world.living.update(|count| count - 1);
}

/// Compares each battle with what it was a tick ago: no score may be lost, no seat given up before its time.
fn compare(world: &World, before: BTreeMap<u32, Look>) -> BTreeMap<u32, Look> {
    let looks = world.manager.battles().into_iter().map(|battle| {
        assert!(!battle.borrow().has_failed(), "a battle has failed");
        let look = battle.borrow().look();
        (look.number, look)
    });
    let after: BTreeMap<u32, Look> = looks.collect();
    for (number, old) in before {
        let new = after.get(&number);
        // Bots are hired anew, and who misbehaves loses the seat.
        let players = old.seats.iter().filter(|(name, _)| *name != "x" && !name.ends_with("(bot)"));
        for (name, (had, until)) in players {
            let Some((has, kept)) = new.and_then(|new| new.seats.get(name)) else {
                let was_kept = until.is_some_and(|until| until <= old.now + 1);
                assert!(was_kept, "battle {number}: the seat of {name} is given up");
                continue;
            };
            let now = new.map_or(0, |new| new.now);
            assert!(kept.is_none_or(|until| until > now), "the seat of {name} is kept for ever");
            match (old.phase, new.map(|new| new.phase)) {
                (Phase::Result, Some(Phase::Fight)) => assert_eq!(*has, 0, "{name} begins with points"),
                _ => assert!(has >= had, "battle {number}: {name} had {had} and has {has}"),
            }
        }
    }
    after
}

/// One run; what it came to, to compare two with.
fn simulate(run: &Run, tally: &Shared<BTreeMap<&'static str, u32>>) -> (usize, Vec<usize>) {
    let sim = Sim::new(run);
    sim.most_steps(20_000_000);
    let choices = sim.choices();
    let rules = Rules {
        seats: choices.of(&[3, 2, 6]),
        bots: choices.choose(3),
        fight: choices.of(&[90, 600]),
        result: 20,
        goal: choices.of(&[150, 6]),
        idle: u32::MAX,
        deaf: Rules::default().deaf,
        keep: ticks(10),
    };
    let is_long = choices.one_in(8);
    let (cores, _inboxes) = Cores::new(1, 1, Limits::default());
    let world = World {
        sim: sim.clone(),
        cores: Rc::new(cores),
        manager: Rc::new(BattleManager::new(Core::ALONE, rules, StdRng::seed_from_u64(run.seed))),
        rules,
        is_long,
        ticks: Rc::default(),
        is_ending: Rc::default(),
        serving: Rc::default(),
        living: Rc::default(),
        nets: shared(Vec::new()),
        seen: Shared::default(),
        tally: tally.clone(),
    };
    for number in 0..CLIENTS {
        world.living.update(|count| count + 1);
        sim.spawn("client", client(world.clone(), number));
    }
    sim.spawn("host", host(world.clone(), if is_long { 1600 } else { 500 }));
    let outcome = sim.run();
    assert_eq!(Rc::strong_count(&world.manager), 1, "somebody still has the server");
    let nets = world.nets.take();
    (outcome.steps, nets.iter().flat_map(|net| [net.recorded_len(0), net.recorded_len(1)]).collect())
}

#[test]
fn the_whole_server_holds_what_it_promises() {
    let tally = Shared::default();
    each_seed("--example battle the_whole_server", 300, |run| {
        simulate(run, &tally);
    });
    let tally = tally.borrow();
    println!("{tally:#?}");
    if is_replay() {
        return;
    }
    let wanted = [
        "came back in time",
        "came back too late",
        "came back with a score",
        "saw a fight end",
        "saw the last tick",
        "played to the end",
        "left with a Close",
        "left with a reset",
        "left without a word",
        "vanished",
        "was too slow",
        "talked nonsense",
        "asked for too much",
        "broke the protocol",
        "never finished the request",
        "time jumped",
        "bots flew",
    ];
    for what in wanted {
        assert!(tally.get(what).is_some_and(|&count| count > 9), "{what}: too seldom");
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    each_seed("--example battle a_seed_is", 4, |run| {
        let again = Run {
            seed: run.seed,
            model: run.model,
            choices: Chooser::seeded(run.seed),
            trace: Default::default(),
        };
        assert_eq!(simulate(run, &Shared::default()), simulate(&again, &Shared::default()));
    });
}
