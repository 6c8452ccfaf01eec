//! The simulation: ships and shots on a field, stepped in ticks. It knows nothing of clients, names or sockets, and
//! no input can make it do what the rules here do not allow: clients say which keys they hold, never where they are.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::wire::{self, Directions};

/// Units from left to right, and from top to bottom.
pub(crate) const WIDTH: u16 = 1920;
pub(crate) const HEIGHT: u16 = 1200;

/// Milliseconds a tick: 30 a second, which interpolation on the page turns into smooth motion.
pub(crate) const TICK_MS: u8 = 33;
pub(crate) const TICK: Duration = Duration::from_millis(33);

const STEP: f32 = 0.033;

const SHIP_RADIUS: f32 = 20.0;
/// With the drag this gives a top speed of 500 units a second, reached in about one.
const THRUST: f32 = 1600.0;
const DRAG: f32 = 3.2;
/// The part of its speed that a ship keeps when it bounces off the edge.
const BOUNCE: f32 = 0.5;

const SHOT_RADIUS: f32 = 4.0;
const SHOT_SPEED: f32 = 850.0;
/// What a hit adds to the speed of its victim.
const RECOIL: f32 = 90.0;

/// Hits that destroy a ship.
pub(crate) const HULL: u8 = 4;

// Times in ticks.
const SHOT_LIFE: u8 = 36;
const RELOAD: u8 = 6;
const WRECK: u8 = 60;
const SHIELD: u8 = 45;
/// Without a hit for so long, a ship mends one.
const MEND: u8 = 150;

/// A shot found a ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) victim: u16,
    pub(crate) by: u16,
    pub(crate) fatal: bool,
}

/// All that moves.
pub(crate) struct Arena {
    tick: u32,
    ships: BTreeMap<u16, Ship>,
    shots: Vec<Shot>,
    last_shot: u16,
    guns: Guns,
    rng: StdRng,
}

/// Whether triggers do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guns {
    Ready,
    Silent,
}

impl Arena {
    /// An empty field. The generator decides where ships appear.
    pub(crate) fn new(rng: StdRng) -> Self {
        Self { tick: 0, ships: BTreeMap::new(), shots: Vec::new(), last_shot: 0, guns: Guns::Ready, rng }
    }

    /// The ticks that have passed: the clock of everything in a battle.
    pub(crate) fn now(&self) -> u32 {
        self.tick
    }

    /// No more shots until `restart`; those in the air are gone.
    pub(crate) fn cease_fire(&mut self) {
        self.guns = Guns::Silent;
        self.shots.clear();
    }

    /// All ships are whole again, at other places, and may fire.
    pub(crate) fn restart(&mut self) {
        self.guns = Guns::Ready;
        self.shots.clear();
        for id in self.ships.keys().copied().collect::<Vec<_>>() {
            self.put_anew(id);
        }
    }

    /// A new ship appears.
    pub(crate) fn enter(&mut self, id: u16) {
        let place = self.free_place();
        self.ships.insert(id, Ship::at(place));
    }

    /// A ship disappears. Its shots fly on.
    pub(crate) fn leave(&mut self, id: u16) {
        self.ships.remove(&id);
    }

    /// Sets the keys held. For a ship that is not here, as for `aim` and `trigger`, nothing happens.
    pub(crate) fn steer(&mut self, id: u16, held: Directions) {
        if let Some(ship) = self.ships.get_mut(&id) {
            ship.held = held;
        }
    }

    pub(crate) fn aim(&mut self, id: u16, angle: u16) {
        if let Some(ship) = self.ships.get_mut(&id) {
            ship.angle = angle;
        }
    }

    pub(crate) fn trigger(&mut self, id: u16, pulled: bool) {
        if let Some(ship) = self.ships.get_mut(&id) {
            ship.pulled = pulled;
            // A tap shorter than a tick fires all the same.
            ship.tapped |= pulled;
        }
    }

    /// One tick.
    pub(crate) fn step(&mut self) -> Vec<Hit> {
        self.tick = self.tick.wrapping_add(1);
        self.respawn();
        self.ships.values_mut().for_each(Ship::step);
        self.fire();
        self.fly_shots()
    }

    /// What there is to see, in the order of ids.
    pub(crate) fn frame(&self) -> wire::Event<'static> {
        wire::Event::Frame {
            tick: self.tick,
            ships: self.ships.iter().map(|(&id, ship)| ship.seen(id)).collect(),
            shots: self.shots.iter().map(Shot::seen).collect(),
        }
    }

    fn respawn(&mut self) {
        let ready = |ship: &Ship| matches!(ship.state, State::Wreck { ticks: 0 });
        let due: Vec<u16> = self.ships.iter().filter(|(_, ship)| ready(ship)).map(|(&id, _)| id).collect();
        for id in due {
            self.put_anew(id);
        }
    }

    /// A ship is as new, elsewhere, with the same keys held.
    fn put_anew(&mut self, id: u16) {
        let place = self.free_place();
        if let Some(ship) = self.ships.get_mut(&id) {
            *ship = Ship { angle: ship.angle, held: ship.held, pulled: ship.pulled, ..Ship::at(place) };
        }
    }

    /// Of some random places, the one that is farthest from every ship.
    fn free_place(&mut self) -> Vector {
        let mut best = (Vector::default(), -1.0);
        for _ in 0..8 {
            let place = Vector {
                x: self.rng.random_range(100.0..f32::from(WIDTH) - 100.0),
                y: self.rng.random_range(100.0..f32::from(HEIGHT) - 100.0),
            };
            let distances = self.ships.values().map(|ship| ship.place.minus(place).length());
            let nearest = distances.fold(f32::MAX, f32::min);
            if nearest > best.1 {
                best = (place, nearest);
            }
        }
        best.0
    }

    fn fire(&mut self) {
        if self.guns == Guns::Silent {
            return;
        }
        for (&owner, ship) in &mut self.ships {
            let State::Flying { reload: reload @ 0, .. } = &mut ship.state else {
                continue;
            };
            if !ship.pulled && !ship.tapped {
                continue;
            }
            *reload = RELOAD;
            ship.tapped = false;
            self.last_shot = self.last_shot.wrapping_add(1);
            // From the middle of the ship: a target that touches it cannot be missed.
            self.shots.push(Shot {
                id: self.last_shot,
                owner,
                place: ship.place,
                angle: ship.angle,
                ticks: SHOT_LIFE,
            });
        }
    }

    fn fly_shots(&mut self) -> Vec<Hit> {
        let mut hits = Vec::new();
        let ships = &mut self.ships;
        self.shots.retain_mut(|shot| {
            let (from, to) = (shot.place, shot.place.plus(shot.velocity().times(STEP)));
            shot.place = to;
            shot.ticks = shot.ticks.saturating_sub(1);
            let Some((&victim, ship)) =
                ships.iter_mut().find(|(id, ship)| **id != shot.owner && ship.is_crossed(from, to))
            else {
                return shot.ticks > 0 && to.is_inside(0.0);
            };
            if let Some(fatal) = ship.suffer(shot) {
                hits.push(Hit { victim, by: shot.owner, fatal });
            }
            false
        });
        hits
    }
}

struct Ship {
    place: Vector,
    velocity: Vector,
    angle: u16,
    held: Directions,
    pulled: bool,
    /// The trigger was pulled since the last shot.
    tapped: bool,
    state: State,
}

enum State {
    /// Nothing can hurt it while `shield` ticks last; `hull` hits are left, `reload` ticks till the next shot, and
    /// `mend` till a hit is made good.
    Flying { hull: u8, shield: u8, reload: u8, mend: u8 },
    /// Destroyed; it will be back in so many ticks.
    Wreck { ticks: u8 },
}

impl Ship {
    fn at(place: Vector) -> Self {
        Self {
            place,
            velocity: Vector::default(),
            angle: 0,
            held: Directions::default(),
            pulled: false,
            tapped: false,
            state: State::Flying { hull: HULL, shield: SHIELD, reload: 0, mend: MEND },
        }
    }

    fn step(&mut self) {
        match &mut self.state {
            State::Wreck { ticks } => *ticks = ticks.saturating_sub(1),
            State::Flying { hull, shield, reload, mend } => {
                *shield = shield.saturating_sub(1);
                *reload = reload.saturating_sub(1);
                *mend = mend.saturating_sub(1);
                if *mend == 0 {
                    *mend = MEND;
                    *hull = hull.saturating_add(1).min(HULL);
                }
                self.fly();
            }
        }
    }

    fn fly(&mut self) {
        let (x, y) = self.held.push();
        let thrust = Vector { x, y }.times(THRUST * STEP);
        self.velocity = self.velocity.plus(thrust).times((-DRAG * STEP).exp());
        self.place = self.place.plus(self.velocity.times(STEP));
        bounce(&mut self.place.x, &mut self.velocity.x, WIDTH);
        bounce(&mut self.place.y, &mut self.velocity.y, HEIGHT);
    }

    /// Whether something small on its way between two points would touch this ship.
    fn is_crossed(&self, from: Vector, to: Vector) -> bool {
        let flying = matches!(self.state, State::Flying { .. });
        flying && self.place.distance_to_segment(from, to) <= SHIP_RADIUS + SHOT_RADIUS
    }

    /// A shot arrived. `None` if the shield took it, else whether it was the last that the ship could take.
    fn suffer(&mut self, shot: &Shot) -> Option<bool> {
        let State::Flying { hull, shield: 0, mend, .. } = &mut self.state else {
            return None;
        };
        *hull = hull.saturating_sub(1);
        *mend = MEND;
        let fatal = *hull == 0;
        if fatal {
            self.state = State::Wreck { ticks: WRECK };
        }
        self.velocity = if fatal {
            Vector::default()
        } else {
            self.velocity.plus(shot.velocity().times(RECOIL / SHOT_SPEED))
        };
        Some(fatal)
    }

    fn seen(&self, id: u16) -> wire::Ship {
        let (hull, shielded, flying) = match self.state {
            State::Flying { hull, shield, .. } => (hull, shield > 0, true),
            State::Wreck { .. } => (0, false, false),
        };
        let thrusting = flying && self.held.push() != (0.0, 0.0);
        let Vector { x, y } = self.place;
        wire::Ship { id, x, y, angle: self.angle, hull, flying, thrusting, shielded }
    }
}

/// Keeps one coordinate of a ship inside the field.
fn bounce(place: &mut f32, velocity: &mut f32, size: u16) {
    let inside = place.clamp(SHIP_RADIUS, f32::from(size) - SHIP_RADIUS);
    if inside != *place {
        *place = inside;
        *velocity *= -BOUNCE;
    }
}

struct Shot {
    id: u16,
    owner: u16,
    place: Vector,
    angle: u16,
    /// Ticks it has to fly.
    ticks: u8,
}

impl Shot {
    fn velocity(&self) -> Vector {
        let (x, y) = wire::direction(self.angle);
        Vector { x, y }.times(SHOT_SPEED)
    }

    fn seen(&self) -> wire::Shot {
        let Vector { x, y } = self.place;
        let [_, angle] = self.angle.to_le_bytes();
        wire::Shot { id: self.id, owner: self.owner, x, y, angle }
    }
}

/// A place or a speed; y grows downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Vector {
    x: f32,
    y: f32,
}

impl Vector {
    fn plus(self, other: Self) -> Self {
        Self { x: self.x + other.x, y: self.y + other.y }
    }

    fn minus(self, other: Self) -> Self {
        self.plus(other.times(-1.0))
    }

    fn times(self, factor: f32) -> Self {
        Self { x: self.x * factor, y: self.y * factor }
    }

    fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y
    }

    fn length(self) -> f32 {
        self.x.hypot(self.y)
    }

    fn is_inside(self, margin: f32) -> bool {
        let within = |place: f32, size: u16| place >= margin && place <= f32::from(size) - margin;
        within(self.x, WIDTH) && within(self.y, HEIGHT)
    }

    fn distance_to_segment(self, from: Self, to: Self) -> f32 {
        let (way, here) = (to.minus(from), self.minus(from));
        let part = (here.dot(way) / way.dot(way).max(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
        here.minus(way.times(part)).length()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;
    use crate::wire::Event;

    /// Ann at the left, Bob to her right, both without shields and out of the edges' way.
    fn duel() -> Arena {
        let mut arena = Arena::new(StdRng::seed_from_u64(1));
        for (id, x) in [(1, 400.0), (2, 800.0)] {
            arena.enter(id);
            let ship = arena.ships.get_mut(&id).unwrap();
            ship.place = Vector { x, y: 450.0 };
            ship.state = State::Flying { hull: HULL, shield: 0, reload: 0, mend: MEND };
        }
        arena
    }

    fn steps(arena: &mut Arena, ticks: usize) -> Vec<Hit> {
        (0..ticks).flat_map(|_| arena.step()).collect()
    }

    fn seen(arena: &Arena) -> (Vec<wire::Ship>, Vec<wire::Shot>) {
        let Event::Frame { ships, shots, .. } = arena.frame() else { panic!("a frame is a frame") };
        (ships, shots)
    }

    #[test]
    fn a_held_key_moves_a_ship_up_to_its_top_speed_and_drag_stops_it() {
        let mut arena = duel();
        arena.steer(1, Directions::along(0.0, -1.0));
        steps(&mut arena, 5);
        let Vector { x, y } = arena.ships[&1].place;
        assert!(x == 400.0 && y < 450.0, "{x} {y}");
        let mut fastest = 0.0_f32;
        for _ in 0..15 {
            arena.step();
            fastest = fastest.max(arena.ships[&1].velocity.length());
        }
        assert!((300.0..=500.0).contains(&fastest), "{fastest}");
        arena.steer(1, Directions::default());
        steps(&mut arena, 90);
        assert!(arena.ships[&1].velocity.length() < 1.0);
    }

    #[test]
    fn no_ship_leaves_the_field() {
        let mut arena = duel();
        arena.steer(1, Directions::along(0.0, -1.0));
        arena.steer(2, Directions::along(1.0, 0.0));
        for _ in 0..200 {
            arena.step();
            assert!(arena.ships.values().all(|ship| ship.place.is_inside(SHIP_RADIUS)));
        }
    }

    #[test]
    fn a_shot_that_crosses_a_ship_between_two_ticks_hits_it_once() {
        let mut arena = duel();
        arena.trigger(1, true);
        arena.trigger(1, false);
        let hits = steps(&mut arena, 60);
        assert_eq!(hits, [Hit { victim: 2, by: 1, fatal: false }]);
        assert_eq!(seen(&arena).0[1].hull, HULL - 1);
        assert!(arena.ships[&2].place.x > 800.0, "pushed by the hit");
    }

    #[test]
    fn a_shot_that_points_elsewhere_hits_nobody_and_ends() {
        let mut arena = duel();
        arena.aim(1, 0x4000);
        arena.trigger(1, true);
        arena.trigger(1, false);
        assert_eq!(steps(&mut arena, 2), []);
        assert_eq!(seen(&arena).1.len(), 1);
        assert!(seen(&arena).1[0].y > 450.0, "a quarter turn is downwards");
        assert_eq!(steps(&mut arena, 60), []);
        assert_eq!(seen(&arena).1, []);
    }

    #[test]
    fn a_held_trigger_fires_no_faster_than_the_ship_reloads() {
        let mut arena = duel();
        arena.aim(1, 0x8000);
        arena.trigger(1, true);
        steps(&mut arena, 30);
        assert_eq!(arena.last_shot, 5);
    }

    #[test]
    fn pulling_the_trigger_faster_fires_no_more_shots() {
        let mut arena = duel();
        arena.aim(1, 0x8000);
        for _ in 0..30 {
            for pulled in [true, false, true, false] {
                arena.trigger(1, pulled);
            }
            arena.step();
        }
        assert_eq!(arena.last_shot, 5);
    }

    #[test]
    fn the_fourth_hit_is_fatal_and_the_ship_comes_back_shielded() {
        let mut arena = duel();
        arena.trigger(1, true);
        let mut hits = Vec::new();
        while !hits.iter().any(|hit: &Hit| hit.fatal) {
            hits.extend(arena.step());
        }
        assert_eq!(hits.len(), usize::from(HULL));
        arena.trigger(1, false);
        assert!(!seen(&arena).0[1].flying);
        assert_eq!(steps(&mut arena, usize::from(WRECK)), [], "a wreck cannot be hit");
        arena.step();
        let back = seen(&arena).0[1];
        assert!(back.flying && back.shielded && back.hull == HULL, "{back:?}");
    }

    #[test]
    fn a_shield_takes_shots_and_ends() {
        let mut arena = duel();
        arena.ships.get_mut(&2).unwrap().state =
            State::Flying { hull: HULL, shield: SHIELD, reload: 0, mend: MEND };
        arena.trigger(1, true);
        assert_eq!(steps(&mut arena, SHIELD.into()), []);
        assert!(!steps(&mut arena, 30).is_empty());
    }

    #[test]
    fn a_ship_that_is_left_alone_mends_one_hit_after_the_other_up_to_what_it_had() {
        let mut arena = duel();
        arena.ships.get_mut(&2).unwrap().state = State::Flying { hull: 2, shield: 0, reload: 0, mend: MEND };
        let mut hulls = Vec::new();
        for _ in 0..4 {
            steps(&mut arena, MEND.into());
            hulls.push(seen(&arena).0[1].hull);
        }
        assert_eq!(hulls, [3, 4, 4, 4]);
    }

    #[test]
    fn a_cease_fire_silences_guns_until_the_restart_which_makes_all_ships_whole() {
        let mut arena = duel();
        arena.trigger(1, true);
        steps(&mut arena, 3);
        arena.cease_fire();
        assert_eq!(steps(&mut arena, 60), []);
        assert_eq!(seen(&arena).1, []);
        arena.ships.get_mut(&2).unwrap().state = State::Wreck { ticks: WRECK };
        arena.restart();
        assert!(seen(&arena).0.iter().all(|ship| ship.hull == HULL && ship.shielded && ship.flying));
        arena.step();
        assert_eq!(seen(&arena).1.len(), 1, "the trigger is still held");
    }

    #[test]
    fn a_wreck_neither_moves_nor_fires() {
        let mut arena = duel();
        arena.ships.get_mut(&1).unwrap().state = State::Wreck { ticks: WRECK };
        arena.steer(1, Directions::along(0.0, -1.0));
        arena.trigger(1, true);
        steps(&mut arena, 20);
        assert_eq!(arena.ships[&1].place, Vector { x: 400.0, y: 450.0 });
        assert_eq!(seen(&arena).1, []);
    }

    #[test]
    fn the_shots_of_one_who_left_fly_on() {
        let mut arena = duel();
        arena.trigger(1, true);
        arena.step();
        arena.leave(1);
        assert_eq!(steps(&mut arena, 60), [Hit { victim: 2, by: 1, fatal: false }]);
    }

    proptest! {
        #[test]
        fn no_input_breaks_the_rules(seed in any::<u64>(), inputs in prop::collection::vec(
            (0..4_u16, 0..6_u8, any::<u16>()), 0..400
        )) {
            let mut arena = Arena::new(StdRng::seed_from_u64(seed));
            for (id, kind, number) in inputs {
                let mut payload = vec![2, number.to_le_bytes()[0] & 15];
                let Some(Ok(wire::Command::Move(held))) = wire::Decoder::new(&payload).next() else {
                    panic!("directions")
                };
                payload.clear();
                match kind {
                    0 if !arena.ships.contains_key(&id) => arena.enter(id),
                    1 => arena.leave(id),
                    2 => arena.steer(id, held),
                    3 => arena.aim(id, number),
                    4 => arena.trigger(id, number % 2 == 0),
                    _ => {}
                }
                let before: BTreeMap<u16, Vector> = arena.ships.iter().map(|(&id, ship)| (id, ship.place)).collect();
                let wrecks: Vec<u16> = seen(&arena).0.iter().filter(|ship| !ship.flying).map(|ship| ship.id).collect();
                for hit in arena.step() {
                    prop_assert!(hit.victim != hit.by && arena.ships.contains_key(&hit.victim));
                }
                let (ships, shots) = seen(&arena);
                prop_assert!(shots.len() <= 4 * 7, "{} shots", shots.len());
                for ship in ships {
                    let place = arena.ships[&ship.id].place;
                    prop_assert!(place.is_inside(SHIP_RADIUS) && ship.hull <= HULL && ship.flying == (ship.hull > 0));
                    let way = place.minus(before[&ship.id]).length();
                    prop_assert!(way <= 800.0 * STEP || wrecks.contains(&ship.id), "{way} units in a tick");
                }
            }
        }
    }
}
