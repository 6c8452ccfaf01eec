//! The game's own binary form, version 4: what travels inside the WebSocket messages.
//!
//! A payload is one or more messages, one after the other; each is a tag byte and fields of fixed size, numbers
//! little-endian. A text is a length byte and so many bytes of UTF-8. Nothing is aligned, nothing is padded.
//!
//! | tag | from client | fields |
//! |---|---|---|
//! | 1 | join | version `u8`, name |
//! | 2 | move | directions held `u8`: 1 up, 2 down, 4 left, 8 right |
//! | 3 | aim | angle `u16` |
//! | 4 | trigger | 1 pulled, 0 released `u8` |
//! | 5 | ping | a number of the client's choice `u16` |
//! | 6 | say | text |
//! | 7 | change | the number of a battle `u32`, 0 for a new one |
//! | 8 | lobby | (which battles are there?) |
//!
//! | tag | from server | fields |
//! |---|---|---|
//! | 65 | welcome | version `u8`, your id `u16`, width `u16`, height `u16`, milliseconds a tick `u8`, your ticket, 16 bytes, the number of this battle `u32`, its core `u8` |
//! | 66 | joined | id `u16`, hue `u8` (256 a turn), name |
//! | 67 | left | id `u16` |
//! | 68 | score | id `u16`, score `u32` |
//! | 69 | hit | victim `u16`, by `u16`, 1 fatal, 0 not `u8` |
//! | 70 | refused | (a name that is not 1 to 16 visible characters) |
//! | 71 | frame | tick `u32`, count `u8` of ships, count `u16` of shots, the ships, the shots |
//! | 72 | round | 1 fight, 2 result `u8`, the tick that ends it `u32`, the score that wins `u32` |
//! | 73 | pong | the ping's number `u16` |
//! | 74 | said | id `u16`, text |
//! | 75 | lobby | count `u8` of battles, each: number `u32`, core `u8`, players `u8`, free seats `u8` |
//! | 76 | stay | the battle `u32` that you cannot change to: 1 full, 2 gone, 3 not just now `u8` |
//! | 77 | won | the battle `u32`, the score `u32`, the name of who won a round there |
//!
//! A ship is id `u16`, x `u16`, y `u16`, angle `u16`, hull `u8`, flags `u8` (1 flying, 2 thrusting, 4 shielded); a
//! shot is id `u16`, owner `u16`, x `u16`, y `u16`, angle `u8`. An angle is a full turn over its whole range, and
//! a coordinate a 32nd of a unit.
//!
//! The version stands in the first message of either side. Whoever meets an unknown tag cannot know how long the
//! message is, so reading ends there.

mod command;
mod event;

use std::error;
use std::f32::consts::TAU;
use std::fmt;
use std::str;

pub(crate) use command::{Command, Decoder, Directions};
#[cfg(test)]
pub(crate) use event::tests::events;
pub(crate) use event::{Event, Events, Listing, Phase, Ship, Shot, Why};

/// The version of this form. It rises with every change that an old page would misread.
pub(crate) const VERSION: u8 = 4;

/// Steps of a coordinate in one unit of the arena: fine enough for smooth motion, and 2,000 units fit a `u16`.
const STEPS: f32 = 32.0;

/// Why the messages of a payload ended before its bytes did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// A tag that this version does not know.
    UnknownTag(u8),
    /// The payload ends inside a message, or before the first.
    Cut,
    /// A text that is not UTF-8.
    NotText,
    /// A field has a value that means nothing.
    BadValue,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTag(tag) => write!(f, "unknown message {tag}"),
            Self::Cut => f.write_str("a message is cut short"),
            Self::NotText => f.write_str("a text is not UTF-8"),
            Self::BadValue => f.write_str("a field has a value that means nothing"),
        }
    }
}

impl error::Error for Error {}

/// What is left of a payload.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (&array, rest) = self.0.split_first_chunk().ok_or(Error::Cut)?;
        self.0 = rest;
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn flag(&mut self) -> Result<bool, Error> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Error::BadValue),
        }
    }

    fn coordinate(&mut self) -> Result<f32, Error> {
        Ok(f32::from(self.u16()?) / STEPS)
    }

    fn text(&mut self) -> Result<&'a str, Error> {
        let len = self.u8()?;
        let (text, rest) = self.0.split_at_checked(len.into()).ok_or(Error::Cut)?;
        self.0 = rest;
        str::from_utf8(text).map_err(|_| Error::NotText)
    }
}

fn put(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// A text of at most 255 bytes; the rest of a longer one is left out.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    while !text.is_char_boundary(len.into()) {
        len = len.saturating_sub(1);
    }
    out.push(len);
    out.extend(text.bytes().take(len.into()));
}

/// A coordinate on the wire.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is turned into an integer by `as`, which saturates: what lies outside is put at the edge"
)]
fn steps(coordinate: f32) -> u16 {
    (coordinate * STEPS).round() as u16
}

/// The direction (x, y) of an angle on the wire; zero is to the right, a quarter turn downwards.
pub(crate) fn direction(angle: u16) -> (f32, f32) {
    let (y, x) = (f32::from(angle) / 65_536.0 * TAU).sin_cos();
    (x, y)
}

/// The angle on the wire that points along (x, y).
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a turn: at most 65,536, and the full turn is put a step before it"
)]
pub(crate) fn angle(x: f32, y: f32) -> u16 {
    ((y.atan2(x) / TAU).rem_euclid(1.0) * 65_536.0) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_coordinate_outside_the_range_is_put_at_its_edge() {
        assert_eq!((steps(-5.0), steps(1.0), steps(1e9), steps(f32::NAN)), (0, 32, 65_535, 0));
    }

    proptest! {
        #[test]
        fn an_angle_points_where_its_direction_does(turn in any::<u16>()) {
            let (x, y) = direction(turn);
            let off = angle(x * 300.0, y * 300.0).wrapping_sub(turn);
            prop_assert!(off.min(off.wrapping_neg()) <= 2, "{off} steps");
        }
    }
}
