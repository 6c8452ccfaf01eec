// What the server has told: who plays, where everything is and was. Others listen for what happens; nothing here is
// drawn, sent or heard.

import { FIGHT, decode } from "./wire.js";

const TAU = 2 * Math.PI;

/** Frames kept, for drawing between them and for `window.battle.at`. */
const KEPT = 90;

/** The picture is so many ticks in the past, so that there is nearly always a later frame to draw towards. */
const BEHIND = 1.5;

export const world = {};

/** Nothing is known yet. */
export function forget() {
  Object.assign(world, {
    me: null,            // our id
    battle: null,        // the number of the battle, and its core
    core: null,
    playing: false,      // we have a ship
    width: 1920, height: 1200, tickMs: 33,
    pilots: new Map(),   // id -> { id, name, hue, score }
    frames: [],          // the latest last
    epoch: null,         // when tick 0 was, as far as arrivals tell
    round: { phase: FIGHT, ends: 0, goal: 0 },
    pending: [],         // { tick, tell }: what the picture has not come to yet
  });
}
forget();

export const newest = () => world.frames[world.frames.length - 1];
export const pilot = (id) => world.pilots.get(id);
export const hueOf = (id) => pilot(id)?.hue ?? 210;
export const colour = (hue, light = 64, alpha = 1) => `hsl(${hue} 95% ${light}% / ${alpha})`;

/** Pilots, the best first. */
export const ranking = () => [...world.pilots.values()].sort((a, b) => b.score - a.score || a.id - b.id);

/** Seconds until the fight, or its result, is over. */
export function secondsLeft() {
  const ticks = world.round.ends - (newest()?.tick ?? world.round.ends);
  return Math.max(0, Math.ceil(ticks * world.tickMs / 1000));
}

// --- Listeners ------------------------------------------------------------------------------------------------------

const listeners = new Map();

/** `listener` is called with each event of a kind, after the world has changed. */
export function on(kind, listener) {
  if (!listeners.has(kind)) listeners.set(kind, []);
  listeners.get(kind).push(listener);
}

const tell = (kind, event) => { for (const listener of listeners.get(kind) ?? []) listener(event); };

/** The same, when the picture has come to the frame that is told next. */
function tellInTime(kind, event) {
  world.pending.push({ tick: (newest()?.tick ?? 0) + 1, tell: () => tell(kind, event) });
  // A page that is not drawn comes to nothing.
  if (world.pending.length > 200) world.pending.shift();
}

const changes = {
  welcome(it) {
    forget();
    Object.assign(world, it);
    tell("welcome", it);
  },
  joined(it) {
    world.pilots.set(it.id, { ...it, score: 0 });
    if (it.id === world.me) world.playing = true;
    tell("joined", it);
  },
  left({ id }) {
    const gone = pilot(id);
    world.pilots.delete(id);
    if (gone) tell("left", gone);
  },
  score({ id, score }) {
    const it = pilot(id);
    if (!it) return;
    const gained = score - it.score;
    it.score = score;
    tell("score", { ...it, gained });
  },
  hit({ victim, by, fatal }) {
    // Names now: who shot may have left when the picture comes to it.
    tellInTime("hit", { victim, by, fatal, loser: pilot(victim), winner: pilot(by) });
  },
  refused() { tell("refused"); },
  frame(it) {
    const now = performance.now();
    const epoch = now - it.tick * world.tickMs;
    // Arrivals jitter, always to the late side: go with the early ones at once, with the late ones slowly.
    world.epoch = world.epoch === null || epoch < world.epoch || epoch > world.epoch + 500
      ? epoch : world.epoch + (epoch - world.epoch) * 0.02;
    world.frames.push(it);
    if (world.frames.length > KEPT) world.frames.shift();
  },
  round(it) {
    world.round = it;
    tell("round", it);
  },
  pong(it) { tell("pong", it); },
  lobby(it) { tell("lobby", it); },
  stay(it) { tell("stay", it); },
  won(it) { tell("won", it); },
  said({ id, text }) {
    const by = pilot(id);
    if (by) tell("said", { by, text });
  },
};

/** A payload has come. Throws if it cannot be read. */
export const receive = (buffer) => decode(buffer, changes);

// --- The moment that is shown ---------------------------------------------------------------------------------------

/** The two frames around the moment we show, a little in the past, and how far we are between them. */
export function moment(now) {
  const { frames, epoch, tickMs } = world;
  if (frames.length === 0) return null;
  const tick = (now - epoch) / tickMs - BEHIND;
  let later = frames.length - 1;
  while (later > 0 && frames[later - 1].tick >= tick) later -= 1;
  const [a, b] = [frames[Math.max(later - 1, 0)], frames[later]];
  const part = b.tick === a.tick ? 1 : (tick - a.tick) / (b.tick - a.tick);
  while (world.pending.length > 0 && world.pending[0].tick <= b.tick) world.pending.shift().tell();
  return { a, b, part: Math.min(Math.max(part, 0), 1) };
}

/** A ship or a shot between two frames. Who comes back elsewhere does not fly there. */
export function between(a, b, part) {
  if (!a || Math.hypot(b.x - a.x, b.y - a.y) > 120) return b;
  const turn = ((b.angle - a.angle) % TAU + TAU + Math.PI) % TAU - Math.PI;
  return { ...b, x: a.x + (b.x - a.x) * part, y: a.y + (b.y - a.y) * part, angle: a.angle + turn * part };
}
