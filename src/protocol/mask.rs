//! Masking (RFC 6455, section 5.3): a masking key and our place in it, a word at a time in safe code.
//!
//! A payload is touched anyway when it is copied to where it stays, so [`Mask::copy`] masks on the way. Tried and dropped:
//! copying and then masking in place (about twice the time at 64 KiB), and finishing the last bytes through
//! `cycle()` (a third of the speed at 33 bytes).

/// A masking key, and how far into it the payload has come.
///
/// Masking and unmasking are the same.
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::Mask;
///
/// // The "Hello" of section 5.7, unmasked in two steps.
/// let mut mask = Mask::new([0x37, 0xFA, 0x21, 0x3D]);
/// let mut payload = [0x7F, 0x9F, 0x4D, 0x51, 0x58];
/// mask.apply(&mut payload[..2]);
/// mask.apply(&mut payload[2..]);
/// assert_eq!(&payload, b"Hello");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    /// The key, turned so that its first byte masks the next byte of the payload.
    key: [u8; 4],
}

/// A source of masking keys. Each frame of a client takes a fresh one, and none may be predictable from those
/// before (RFC 6455, sections 5.3 and 10.3).
///
/// Connections made by this crate's constructors take theirs from an OS-seeded generator, which the child of a fork seeds
/// anew for the connections that it makes; this trait is for those who drive [`Outbound`](super::Outbound) themselves.
///
/// # Examples
///
/// ```
/// use unsync_websocket::protocol::MaskingKeys;
///
/// struct Counting(u32); // for a test; predictable, so never for a network
///
/// impl MaskingKeys for Counting {
///     fn next_key(&mut self) -> [u8; 4] {
///         self.0 = self.0.wrapping_add(1);
///         self.0.to_be_bytes()
///     }
/// }
///
/// assert_eq!(Counting(6).next_key(), [0, 0, 0, 7]);
/// ```
pub trait MaskingKeys {
    /// The key for the next frame.
    ///
    /// # Examples
    ///
    /// See [`MaskingKeys`].
    fn next_key(&mut self) -> [u8; 4];
}

/// Bytes that are masked at a time: what the compiler keeps in vector registers.
const BLOCK: usize = 64;
/// Bytes of one such register.
const VECTOR: usize = 16;
/// From here on it pays to begin where a register's worth does.
const LONG: usize = 512;
const WORD: usize = 8;

#[inline]
fn mask_short(key: [u8; 4], data: &mut [u8]) {
    let [a, b, c, _] = key;
    let (words, tail) = data.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip([a, b, c]) {
        *byte ^= key;
    }
}

impl Mask {
    /// `key`, at the start of a payload.
    ///
    /// # Examples
    ///
    /// See [`Mask`].
    #[must_use]
    pub const fn new(key: [u8; 4]) -> Self {
        Self { key }
    }

    /// Masks the next `data.len()` bytes of the payload in place.
    ///
    /// # Examples
    ///
    /// See [`Mask`].
    #[inline]
    pub fn apply(&mut self, data: &mut [u8]) {
        if data.len() < LONG { self.apply_in_words(data) } else { self.apply_in_blocks(data) }
    }

    fn apply_in_blocks(&mut self, data: &mut [u8]) {
        // A vector that crosses a cache line costs twice as much, and where the header ends is where the payload begins.
        let start = data.as_ptr().align_offset(VECTOR).min(data.len());
        let (start, rest) = data.split_at_mut(start);
        self.apply_in_words(start);
        let word = self.word();
        let (blocks, rest) = rest.as_chunks_mut::<BLOCK>();
        for block in blocks {
            for bytes in block.as_chunks_mut::<WORD>().0 {
                *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
            }
        }
        self.apply_in_words(rest);
    }

    /// The same, with the fewest instructions for a short payload.
    #[inline]
    fn apply_in_words(&mut self, data: &mut [u8]) {
        mask_short(self.key, data);
        self.advance(data.len());
    }

    /// Masks a whole payload in place.
    #[inline]
    pub(crate) fn apply_once(mut self, data: &mut [u8]) {
        if data.len() < LONG { mask_short(self.key, data) } else { self.apply_in_blocks(data) }
    }

    /// Appends the next `from.len()` bytes of the payload to `to`, masked: one pass over the bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use unsync_websocket::protocol::Mask;
    ///
    /// let mut wire = vec![0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D];
    /// Mask::new([0x37, 0xFA, 0x21, 0x3D]).copy(b"Hello", &mut wire);
    /// assert_eq!(wire[6..], [0x7F, 0x9F, 0x4D, 0x51, 0x58]);
    /// ```
    pub fn copy(&mut self, from: &[u8], to: &mut Vec<u8>) {
        if from.len() < LONG {
            let start = to.len();
            to.extend_from_slice(from);
            return self.apply_in_words(to.get_mut(start..).unwrap_or_default());
        }
        to.reserve(from.len());
        let word = self.word();
        let (blocks, rest) = from.as_chunks::<BLOCK>();
        for block in blocks {
            let mut block = *block;
            for bytes in block.as_chunks_mut::<WORD>().0 {
                *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
            }
            to.extend_from_slice(&block);
        }
        let (words, tail) = rest.as_chunks::<WORD>();
        for bytes in words {
            to.extend_from_slice(&(u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes());
        }
        to.extend(tail.iter().zip(word.to_ne_bytes()).map(|(byte, key)| byte ^ key));
        self.advance(from.len());
    }

    /// The key twice over, as it lies in memory.
    const fn word(&self) -> u64 {
        let [a, b, c, d] = self.key;
        u64::from_ne_bytes([a, b, c, d, a, b, c, d])
    }

    /// Goes past `len` bytes of the payload.
    pub(super) const fn advance(&mut self, len: usize) {
        let [a, b, c, d] = self.key;
        self.key = match len % 4 {
            0 => [a, b, c, d],
            1 => [b, c, d, a],
            2 => [c, d, a, b],
            _ => [d, a, b, c],
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slow way, straight from the formula of section 5.3.
    fn naive(key: [u8; 4], data: &[u8]) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
    }

    proptest! {
        #[test]
        fn both_ways_over_any_cut_equal_the_formula(
            key: [u8; 4],
            data in proptest::collection::vec(any::<u8>(), 0..2 * LONG),
            cuts in proptest::collection::vec(0..2 * LONG, 0..4),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();

            let (mut in_place, mut copied) = (data.clone(), b"before".to_vec());
            let (mut mask, mut copying) = (Mask::new(key), Mask::new(key));
            for pair in cuts.windows(2) {
                mask.apply(&mut in_place[pair[0]..pair[1]]);
                copying.copy(&data[pair[0]..pair[1]], &mut copied);
            }
            let expected = naive(key, &data);
            prop_assert_eq!(&in_place, &expected);
            prop_assert_eq!(copied.strip_prefix(b"before"), Some(&expected[..]));
        }
    }
}
