//! A battle: the clients of one arena, what they ask for, and what they are told.
//!
//! Everything here is called between two awaits of some client's task, or by the tick; nothing waits. What all
//! clients shall know gathers in `outbox`, and [`Battle::flush`] writes it to each client's ring as one record.
//!
//! Should anything here panic, then this battle has failed and no other: [`Battle::guarded`] ends it.

use std::collections::BTreeMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use unsync_websocket::{BufWriter, RingError};

use crate::allowance::Allowance;
use crate::arena::{self, Arena, Hit};
use crate::attention::{Attention, Next};
use crate::bots;
use crate::change::{Change, REST};
use crate::dismissal::{Dismissal, Notice};
use crate::lobby::{Lobby, Won};
use crate::name;
use crate::results::Scores;
use crate::round::Round;
use crate::rules::Rules;
use crate::ticket::Ticket;
use crate::wire::{self, Command, Event, Listing, Phase, Why};

/// Points for a hit, and for the one that destroys.
const HIT: u32 = 1;
const KILL: u32 = 5;

/// A client's number within its battle; on the wire, the id of its ship.
pub(crate) type Cid = u16;

/// The clients of one arena.
pub(crate) struct Battle {
    number: u32,
    core: u8,
    rules: Rules,
    round: Round,
    arena: Arena,
    clients: BTreeMap<Cid, Client>,
    absent: Vec<Absent>,
    last_cid: Cid,
    tickets: StdRng,
    outbox: Vec<u8>,
    has_failed: bool,
    /// What is known of all battles.
    lobby: Rc<Lobby>,
    /// Who won, until somebody takes it.
    won: Option<Won>,
    /// Of the people in rounds that are over, until somebody takes them.
    results: Scores,
    /// Where a test wants it to panic.
    #[cfg(test)]
    pub(crate) bomb: Option<&'static str>,
}

/// What a test compares.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) number: u32,
    pub(crate) now: u32,
    pub(crate) phase: Phase,
    /// Of every seat that is taken, by name: the score, and the tick until which it is kept if nobody sits on it.
    pub(crate) seats: BTreeMap<String, (u32, Option<u32>)>,
}

struct Client {
    /// To the task that sends. Dropping it ends that task when all is sent.
    writer: BufWriter,
    notice: Rc<Notice>,
    ticket: Ticket,
    allowance: Allowance,
    attention: Attention,
    /// The tick when it came.
    since: u32,
    /// The tick when it last asked for something.
    active: u32,
    /// `None` for one who only looks on, as everybody does until the name is known.
    pilot: Option<Pilot>,
}

struct Pilot {
    name: String,
    hue: u8,
    score: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Person,
    Bot,
}

/// A player who was cut off and may come back; or one who comes from another battle, or a bot that was hired, and has yet to come.
struct Absent {
    ticket: Ticket,
    /// `None` for one who only looks on.
    pilot: Option<Pilot>,
    /// The tick when the seat is given up.
    until: u32,
}

impl Battle {
    /// An arena for nobody yet, on this core. What is random in it, tickets among it, comes from `rng`.
    pub(crate) fn new(number: u32, core: u8, rules: Rules, lobby: Rc<Lobby>, mut rng: StdRng) -> Self {
        let arena = Arena::new(StdRng::from_rng(&mut rng));
        Self {
            number,
            core,
            rules,
            round: Round::fight(arena.now(), &rules),
            arena,
            clients: BTreeMap::new(),
            absent: Vec::new(),
            last_cid: 0,
            tickets: rng,
            outbox: Vec::new(),
            has_failed: false,
            lobby,
            won: None,
            results: Scores::new(),
            #[cfg(test)]
            bomb: None,
        }
    }

    /// Whether it panicked. Then nobody is here any more, and nobody is to come.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The ticks that have passed.
    #[cfg(test)]
    pub(crate) fn now(&self) -> u32 {
        self.arena.now()
    }

    #[cfg(test)]
    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    #[cfg(test)]
    pub(crate) fn look(&self) -> Look {
        let seat = |pilot: &Pilot, until| (pilot.name.clone(), (pilot.score, until));
        let here = self.pilots().map(|(_, pilot)| seat(pilot, None));
        let absent = self.absent.iter().filter_map(|it| Some(seat(it.pilot.as_ref()?, Some(it.until))));
        let seats = here.chain(absent).collect();
        Look { number: self.number, now: self.arena.now(), phase: self.round.phase, seats }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What people have won since the last call.
    pub(crate) fn take_results(&mut self) -> Scores {
        mem::take(&mut self.results)
    }

    /// Who has won since the last call.
    pub(crate) fn take_won(&mut self) -> Option<Won> {
        self.won.take()
    }

    /// What others see of it.
    pub(crate) fn listing(&self) -> Listing {
        let small = |size: usize| size.try_into().unwrap_or(u8::MAX);
        let (players, free_seats) = (small(self.player_count()), small(self.free_seats()));
        Listing { battle: self.number, core: self.core, players, free_seats }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.free_seats() > 0
    }

    pub(crate) fn free_seats(&self) -> usize {
        if self.has_failed {
            return 0;
        }
        self.rules.seats.saturating_sub(self.clients.len()).saturating_sub(self.absent.len())
    }

    /// Clients with a ship.
    pub(crate) fn player_count(&self) -> usize {
        self.pilots().count()
    }

    /// Bytes that wait until the clients take them.
    pub(crate) fn queued(&self) -> usize {
        let queued = |it: &Client| it.writer.capacity().saturating_sub(it.writer.free());
        self.clients.values().map(queued).fold(0, usize::saturating_add)
    }

    /// Whether a seat here belongs to the holder of this ticket.
    pub(crate) fn knows(&self, ticket: Ticket) -> bool {
        let mut tickets = self.clients.values().map(|client| client.ticket);
        tickets.any(|held| held == ticket) || self.absent.iter().any(|absent| absent.ticket == ticket)
    }

    /// A seat for a bot, if one is wanted and there is room: whoever shows this ticket within the time that seats are kept has it.
    /// Half of the seats are for people.
    pub(crate) fn hire(&mut self) -> Option<Ticket> {
        let here = || self.clients.values().filter_map(|it| it.pilot.as_ref());
        let pilots = || here().chain(self.absent.iter().filter_map(|it| it.pilot.as_ref()));
        let bots = pilots().filter(|pilot| pilot.kind == Kind::Bot).count();
        if !self.has_room() || bots >= self.rules.bots.min(self.rules.seats / 2) {
            return None;
        }
        let name = bots::names().find(|name| pilots().all(|pilot| pilot.name != *name))?;
        let pilot = Pilot { name, hue: hue(self.free_cid()), score: 0, kind: Kind::Bot };
        Some(self.keep(Some(pilot)))
    }

    /// A seat for one who comes from another battle, if there is room: of this name, or to look on.
    pub(crate) fn reserve(&mut self, name: Option<String>) -> Option<Ticket> {
        if !self.has_room() {
            return None;
        }
        let hue = hue(self.free_cid());
        Some(self.keep(name.map(|name| Pilot { name, hue, score: 0, kind: Kind::Person })))
    }

    /// Keeps a seat for a while.
    fn keep(&mut self, pilot: Option<Pilot>) -> Ticket {
        let ticket = Ticket::new(&mut self.tickets, self.core);
        self.absent.push(Absent { ticket, pilot, until: self.arena.now().saturating_add(self.rules.keep) });
        ticket
    }

    /// Whether anybody is here, or may come back, who is no bot. Who only looks on may be about to play.
    pub(crate) fn has_people(&self) -> bool {
        let is_bot = |pilot: &Pilot| pilot.kind == Kind::Bot;
        !self.clients.values().all(|client| client.pilot.as_ref().is_some_and(is_bot))
            || !self.absent.iter().all(|absent| absent.pilot.as_ref().is_some_and(is_bot))
    }

    /// Whether somebody may come back who was cut off.
    pub(crate) fn expects_somebody(&self) -> bool {
        !self.absent.is_empty()
    }

    /// A client looks on from now on; what it is told goes into `writer`, and should the battle part with it, word
    /// of that into `notice`. With the ticket of a seat it is the player of that seat.
    pub(crate) fn join(&mut self, writer: BufWriter, notice: Rc<Notice>, shown: Option<Ticket>) -> Cid {
        let newcomer = Rc::clone(&notice);
        let cid = self.guarded("join", |battle| battle.welcome(writer, notice, shown));
        if self.has_failed {
            newcomer.dismissal.give(Dismissal::Failed);
        }
        cid
    }

    /// A client is gone. To be called once for each, also after it was dismissed.
    pub(crate) fn leave(&mut self, cid: Cid) {
        self.guarded("leave", |battle| battle.part_with(cid));
    }

    /// A client has gone to another battle. To be called once, instead of [`leave`](Self::leave).
    pub(crate) fn go_on(&mut self, cid: Cid) {
        self.guarded("leave", |battle| {
            if let Some(client) = battle.remove(cid) {
                battle.log(cid, &client, "goes on elsewhere");
                battle.broadcast();
            }
        });
    }

    /// Whether a client is here, and has not been told to go.
    pub(crate) fn has(&self, cid: Cid) -> bool {
        self.clients.contains_key(&cid)
    }

    /// A client that wanted to change to another battle stays in this one.
    pub(crate) fn stay(&self, cid: Cid, battle: u32, why: Why) {
        self.tell(cid, &Event::Stay { battle, why });
    }

    /// Something has happened in another battle. It is told with the next frame.
    pub(crate) fn hear(&mut self, Won { battle, score, name }: &Won) {
        if *battle != self.number && !self.has_failed {
            Event::Won { battle: *battle, score: *score, name }.encode(&mut self.outbox);
        }
    }

    /// What a client sent, as the decoder gives it: a message, or the error that ends them.
    pub(crate) fn handle_message(&mut self, cid: Cid, message: Result<Command<'_>, wire::Error>) {
        self.guarded("message", |battle| match battle.admit(cid, message) {
            Ok(command) => battle.obey(cid, command),
            Err(dismissal) => battle.dismiss(cid, dismissal),
        });
    }

    /// A Pong of a client.
    pub(crate) fn handle_pong(&mut self, cid: Cid, payload: &[u8]) {
        if let Some(client) = self.clients.get_mut(&cid) {
            client.attention.answered(payload);
        }
    }

    /// Broadcasts what is buffered for all clients. Who has no room for it is dismissed: a room does not wait.
    pub(crate) fn flush(&mut self) {
        self.guarded("flush", Self::broadcast);
    }

    /// The world moves on, and everybody is told.
    pub(crate) fn tick(&mut self) {
        self.guarded("tick", Self::step);
    }

    /// The server ends.
    pub(crate) fn dismiss_all(&mut self) {
        for cid in self.clients.keys().copied().collect::<Vec<_>>() {
            self.dismiss(cid, Dismissal::GoingAway);
        }
        self.outbox.clear();
    }

    /// Does something that may panic. If it does, the battle is over: nobody knows in which state it is, so all are told to go, and
    /// whoever calls later finds nobody here. The panic ends neither the client's task in which it happened nor the tick.
    fn guarded<R: Default>(&mut self, what: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        if self.has_failed {
            return R::default();
        }
        #[cfg(test)]
        let work = |battle: &mut Self| {
            assert_ne!(battle.bomb, Some(what), "a test wants this");
            work(battle)
        };
        // What the panic leaves behind is looked at no more.
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            log::error!(core = self.core, battle = self.number, place = what; "a battle has failed: a panic");
            self.has_failed = true;
            self.outbox.clear();
            self.absent.clear();
            for client in mem::take(&mut self.clients).into_values() {
                client.notice.dismissal.give(Dismissal::Failed);
            }
            R::default()
        })
    }

    fn welcome(&mut self, writer: BufWriter, notice: Rc<Notice>, shown: Option<Ticket>) -> Cid {
        let returning = shown.and_then(|ticket| self.take_absent(ticket));
        // What is already in the outbox, the newcomer learns from the roster.
        self.broadcast();
        let cid = self.free_cid();
        let ticket = match &returning {
            Some(absent) => absent.ticket,
            None => Ticket::new(&mut self.tickets, self.core),
        };
        // A new ring is empty, and larger than a roster; were it not, the first flush would find it full.
        let _ = writer.write(&self.roster(cid, ticket));
        let now = self.arena.now();
        let client = Client {
            writer,
            notice,
            ticket,
            allowance: Allowance::new(now),
            attention: Attention::new(now),
            since: now,
            active: now,
            pilot: None,
        };
        let conn = client.notice.conn;
        self.clients.insert(cid, client);
        let (core, battle, here) = (self.core, self.number, self.clients.len());
        log::info!(conn, core, battle, client = cid, here; "looks on");
        if let Some(pilot) = returning.and_then(|it| it.pilot) {
            log::info!(conn, core, battle, client = cid, name = &*pilot.name; "comes to its seat");
            self.enter(cid, pilot);
        }
        cid
    }

    fn part_with(&mut self, cid: Cid) {
        if let Some(client) = self.remove(cid) {
            self.log(cid, &client, "leaves");
            self.keep_seat(client);
            self.broadcast();
        }
    }

    fn broadcast(&mut self) {
        while !self.outbox.is_empty() {
            let mut record = mem::take(&mut self.outbox);
            let mut slow = Vec::new();
            for (&cid, client) in &self.clients {
                match client.writer.write(&record) {
                    // One whose sending has ended is about to leave.
                    Ok(()) | Err(RingError::ReaderGone) => {}
                    Err(_) => slow.push(cid),
                }
            }
            // That somebody was dismissed is news for the others, hence the loop; it gets shorter each time.
            for cid in slow {
                self.dismiss(cid, Dismissal::TooSlow);
            }
            if self.outbox.is_empty() {
                record.clear();
                self.outbox = record;
            }
        }
    }

    fn step(&mut self) {
        for hit in self.arena.step() {
            self.score(hit);
        }
        let now = self.arena.now();
        let best = self.pilots().map(|(_, pilot)| pilot.score).max().unwrap_or(0);
        if let Some(round) = self.round.next(now, best, &self.rules) {
            self.begin(round);
        }
        self.absent.retain(|absent| now < absent.until);
        self.part_with_idle(now);
        self.part_with_deaf(now);
        self.arena.frame().encode(&mut self.outbox);
        self.broadcast();
    }

    fn pilots(&self) -> impl Iterator<Item = (Cid, &Pilot)> {
        self.clients.iter().filter_map(|(&cid, client)| Some((cid, client.pilot.as_ref()?)))
    }

    /// All that a newcomer has to know, but for what the next frame tells.
    fn roster(&self, you: Cid, ticket: Ticket) -> Vec<u8> {
        let mut roster = Vec::new();
        let (width, height, tick_ms) = (arena::WIDTH, arena::HEIGHT, arena::TICK_MS);
        let (ticket, battle, core) = (ticket.bytes(), self.number, self.core);
        Event::Welcome { you, width, height, tick_ms, ticket, battle, core }.encode(&mut roster);
        self.round.event().encode(&mut roster);
        for (id, pilot) in self.pilots() {
            pilot.introduce(id, &mut roster);
        }
        roster
    }

    /// What a client sent, if it may.
    fn admit<'a>(
        &mut self,
        cid: Cid,
        message: Result<Command<'a>, wire::Error>,
    ) -> Result<Command<'a>, Dismissal> {
        let command = message.map_err(Dismissal::Nonsense)?;
        let now = self.arena.now();
        if let Some(client) = self.clients.get_mut(&cid) {
            if !client.allowance.take(now) {
                return Err(Dismissal::Flood);
            }
            // A page asks for the time by itself, and for the battles.
            if !matches!(command, Command::Ping(_) | Command::Lobby) {
                client.active = now;
            }
        }
        Ok(command)
    }

    fn obey(&mut self, cid: Cid, command: Command<'_>) {
        match command {
            Command::Join { version: wire::VERSION, name } => self.play(cid, name),
            Command::Join { .. } => self.dismiss(cid, Dismissal::Outdated),
            Command::Move(held) => self.arena.steer(cid, held),
            Command::Aim(angle) => self.arena.aim(cid, angle),
            Command::Trigger { pulled } => self.arena.trigger(cid, pulled),
            Command::Ping(number) => self.tell(cid, &Event::Pong(number)),
            Command::Say(text) => self.say(cid, text),
            Command::Change(battle) => self.change(cid, battle),
            Command::Lobby => self.tell(cid, &Event::Lobby(self.lobby.battles())),
        }
    }

    /// One who is here wants to go on elsewhere; the client's task sees to that.
    fn change(&self, cid: Cid, battle: u32) {
        let Some(client) = self.clients.get(&cid) else { return };
        if battle == self.number || self.arena.now().saturating_sub(client.since) < REST {
            self.stay(cid, battle, Why::NotNow);
            return;
        }
        let name = client.pilot.as_ref().map(|pilot| pilot.name.clone());
        client.notice.change.give(Change { battle, name });
    }

    /// What one who plays says, all hear. What could not be read, nobody does.
    fn say(&mut self, cid: Cid, text: &str) {
        let plays = self.clients.get(&cid).is_some_and(|client| client.pilot.is_some());
        if plays && !text.is_empty() && !text.chars().any(name::is_invisible) {
            Event::Said { id: cid, text }.encode(&mut self.outbox);
        }
    }

    /// One who looked on plays. One who plays already keeps the name.
    fn play(&mut self, cid: Cid, typed: &str) {
        let Some(client) = self.clients.get(&cid).filter(|client| client.pilot.is_none()) else { return };
        let conn = client.notice.conn;
        let Some(name) = name::clean(typed) else {
            self.tell(cid, &Event::Refused);
            return;
        };
        let (core, battle) = (self.core, self.number);
        log::info!(conn, core, battle, client = cid, name = &*name; "joins");
        if self.pilots().next().is_none() && self.absent.is_empty() {
            // The clock ran for nobody.
            self.begin(Round::fight(self.arena.now(), &self.rules));
        }
        self.enter(cid, Pilot { name, hue: hue(cid), score: 0, kind: Kind::Person });
    }

    /// A pilot gets a ship.
    fn enter(&mut self, cid: Cid, pilot: Pilot) {
        pilot.introduce(cid, &mut self.outbox);
        self.arena.enter(cid);
        if let Some(client) = self.clients.get_mut(&cid) {
            client.pilot = Some(pilot);
        }
    }

    /// A fight begins, or its result is shown.
    fn begin(&mut self, round: Round) {
        self.round = round;
        round.event().encode(&mut self.outbox);
        match round.phase {
            Phase::Result => {
                self.arena.cease_fire();
                let people = self.pilots().filter(|(_, pilot)| pilot.kind == Kind::Person && pilot.score > 0);
                let scores: Scores = people.map(|(_, pilot)| (pilot.name.clone(), pilot.score)).collect();
                // Who is as good as another has not won, nor has who is behind a bot.
                let best = self.pilots().map(|(_, pilot)| pilot.score).max().unwrap_or(0);
                let is_alone = self.pilots().filter(|(_, pilot)| pilot.score == best).count() == 1;
                let winner = scores.iter().find(|(_, score)| *score == best).filter(|_| is_alone);
                self.won = winner.map(|(name, score)| Won {
                    battle: self.number,
                    score: *score,
                    name: name.clone(),
                });
                self.results.extend(scores);
            }
            Phase::Fight => {
                self.arena.restart();
                self.forget_scores();
            }
        }
    }

    fn forget_scores(&mut self) {
        for (&id, client) in &mut self.clients {
            if let Some(pilot) = &mut client.pilot {
                pilot.score = 0;
                Event::Score { id, score: 0 }.encode(&mut self.outbox);
            }
        }
        for absent in &mut self.absent {
            if let Some(pilot) = &mut absent.pilot {
                pilot.score = 0;
            }
        }
    }

    fn score(&mut self, Hit { victim, by, fatal }: Hit) {
        Event::Hit { victim, by, fatal }.encode(&mut self.outbox);
        let pilot = self.clients.get_mut(&by).and_then(|client| client.pilot.as_mut());
        if let Some(pilot) = pilot {
            pilot.score = pilot.score.saturating_add(if fatal { KILL } else { HIT });
            Event::Score { id: by, score: pilot.score }.encode(&mut self.outbox);
        }
    }

    fn part_with_idle(&mut self, now: u32) {
        let is_idle = |client: &Client| now.saturating_sub(client.active) >= self.rules.idle;
        let idle: Vec<Cid> =
            self.clients.iter().filter(|(_, client)| is_idle(client)).map(|(&cid, _)| cid).collect();
        for cid in idle {
            self.dismiss(cid, Dismissal::Idle);
        }
    }

    /// Asks those whose turn it is whether they read.
    fn part_with_deaf(&mut self, now: u32) {
        let mut deaf = Vec::new();
        for (&cid, client) in &mut self.clients {
            match client.attention.tick(now, self.rules.deaf) {
                Next::Nothing => {}
                Next::Ask(number) => client.notice.question.set(Some(number)),
                Next::Part => deaf.push(cid),
            }
        }
        for cid in deaf {
            self.dismiss(cid, Dismissal::TooSlow);
        }
    }

    /// Tells one client something. If it has no room even for this, the next tick finds it too slow.
    fn tell(&self, cid: Cid, event: &Event<'_>) {
        if let Some(client) = self.clients.get(&cid) {
            let mut record = Vec::new();
            event.encode(&mut record);
            let _ = client.writer.write(&record);
        }
    }

    fn dismiss(&mut self, cid: Cid, dismissal: Dismissal) {
        if let Some(client) = self.remove(cid) {
            let (conn, core, battle) = (client.notice.conn, self.core, self.number);
            log::info!(conn, core, battle, client = cid, reason = &*dismissal.reason(); "is dismissed");
            client.notice.dismissal.give(dismissal);
            if dismissal.keeps_seat() {
                self.keep_seat(client);
            }
        }
    }

    fn remove(&mut self, cid: Cid) -> Option<Client> {
        let client = self.clients.remove(&cid)?;
        if client.pilot.is_some() {
            self.arena.leave(cid);
            Event::Left { id: cid }.encode(&mut self.outbox);
        }
        Some(client)
    }

    /// That a client is gone, and how.
    fn log(&self, cid: Cid, client: &Client, event: &str) {
        let (conn, core, battle, here) = (client.notice.conn, self.core, self.number, self.clients.len());
        let name = client.pilot.as_ref().map_or("", |pilot| &pilot.name);
        log::info!(conn, core, battle, client = cid, name, here; "{event}");
    }

    /// The seat of a player who has gone is kept for a while. An onlooker has nothing to come back for, and bots are hired anew.
    fn keep_seat(&mut self, Client { ticket, pilot, .. }: Client) {
        if let Some(pilot) = pilot.filter(|pilot| pilot.kind == Kind::Person) {
            let until = self.arena.now().saturating_add(self.rules.keep);
            self.absent.push(Absent { ticket, pilot: Some(pilot), until });
        }
    }

    /// The player of this ticket, who is absent; or will be, if the old connection is not yet known to be dead.
    fn take_absent(&mut self, ticket: Ticket) -> Option<Absent> {
        let holder = self.clients.iter().find(|(_, client)| client.ticket == ticket);
        if let Some((&cid, _)) = holder {
            self.dismiss(cid, Dismissal::Replaced);
        }
        let at = self.absent.iter().position(|absent| absent.ticket == ticket)?;
        Some(self.absent.swap_remove(at))
    }

    /// The next number that nobody has. (There are more numbers than seats.)
    fn free_cid(&mut self) -> Cid {
        loop {
            self.last_cid = self.last_cid.wrapping_add(1);
            if !self.clients.contains_key(&self.last_cid) {
                return self.last_cid;
            }
        }
    }
}

impl Pilot {
    /// Name and score, for those who do not know them.
    fn introduce(&self, id: Cid, out: &mut Vec<u8>) {
        Event::Joined { id, hue: self.hue, name: &self.name }.encode(out);
        Event::Score { id, score: self.score }.encode(out);
    }
}

/// A colour for a client: steps of the golden section keep neighbours apart, however many there are. The first is cyan.
fn hue(cid: Cid) -> u8 {
    let [low, _] = cid.to_le_bytes();
    low.wrapping_mul(158).wrapping_add(230)
}

#[cfg(test)]
mod tests;
