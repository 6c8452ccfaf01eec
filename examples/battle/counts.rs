//! What an operator counts: a few numbers of each core, which its own thread writes and any may read.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::dismissal::Dismissal;

/// The numbers of a core. Nobody but its thread writes, so no line of memory is fought for.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    slow: AtomicU64,
    hand_offs: AtomicU64,
    hand_off_nanos: AtomicU64,
    changes: AtomicU64,
    news_dropped: AtomicU64,
    battles: AtomicU64,
    players: AtomicU64,
    queued: AtomicU64,
}

/// What a core sees when it looks at its battles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) battles: usize,
    pub(crate) free_seats: usize,
    /// Clients with a ship, bots among them.
    pub(crate) players: usize,
    /// Bytes that wait in the clients' rings.
    pub(crate) queued: usize,
}

impl Counts {
    pub(crate) fn received(&self, bytes: usize) {
        add(&self.messages_received, 1);
        add(&self.bytes_received, number(bytes));
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.messages_sent, 1);
        add(&self.bytes_sent, number(bytes));
    }

    pub(crate) fn dismissed(&self, dismissal: Dismissal) {
        if dismissal == Dismissal::TooSlow {
            add(&self.slow, 1);
        }
    }

    pub(crate) fn handed_over(&self, took: Duration) {
        add(&self.hand_offs, 1);
        add(&self.hand_off_nanos, took.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    pub(crate) fn changed(&self) {
        add(&self.changes, 1);
    }

    pub(crate) fn dropped_news(&self) {
        add(&self.news_dropped, 1);
    }

    pub(crate) fn surveyed(&self, survey: Survey) {
        let Survey { battles, players, queued, free_seats: _ } = survey;
        for (count, seen) in [(&self.battles, battles), (&self.players, players), (&self.queued, queued)] {
            count.store(number(seen), Relaxed);
        }
    }

    /// Name, kind, help and value of each, in Prometheus's words.
    fn rows(&self) -> [(&'static str, &'static str, &'static str, f64); 12] {
        let it = |count: &AtomicU64| float(count.load(Relaxed));
        [
            ("battles", "gauge", "Battles that are open.", it(&self.battles)),
            ("players", "gauge", "Clients with a ship, bots among them.", it(&self.players)),
            ("queue_bytes", "gauge", "Bytes that wait for clients to take them.", it(&self.queued)),
            ("messages_received_total", "counter", "Messages from clients.", it(&self.messages_received)),
            ("received_bytes_total", "counter", "Bytes in these messages.", it(&self.bytes_received)),
            ("messages_sent_total", "counter", "Messages to clients.", it(&self.messages_sent)),
            ("sent_bytes_total", "counter", "Bytes in these messages.", it(&self.bytes_sent)),
            ("slow_clients_dropped_total", "counter", "Clients that took too little.", it(&self.slow)),
            (
                "hand_offs_total",
                "counter",
                "Players who came by way of the core's door.",
                it(&self.hand_offs),
            ),
            (
                "hand_off_seconds_total",
                "counter",
                "Time that they were on their way.",
                it(&self.hand_off_nanos) / 1e9,
            ),
            ("changes_total", "counter", "Players who came from another battle.", it(&self.changes)),
            (
                "news_dropped_total",
                "counter",
                "News for which a core's mailbox had no room.",
                it(&self.news_dropped),
            ),
        ]
    }
}

/// The text of a metric: what it is, and its value for each label.
pub(crate) fn metric<L: AsRef<str>>(
    text: &mut String,
    (name, kind, help): (&str, &str, &str),
    values: impl IntoIterator<Item = (L, f64)>,
) {
    // A String takes everything.
    let _ = write!(text, "# HELP battle_{name} {help}\n# TYPE battle_{name} {kind}\n");
    for (label, value) in values {
        let _ = writeln!(text, "battle_{name}{} {value}", label.as_ref());
    }
}

/// The text of all these counts, in the order of their cores.
pub(crate) fn metrics(text: &mut String, cores: &[&Counts]) {
    let rows: Vec<_> = cores.iter().map(|counts| counts.rows()).collect();
    let Some(first) = rows.first() else { return };
    for (at, &(name, kind, help, _)) in first.iter().enumerate() {
        let values = rows.iter().filter_map(|row| row.get(at)).enumerate();
        metric(text, (name, kind, help), values.map(|(core, row)| (of_core(core), row.3)));
    }
}

pub(crate) fn of_core(core: usize) -> String {
    format!("{{core=\"{core}\"}}")
}

fn add(count: &AtomicU64, more: u64) {
    // Not `fetch_add`: one thread writes.
    count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
}

fn number(size: usize) -> u64 {
    size.try_into().unwrap_or(u64::MAX)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_told_once_with_its_kind_and_for_each_core() {
        let [first, second] = [Counts::default(), Counts::default()];
        first.received(10);
        first.received(5);
        second.sent(7);
        second.dismissed(Dismissal::TooSlow);
        second.dismissed(Dismissal::Idle);
        second.handed_over(Duration::from_millis(1500));
        second.changed();
        first.dropped_news();
        second.surveyed(Survey { battles: 3, free_seats: 1, players: 8, queued: 99 });
        let mut text = String::new();
        metrics(&mut text, &[&first, &second]);
        for line in [
            "# TYPE battle_messages_received_total counter",
            "battle_messages_received_total{core=\"0\"} 2",
            "battle_received_bytes_total{core=\"0\"} 15",
            "battle_messages_sent_total{core=\"1\"} 1",
            "battle_sent_bytes_total{core=\"1\"} 7",
            "battle_slow_clients_dropped_total{core=\"1\"} 1",
            "battle_hand_off_seconds_total{core=\"1\"} 1.5",
            "battle_changes_total{core=\"1\"} 1",
            "battle_news_dropped_total{core=\"0\"} 1",
            "# TYPE battle_battles gauge",
            "battle_battles{core=\"1\"} 3",
            "battle_players{core=\"1\"} 8",
            "battle_queue_bytes{core=\"1\"} 99",
        ] {
            assert_eq!(text.lines().filter(|it| *it == line).count(), 1, "{line} in\n{text}");
        }
        assert_eq!(text.lines().count(), 12 * 4);
    }
}
