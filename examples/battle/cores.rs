//! What the threads know of each other, and all that crosses them: players on their way to the core of their battle, and what
//! cores tell each other (`lobby.rs`).
//!
//! A connection is accepted anywhere. Its request tells where it belongs, and then it goes there, as
//! [`Parts`]: the socket, [packed](Packed), the request, and what was read behind it. From then on it stays, unless the player changes
//! to another battle (`change.rs`).
//!
//! Where somebody belongs:
//!
//! * A battle is known by its number: it is on the core `number % cores`.
//! * A seat is known by its ticket, whose first byte is the core.
//! * Anybody else goes to the first core that has a free seat in an open battle, so that battles fill up; or else to the
//!   one with the fewest clients, where another battle opens. Each core tells its free seats with every tick. A number
//!   that is a tick old costs a battle that is not full, nothing else.
//!
//! The way is bounded. When [`INBOX`] players wait at a core, the next one is told 503, for it is better to say so than
//! to let them wait for a core that does not come along.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use async_channel::{Receiver, Sender, bounded};
use unsync_websocket::Parts;

use crate::change::{Ask, Change, Mover, Seat};
use crate::counts::{self, Counts, Survey, float, metric, of_core};
use crate::limits::{Entry, Limits};
use crate::lobby::{LISTS, List, NEWS, Won};
use crate::per_core::Core;
use crate::results::Results;
use crate::sockets::Packed;
use crate::wire::Why;
use crate::wish::Wish;

/// Players who may wait at a core until it takes them in.
pub(crate) const INBOX: usize = 1024;

/// All cores, as any thread sees them; sockets cross them as `T`.
pub(crate) struct Cores<T> {
    doors: Vec<Door<T>>,
    /// Never sent to: closed when the server ends.
    going_on: Sender<Infallible>,
    ending: Receiver<Infallible>,
    pub(crate) limits: Arc<Limits>,
    results: Option<Results>,
}

/// Where a core takes in what arrives.
pub(crate) type Inbox = Receiver<Visit<Packed>>;

/// A core, seen from outside.
struct Door<T> {
    inbox: Sender<Visit<T>>,
    /// In open battles, when the core last looked.
    free_seats: AtomicUsize,
    /// Clients on this core.
    clients: AtomicUsize,
    counts: Arc<Counts>,
    lists: Mailbox<List>,
    news: Mailbox<Won>,
}

/// What waits until the core looks.
struct Mailbox<M> {
    slot: Sender<M>,
    letters: Receiver<M>,
}

impl<M> Mailbox<M> {
    fn new(room: usize) -> Self {
        let (slot, letters) = bounded(room);
        Self { slot, letters }
    }

    /// What is in it, which is taken out.
    fn empty(&self) -> Vec<M> {
        // No more than was there in the beginning: others go on writing.
        let waiting = self.letters.len();
        std::iter::from_fn(|| self.letters.try_recv().ok()).take(waiting).collect()
    }
}

/// What arrives at a core.
pub(crate) enum Visit<T> {
    /// A player who belongs here; that it is counted; and when it was sent.
    Player(Parts<T>, Entry, Instant),
    /// Somebody who plays, anywhere, wants a seat here.
    Ask(Ask),
    /// Somebody comes to a seat that was kept.
    Mover(Box<Mover<T>>),
    /// A test wants the thread to panic.
    #[cfg(test)]
    Bomb,
}

impl<T> Cores<T> {
    /// Doors for so many cores, and what is behind each.
    pub(crate) fn new(count: usize, inbox: usize, limits: Limits) -> (Self, Vec<Receiver<Visit<T>>>) {
        let open = |_| {
            let (inbox, behind) = bounded(inbox);
            let (free_seats, clients) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let (lists, news) = (Mailbox::new(LISTS), Mailbox::new(NEWS));
            (Door { inbox, free_seats, clients, counts: Arc::default(), lists, news }, behind)
        };
        let (doors, inboxes) = (0..count).map(open).unzip();
        let (going_on, ending) = bounded(1);
        (Self { doors, going_on, ending, limits: Arc::new(limits), results: None }, inboxes)
    }

    /// With a file for the best of all time.
    pub(crate) fn keeping(self, results: Option<Results>) -> Self {
        Self { results, ..self }
    }

    pub(crate) fn results(&self) -> Option<&Results> {
        self.results.as_ref()
    }

    /// The core where this wish can be granted; `None` if that one is gone, or all are.
    pub(crate) fn place(&self, wish: &Wish) -> Option<usize> {
        let is_there = |&index: &usize| self.is_there(index);
        if let Some(index) = wish.ticket.map(|it| it.core()).filter(is_there) {
            return Some(index);
        }
        if let Some(number) = wish.battle {
            return core_of_battle(number, self.doors.len()).filter(is_there);
        }
        let free = (0..self.doors.len()).filter(is_there).find(|&index| self.take_seat(index));
        free.or_else(|| self.idlest())
    }

    fn is_there(&self, index: usize) -> bool {
        self.doors.get(index).is_some_and(|door| !door.inbox.is_closed())
    }

    fn doors_that_are_there(&self) -> impl Iterator<Item = &Door<T>> {
        self.doors.iter().filter(|door| !door.inbox.is_closed())
    }

    /// The core with the fewest clients.
    fn idlest(&self) -> Option<usize> {
        (0..self.doors.len()).filter(|&it| self.is_there(it)).min_by_key(|&it| self.load(it))
    }

    /// Whether there was a free seat, for whoever is sent there now.
    fn take_seat(&self, index: usize) -> bool {
        let take = |seats: usize| seats.checked_sub(1);
        self.doors.get(index).is_some_and(|door| door.free_seats.fetch_update(Relaxed, Relaxed, take).is_ok())
    }

    /// Clients on a core, and on the way to it.
    fn load(&self, index: usize) -> usize {
        let load = |door: &Door<T>| door.clients.load(Relaxed).saturating_add(door.inbox.len());
        self.doors.get(index).map_or(usize::MAX, load)
    }

    /// Sends a player to its core. Without waiting: whoever cannot go comes back.
    #[expect(clippy::result_large_err, reason = "once a connection")]
    pub(crate) fn hand_over(&self, index: usize, parts: Parts<T>, entry: Entry) -> Result<(), Parts<T>> {
        let Some(door) = self.doors.get(index) else { return Err(parts) };
        let player = Visit::Player(parts, entry, Instant::now());
        match door.inbox.try_send(player).map_err(|error| error.into_inner()) {
            Err(Visit::Player(parts, ..)) => Err(parts),
            _ => Ok(()),
        }
    }

    /// Asks for a seat in another battle, which is kept as long as one for somebody who was cut off.
    pub(crate) async fn ask(&self, change: Change) -> Result<Seat, Why> {
        let core = match change.battle {
            0 => self.idlest(),
            number => core_of_battle(number, self.doors.len()).filter(|&it| self.is_there(it)),
        };
        let door = core.and_then(|it| self.doors.get(it)).ok_or(Why::Gone)?;
        let (answer, answered) = bounded(1);
        door.inbox.try_send(Visit::Ask(Ask { change, answer })).map_err(|_| Why::NotNow)?;
        // A core that ends, or fails, answers nobody.
        answered.recv().await.unwrap_or(Err(Why::Gone))
    }

    /// Sends a player to the seat that is kept. Without waiting: whoever cannot go comes back.
    pub(crate) fn send_on(&self, core: usize, mover: Box<Mover<T>>) -> Result<(), Box<Mover<T>>> {
        // Who stays is told of the end; who is on the way might not be.
        let Some(door) = self.doors.get(core).filter(|_| !self.is_ending()) else { return Err(mover) };
        match door.inbox.try_send(Visit::Mover(mover)).map_err(|error| error.into_inner()) {
            Err(Visit::Mover(mover)) => Err(mover),
            _ => Ok(()),
        }
    }

    /// Tells all cores, this one too, which battles there are on this one.
    pub(crate) fn tell_list(&self, list: &List) {
        for door in self.doors_that_are_there() {
            // Where there was no room, the oldest has given way. Nobody closes a mailbox.
            let _ = door.lists.slot.force_send(list.clone());
        }
    }

    /// Tells all cores, this one too, what has happened on this one.
    pub(crate) fn tell_news(&self, from: Core, won: &Won) {
        for door in self.doors_that_are_there() {
            if door.news.slot.try_send(won.clone()).is_err() {
                self.counts(from).dropped_news();
            }
        }
    }

    /// What this core has been told since it last looked.
    pub(crate) fn post(&self, core: Core) -> (Vec<List>, Vec<Won>) {
        let door = self.doors.get(core.index);
        door.map(|it| (it.lists.empty(), it.news.empty())).unwrap_or_default()
    }

    /// What a core tells of itself. Of its free seats, some are for who waits at its door.
    pub(crate) fn tell(&self, core: Core, survey: Survey) {
        if let Some(door) = self.doors.get(core.index) {
            door.free_seats.store(survey.free_seats.saturating_sub(door.inbox.len()), Relaxed);
            door.counts.surveyed(survey);
        }
    }

    /// Where a core counts.
    pub(crate) fn counts(&self, core: Core) -> Arc<Counts> {
        self.doors.get(core.index).map(|door| Arc::clone(&door.counts)).unwrap_or_default()
    }

    /// What Prometheus asks for, in its text form.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        let flag = |it| f64::from(u8::from(it));
        let size = |it: usize| float(it.try_into().unwrap_or(u64::MAX));
        let each = |value: &dyn Fn(&Door<T>) -> f64| {
            let values = self.doors.iter().map(value).enumerate();
            values.map(|(core, value)| (of_core(core), value)).collect::<Vec<_>>()
        };
        let gauge = |name, help| (name, "gauge", help);
        metric(
            &mut text,
            gauge("sockets", "Open connections, pages among them."),
            [("", size(self.limits.open()))],
        );
        metric(&mut text, gauge("draining", "1 once the server ends."), [("", flag(self.is_ending()))]);
        metric(
            &mut text,
            gauge("core_up", "0 for a thread that is gone."),
            each(&|it| flag(!it.inbox.is_closed())),
        );
        metric(
            &mut text,
            gauge("connections", "Clients of battles."),
            each(&|it| size(it.clients.load(Relaxed))),
        );
        metric(
            &mut text,
            gauge("inbox", "Players on their way to the core."),
            each(&|it| size(it.inbox.len())),
        );
        counts::metrics(&mut text, &self.doors.iter().map(|it| &*it.counts).collect::<Vec<_>>());
        text
    }

    /// A client of this core, as long as what comes back is held.
    pub(crate) fn count_client(&self, core: Core) -> impl Drop + use<'_, T> {
        struct Client<'c>(Option<&'c AtomicUsize>);
        impl Drop for Client<'_> {
            fn drop(&mut self) {
                if let Some(clients) = self.0 {
                    clients.fetch_sub(1, Relaxed);
                }
            }
        }
        let clients = self.doors.get(core.index).map(|door| &door.clients);
        if let Some(clients) = clients {
            clients.fetch_add(1, Relaxed);
        }
        Client(clients)
    }

    /// The server ends: no thread takes players in from now on.
    pub(crate) fn end(&self) {
        self.going_on.close();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_closed()
    }

    /// Waits for the server's end.
    pub(crate) async fn ending(&self) {
        // Nothing is ever sent.
        let _ = self.ending.recv().await;
    }

    /// Waits until no core is left, be it that they have ended or that they panicked.
    pub(crate) async fn all_gone(&self) {
        for door in &self.doors {
            door.inbox.closed().await;
        }
    }

    /// Players at a door.
    #[cfg(test)]
    pub(crate) fn waiting(&self, index: usize) -> usize {
        self.doors[index].inbox.len()
    }

    /// Ends the thread of a core in the hardest way.
    #[cfg(test)]
    pub(crate) fn throw_bomb(&self, index: usize) {
        assert!(self.doors[index].inbox.try_send(Visit::Bomb).is_ok());
    }
}

/// The number of the `nth` battle on a core, counted from 1.
pub(crate) fn number_of_battle(core: Core, nth: u32) -> u32 {
    let [index, count] = [core.index, core.count].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
    nth.wrapping_mul(count).wrapping_add(index)
}

/// The core of a battle.
fn core_of_battle(number: u32, count: usize) -> Option<usize> {
    usize::try_from(number).ok()?.checked_rem(count)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test counts small numbers")]
mod tests {
    use std::time::Duration;

    use async_io::{Timer, block_on};
    use futures_lite::io::Cursor;
    use unsync_websocket::{NoTimer, Server};

    use super::*;
    use crate::ticket::Ticket;
    use crate::wire::Listing;

    type Stream = Cursor<Vec<u8>>;

    async fn parts() -> Parts<Stream> {
        let stream = Cursor::new(b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\nahead".to_vec());
        Server::with_timer(stream, NoTimer).receive_request().await.unwrap().into_parts()
    }

    fn entry() -> Entry {
        Arc::new(Limits::default()).enter(None)
    }

    fn free(free_seats: usize) -> Survey {
        Survey { free_seats, ..Survey::default() }
    }

    fn ticket_of(core: u8) -> Ticket {
        Ticket::in_query(&format!("ticket={core:02x}{}", "00".repeat(15))).unwrap()
    }

    const fn core(index: usize) -> Core {
        Core { index, count: 3 }
    }

    #[test]
    fn a_number_tells_its_core_and_on_one_core_they_are_1_2_3() {
        for index in 0..3 {
            for nth in 1..100 {
                let number = number_of_battle(core(index), nth);
                assert_eq!(core_of_battle(number, 3), Some(index), "{number}");
            }
        }
        assert_eq!([1, 2, 3].map(|nth| number_of_battle(Core::ALONE, nth)), [1, 2, 3]);
    }

    #[test]
    fn free_seats_are_filled_first_and_then_the_core_with_the_fewest_clients_gets_another_battle() {
        let (cores, _inboxes) = Cores::<Stream>::new(3, 8, Limits::default());
        let anywhere = Wish::default();
        let _clients = [0, 0, 2].map(|index| cores.count_client(core(index)));
        assert_eq!(cores.place(&anywhere), Some(1), "nobody is there");
        cores.tell(core(2), free(2));
        assert_eq!([(); 3].map(|()| cores.place(&anywhere)), [Some(2), Some(2), Some(1)]);
    }

    #[test]
    fn a_ticket_comes_before_a_number_and_a_number_before_free_seats() {
        let (cores, mut inboxes) = Cores::<Stream>::new(3, 8, Limits::default());
        cores.tell(core(0), free(5));
        let seven = Wish { battle: Some(7), ..Wish::default() };
        assert_eq!(cores.place(&seven), Some(1));
        assert_eq!(cores.place(&Wish { ticket: Some(ticket_of(2)), ..seven }), Some(2));
        assert_eq!(cores.place(&ticket_of(9).into()), Some(0), "no ticket of ours");
        // A core that is gone keeps nobody away from the others, but its battles are gone with it.
        inboxes.remove(1);
        assert_eq!(cores.place(&seven), None);
        assert_eq!(cores.place(&ticket_of(1).into()), Some(0));
        inboxes.clear();
        assert_eq!(cores.place(&Wish::default()), None);
        block_on(cores.all_gone());
    }

    #[test]
    fn who_waits_at_the_door_has_a_seat_already() {
        let (cores, _inboxes) = Cores::new(3, 8, Limits::default());
        for _ in 0..2 {
            block_on(async { cores.hand_over(0, parts().await, entry()).unwrap() });
        }
        cores.tell(core(0), free(3));
        assert_eq!([(); 2].map(|()| cores.place(&Wish::default())), [Some(0), Some(1)]);
    }

    #[test]
    fn at_a_full_door_a_player_comes_back_whole() {
        block_on(async {
            let (cores, inboxes) = Cores::new(1, 2, Limits::default());
            for _ in 0..2 {
                cores.hand_over(0, parts().await, entry()).unwrap();
            }
            let back = cores.hand_over(0, parts().await, entry()).unwrap_err();
            assert_eq!((back.request.path(), &*back.read_ahead), ("/ws", &b"ahead"[..]));
            drop(inboxes);
            assert!(cores.hand_over(0, back, entry()).is_err(), "nobody is there any more");
        });
    }

    /// `cargo test --release --example battle hand_off -- --nocapture` prints how long the way takes.
    #[test]
    fn what_is_handed_over_arrives_once_and_in_order_and_the_hand_off_takes_so_long() {
        let (cores, mut inboxes) = Cores::<Stream>::new(1, INBOX, Limits::default());
        let inbox = inboxes.remove(0);
        let receiving = std::thread::spawn(move || {
            block_on(async {
                let (mut numbers, mut took) = (Vec::new(), Vec::new());
                while let Ok(Visit::Player(parts, _, sent)) = inbox.recv().await {
                    took.push(sent.elapsed());
                    numbers.push(parts.stream.into_inner().len());
                }
                (numbers, took)
            })
        });
        block_on(async {
            for number in 0..2000 {
                let mut parts = parts().await;
                parts.stream = Cursor::new(vec![0; number]);
                // First one at a time to a thread that sleeps, then as fast as it goes.
                if number < 1000 {
                    Timer::after(Duration::from_micros(200)).await;
                }
                while let Err(back) = cores.hand_over(0, parts, entry()) {
                    parts = back;
                    Timer::after(Duration::from_millis(1)).await;
                }
            }
        });
        drop(cores);
        let (numbers, took) = receiving.join().unwrap();
        assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
        for (what, took) in [("to a thread that sleeps", &took[..1000]), ("in a burst", &took[1000..])] {
            let mut took = took.to_vec();
            took.sort_unstable();
            println!(
                "a hand-off {what}: median {:?}, p99 {:?}, longest {:?}",
                took[500], took[990], took[999]
            );
        }
    }

    #[test]
    fn a_mailbox_that_nobody_empties_keeps_the_newest_lists_and_the_first_news_and_counts_the_rest() {
        let (cores, mut inboxes) = Cores::<Stream>::new(4, 1, Limits::default());
        // Of a core that is gone nobody speaks.
        inboxes.pop();
        for battle in 0..1000 {
            let listing = Listing { battle, core: 1, players: 0, free_seats: 1 };
            cores.tell_list(&List { core: 1, battles: vec![listing] });
            cores.tell_news(core(1), &Won { battle, score: 1, name: String::from("Ann") });
        }
        let (lists, news) = cores.post(core(0));
        let battles = |lists: &[List]| lists.iter().map(|it| it.battles[0].battle).collect::<Vec<_>>();
        assert_eq!(battles(&lists), (1000 - 128..1000).collect::<Vec<_>>());
        assert_eq!(news.iter().map(|it| it.battle).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
        assert!(cores.metrics().contains("battle_news_dropped_total{core=\"1\"} 2952\n"));
        // What was taken out is not there any more, and there is room again.
        cores.tell_news(core(2), &Won { battle: 5000, score: 1, name: String::from("Bob") });
        let (lists, news) = cores.post(core(0));
        assert_eq!((lists.len(), news.len()), (0, 1));
    }

    #[test]
    fn every_thread_learns_of_the_end() {
        let (cores, _inboxes) = Cores::<Stream>::new(2, 1, Limits::default());
        assert!(!cores.is_ending());
        cores.end();
        assert!(cores.is_ending());
        block_on(cores.ending());
    }
}
