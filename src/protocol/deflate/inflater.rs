//! Unpacking messages (RFC 7692, section 7.2.2).
//!
//! A message's compressed bytes are collected until it is whole and only then inflated, in steps between which other tasks have
//! their turn, by a decompressor that the thread lends. So a connection holds what has arrived, never what that may swell
//! to; and the only thing that it has to keep between messages is the window: the end of what was inflated so far, and
//! that only if the peer looks back into it.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::{ProtocolError, Role, spare};
use super::{Codecs, Deflate};

/// What the sender left out, the end of an empty stored block; and behind it an empty final block, which the decompressor must
/// find exactly here. Where it does not, the message was cut short.
const TAIL: [u8; 9] = [0x00, 0x00, 0xFF, 0xFF, 0x01, 0x00, 0x00, 0xFF, 0xFF];
/// Bytes that are inflated at once, so at most so many past a limit.
const PIECE: usize = 16 << 10;
/// Bytes of input, or of output, after which a step ends. Input that is made to be slow (blocks with large trees and nothing in them)
/// takes 75 ns a byte, so a step takes a millisecond or so.
const STEP: (usize, usize) = (16 << 10, 64 << 10);
/// What a byte of input may take, in bytes of output: a step of either is as long. So a message is charged what it may have taken, and no flat
/// sum: with one of 16 KiB a turn had four messages of a chat, and four of the slowest; now it has 32, and one.
const INPUT_COST: usize = STEP.1 / STEP.0;
/// What it takes to begin, and more where there is a window.
const BEGIN_COST: usize = 512;

#[derive(Debug)]
pub(crate) struct Inflater {
    /// What has come of the present message, compressed.
    packed: Vec<u8>,
    /// What inflates it, and how much of it is done; from the first step to the last.
    running: Option<(Box<Decompress>, usize)>,
    /// How far the peer may look back into earlier messages.
    window_size: usize,
    /// The last so many bytes of those.
    window: Vec<u8>,
    /// What the last step took, in bytes of output.
    cost: usize,
}

impl Inflater {
    /// For what the peer of an endpoint that acts as `role` sends.
    pub(crate) fn new(agreed: &Deflate, role: Role) -> Self {
        let params = agreed.params();
        let (no_takeover, bits) = match role {
            Role::Server => (params.client_no_context_takeover, params.client_max_window_bits),
            Role::Client => (params.server_no_context_takeover, params.server_max_window_bits),
        };
        let window_size = if no_takeover { 0 } else { 1 << bits.min(15) };
        Self { packed: Vec::new(), running: None, window_size, window: Vec::new(), cost: 0 }
    }

    /// The most compressed bytes that a message of `max` bytes can honestly have: what DEFLATE cannot shrink grows a little.
    pub(crate) const fn max_packed(max: usize) -> usize {
        max.saturating_add(max / 8).saturating_add(64)
    }

    /// Begins a message.
    pub(crate) fn begin(&mut self) {
        self.packed = spare::take();
    }

    /// Where the compressed bytes of the message are collected.
    pub(crate) fn packed(&mut self) -> &mut Vec<u8> {
        &mut self.packed
    }

    /// Inflates a part of the message to the end of `message`, which held nothing before the first step. Returns whether that was
    /// the last of it.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::MessageTooBig`] when there are more than `max` bytes, [`ProtocolError::InvalidDeflate`] when
    /// the compressed bytes mean nothing. `message` has something of the message then.
    pub(crate) fn step(&mut self, message: &mut Vec<u8>, max: usize) -> Result<bool, ProtocolError> {
        self.cost = BEGIN_COST;
        // Some send an empty message as no bytes at all, because their compressor has nothing to add to its last flush.
        if !self.packed.is_empty() {
            let (decompress, done) = match &mut self.running {
                Some(running) => running,
                None => self.running.insert((begin(&self.window)?, 0)),
            };
            let (len, was_done) = (message.len(), *done);
            let is_whole = step(decompress, (&self.packed, done), message, max)?;
            let (used, made) = (done.saturating_sub(was_done), message.len().saturating_sub(len));
            self.cost = self.cost.saturating_add(used.saturating_mul(INPUT_COST)).saturating_add(made);
            if !is_whole {
                return Ok(false);
            }
            if let Some((decompress, _)) = self.running.take() {
                Codecs::give_decompressor(decompress);
            }
        }
        spare::give(std::mem::take(&mut self.packed));
        self.remember(message);
        Ok(true)
    }

    /// What the last step took, in bytes of output.
    pub(crate) const fn cost(&self) -> usize {
        self.cost
    }

    /// Forgets everything: no message follows.
    pub(crate) fn release(&mut self) {
        self.packed = Vec::new();
        self.running = None;
        self.window = Vec::new();
    }

    /// Keeps the end of what there was before and of `data`, as far as the peer may look back.
    fn remember(&mut self, data: &[u8]) {
        let kept = self.window_size.saturating_sub(data.len());
        let forgotten = self.window.len().saturating_sub(kept);
        self.window.drain(..forgotten);
        let new = data.len().saturating_sub(self.window_size);
        self.window.extend_from_slice(data.get(new..).unwrap_or_default());
    }
}

/// A decompressor for a message that may look back into `window`.
fn begin(window: &[u8]) -> Result<Box<Decompress>, ProtocolError> {
    let mut decompress = Codecs::take_decompressor();
    if !window.is_empty() && decompress.set_dictionary(window).is_err() {
        return Err(ProtocolError::InvalidDeflate);
    }
    Ok(decompress)
}

/// Inflates a part of `packed`, of which `done` bytes are done, to the end of `to`, which may come to `max` bytes.
/// Returns whether that was the last of it.
fn step(
    decompress: &mut Decompress,
    (packed, done): (&[u8], &mut usize),
    to: &mut Vec<u8>,
    max: usize,
) -> Result<bool, ProtocolError> {
    let (last_done, last_len) = (done.saturating_add(STEP.0), to.len().saturating_add(STEP.1));
    while *done < last_done && to.len() < last_len {
        let input = packed.get(*done..).unwrap_or_default();
        let input = input.get(..STEP.0).unwrap_or(input);
        let len = to.len();
        let left = max.saturating_sub(len).saturating_add(1);
        let piece = input.len().saturating_mul(4).clamp(512, PIECE).min(left);
        if to.capacity().saturating_sub(len) < piece {
            to.reserve_exact(room(len.saturating_add(piece), max).saturating_sub(len));
        }
        to.resize(len.saturating_add(piece), 0);
        let ran = run(decompress, input, to.get_mut(len..).unwrap_or_default());
        to.truncate(len.saturating_add(ran.map_or(0, |ran| ran.made)));
        let Ran { status, used, made } = ran?;
        *done = done.saturating_add(used);
        if to.len() > max {
            let len = u64::try_from(to.len()).unwrap_or(u64::MAX);
            return Err(ProtocolError::MessageTooBig { len, max });
        }
        let ended = *done >= packed.len();
        if status == Status::StreamEnd {
            // A final block (section 7.2.3.4). What comes next is another stream, which cannot look back; usually just the start of
            // the empty block whose end was left out.
            if ended {
                return Ok(true);
            }
            decompress.reset(false);
        } else if ended && made < piece {
            return match run(decompress, &TAIL, &mut [0; 16])? {
                Ran { status: Status::StreamEnd, used, made: 0 } if used == TAIL.len() => Ok(true),
                _ => Err(ProtocolError::InvalidDeflate),
            };
        } else if used == 0 && made == 0 {
            return Err(ProtocolError::InvalidDeflate);
        }
    }
    Ok(false)
}

/// The room that a message gets which needs so much: twice that at most, and a half, a quarter, an eighth .. of the longest one and the byte that
/// shows it to be too long. While it is copied there are both, the old and the new: that is the longest message and a half at most.
fn room(needed: usize, max: usize) -> usize {
    let most = max.saturating_add(1);
    let halvings = most.checked_div(needed).and_then(usize::checked_ilog2).unwrap_or(0);
    most.checked_shr(halvings).unwrap_or(most).max(needed)
}

/// What one call of the decompressor came to.
#[derive(Clone, Copy)]
struct Ran {
    status: Status,
    /// Bytes of input.
    used: usize,
    /// Bytes of output.
    made: usize,
}

fn run(decompress: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<Ran, ProtocolError> {
    let (used, made) = (decompress.total_in(), decompress.total_out());
    let status = decompress.decompress(input, output, FlushDecompress::None);
    let since = |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
    let (used, made) = (since(decompress.total_in(), used), since(decompress.total_out(), made));
    status.map(|status| Ran { status, used, made }).map_err(|_| ProtocolError::InvalidDeflate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_room_enough_and_not_much_more_and_the_last_copy_is_from_a_half() {
        for max in [0, 1, 999, 1000, 1 << 20, (1 << 20) - 1, usize::MAX] {
            for needed in (1..70)
                .chain([900, 1000, 65_536, 524_288, 524_289, 1 << 20])
                .filter(|it| *it <= max.saturating_add(1))
            {
                let room = room(needed, max);
                assert!((needed..=2 * needed).contains(&room), "{room} bytes for {needed} of {max}");
                assert!(
                    room == max.saturating_add(1) || room <= max / 2 + 1,
                    "{room} bytes for {needed} of {max}"
                );
            }
        }
    }
}
