//! Payloads that carry their own hash.

use std::hash::{DefaultHasher, Hasher};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// Hexadecimal digits of the hash, which come first.
const SEAL: usize = 16;

/// A message: text of ASCII letters, or bytes of any kind.
#[derive(Debug)]
pub(crate) enum Payload {
    Text(String),
    Binary(Vec<u8>),
}

impl Payload {
    /// Most are small, one in fifty is large: 16 bytes to 64 KiB, or to 1 MiB.
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        let largest = if rng.random_ratio(1, 50) { 20 } else { 16 };
        // As many between 32 and 64 bytes as between 32 and 64 KiB.
        let doublings = rng.random_range(5..=largest);
        let len = rng.random_range(0..1_usize << doublings);
        let mut rest = vec![0; len];
        rng.fill_bytes(&mut rest);
        if rng.random_ratio(1, 4) {
            let rest: String = rest.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
            return Self::Text(seal(rest.as_bytes()) + &rest);
        }
        let mut bytes = seal(&rest).into_bytes();
        bytes.append(&mut rest);
        Self::Binary(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

fn seal(rest: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(rest);
    format!("{:016x}", hasher.finish())
}

/// Whether a payload is one of these, to the last bit.
pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.split_at_checked(SEAL).is_some_and(|(hash, rest)| hash == seal(rest).as_bytes())
}
