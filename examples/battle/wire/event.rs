//! What the server tells, and how a client reads it from a payload.

use super::{Bytes, Error, VERSION, put, put_text, steps};

/// What the server tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// To a client that is new here, before anything else of this battle. With the ticket it may come back, see `ticket.rs`.
    Welcome { you: u16, width: u16, height: u16, tick_ms: u8, ticket: [u8; 16], battle: u32, core: u8 },
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
    /// What is going on, until which tick, and the score that ends a fight before its time.
    Round { phase: Phase, ends: u32, goal: u32 },
    /// The number of your ping.
    Pong(u16),
    /// Somebody who plays says this to all who are here.
    Said { id: u16, text: &'a str },
    /// The battles that you may change to, and this one.
    Lobby(Vec<Listing>),
    /// You cannot change to that battle, and stay where you are.
    Stay { battle: u32, why: Why },
    /// A round of some battle is over, and somebody has won it.
    Won { battle: u32, score: u32, name: &'a str },
}

/// A battle, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) battle: u32,
    pub(crate) core: u8,
    /// Clients with a ship, bots among them.
    pub(crate) players: u8,
    pub(crate) free_seats: u8,
}

/// Why somebody who wants to change to another battle stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Every seat there is taken.
    Full,
    /// There is no such battle, or not any more.
    Gone,
    /// The way there is full, or this is too soon after the last change.
    NotNow,
}

/// What is going on in a battle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Fight,
    /// The guns are silent, the scores stand.
    Result,
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
            Self::Welcome { you, width, height, tick_ms, ticket, battle, core } => {
                out.extend([65, VERSION]);
                put(out, &[*you, *width, *height]);
                out.push(*tick_ms);
                out.extend(ticket);
                out.extend(battle.to_le_bytes());
                out.push(*core);
            }
            Self::Joined { id, hue, name } => {
                out.push(66);
                put(out, &[*id]);
                out.push(*hue);
                put_text(out, name);
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
            Self::Frame { tick, ships, shots } => put_frame(out, *tick, ships, shots),
            Self::Round { phase, ends, goal } => {
                let phase = match phase {
                    Phase::Fight => 1,
                    Phase::Result => 2,
                };
                out.extend([72, phase]);
                out.extend(ends.to_le_bytes());
                out.extend(goal.to_le_bytes());
            }
            Self::Pong(number) => {
                out.push(73);
                put(out, &[*number]);
            }
            Self::Said { id, text } => {
                out.push(74);
                put(out, &[*id]);
                put_text(out, text);
            }
            Self::Lobby(battles) => put_lobby(out, battles),
            Self::Stay { battle, why } => {
                out.push(76);
                out.extend(battle.to_le_bytes());
                out.push(match why {
                    Why::Full => 1,
                    Why::Gone => 2,
                    Why::NotNow => 3,
                });
            }
            Self::Won { battle, score, name } => {
                out.push(77);
                out.extend(battle.to_le_bytes());
                out.extend(score.to_le_bytes());
                put_text(out, name);
            }
        }
    }
}

/// A lobby. Battles beyond what the count can say are left out.
fn put_lobby(out: &mut Vec<u8>, battles: &[Listing]) {
    let count = u8::try_from(battles.len()).unwrap_or(u8::MAX);
    out.extend([75, count]);
    for Listing { battle, core, players, free_seats } in battles.iter().take(count.into()) {
        out.extend(battle.to_le_bytes());
        out.extend([*core, *players, *free_seats]);
    }
}

/// A frame. Ships and shots beyond what the counts can say are left out.
fn put_frame(out: &mut Vec<u8>, tick: u32, ships: &[Ship], shots: &[Shot]) {
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

/// The events of one payload, as `Decoder` is for commands.
#[derive(Clone, Debug)]
pub(crate) struct Events<'a> {
    bytes: Bytes<'a>,
}

impl<'a> Events<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { bytes: Bytes(payload) }
    }

    fn event(&mut self) -> Result<Event<'a>, Error> {
        let bytes = &mut self.bytes;
        Ok(match bytes.u8()? {
            65 => match bytes.u8()? {
                VERSION => Event::Welcome {
                    you: bytes.u16()?,
                    width: bytes.u16()?,
                    height: bytes.u16()?,
                    tick_ms: bytes.u8()?,
                    ticket: bytes.array()?,
                    battle: bytes.u32()?,
                    core: bytes.u8()?,
                },
                _ => return Err(Error::BadValue),
            },
            66 => Event::Joined { id: bytes.u16()?, hue: bytes.u8()?, name: bytes.text()? },
            67 => Event::Left { id: bytes.u16()? },
            68 => Event::Score { id: bytes.u16()?, score: bytes.u32()? },
            69 => Event::Hit { victim: bytes.u16()?, by: bytes.u16()?, fatal: bytes.flag()? },
            70 => Event::Refused,
            71 => frame(bytes)?,
            72 => Event::Round { phase: phase(bytes)?, ends: bytes.u32()?, goal: bytes.u32()? },
            73 => Event::Pong(bytes.u16()?),
            74 => Event::Said { id: bytes.u16()?, text: bytes.text()? },
            75 => Event::Lobby((0..bytes.u8()?).map(|_| listing(bytes)).collect::<Result<_, _>>()?),
            76 => Event::Stay { battle: bytes.u32()?, why: why(bytes)? },
            77 => Event::Won { battle: bytes.u32()?, score: bytes.u32()?, name: bytes.text()? },
            tag => return Err(Error::UnknownTag(tag)),
        })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let event = self.event();
        if event.is_err() {
            self.bytes = Bytes(&[]);
        }
        Some(event)
    }
}

fn phase(bytes: &mut Bytes<'_>) -> Result<Phase, Error> {
    match bytes.u8()? {
        1 => Ok(Phase::Fight),
        2 => Ok(Phase::Result),
        _ => Err(Error::BadValue),
    }
}

fn why(bytes: &mut Bytes<'_>) -> Result<Why, Error> {
    match bytes.u8()? {
        1 => Ok(Why::Full),
        2 => Ok(Why::Gone),
        3 => Ok(Why::NotNow),
        _ => Err(Error::BadValue),
    }
}

fn listing(bytes: &mut Bytes<'_>) -> Result<Listing, Error> {
    let (battle, core) = (bytes.u32()?, bytes.u8()?);
    Ok(Listing { battle, core, players: bytes.u8()?, free_seats: bytes.u8()? })
}

fn frame(bytes: &mut Bytes<'_>) -> Result<Event<'static>, Error> {
    let tick = bytes.u32()?;
    let (ship_count, shot_count) = (bytes.u8()?, bytes.u16()?);
    let ships = (0..ship_count).map(|_| ship(bytes)).collect::<Result<_, _>>()?;
    let shots = (0..shot_count).map(|_| shot(bytes)).collect::<Result<_, _>>()?;
    Ok(Event::Frame { tick, ships, shots })
}

fn ship(bytes: &mut Bytes<'_>) -> Result<Ship, Error> {
    let (id, x, y) = (bytes.u16()?, bytes.coordinate()?, bytes.coordinate()?);
    let (angle, hull, flags) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
    let (flying, thrusting, shielded) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
    Ok(Ship { id, x, y, angle, hull, flying, thrusting, shielded })
}

fn shot(bytes: &mut Bytes<'_>) -> Result<Shot, Error> {
    let (id, owner) = (bytes.u16()?, bytes.u16()?);
    Ok(Shot { id, owner, x: bytes.coordinate()?, y: bytes.coordinate()?, angle: bytes.u8()? })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::STEPS;
    use super::*;

    /// The events of a payload, which must be whole.
    pub(crate) fn events(payload: &[u8]) -> Vec<Event<'_>> {
        Events::new(payload).collect::<Result<_, _>>().unwrap()
    }

    fn a_ship() -> impl Strategy<Value = Ship> {
        let numbers = (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u8>());
        (numbers, any::<[bool; 3]>()).prop_map(|((id, x, y, angle, hull), [flying, thrusting, shielded])| {
            let (x, y) = (f32::from(x) / STEPS, f32::from(y) / STEPS);
            Ship { id, x, y, angle, hull, flying, thrusting, shielded }
        })
    }

    fn a_shot() -> impl Strategy<Value = Shot> {
        let numbers = (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u8>());
        numbers.prop_map(|(id, owner, x, y, angle)| {
            let (x, y) = (f32::from(x) / STEPS, f32::from(y) / STEPS);
            Shot { id, owner, x, y, angle }
        })
    }

    proptest! {
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
            id in any::<u16>(), by in any::<u16>(), score in any::<u32>(), byte in any::<u8>(), name in ".{0,63}",
            ticket in any::<[u8; 16]>(),
        ) {
            let name = &*name;
            let phase = if byte > 99 { Phase::Fight } else { Phase::Result };
            let why = if byte > 99 { Why::Full } else if byte > 50 { Why::Gone } else { Why::NotNow };
            let listing = Listing { battle: score, core: byte, players: byte / 2, free_seats: byte / 3 };
            let sent = [
                Event::Welcome { you: id, width: by, height: id, tick_ms: byte, ticket, battle: score, core: byte },
                Event::Joined { id, hue: byte, name },
                Event::Left { id },
                Event::Score { id, score },
                Event::Hit { victim: id, by, fatal: byte > 127 },
                Event::Refused,
                Event::Round { phase, ends: score, goal: score / 2 },
                Event::Pong(by),
                Event::Said { id, text: name },
                Event::Lobby(vec![listing; byte.into()]),
                Event::Stay { battle: score, why },
                Event::Won { battle: score, score: score / 3, name },
            ];
            let mut payload = Vec::new();
            for event in &sent {
                event.encode(&mut payload);
            }
            prop_assert_eq!(events(&payload), sent);
        }

        #[test]
        fn any_bytes_give_events_and_at_most_one_error_which_is_the_last(
            payload in prop::collection::vec(prop_oneof![65..78_u8, any::<u8>()], 0..200)
        ) {
            let all: Vec<_> = Events::new(&payload).collect();
            let errors = all.iter().filter(|event| event.is_err()).count();
            prop_assert!(errors == 0 || errors == 1 && all.last().is_some_and(Result::is_err));
        }
    }
}
