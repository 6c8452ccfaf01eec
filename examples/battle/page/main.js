// The client of examples/battle. It shows what the server tells and sends which keys are held; the server judges.
//
//   wire.js      bytes to events, commands to bytes
//   world.js     what the server has told, and the moment that is shown
//   net.js       the connection, opened again when it is lost; tickets, ping
//   controls.js  keyboard, mouse, thumbs
//   ahead.js     our own ship, for which we do not wait
//   scene.js     the picture; effects.js what flies about in it
//   hud.js       scores, clock, feed, dialogs; sound.js
//   lobby.js     the battles on all cores, and the way to another
//
// This file ties them together: what happens in the world is seen and heard, and each picture follows the last.

import * as controls from "./controls.js";
import { arrival, blast, forgetEffects, jolt, sparks, text } from "./effects.js";
import { openEntry, showClock, showScores } from "./hud.js";
import { battles } from "./lobby.js";
import { connect, isOpen, link } from "./net.js";
import { draw, fit, flash, hearing, shown, toPage, toWorld } from "./scene.js";
import { isOn, sounds } from "./sound.js";
import { RESULT } from "./wire.js";
import { hueOf, newest, on, pilot, secondsLeft, world } from "./world.js";

// --- What happens is seen and heard ---------------------------------------------------------------------------------

on("hit", ({ victim, by, fatal }) => {
  const ship = shown.get(victim);
  if (!ship) return;
  const { x, y } = ship;
  const where = hearing(x, y);
  flash(victim);
  if (fatal) {
    blast(x, y, hueOf(victim));
    sounds.blast(where);
    jolt(victim === world.me ? 1 : 0.45 * where.near ** 2);
  } else {
    sparks(x, y, hueOf(by));
    sounds.hit(where);
    if (victim === world.me) {
      jolt(0.3);
      sounds.hurt();
    }
  }
  if (by === world.me) text(x, y - 46, fatal ? "+5" : "+1", hueOf(by), fatal ? 26 : 18);
});

on("score", ({ id, gained }) => { if (id === world.me && gained > 0) sounds.point(); });
on("round", ({ phase }) => (phase === RESULT ? sounds.over() : sounds.fight()));
on("welcome", forgetEffects);
on("joined", ({ id }) => { if (id === world.me) controls.takeOver(); });

/** Who was not flying a moment ago appears. */
const flying = new Set();
function noticeArrivals() {
  for (const { id, x, y, flying: now } of shown.values()) {
    if (now && !flying.has(id)) arrival(x, y, hueOf(id));
    if (now) flying.add(id);
    else flying.delete(id);
  }
  for (const id of flying) if (!shown.has(id)) flying.delete(id);
}

// --- One picture after the other ------------------------------------------------------------------------------------

const steer = () => controls.steer(shown.get(world.me), toWorld);

let last = performance.now();
function picture(now) {
  requestAnimationFrame(picture);
  // A page that was hidden does not make up for it.
  const seconds = Math.min(0.1, Math.max(0, (now - last) / 1000));
  last = now;
  steer();
  draw(now, seconds);
  noticeArrivals();
}

// --- For tests and the curious: read only ---------------------------------------------------------------------------

const players = (frame) => [...(frame?.ships.values() ?? [])].map((ship) => {
  const { name = "", score = 0 } = pilot(ship.id) ?? {};
  return { ...ship, name, score };
});

window.battle = Object.freeze({
  /** Our id, or null before the server's welcome. */
  get me() { return world.me; },
  get playing() { return world.playing; },
  /** The number of our battle, and its core on the server; and the battles that the lobby has shown. */
  get number() { return world.battle; },
  get core() { return world.core; },
  lobby: () => battles().map((it) => ({ ...it })),
  /** The latest tick we have heard of. */
  get tick() { return newest()?.tick ?? 0; },
  get tickMs() { return world.tickMs; },
  get connected() { return isOpen(); },
  /** Attempts to connect again since the connection was lost. */
  get attempts() { return link.attempts; },
  /** Milliseconds to the server and back, or null. */
  get ping() { return link.ping; },
  get sound() { return isOn(); },
  get round() { return { over: world.round.phase === RESULT, left: secondsLeft(), goal: world.round.goal }; },
  /** Everybody's ship at the latest tick, with name and score. */
  players: () => players(newest()),
  /** The same at an earlier tick, if it is among the last few seconds; else null. */
  at: (tick) => {
    const frame = world.frames.find((it) => it.tick === tick);
    return frame ? players(frame) : null;
  },
  shots: () => [...(newest()?.shots.values() ?? [])],
  /** Somebody's ship as it is drawn: our own a little ahead of what was told, others a little behind. */
  drawn: (id) => ({ ...shown.get(id) }),
  /** Where a place of the arena is on the page, in CSS pixels. */
  toPage,
});

controls.listen(document.getElementById("field"), steer);
addEventListener("resize", fit);
fit();
showScores();
setInterval(showClock, 200);
openEntry("");
connect();
requestAnimationFrame(picture);
