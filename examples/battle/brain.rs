//! How a bot flies: from what it is told, what it asks for. It knows what any page knows, and nothing of sockets.
//!
//! It picks somebody near, keeps its distance, goes round, and aims where the other will be when the shot arrives; but
//! it looks only now and then, its hand trembles, and it takes its finger off the trigger from time to time. So it can be beaten.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::wire::{self, Command, Directions, Event, Phase, Ship};

/// Ticks between two looks around: about a human's reaction.
const REACTION: u32 = 6;

/// Units from which a bot opens fire, and those it likes to be away.
const RANGE: f32 = 620.0;
const DISTANCE: f32 = 320.0;

/// Units a shot flies in a tick.
const SHOT_PACE: f32 = 28.0;

/// Units from the edge where a bot turns back.
const MARGIN: f32 = 160.0;

pub(crate) struct Brain {
    rng: StdRng,
    me: u16,
    field: (f32, f32),
    guns: Phase,
    /// Where everybody was at the look before.
    seen: BTreeMap<u16, Ship>,
    /// The way round the other, 1 or -1, and for how many looks.
    round: (f32, u32),
    /// How far the hand is off, in radians.
    tremble: f32,
}

impl Brain {
    pub(crate) fn new(rng: StdRng) -> Self {
        Self {
            rng,
            me: 0,
            field: (0.0, 0.0),
            guns: Phase::Fight,
            seen: BTreeMap::new(),
            round: (1.0, 0),
            tremble: 0.0,
        }
    }

    /// Takes in what the server tells, and appends what to ask for to `out`.
    pub(crate) fn hear(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Welcome { you, width, height, .. } => {
                self.me = *you;
                self.field = (f32::from(*width), f32::from(*height));
            }
            Event::Round { phase, .. } => self.guns = *phase,
            Event::Frame { tick, ships, .. } if tick % REACTION == u32::from(self.me) % REACTION => {
                self.look(ships, out);
            }
            _ => {}
        }
    }

    fn look(&mut self, ships: &[Ship], out: &mut Vec<u8>) {
        let Some(me) = ships.iter().find(|ship| ship.id == self.me && ship.flying).copied() else {
            return;
        };
        self.change_mind();
        let target = nearest(&me, ships);
        let way = match &target {
            Some(target) => self.way_round(&me, target),
            None => (0.0, 0.0),
        };
        let (x, y) = self.off_the_edge(&me, way);
        Command::Move(Directions::along(x, y)).encode(out);
        let fires = target.is_some_and(|target| {
            let (x, y) = self.lead(&me, &target);
            Command::Aim(self.trembling(x, y)).encode(out);
            self.guns == Phase::Fight && x.hypot(y) < RANGE && !self.rng.random_bool(0.35)
        });
        Command::Trigger { pulled: fires }.encode(out);
        self.seen = ships.iter().map(|ship| (ship.id, *ship)).collect();
    }

    /// Other way round, other tremble, from time to time.
    fn change_mind(&mut self) {
        self.tremble = self.rng.random_range(-0.16..0.16);
        self.round.1 = self.round.1.saturating_sub(1);
        if self.round.1 == 0 {
            let way = if self.rng.random_bool(0.5) { 1.0 } else { -1.0 };
            self.round = (way, self.rng.random_range(4..14));
        }
    }

    /// Nearer if too far, away if too near, and round in any case.
    fn way_round(&self, me: &Ship, target: &Ship) -> (f32, f32) {
        let (x, y) = (target.x - me.x, target.y - me.y);
        let distance = x.hypot(y).max(1.0);
        let (x, y) = (x / distance, y / distance);
        let nearer = ((distance - DISTANCE) / 150.0).clamp(-1.0, 1.0);
        let round = self.round.0 * (1.2 - nearer.abs());
        (x * nearer - y * round, y * nearer + x * round)
    }

    fn off_the_edge(&self, me: &Ship, (x, y): (f32, f32)) -> (f32, f32) {
        let inwards = |place: f32, size: f32| match place {
            _ if place < MARGIN => 2.0,
            _ if place > size - MARGIN => -2.0,
            _ => 0.0,
        };
        (x + inwards(me.x, self.field.0), y + inwards(me.y, self.field.1))
    }

    /// From here to where the target will be, if it flies on as it did since the last look.
    fn lead(&self, me: &Ship, target: &Ship) -> (f32, f32) {
        let (x, y) = (target.x - me.x, target.y - me.y);
        let Some(before) = self.seen.get(&target.id) else {
            return (x, y);
        };
        let (dx, dy) = (target.x - before.x, target.y - before.y);
        if dx.hypot(dy) > 120.0 {
            return (x, y);
        }
        let looks = x.hypot(y) / SHOT_PACE / 6.0;
        (x + dx * looks, y + dy * looks)
    }

    fn trembling(&self, x: f32, y: f32) -> u16 {
        let (sin, cos) = self.tremble.sin_cos();
        wire::angle(x * cos - y * sin, x * sin + y * cos)
    }
}

/// The nearest ship that can be hit.
fn nearest(me: &Ship, ships: &[Ship]) -> Option<Ship> {
    let distance = |ship: &Ship| (ship.x - me.x).hypot(ship.y - me.y);
    let targets = ships.iter().filter(|ship| ship.id != me.id && ship.flying && !ship.shielded);
    targets.copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::arena::{Arena, HEIGHT, WIDTH};
    use crate::wire::Decoder;

    /// A bot in an arena, without anything between them.
    struct Pilot {
        id: u16,
        brain: Brain,
    }

    impl Pilot {
        fn new(arena: &mut Arena, id: u16, seed: u64) -> Self {
            arena.enter(id);
            let mut brain = Brain::new(StdRng::seed_from_u64(seed));
            let welcome = Event::Welcome {
                you: id,
                width: WIDTH,
                height: HEIGHT,
                tick_ms: 33,
                ticket: [0; 16],
                battle: 1,
                core: 0,
            };
            brain.hear(&welcome, &mut Vec::new());
            Self { id, brain }
        }

        fn fly(&mut self, arena: &mut Arena) {
            let mut asked = Vec::new();
            self.brain.hear(&arena.frame(), &mut asked);
            if asked.is_empty() {
                return;
            }
            for command in Decoder::new(&asked) {
                match command.unwrap() {
                    Command::Move(held) => arena.steer(self.id, held),
                    Command::Aim(angle) => arena.aim(self.id, angle),
                    Command::Trigger { pulled } => arena.trigger(self.id, pulled),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn two_bots_find_and_destroy_each_other_within_a_minute_whatever_the_seed() {
        for seed in 0..20 {
            let mut arena = Arena::new(StdRng::seed_from_u64(seed));
            let mut pilots = [Pilot::new(&mut arena, 1, seed), Pilot::new(&mut arena, 2, seed + 1000)];
            let mut fatal = 0;
            for _ in 0..1800 {
                pilots.iter_mut().for_each(|pilot| pilot.fly(&mut arena));
                fatal += arena.step().iter().filter(|hit| hit.fatal).count();
            }
            assert!((1..60).contains(&fatal), "seed {seed}: {fatal}");
        }
    }

    #[test]
    fn a_bot_alone_holds_its_fire_and_stays_off_the_edge() {
        let mut arena = Arena::new(StdRng::seed_from_u64(5));
        let mut pilot = Pilot::new(&mut arena, 1, 5);
        for _ in 0..300 {
            pilot.fly(&mut arena);
            arena.step();
            let Event::Frame { shots, .. } = arena.frame() else { panic!("a frame is a frame") };
            assert_eq!(shots, []);
        }
    }

    #[test]
    fn a_bot_asks_for_less_than_a_page_does() {
        let mut arena = Arena::new(StdRng::seed_from_u64(6));
        let mut pilots: Vec<_> = (0..6).map(|id| Pilot::new(&mut arena, id, 6)).collect();
        let mut commands = 0;
        for _ in 0..600 {
            for pilot in &mut pilots {
                let mut asked = Vec::new();
                pilot.brain.hear(&arena.frame(), &mut asked);
                commands += if asked.is_empty() { 0 } else { Decoder::new(&asked).count() };
            }
            arena.step();
        }
        assert!(commands <= 600 * 6, "{commands}");
    }
}
