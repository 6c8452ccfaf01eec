//! Masking keys and nonces for clients: from a generator seeded by the operating system, one a thread (RFC 6455, sections
//! 4.1 and 10.3).
//!
//! A process that forks has the generator twice, so a connection looks whose it is as it begins: the child seeds its own. (One that was there
//! before the fork is not looked after: its socket has two owners then, whose frames would mix whatever their keys.)

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use crate::protocol::MaskingKeys;

type Seed = <StdRng as SeedableRng>::Seed;

/// Where seeds come from.
type SeedSource = fn(&mut Seed) -> Result<(), NoRandomness>;

thread_local! {
    /// And the process that seeded it.
    static GENERATOR: RefCell<Option<(u32, Rc<RefCell<StdRng>>)>> = const { RefCell::new(None) };
    /// The operating system, but in a test that wants to see it fail.
    static SOURCE: Cell<SeedSource> = const { Cell::new(seed_from_system) };
}

/// The operating system gave no randomness, so nothing could be masked.
#[derive(Clone, Debug)]
pub(crate) struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gives no randomness")
    }
}

/// Whose a generator is. Where there is no fork there may be no such number either, and asking for it panics.
fn process() -> u32 {
    if cfg!(unix) { std::process::id() } else { 0 }
}

fn seed_from_system(seed: &mut Seed) -> Result<(), NoRandomness> {
    SysRng.try_fill_bytes(seed).map_err(|_| NoRandomness)
}

/// This thread's generator, a strong one (ChaCha).
#[derive(Debug)]
pub(crate) struct OsSeededKeys {
    generator: Rc<RefCell<StdRng>>,
}

impl OsSeededKeys {
    /// Takes the thread's generator, which is seeded when it is first asked for, and when it is another process's.
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        let process = process();
        let kept = GENERATOR.try_with(|kept| kept.borrow().clone()).ok().flatten();
        if let Some((_, generator)) = kept.filter(|(seeded_by, _)| *seeded_by == process) {
            return Ok(Self { generator });
        }
        let source = SOURCE.try_with(Cell::get).unwrap_or(seed_from_system);
        let mut seed = Seed::default();
        source(&mut seed)?;
        let generator = Rc::new(RefCell::new(StdRng::from_seed(seed)));
        // At the end of a thread there is no place to keep it: it is made anew each time then.
        let _ended = GENERATOR.try_with(|kept| *kept.borrow_mut() = Some((process, Rc::clone(&generator))));
        Ok(Self { generator })
    }

    /// What a handshake's key is made of: "a nonce ... selected randomly for each connection" (section 4.1).
    pub(crate) fn next_nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.generator.borrow_mut().fill_bytes(&mut nonce);
        nonce
    }
}

impl MaskingKeys for OsSeededKeys {
    fn next_key(&mut self) -> [u8; 4] {
        let mut key = [0; 4];
        self.generator.borrow_mut().fill_bytes(&mut key);
        key
    }
}

/// Runs `work` on a thread where the operating system gives no randomness.
#[cfg(test)]
pub(crate) fn without_randomness<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let starved = scope.spawn(|| {
            SOURCE.set(|_| Err(NoRandomness));
            work()
        });
        starved.join().expect("the work does not panic")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_two_connections_of_a_thread_share_the_generator() {
        let (mut one, mut two) = (OsSeededKeys::new().unwrap(), OsSeededKeys::new().unwrap());
        assert!(Rc::ptr_eq(&one.generator, &two.generator));
        let keys: std::collections::HashSet<[u8; 4]> =
            (0..500).flat_map(|_| [one.next_key(), two.next_key()]).collect();
        assert!(keys.len() > 995, "of 1,000 keys hardly two are equal");
    }

    #[test]
    fn two_threads_have_different_keys() {
        let key = || OsSeededKeys::new().unwrap().next_key();
        let keys: std::collections::HashSet<[u8; 4]> =
            (0..8).map(|_| std::thread::spawn(key).join().unwrap()).collect();
        assert!(keys.len() > 6);
    }

    #[test]
    fn the_child_of_a_fork_does_not_go_on_with_the_keys_of_its_parent() {
        let parents = OsSeededKeys::new().unwrap();
        // What a child finds: the generator as it was, and another process's number beside it.
        let fork = || GENERATOR.with(|kept| kept.borrow_mut().as_mut().unwrap().0 ^= 1);
        fork();
        let (mut childs, mut again) = (OsSeededKeys::new().unwrap(), OsSeededKeys::new().unwrap());
        assert!(!Rc::ptr_eq(&parents.generator, &childs.generator));
        assert!(Rc::ptr_eq(&childs.generator, &again.generator), "seeded once");
        assert_ne!(childs.next_nonce(), again.next_nonce());
        without_randomness(|| {
            SOURCE.set(seed_from_system);
            assert!(OsSeededKeys::new().is_ok());
            SOURCE.set(|_| Err(NoRandomness));
            fork();
            assert!(OsSeededKeys::new().is_err(), "and never with the parent's, for want of randomness");
        });
    }

    #[test]
    fn no_two_nonces_are_equal() {
        let nonces = || (0..500).map(|_| OsSeededKeys::new().unwrap().next_nonce()).collect::<Vec<_>>();
        let mut all = [nonces(), std::thread::spawn(nonces).join().unwrap()].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn a_failing_source_is_an_error_each_time_and_none_once_it_works_again() {
        without_randomness(|| {
            for _ in 0..3 {
                assert!(OsSeededKeys::new().is_err());
            }
            SOURCE.set(seed_from_system);
            assert!(OsSeededKeys::new().is_ok());
            SOURCE.set(|_| Err(NoRandomness));
            assert!(OsSeededKeys::new().is_ok(), "a thread's generator is seeded once");
        });
    }
}
