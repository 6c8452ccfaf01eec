//! What clients ask for, and how it is read from a payload.

use super::{Bytes, Error, put, put_text};

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
    /// Send this number back.
    Ping(u16),
    /// Tell this to all who play here; of visible characters, at most 255 bytes.
    Say(&'a str),
    /// Let me go on in the battle of this number, on this connection; 0 is a new battle.
    Change(u32),
    /// Tell me which battles there are.
    Lobby,
}

/// The keys held: a set of up, down, left and right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directions(u8);

impl Directions {
    const UP: u8 = 1;
    const DOWN: u8 = 2;
    const LEFT: u8 = 4;
    const RIGHT: u8 = 8;
    const ALL: u8 = 15;

    /// The keys that push most nearly along (x, y); none for no direction at all.
    pub(crate) fn along(x: f32, y: f32) -> Self {
        // Eight directions: each is taken within 22.5 degrees, whose sine this is.
        let enough = 0.38 * x.hypot(y);
        let held = |part: f32, key: u8| if part > enough { key } else { 0 };
        Self(held(-y, Self::UP) | held(y, Self::DOWN) | held(-x, Self::LEFT) | held(x, Self::RIGHT))
    }

    /// The way these keys push, of length 1, or nothing where they cancel out; y grows downwards.
    pub(crate) fn push(self) -> (f32, f32) {
        let pressed = |key: u8| if self.0 & key == 0 { 0.0 } else { 1.0_f32 };
        let (x, y) = (pressed(Self::RIGHT) - pressed(Self::LEFT), pressed(Self::DOWN) - pressed(Self::UP));
        let length = x.hypot(y).max(1.0);
        (x / length, y / length)
    }
}

impl Command<'_> {
    /// Appends this command to a payload, as the page's script does.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Join { version, name } => {
                out.extend([1, version]);
                put_text(out, name);
            }
            Self::Move(Directions(held)) => out.extend([2, held]),
            Self::Aim(angle) => {
                out.push(3);
                put(out, &[angle]);
            }
            Self::Trigger { pulled } => out.extend([4, pulled.into()]),
            Self::Ping(number) => {
                out.push(5);
                put(out, &[number]);
            }
            Self::Say(text) => {
                out.push(6);
                put_text(out, text);
            }
            Self::Change(battle) => {
                out.push(7);
                out.extend(battle.to_le_bytes());
            }
            Self::Lobby => out.push(8),
        }
    }
}

/// The messages of one payload. After an error there are no more: where the next would begin is not known.
///
/// A payload without any is an error too: no page sends one, and whoever sends them by the thousand shall not do so
/// unseen.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    bytes: Bytes<'a>,
    begun: bool,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { bytes: Bytes(payload), begun: false }
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
            4 => Command::Trigger { pulled: bytes.flag()? },
            5 => Command::Ping(bytes.u16()?),
            6 => Command::Say(bytes.text()?),
            7 => Command::Change(bytes.u32()?),
            8 => Command::Lobby,
            tag => return Err(Error::UnknownTag(tag)),
        })
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Command<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.begun && self.bytes.is_empty() {
            return None;
        }
        self.begun = true;
        let command = self.command();
        if command.is_err() {
            self.bytes = Bytes(&[]);
        }
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Event;
    use super::*;

    fn decode(payload: &[u8]) -> Vec<Result<Command<'_>, Error>> {
        Decoder::new(payload).collect()
    }

    #[test]
    fn an_empty_payload_is_an_error() {
        assert_eq!(decode(&[]), [Err(Error::Cut)]);
    }

    #[test]
    fn several_messages_in_one_payload_are_read_in_order() {
        let name = "Ann";
        let payload =
            b"\x01\x01\x03Ann\x02\x09\x03\x34\x12\x04\x01\x04\x00\x05\x78\x56\x06\x02hi\x07\x04\x03\x02\x01\x08";
        let expected = [
            Ok(Command::Join { version: 1, name }),
            Ok(Command::Move(Directions(Directions::UP | Directions::RIGHT))),
            Ok(Command::Aim(0x1234)),
            Ok(Command::Trigger { pulled: true }),
            Ok(Command::Trigger { pulled: false }),
            Ok(Command::Ping(0x5678)),
            Ok(Command::Say("hi")),
            Ok(Command::Change(0x0102_0304)),
            Ok(Command::Lobby),
        ];
        assert_eq!(decode(payload), expected);
    }

    #[test]
    fn an_unknown_message_ends_the_payload_with_an_error() {
        let pulled = Ok(Command::Trigger { pulled: true });
        assert_eq!(decode(&[4, 1, 99, 4, 0]), [pulled, Err(Error::UnknownTag(99))]);
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
        assert_eq!(Directions(Directions::RIGHT).push(), (1.0, 0.0));
        let (x, y) = Directions(Directions::UP | Directions::RIGHT).push();
        assert!((x.hypot(y) - 1.0).abs() < 1e-6 && x > 0.0 && y < 0.0);
    }

    #[test]
    fn the_keys_along_a_direction_push_within_an_eighth_of_a_half_turn_of_it() {
        assert_eq!(Directions::along(0.0, 0.0), Directions::default());
        for degrees in 0..360_u16 {
            let (y, x) = f32::from(degrees).to_radians().sin_cos();
            let (push_x, push_y) = Directions::along(x * 7.0, y * 7.0).push();
            assert!(x * push_x + y * push_y > 0.92, "{degrees} degrees");
        }
    }

    fn commands() -> impl Strategy<Value = Vec<(u8, String, u16)>> {
        prop::collection::vec((0..8_u8, ".{0,20}", any::<u16>()), 1..8)
    }

    fn command<'a>((kind, name, number): &'a (u8, String, u16)) -> Command<'a> {
        let [low, _] = number.to_le_bytes();
        match kind {
            0 => Command::Join { version: low, name },
            1 => Command::Move(Directions(low & Directions::ALL)),
            2 => Command::Aim(*number),
            3 => Command::Ping(*number),
            4 => Command::Say(name),
            5 => Command::Change(number.rotate_left(7).into()),
            6 => Command::Lobby,
            _ => Command::Trigger { pulled: low & 1 == 1 },
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_messages_and_at_most_one_error_which_is_the_last(
            payload in prop::collection::vec(prop_oneof![0..9_u8, any::<u8>()], 0..200)
        ) {
            let all = decode(&payload);
            let errors = all.iter().filter(|message| message.is_err()).count();
            prop_assert!(errors == 0 || errors == 1 && all.last().is_some_and(Result::is_err));
        }

        #[test]
        fn what_was_encoded_is_decoded_and_any_cut_gives_the_messages_before_it(commands in commands()) {
            let commands: Vec<_> = commands.iter().map(command).collect();
            let mut payload = Vec::new();
            let mut ends = Vec::new();
            for command in &commands {
                command.encode(&mut payload);
                ends.push(payload.len());
            }
            for cut in 0..=payload.len() {
                let whole = ends.iter().filter(|&&end| end <= cut).count();
                let mut expected: Vec<_> = commands.iter().take(whole).map(|&command| Ok(command)).collect();
                if !ends.contains(&cut) {
                    expected.push(Err(Error::Cut));
                }
                prop_assert_eq!(decode(payload.get(..cut).unwrap()), expected);
            }
        }
    }
}
