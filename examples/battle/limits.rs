//! How many connections there may be: in all, and from one address.
//!
//! Counted is every open socket, pages among them. One too many still has its request read, so that a player hears why not
//! (503, or 429 for the address) and an operator's page is shown even then; [`SLACK`] of them at a time, more are closed as
//! they come. The table of addresses is behind a lock, which is held for a look-up as a connection comes and as it goes,
//! and not there at all without `--max-per-ip`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections beyond the limit that are told so.
const SLACK: usize = 64;

/// What the command line allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Most {
    pub(crate) in_all: Option<usize>,
    pub(crate) from_one_address: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Limits {
    most: Most,
    /// Not for this machine's own: its bots, or a proxy that everybody comes through.
    counts_loopback: bool,
    open: AtomicUsize,
    /// Connections so far.
    conns: AtomicU64,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// What a limit says to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Welcome,
    Full,
    TooManyFromThere,
    /// Not even an answer.
    Beyond,
}

/// A connection, counted as long as this is held; it goes where the connection goes.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What the log calls it: a number that no other has had.
    pub(crate) conn: u64,
    limits: Arc<Limits>,
    address: Option<IpAddr>,
    pub(crate) verdict: Verdict,
}

impl Limits {
    pub(crate) fn new(most: Most) -> Self {
        Self { most, ..Self::default() }
    }

    /// As [`new`](Self::new), for tests that have no other address.
    #[cfg(test)]
    pub(crate) fn counting_loopback(most: Most) -> Self {
        Self { most, counts_loopback: true, ..Self::default() }
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// A connection comes from `address`.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Entry {
        let others = self.open.fetch_add(1, Relaxed);
        let conn = self.conns.fetch_add(1, Relaxed).wrapping_add(1);
        let counted = |it: &IpAddr| self.counts_loopback || !it.is_loopback();
        let address = address.map(site).filter(counted).filter(|_| self.most.from_one_address.is_some());
        let from_there = address.map_or(0, |address| {
            let mut addresses = self.addresses();
            let count = addresses.entry(address).or_default();
            *count = count.saturating_add(1);
            *count
        });
        let is_full = |slack| self.most.in_all.is_some_and(|most| others >= most.saturating_add(slack));
        let verdict = if is_full(SLACK) {
            Verdict::Beyond
        } else if is_full(0) {
            Verdict::Full
        } else if self.most.from_one_address.is_some_and(|most| from_there > most) {
            Verdict::TooManyFromThere
        } else {
            Verdict::Welcome
        };
        Entry { conn, limits: Arc::clone(self), address, verdict }
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A count is right also after a panic elsewhere.
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.limits.open.fetch_sub(1, Relaxed);
        let Some(address) = self.address else { return };
        let mut addresses = self.limits.addresses();
        if let Some(count) = addresses.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }
}

/// Who is one: an address, or with version 6 the 64 bits of a network, of which one machine has all addresses.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) if !it.is_loopback() => {
            let [a, b, c, d, ..] = it.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        it => it,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(in_all: Option<usize>, from_one_address: Option<usize>) -> Arc<Limits> {
        Arc::new(Limits::new(Most { in_all, from_one_address }))
    }

    fn enter(limits: &Arc<Limits>, address: &str) -> Entry {
        limits.enter(Some(address.parse().unwrap()))
    }

    #[test]
    fn one_too_many_is_told_so_and_far_too_many_are_not() {
        let limits = limits(Some(2), None);
        let mut entries: Vec<_> = (0..2).map(|_| enter(&limits, "192.0.2.1")).collect();
        assert!(entries.iter().all(|it| it.verdict == Verdict::Welcome));
        entries.extend((0..SLACK).map(|_| enter(&limits, "192.0.2.1")));
        assert!(entries[2..].iter().all(|it| it.verdict == Verdict::Full));
        assert_eq!(enter(&limits, "192.0.2.1").verdict, Verdict::Beyond);
        entries.truncate(1);
        assert_eq!((limits.open(), enter(&limits, "192.0.2.1").verdict), (1, Verdict::Welcome));
    }

    #[test]
    fn each_address_has_its_share_and_gets_it_back_when_a_connection_goes() {
        let limits = limits(None, Some(1));
        let first = enter(&limits, "192.0.2.1");
        assert_eq!(enter(&limits, "192.0.2.1").verdict, Verdict::TooManyFromThere);
        assert_eq!(enter(&limits, "::ffff:192.0.2.1").verdict, Verdict::TooManyFromThere, "the same");
        assert_eq!(enter(&limits, "192.0.2.2").verdict, Verdict::Welcome);
        drop(first);
        assert_eq!(enter(&limits, "192.0.2.1").verdict, Verdict::Welcome);
        assert!(limits.addresses().is_empty(), "nothing is kept of those who are gone");
    }

    #[test]
    fn a_network_of_version_6_is_one_and_this_machine_is_not_counted() {
        let limits = limits(None, Some(1));
        let _first = enter(&limits, "2001:db8::1");
        assert_eq!(enter(&limits, "2001:db8::2").verdict, Verdict::TooManyFromThere);
        assert_eq!(enter(&limits, "2001:db8:0:1::1").verdict, Verdict::Welcome);
        for _ in 0..3 {
            let entries = ["127.0.0.1", "::1"].map(|it| enter(&limits, it));
            assert!(entries.iter().all(|it| it.verdict == Verdict::Welcome));
        }
    }
}
