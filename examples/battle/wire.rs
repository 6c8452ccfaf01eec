//! The game's own binary form, version 1: what travels inside the WebSocket messages.
//!
//! A payload is any number of messages, one after the other; each is a tag byte and fields of fixed size, numbers
//! little-endian. A text is a length byte and so many bytes of UTF-8. Nothing is aligned, nothing is padded.
//!
//! | tag | from client | fields |
//! |---|---|---|
//! | 1 | join | version `u8`, name |
//! | 2 | move | directions held `u8`: 1 up, 2 down, 4 left, 8 right |
//! | 3 | aim | angle `u16` |
//! | 4 | trigger | 1 pulled, 0 released `u8` |
//!
//! | tag | from server | fields |
//! |---|---|---|
//! | 65 | welcome | version `u8`, your id `u16`, width `u16`, height `u16`, milliseconds a tick `u8` |
//! | 66 | joined | id `u16`, hue `u8` (256 a turn), name |
//! | 67 | left | id `u16` |
//! | 68 | score | id `u16`, score `u32` |
//! | 69 | hit | victim `u16`, by `u16`, 1 fatal, 0 not `u8` |
//! | 70 | refused | (a name that is not 1 to 16 visible characters) |
//! | 71 | frame | tick `u32`, count `u8` of ships, count `u16` of shots, the ships, the shots |
//!
//! A ship is id `u16`, x `u16`, y `u16`, angle `u16`, hull `u8`, flags `u8` (1 flying, 2 thrusting, 4 shielded); a
//! shot is id `u16`, owner `u16`, x `u16`, y `u16`, angle `u8`. An angle is a full turn over its whole range, and
//! a coordinate a 32nd of a unit.
//!
//! The version stands in the first message of either side. Whoever meets an unknown tag cannot know how long the
//! message is, so reading ends there.

use std::error;
use std::f32::consts::TAU;
use std::fmt;
use std::str;

/// The version of this form. It rises with every change that an old page would misread.
pub(crate) const VERSION: u8 = 1;

/// Steps of a coordinate in one unit of the arena: fine enough for smooth motion, and 2,000 units fit a `u16`.
const STEPS: f32 = 32.0;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// Play, under this name as it was typed; sent by a page that speaks this version.
    Join { version: u8, name: &'a str },
    /// These directions are held from now on.
    Move(Directions),
    /// The nose points this way from now on; a full turn is 65,536.
    Aim(u16),
    /// The trigger is held, or not, from now on.
    Trigger { pulled: bool },
}

/// The keys held: a set of up, down, left and right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directions(u8);

impl Directions {
    #[cfg(test)]
    pub(crate) const UP: Self = Self(1);
    #[cfg(test)]
    pub(crate) const LEFT: Self = Self(4);
    #[cfg(test)]
    pub(crate) const RIGHT: Self = Self(8);
    const ALL: u8 = 15;

    /// The way these keys push, of length 1, or nothing where they cancel out; y grows downwards.
    pub(crate) fn push(self) -> (f32, f32) {
        let pressed = |bit: u8| if self.0 & bit == 0 { 0.0 } else { 1.0_f32 };
        let (x, y) = (pressed(8) - pressed(4), pressed(2) - pressed(1));
        let length = x.hypot(y).max(1.0);
        (x / length, y / length)
    }
}

/// Why the messages of a payload ended before its bytes did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// A tag that this version does not know.
    UnknownTag(u8),
    /// The payload ends inside a message.
    Cut,
    /// A name that is not UTF-8.
    NotText,
    /// A field has a value that means nothing.
    BadValue,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTag(tag) => write!(f, "unknown message {tag}"),
            Self::Cut => f.write_str("a message is cut short"),
            Self::NotText => f.write_str("a name is not UTF-8"),
            Self::BadValue => f.write_str("a field has a value that means nothing"),
        }
    }
}

impl error::Error for Error {}

/// The messages of one payload. After an error there are no more: where the next would begin is not known.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    bytes: Bytes<'a>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { bytes: Bytes(payload) }
    }

    fn command(&mut self) -> Result<Command<'a>, Error> {
        let bytes = &mut self.bytes;
        Ok(match bytes.u8()? {
            1 => Command::Join { version: bytes.u8()?, name: bytes.text()? },
            2 => match bytes.u8()? {
                held if held > Directions::ALL => return Err(Error::BadValue),
                held => Command::Move(Directions(held)),
            },
            3 => Command::Aim(bytes.u16()?),
            4 => match bytes.u8()? {
                0 => Command::Trigger { pulled: false },
                1 => Command::Trigger { pulled: true },
                _ => return Err(Error::BadValue),
            },
            tag => return Err(Error::UnknownTag(tag)),
        })
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Command<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.0.is_empty() {
            return None;
        }
        let command = self.command();
        if command.is_err() {
            self.bytes = Bytes(&[]);
        }
        Some(command)
    }
}

/// What is left of a payload.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn u8(&mut self) -> Result<u8, Error> {
        let (&byte, rest) = self.0.split_first().ok_or(Error::Cut)?;
        self.0 = rest;
        Ok(byte)
    }

    fn u16(&mut self) -> Result<u16, Error> {
        let (&number, rest) = self.0.split_first_chunk().ok_or(Error::Cut)?;
        self.0 = rest;
        Ok(u16::from_le_bytes(number))
    }

    fn text(&mut self) -> Result<&'a str, Error> {
        let len = self.u8()?;
        let (text, rest) = self.0.split_at_checked(len.into()).ok_or(Error::Cut)?;
        self.0 = rest;
        str::from_utf8(text).map_err(|_| Error::NotText)
    }
}

/// What the server tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// To a new client, before anything else.
    Welcome { you: u16, width: u16, height: u16, tick_ms: u8 },
    /// Somebody plays.
    Joined { id: u16, hue: u8, name: &'a str },
    /// Somebody plays no more.
    Left { id: u16 },
    /// Somebody's score is now this.
    Score { id: u16, score: u32 },
    /// A shot of `by` found `victim`.
    Hit { victim: u16, by: u16, fatal: bool },
    /// Your name is not 1 to 16 visible characters; try another.
    Refused,
    /// Where everything is.
    Frame { tick: u32, ships: Vec<Ship>, shots: Vec<Shot> },
}

/// One ship of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ship {
    pub(crate) id: u16,
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) angle: u16,
    pub(crate) hull: u8,
    pub(crate) flying: bool,
    pub(crate) thrusting: bool,
    pub(crate) shielded: bool,
}

/// One shot of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shot {
    pub(crate) id: u16,
    pub(crate) owner: u16,
    pub(crate) x: f32,
    pub(crate) y: f32,
    /// A full turn is 256.
    pub(crate) angle: u8,
}

impl Event<'_> {
    /// Appends this event to a payload.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome { you, width, height, tick_ms } => {
                out.extend([65, VERSION]);
                put(out, &[*you, *width, *height]);
                out.push(*tick_ms);
            }
            Self::Joined { id, hue, name } => {
                out.push(66);
                put(out, &[*id]);
                out.push(*hue);
                text(out, name);
            }
            Self::Left { id } => {
                out.push(67);
                put(out, &[*id]);
            }
            Self::Score { id, score } => {
                out.push(68);
                put(out, &[*id]);
                out.extend(score.to_le_bytes());
            }
            Self::Hit { victim, by, fatal } => {
                out.push(69);
                put(out, &[*victim, *by]);
                out.push((*fatal).into());
            }
            Self::Refused => out.push(70),
            Self::Frame { tick, ships, shots } => frame(out, *tick, ships, shots),
        }
    }
}

/// A frame. Ships and shots beyond what the counts can say are left out.
fn frame(out: &mut Vec<u8>, tick: u32, ships: &[Ship], shots: &[Shot]) {
    let ship_count = u8::try_from(ships.len()).unwrap_or(u8::MAX);
    let shot_count = u16::try_from(shots.len()).unwrap_or(u16::MAX);
    out.push(71);
    out.extend(tick.to_le_bytes());
    out.push(ship_count);
    put(out, &[shot_count]);
    for ship in ships.iter().take(ship_count.into()) {
        put(out, &[ship.id, steps(ship.x), steps(ship.y), ship.angle]);
        let flags = u8::from(ship.flying) | u8::from(ship.thrusting) << 1 | u8::from(ship.shielded) << 2;
        out.extend([ship.hull, flags]);
    }
    for shot in shots.iter().take(shot_count.into()) {
        put(out, &[shot.id, shot.owner, steps(shot.x), steps(shot.y)]);
        out.push(shot.angle);
    }
}

fn put(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// A text of at most 255 bytes; the rest of a longer one is left out.
fn text(out: &mut Vec<u8>, text: &str) {
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Command<'_> {
        /// What the page's script does.
        pub(crate) fn encode(&self, out: &mut Vec<u8>) {
            match *self {
                Self::Join { version, name } => {
                    out.extend([1, version]);
                    text(out, name);
                }
                Self::Move(Directions(held)) => out.extend([2, held]),
                Self::Aim(angle) => {
                    out.push(3);
                    put(out, &[angle]);
                }
                Self::Trigger { pulled } => out.extend([4, pulled.into()]),
            }
        }
    }

    impl Bytes<'_> {
        fn u32(&mut self) -> u32 {
            u32::from(self.u16().unwrap()) | u32::from(self.u16().unwrap()) << 16
        }

        fn coordinate(&mut self) -> f32 {
            f32::from(self.u16().unwrap()) / STEPS
        }
    }

    /// What the page's script does: the events of a payload, which must be whole.
    pub(crate) fn events(payload: &[u8]) -> Vec<Event<'_>> {
        let mut bytes = Bytes(payload);
        let mut events = Vec::new();
        while !bytes.0.is_empty() {
            events.push(event(&mut bytes));
        }
        events
    }

    fn event<'a>(bytes: &mut Bytes<'a>) -> Event<'a> {
        match bytes.u8().unwrap() {
            65 => {
                assert_eq!(bytes.u8(), Ok(VERSION));
                Event::Welcome {
                    you: bytes.u16().unwrap(),
                    width: bytes.u16().unwrap(),
                    height: bytes.u16().unwrap(),
                    tick_ms: bytes.u8().unwrap(),
                }
            }
            66 => Event::Joined {
                id: bytes.u16().unwrap(),
                hue: bytes.u8().unwrap(),
                name: bytes.text().unwrap(),
            },
            67 => Event::Left { id: bytes.u16().unwrap() },
            68 => Event::Score { id: bytes.u16().unwrap(), score: bytes.u32() },
            69 => Event::Hit {
                victim: bytes.u16().unwrap(),
                by: bytes.u16().unwrap(),
                fatal: bytes.u8().unwrap() == 1,
            },
            70 => Event::Refused,
            71 => {
                let tick = bytes.u32();
                let (ship_count, shot_count) = (bytes.u8().unwrap(), bytes.u16().unwrap());
                let ships = (0..ship_count).map(|_| ship(bytes)).collect();
                let shots = (0..shot_count).map(|_| shot(bytes)).collect();
                Event::Frame { tick, ships, shots }
            }
            tag => panic!("the server sent tag {tag}"),
        }
    }

    fn ship(bytes: &mut Bytes<'_>) -> Ship {
        let (id, x, y) = (bytes.u16().unwrap(), bytes.coordinate(), bytes.coordinate());
        let (angle, hull, flags) = (bytes.u16().unwrap(), bytes.u8().unwrap(), bytes.u8().unwrap());
        let (flying, thrusting, shielded) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        Ship { id, x, y, angle, hull, flying, thrusting, shielded }
    }

    fn shot(bytes: &mut Bytes<'_>) -> Shot {
        let (id, owner) = (bytes.u16().unwrap(), bytes.u16().unwrap());
        Shot { id, owner, x: bytes.coordinate(), y: bytes.coordinate(), angle: bytes.u8().unwrap() }
    }

    fn decode(payload: &[u8]) -> Vec<Result<Command<'_>, Error>> {
        Decoder::new(payload).collect()
    }

    #[test]
    fn an_empty_payload_has_no_messages() {
        assert_eq!(decode(&[]), []);
    }

    #[test]
    fn several_messages_in_one_payload_are_read_in_order() {
        let name = "Ann";
        let payload = [1, 1, 3, b'A', b'n', b'n', 2, 9, 3, 0x34, 0x12, 4, 1, 4, 0];
        let expected = [
            Ok(Command::Join { version: 1, name }),
            Ok(Command::Move(Directions(Directions::UP.0 | Directions::RIGHT.0))),
            Ok(Command::Aim(0x1234)),
            Ok(Command::Trigger { pulled: true }),
            Ok(Command::Trigger { pulled: false }),
        ];
        assert_eq!(decode(&payload), expected);
    }

    #[test]
    fn an_unknown_message_ends_the_payload_with_an_error() {
        assert_eq!(
            decode(&[4, 1, 99, 4, 0]),
            [Ok(Command::Trigger { pulled: true }), Err(Error::UnknownTag(99))]
        );
    }

    #[test]
    fn values_that_mean_nothing_end_the_payload_with_an_error() {
        assert_eq!(decode(&[2, 16, 4, 1]), [Err(Error::BadValue)]);
        assert_eq!(decode(&[4, 2, 4, 1]), [Err(Error::BadValue)]);
        assert_eq!(decode(&[1, 1, 1, 0xff, 4, 1]), [Err(Error::NotText)]);
    }

    #[test]
    fn an_events_own_tag_is_no_command() {
        let mut payload = Vec::new();
        Event::Refused.encode(&mut payload);
        assert_eq!(decode(&payload), [Err(Error::UnknownTag(70))]);
    }

    #[test]
    fn keys_that_cancel_out_push_nowhere_and_two_push_no_harder_than_one() {
        assert_eq!(Directions(Directions::ALL).push(), (0.0, 0.0));
        assert_eq!(Directions::RIGHT.push(), (1.0, 0.0));
        let (x, y) = Directions(1 | 8).push();
        assert!((x.hypot(y) - 1.0).abs() < 1e-6 && x > 0.0 && y < 0.0);
    }

    #[test]
    fn a_coordinate_outside_the_range_is_put_at_its_edge() {
        assert_eq!((steps(-5.0), steps(1.0), steps(1e9), steps(f32::NAN)), (0, 32, 65_535, 0));
    }

    fn commands() -> impl Strategy<Value = Vec<(u8, String, u16)>> {
        prop::collection::vec((0..4_u8, ".{0,20}", any::<u16>()), 0..8)
    }

    fn command<'a>((kind, name, number): &'a (u8, String, u16)) -> Command<'a> {
        let [low, _] = number.to_le_bytes();
        match kind {
            0 => Command::Join { version: low, name },
            1 => Command::Move(Directions(low & Directions::ALL)),
            2 => Command::Aim(*number),
            _ => Command::Trigger { pulled: low & 1 == 1 },
        }
    }

    fn a_ship() -> impl Strategy<Value = Ship> {
        let numbers = (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u8>());
        (numbers, any::<[bool; 3]>()).prop_map(|((id, x, y, angle, hull), [flying, thrusting, shielded])| {
            let (x, y) = (f32::from(x) / STEPS, f32::from(y) / STEPS);
            Ship { id, x, y, angle, hull, flying, thrusting, shielded }
        })
    }

    fn a_shot() -> impl Strategy<Value = Shot> {
        (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u8>()).prop_map(
            |(id, owner, x, y, angle)| {
                let (x, y) = (f32::from(x) / STEPS, f32::from(y) / STEPS);
                Shot { id, owner, x, y, angle }
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_give_messages_and_at_most_one_error_which_is_the_last(
            payload in prop::collection::vec(prop_oneof![0..5_u8, any::<u8>()], 0..200)
        ) {
            let all = decode(&payload);
            let errors = all.iter().filter(|message| message.is_err()).count();
            prop_assert!(errors == 0 || errors == 1 && all.last().is_some_and(Result::is_err));
        }

        #[test]
        fn what_was_encoded_is_decoded_and_any_cut_gives_the_messages_before_it(commands in commands()) {
            let commands: Vec<_> = commands.iter().map(command).collect();
            let mut payload = Vec::new();
            let mut ends = vec![0];
            for command in &commands {
                command.encode(&mut payload);
                ends.push(payload.len());
            }
            for (cut, _) in payload.iter().enumerate().chain([(payload.len(), &0)]) {
                let whole = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
                let mut expected: Vec<_> = commands.iter().take(whole).map(|&command| Ok(command)).collect();
                if !ends.contains(&cut) {
                    expected.push(Err(Error::Cut));
                }
                prop_assert_eq!(decode(payload.get(..cut).unwrap()), expected);
            }
        }

        #[test]
        fn a_frame_arrives_as_it_was_sent(
            tick in any::<u32>(),
            ships in prop::collection::vec(a_ship(), 0..20),
            shots in prop::collection::vec(a_shot(), 0..300),
        ) {
            let frame = Event::Frame { tick, ships, shots };
            let mut payload = Vec::new();
            frame.encode(&mut payload);
            prop_assert_eq!(events(&payload), [frame]);
        }

        #[test]
        fn other_events_arrive_as_they_were_sent(
            id in any::<u16>(), by in any::<u16>(), score in any::<u32>(), byte in any::<u8>(), name in ".{0,63}"
        ) {
            let name = &*name;
            let sent = [
                Event::Welcome { you: id, width: by, height: id, tick_ms: byte },
                Event::Joined { id, hue: byte, name },
                Event::Left { id },
                Event::Score { id, score },
                Event::Hit { victim: id, by, fatal: byte > 127 },
                Event::Refused,
            ];
            let mut payload = Vec::new();
            for event in &sent {
                event.encode(&mut payload);
            }
            prop_assert_eq!(events(&payload), sent);
        }
    }
}
