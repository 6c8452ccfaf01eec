// Sparks, debris, shock waves, trails: what has a short life and nothing to do with who wins.

import { colour } from "./world.js";

const TAU = 2 * Math.PI;

/** More than this is not seen any more, only paid for. */
const MOST = 700;

/** Seconds that a ship's trail is long. */
const TRAIL = 0.45;

let particles = [];
let waves = [];
let texts = [];
const trails = new Map(); // id -> [{ x, y, age }], the newest last
let shake = 0;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A soft disc of light, drawn once for each hue. */
const glows = new Map();
export function glow(to, hue, x, y, size, alpha) {
  const key = Math.round(hue / 3) * 3;
  if (!glows.has(key)) glows.set(key, drawGlow(key));
  to.globalAlpha = Math.max(0, Math.min(1, alpha));
  to.drawImage(glows.get(key), x - size, y - size, 2 * size, 2 * size);
  to.globalAlpha = 1;
}

function drawGlow(hue) {
  const sprite = document.createElement("canvas");
  sprite.width = sprite.height = 64;
  const to = sprite.getContext("2d");
  const light = to.createRadialGradient(32, 32, 0, 32, 32, 32);
  light.addColorStop(0, colour(hue, 80, 0.95));
  light.addColorStop(0.22, colour(hue, 62, 0.45));
  light.addColorStop(0.55, colour(hue, 54, 0.13));
  light.addColorStop(1, colour(hue, 50, 0));
  to.fillStyle = light;
  to.fillRect(0, 0, 64, 64);
  return sprite;
}

function particle(x, y, hue, way, pace, life, size, kind) {
  if (particles.length >= MOST) return;
  const [vx, vy] = [Math.cos(way) * pace, Math.sin(way) * pace];
  particles.push({ x, y, vx, vy, hue, age: 0, life, size, kind, turn: Math.random() * TAU });
}

const some = (least, most) => least + Math.random() * (most - least);

export function sparks(x, y, hue) {
  for (let index = 0; index < 12; index += 1) {
    particle(x, y, index % 3 ? hue : 45, some(0, TAU), some(60, 320), some(0.15, 0.45), some(5, 12), "spark");
  }
}

export function muzzle(x, y, hue, angle) {
  for (let index = 0; index < 3; index += 1) {
    particle(x, y, hue, angle + some(-0.4, 0.4), some(90, 260), some(0.06, 0.16), some(8, 14), "spark");
  }
}

export function blast(x, y, hue) {
  for (let index = 0; index < 44; index += 1) {
    particle(x, y, index % 3 ? hue : some(20, 50), some(0, TAU), some(30, 420), some(0.35, 1), some(8, 24), "spark");
  }
  for (let index = 0; index < 9; index += 1) {
    particle(x, y, hue, some(0, TAU), some(50, 210), some(0.7, 1.4), some(5, 11), "shard");
  }
  waves.push({ x, y, hue, age: 0, life: 0.7 });
}

/** Somebody appears. */
export function arrival(x, y, hue) {
  waves.push({ x, y, hue, age: 0, life: 0.5, inwards: true });
}

export function text(x, y, words, hue, size = 20) {
  texts.push({ x, y, words, hue, size, age: 0, life: 0.9 });
}

/** The picture trembles: a little when something bursts nearby, more when it was us. */
export function jolt(strength) {
  if (!calm.matches) shake = Math.min(1, Math.max(shake, strength));
}

export function trembling() {
  if (shake === 0) return { x: 0, y: 0 };
  return { x: some(-9, 9) * shake, y: some(-9, 9) * shake };
}

export function forgetEffects() {
  particles = [];
  waves = [];
  texts = [];
  trails.clear();
  shake = 0;
}

/** Exhaust behind a ship, and the trail it leaves. */
export function follow(ship, hue, seconds) {
  const back = ship.angle + Math.PI;
  const [x, y] = [ship.x + Math.cos(back) * 17, ship.y + Math.sin(back) * 17];
  if (!trails.has(ship.id)) trails.set(ship.id, []);
  const trail = trails.get(ship.id);
  const last = trail[trail.length - 1];
  const far = last ? Math.hypot(last.x - x, last.y - y) : Infinity;
  if (far > 140) trail.length = 0;
  if (far > 3) trail.push({ x, y, age: 0 });
  if (ship.thrusting && Math.random() < seconds * 34) {
    particle(x, y, some(16, 44), back + some(-0.35, 0.35), some(60, 170), some(0.18, 0.42), some(6, 12), "spark");
  }
  if (ship.hull === 1 && Math.random() < seconds * 16) {
    particle(ship.x, ship.y, hue, some(0, TAU), some(8, 34), some(0.5, 1), some(9, 16), "smoke");
  }
}

/** Everything gets older. */
export function pass(seconds) {
  const lives = (it) => { it.age += seconds; return it.age < it.life; };
  particles = particles.filter(lives);
  waves = waves.filter(lives);
  texts = texts.filter(lives);
  const drag = Math.exp(-2.6 * seconds);
  for (const it of particles) {
    it.x += it.vx * seconds;
    it.y += it.vy * seconds;
    it.vx *= drag;
    it.vy *= drag;
  }
  for (const [id, trail] of trails) {
    for (const point of trail) point.age += seconds;
    while (trail.length > 0 && trail[0].age > TRAIL) trail.shift();
    if (trail.length === 0) trails.delete(id);
  }
  shake = shake < 0.02 ? 0 : shake * Math.exp(-5.5 * seconds);
}

export function drawTrails(to, hueOf) {
  to.globalCompositeOperation = "lighter";
  // Round ends would show as dots where they lie over each other.
  to.lineCap = "butt";
  for (const [id, trail] of trails) {
    const hue = hueOf(id);
    for (let at = 1; at < trail.length; at += 1) {
      const left = 1 - trail[at].age / TRAIL;
      to.strokeStyle = colour(hue, 60, 0.34 * left);
      to.lineWidth = 1 + 9 * left;
      to.beginPath();
      to.moveTo(trail[at - 1].x, trail[at - 1].y);
      to.lineTo(trail[at].x, trail[at].y);
      to.stroke();
    }
  }
  to.globalCompositeOperation = "source-over";
}

export function drawEffects(to) {
  to.globalCompositeOperation = "lighter";
  for (const it of particles) draw[it.kind](to, it, 1 - it.age / it.life);
  for (const it of waves) drawWave(to, it, it.age / it.life);
  to.globalCompositeOperation = "source-over";
  to.textAlign = "center";
  for (const { x, y, words, hue, size, age, life } of texts) {
    const part = age / life;
    to.font = `800 ${size}px system-ui, "Segoe UI", "DejaVu Sans", sans-serif`;
    to.fillStyle = colour(hue, 84, 1 - part * part);
    to.fillText(words, x, y - 38 * part);
  }
}

const draw = {
  spark(to, { x, y, hue, size }, left) {
    glow(to, hue, x, y, size * (0.35 + left), left);
    to.fillStyle = `rgb(255 255 255 / ${left * 0.85})`;
    to.fillRect(x - 1, y - 1, 2, 2);
  },
  smoke(to, { x, y, hue, size }, left) {
    glow(to, hue, x, y, size * (1.8 - left), left * 0.22);
  },
  shard(to, { x, y, hue, size, turn, age }, left) {
    to.save();
    to.translate(x, y);
    to.rotate(turn + age * 7);
    to.strokeStyle = colour(hue, 75, left);
    to.lineWidth = 2;
    to.beginPath();
    to.moveTo(-size, 0);
    to.lineTo(size, size * 0.4);
    to.lineTo(size * 0.2, -size * 0.5);
    to.closePath();
    to.stroke();
    to.restore();
  },
};

function drawWave(to, { x, y, hue, inwards }, part) {
  const size = inwards ? 90 * (1 - part) : 12 + 135 * Math.sqrt(part);
  if (!inwards) glow(to, hue, x, y, 190 * (0.35 + part * 0.6), (1 - part) ** 2);
  to.strokeStyle = colour(hue, 82, inwards ? part : 1 - part);
  to.lineWidth = 1 + 6 * (inwards ? part * 0.5 : 1 - part);
  to.beginPath();
  to.arc(x, y, Math.max(1, size), 0, TAU);
  to.stroke();
}
