//! Masking keys and nonces for clients: from a generator seeded by the operating system, one a thread (RFC 6455, section
//! 10.3).

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

use crate::protocol::MaskingKeys;

thread_local! {
    static GENERATOR: RefCell<Option<Rc<RefCell<StdRng>>>> = const { RefCell::new(None) };
}

/// The operating system gave no randomness, so nothing could be masked.
#[derive(Clone, Debug)]
pub(crate) struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gives no randomness")
    }
}

/// This thread's generator, a strong one (ChaCha).
#[derive(Debug)]
pub(crate) struct OsSeededKeys {
    generator: Rc<RefCell<StdRng>>,
}

impl OsSeededKeys {
    /// Takes the thread's generator, which is seeded when it is first asked for.
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        let kept = GENERATOR.try_with(|kept| kept.borrow().clone()).ok().flatten();
        if let Some(generator) = kept {
            return Ok(Self { generator });
        }
        let mut seed = <StdRng as SeedableRng>::Seed::default();
        SysRng.try_fill_bytes(&mut seed).map_err(|_| NoRandomness)?;
        let generator = Rc::new(RefCell::new(StdRng::from_seed(seed)));
        // At the end of a thread there is no place to keep it: it is made anew each time then.
        let _ended = GENERATOR.try_with(|kept| *kept.borrow_mut() = Some(Rc::clone(&generator)));
        Ok(Self { generator })
    }
}

impl MaskingKeys for OsSeededKeys {
    fn next_key(&mut self) -> [u8; 4] {
        let mut key = [0; 4];
        self.generator.borrow_mut().fill_bytes(&mut key);
        key
    }
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
}
