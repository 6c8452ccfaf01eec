// Our own ship, drawn where the server will have it when it learns of the keys that are held now: so they act at once.
// Only the picture is ahead. What the server tells is what counts, and a guess that was wrong is made good within moments.

import { link } from "./net.js";
import { DOWN, LEFT, RIGHT, UP } from "./wire.js";
import { world } from "./world.js";

/** As in arena.rs. */
const THRUST = 1600, DRAG = 3.2, BOUNCE = 0.5, RADIUS = 20;

/** Milliseconds that are looked ahead at most, and units that a guess may be wrong before it is dropped. */
const FARTHEST = 200, WRONG = 60;

/** The keys that were held, and since when; the latest last. */
let history = [{ since: -Infinity, held: 0 }];

/** What is between the ship that is drawn and the one that is foreseen, and which frame the foreseeing began with. */
const error = { x: 0, y: 0, tick: null };

export function hold(held, since) { history = [...history.slice(-40), { since, held }]; }

const sign = (held, plus, minus) => (held & plus ? 1 : 0) - (held & minus ? 1 : 0);

/** One coordinate a step later. */
function fly({ place, speed }, push, seconds, size) {
  const faster = (speed + push * THRUST * seconds) * Math.exp(-DRAG * seconds);
  const moved = place + faster * seconds;
  const inside = Math.min(Math.max(moved, RADIUS), size - RADIUS);
  return { place: inside, speed: inside === moved ? faster : -BOUNCE * faster };
}

/** Where our ship is now, if it flies on from the frame at `index` as the keys say; null if that cannot be told. */
function foresee(index, now) {
  const { frames, epoch, tickMs, me } = world;
  const [a, b] = [frames[index - 1], frames[index]];
  const [from, ship] = [a?.ships.get(me), b?.ships.get(me)];
  if (!from?.flying || !ship?.flying || b.tick !== a.tick + 1) return null;
  const seconds = tickMs / 1000;
  let x = { place: ship.x, speed: (ship.x - from.x) / seconds };
  let y = { place: ship.y, speed: (ship.y - from.y) / seconds };
  // What the frame knows of our keys is as old as the way there and back is long.
  let time = Math.max(epoch + b.tick * tickMs - (link.ping ?? 0), now - FARTHEST);
  for (; time < now; time += tickMs) {
    // A tick goes by the keys that came before it: those held at the end of the step.
    const { held } = history.findLast(({ since }) => since <= time + tickMs) ?? history[0];
    const [right, down] = [sign(held, RIGHT, LEFT), sign(held, DOWN, UP)];
    const length = Math.hypot(right, down) || 1;
    const nextX = fly(x, right / length, seconds, world.width);
    const nextY = fly(y, down / length, seconds, world.height);
    const part = Math.min((now - time) / tickMs, 1);
    x = { place: x.place + (nextX.place - x.place) * part, speed: nextX.speed };
    y = { place: y.place + (nextY.place - y.place) * part, speed: nextY.speed };
  }
  return { x: x.place, y: y.place };
}

/** Where to draw our ship; null if where it was told to be is better. */
export function ahead(now, seconds) {
  const last = world.frames.length - 1;
  const to = foresee(last, now);
  if (!to) {
    Object.assign(error, { x: 0, y: 0, tick: null });
    return null;
  }
  // A new frame may show that we guessed wrong: somebody hit us. Then the ship glides, and does not jump.
  const { tick } = world.frames[last];
  const before = error.tick === tick - 1 ? foresee(last - 1, now) : null;
  if (before) {
    error.x += before.x - to.x;
    error.y += before.y - to.y;
  }
  if (Math.hypot(error.x, error.y) > WRONG) Object.assign(error, { x: 0, y: 0 });
  const part = Math.exp(-seconds * 12);
  Object.assign(error, { x: error.x * part, y: error.y * part, tick });
  return { x: to.x + error.x, y: to.y + error.y };
}
