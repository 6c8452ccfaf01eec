//! Who is where, who said what, and who has heard it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What players do at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Joining,
    Speaking,
    Listening,
    Over,
}

/// What all players write down, on one thread.
pub(crate) struct Account {
    phase: Cell<Phase>,
    began: Instant,
    joined: Cell<usize>,
    /// Players that the server parted with, or whose connection failed; and what was said of the first.
    dropped: Cell<usize>,
    complaint: RefCell<Option<String>>,
    /// Members of each battle, by what the first of them calls it.
    players: RefCell<Vec<Player>>,
    sent: Cell<u64>,
    /// Deliveries that are to come of what was sent: each word times the members of the battle.
    due: Cell<u64>,
    heard: Cell<u64>,
    /// Words that came twice, or not in their order.
    astray: Cell<u64>,
    latencies: RefCell<Histogram>,
    seconds: RefCell<BTreeMap<u64, Histogram>>,
}

/// What is known of a player.
#[derive(Clone, Debug, Default)]
struct Player {
    /// Those of the same battle, by their numbers, and itself: known when all have joined.
    members: usize,
    /// The next word to be heard of each member.
    next: BTreeMap<u32, u32>,
}

impl Account {
    pub(crate) fn new(players: usize) -> Self {
        Self {
            phase: Cell::new(Phase::Joining),
            began: Instant::now(),
            joined: Cell::new(0),
            dropped: Cell::new(0),
            complaint: RefCell::default(),
            players: RefCell::new(vec![Player::default(); players]),
            sent: Cell::new(0),
            due: Cell::new(0),
            heard: Cell::new(0),
            astray: Cell::new(0),
            latencies: RefCell::default(),
            seconds: RefCell::default(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Players of the first `begun` who are not in yet.
    pub(crate) fn coming(&self, begun: usize) -> usize {
        begun.saturating_sub(self.joined.get() + self.dropped.get())
    }

    pub(crate) fn has_joined(&self) {
        self.joined.set(self.joined.get() + 1);
    }

    /// The battle of a player has so many members now.
    pub(crate) fn sees(&self, number: usize, members: usize) {
        if let Some(player) = self.players.borrow_mut().get_mut(number) {
            player.members = members;
        }
    }

    /// Battles, by how many members their players see.
    pub(crate) fn battles(&self) -> usize {
        let shares: f64 = self.players.borrow().iter().map(|player| 1.0 / player.members.max(1) as f64).sum();
        shares.round() as usize
    }

    pub(crate) fn speak(&self) {
        self.phase.set(Phase::Speaking);
    }

    pub(crate) fn be_silent(&self) {
        self.phase.set(Phase::Listening);
    }

    pub(crate) fn go(&self) {
        self.phase.set(Phase::Over);
    }

    /// The text of a word: who says it, which of theirs it is, and when.
    pub(crate) fn word(&self, number: usize, sequence: u32, payload: usize) -> String {
        let now = self.began.elapsed().as_micros();
        format!("{number} {sequence} {now} {:.<payload$}", "", payload = payload)
            .chars()
            .take(payload)
            .collect()
    }

    pub(crate) fn has_said(&self, number: usize) {
        let members = self.players.borrow().get(number).map_or(0, |player| player.members);
        self.sent.set(self.sent.get() + 1);
        self.due.set(self.due.get() + members as u64);
    }

    /// `number` hears a word.
    pub(crate) fn hears(&self, number: usize, text: &str) {
        let mut parts = text.split(' ').map(str::parse::<u64>);
        let (Some(Ok(by)), Some(Ok(sequence)), Some(Ok(at))) = (parts.next(), parts.next(), parts.next())
        else {
            self.astray.set(self.astray.get() + 1);
            return;
        };
        let (Ok(by), Ok(sequence)) = (u32::try_from(by), u32::try_from(sequence)) else { return };
        let mut players = self.players.borrow_mut();
        let Some(player) = players.get_mut(number) else { return };
        let next = player.next.entry(by).or_default();
        if *next != sequence {
            self.astray.set(self.astray.get() + 1);
        }
        *next = sequence + 1;
        self.heard.set(self.heard.get() + 1);
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let took = now.saturating_sub(at);
        self.latencies.borrow_mut().add(took);
        self.seconds.borrow_mut().entry(now / 1_000_000).or_default().add(took);
    }

    pub(crate) fn was_dropped(&self, number: usize, why: &str) {
        self.dropped.set(self.dropped.get() + 1);
        self.complaint.borrow_mut().get_or_insert_with(|| format!("player {number}: {why}"));
    }

    /// Words sent, and delivered.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.sent.get(), self.heard.get())
    }

    /// Whether all that was said has been heard by all, and nobody was lost.
    pub(crate) fn is_complete(&self) -> bool {
        self.dropped.get() == 0
            && self.astray.get() == 0
            && self.sent.get() > 0
            && self.heard.get() == self.due.get()
    }

    /// p50, p99 and the worst of each second.
    pub(crate) fn seconds(&self) -> Vec<[f64; 3]> {
        let seconds = self.seconds.borrow();
        seconds
            .values()
            .map(|it| [it.quantile(0.5), it.quantile(0.99), it.quantile(1.0)].map(milliseconds))
            .collect()
    }

    pub(crate) fn report(&self, spoke: Duration) -> String {
        let latencies = self.latencies.borrow();
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| milliseconds(latencies.quantile(part)));
        let (sent, heard, due) = (self.sent.get(), self.heard.get(), self.due.get());
        let a_second = |count: u64| count as f64 / spoke.as_secs_f64();
        let mut report = format!(
            "sent {sent} ({:.0} a second), delivered {heard} of {due} ({:.0} a second)\n\
             from saying to hearing: p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms\n\
             lost {}, out of turn {}, players dropped {}\n",
            a_second(sent),
            a_second(heard),
            due.saturating_sub(heard),
            self.astray.get(),
            self.dropped.get(),
        );
        if let Some(complaint) = &*self.complaint.borrow() {
            let _ = writeln!(report, "the first of those dropped: {complaint}");
        }
        report
    }
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// Counts of microseconds, to within a sixteenth.
#[derive(Clone, Debug, Default)]
struct Histogram {
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Histogram {
    fn add(&mut self, micros: u64) {
        // The five leading bits.
        let shift = (64 - micros.leading_zeros()).saturating_sub(5);
        *self.counts.entry(micros >> shift << shift).or_default() += 1;
        self.total += 1;
    }

    /// The least value that so large a part of all does not exceed.
    fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (&value, count) in &self.counts {
            seen += count;
            if seen >= wanted {
                return value;
            }
        }
        0
    }
}
