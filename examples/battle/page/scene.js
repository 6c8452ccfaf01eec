// The picture: a camera that follows our ship, the space behind, ships and shots, and where the others are.
//
// Without anything that moves, two pictures are the same to the pixel: nothing here goes by the clock alone.

import { ahead } from "./ahead.js";
import { nose } from "./controls.js";
import { drawEffects, drawTrails, follow, glow, muzzle, pass, trembling } from "./effects.js";
import { sounds } from "./sound.js";
import { between, colour, hueOf, moment, pilot, world } from "./world.js";

const TAU = 2 * Math.PI;

/** Square units that are seen at once, whatever the shape of the window: nobody sees more than others. */
const SEEN = 780_000;

/** Hits a whole ship can take: as in arena.rs. */
const HULL = 4;

const FONT = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif';

const canvas = document.getElementById("field");
const paint = canvas.getContext("2d", { alpha: false });
let ratio = 1;

/** Where the picture is in the world: its middle, and CSS pixels a unit. */
const camera = { x: 960, y: 600, scale: 0.5 };

/** Ships as they are drawn, between two frames. */
export let shown = new Map();

const flashes = new Map();  // id -> seconds since its ship was hit
const shotsSeen = new Set();

export function fit() {
  ratio = Math.min(devicePixelRatio, 2);
  canvas.width = Math.round(innerWidth * ratio);
  canvas.height = Math.round(innerHeight * ratio);
  fitSky();
}

export const toWorld = (x, y) => ({
  x: (x - innerWidth / 2) / camera.scale + camera.x,
  y: (y - innerHeight / 2) / camera.scale + camera.y,
});

export const toPage = (x, y) => ({
  x: (x - camera.x) * camera.scale + innerWidth / 2,
  y: (y - camera.y) * camera.scale + innerHeight / 2,
});

/** How near to the middle of the picture something is, from 1 to 0, and on which side: for the ear. */
export function hearing(x, y) {
  const [dx, dy] = [x - camera.x, y - camera.y];
  return { near: Math.max(0, 1 - Math.hypot(dx, dy) / 1100), pan: dx / 700 };
}

export function flash(id) { flashes.set(id, 0); }

// --- Camera ---------------------------------------------------------------------------------------------------------

/** With a ship, round it; without one, the whole field. */
function goal() {
  const me = shown.get(world.me);
  if (!world.playing || !me) {
    if (world.playing) return null;
    const [across, down] = [innerWidth / (world.width + 120), innerHeight / (world.height + 120)];
    // In a tall window the whole of it would be a strip: then its middle.
    return { x: world.width / 2, y: world.height / 2, scale: Math.max(Math.min(across, down), 0.8 * down) };
  }
  const scale = Math.min(1.6, Math.max(0.45, Math.sqrt(innerWidth * innerHeight / SEEN)));
  // So much beyond the edge that a ship there is not under the clock, the scores or the thumbs.
  const narrow = innerWidth <= 700;
  const [above, below] = narrow ? [190, 230] : [100, 100];
  return {
    x: keepInside(me.x, innerWidth / scale / 2, world.width, 90 / scale, 90 / scale),
    y: keepInside(me.y, innerHeight / scale / 2, world.height, above / scale, below / scale),
    scale,
  };
}

/** The middle of a picture that shows `half` units to either side, and not much of what is beyond the edges. */
function keepInside(place, half, size, before, behind) {
  if (2 * half > size + before + behind) return (size + behind - before) / 2;
  return Math.min(Math.max(place, half - before), size + behind - half);
}

function moveCamera(seconds) {
  const to = goal();
  if (!to) return;
  const part = 1 - Math.exp(-seconds * 7);
  for (const key of ["x", "y", "scale"]) {
    const rest = to[key] - camera[key];
    camera[key] = Math.abs(rest) < (key === "scale" ? 1e-4 : 0.02) ? to[key] : camera[key] + rest * part;
  }
}

// --- Space ----------------------------------------------------------------------------------------------------------

/** A small generator of its own, so that the stars stay where they are. */
function random(seed) {
  return () => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    return seed / 4294967296;
  };
}

/** Stars of a tile that is laid out again and again; the farther they are, the less they move. */
function makeStars(seed, count, size, light, far) {
  const next = random(seed);
  const stars = Array.from({ length: count }, () => ({ x: next() * TILE, y: next() * TILE, size: size * (0.6 + next()) }));
  return { stars, far, colour: `rgb(205 220 255 / ${light})` };
}

const TILE = 512;
const layers = [
  makeStars(3, 70, 0.9, 0.32, 0.12),
  makeStars(5, 34, 1.3, 0.5, 0.28),
  makeStars(9, 12, 1.6, 0.75, 0.5),
];

/** Clouds of gas: soft already, so a small picture of them is enough. */
const clouds = (() => {
  const layer = document.createElement("canvas");
  layer.width = 480;
  layer.height = 320;
  const to = layer.getContext("2d");
  to.fillStyle = "#050814";
  to.fillRect(0, 0, 480, 320);
  to.globalCompositeOperation = "lighter";
  const next = random(21);
  for (let cloud = 0; cloud < 26; cloud += 1) {
    const [x, y, size] = [next() * 480, next() * 320, 50 + next() * 130];
    const hue = [225, 262, 200, 318][Math.floor(next() * 4)];
    const light = to.createRadialGradient(x, y, 0, x, y, size);
    light.addColorStop(0, `hsl(${hue} 75% 45% / 0.12)`);
    light.addColorStop(1, `hsl(${hue} 75% 45% / 0)`);
    to.fillStyle = light;
    to.fillRect(0, 0, 480, 320);
  }
  return layer;
})();

/** The clouds are a little larger than the picture, and move a little as one crosses the field. */
const ROOM = 0.16;
const sky = document.createElement("canvas");

function fitSky() {
  sky.width = Math.round(canvas.width * (1 + ROOM));
  sky.height = Math.round(canvas.height * (1 + ROOM));
  const to = sky.getContext("2d", { alpha: false });
  // A part of the clouds of the picture's shape, or they would be drawn out.
  const part = Math.max(sky.width / clouds.width, sky.height / clouds.height);
  const [width, height] = [sky.width / part, sky.height / part];
  to.drawImage(
    clouds, (clouds.width - width) / 2, (clouds.height - height) / 2, width, height, 0, 0, sky.width, sky.height,
  );
}

function drawSpace() {
  const { width, height } = canvas;
  paint.setTransform(1, 0, 0, 1, 0, 0);
  const side = (place, size, room) => Math.round(-room * Math.min(1, Math.max(0, place / size)));
  paint.drawImage(sky, side(camera.x, world.width, sky.width - width), side(camera.y, world.height, sky.height - height));
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  for (const { stars, far, colour: light } of layers) {
    const start = (place) => -(((place * camera.scale * far) % TILE) + TILE) % TILE;
    const [left, top] = [start(camera.x), start(camera.y)];
    paint.fillStyle = light;
    for (let x = left; x < innerWidth; x += TILE) {
      for (let y = top; y < innerHeight; y += TILE) {
        for (const star of stars) paint.fillRect(x + star.x, y + star.y, star.size, star.size);
      }
    }
  }
}

function drawField() {
  const { width, height } = world;
  paint.lineWidth = 1 / camera.scale;
  for (const [every, alpha] of [[80, 0.055], [320, 0.12]]) {
    paint.strokeStyle = `rgb(130 170 255 / ${alpha})`;
    paint.beginPath();
    for (let x = 0; x <= width; x += every) { paint.moveTo(x, 0); paint.lineTo(x, height); }
    for (let y = 0; y <= height; y += every) { paint.moveTo(0, y); paint.lineTo(width, y); }
    paint.stroke();
  }
  paint.globalCompositeOperation = "lighter";
  for (const [line, alpha] of [[34, 0.05], [18, 0.09], [8, 0.2], [2.5, 0.95]]) {
    paint.strokeStyle = `rgb(80 190 255 / ${alpha})`;
    paint.lineWidth = line;
    paint.strokeRect(-2, -2, width + 4, height + 4);
  }
  paint.globalCompositeOperation = "source-over";
}

// --- Ships and shots ------------------------------------------------------------------------------------------------

function drawShip(ship, now) {
  const hue = hueOf(ship.id);
  const { x, y } = ship;
  const hit = Math.max(0, 1 - (flashes.get(ship.id) ?? 1) / 0.22);
  paint.globalCompositeOperation = "lighter";
  glow(paint, hue, x, y, ship.id === world.me ? 84 : 62, ship.id === world.me ? 0.75 : 0.5);
  if (hit > 0) glow(paint, hue, x, y, 96, hit);
  paint.save();
  paint.translate(x, y);
  paint.rotate(ship.angle);
  paint.scale(1.15, 1.15);
  if (ship.thrusting) drawFlame(now, ship.id);
  paint.globalCompositeOperation = "source-over";
  drawHullShape(hue, hit);
  paint.restore();
  if (ship.shielded) drawShield(x, y, hue, now);
}

function drawFlame(now, id) {
  const flicker = 20 + 8 * Math.sin(now / 23 + id) + 5 * Math.sin(now / 7);
  const flame = paint.createLinearGradient(-10, 0, -16 - flicker, 0);
  flame.addColorStop(0, "rgb(255 244 205 / 0.95)");
  flame.addColorStop(0.35, "rgb(255 160 70 / 0.8)");
  flame.addColorStop(1, "rgb(255 60 30 / 0)");
  paint.fillStyle = flame;
  paint.beginPath();
  paint.moveTo(-9, -7);
  paint.quadraticCurveTo(-14, 0, -9, 7);
  paint.lineTo(-16 - flicker, 0);
  paint.fill();
}

function drawHullShape(hue, hit) {
  paint.beginPath();
  paint.moveTo(23, 0);
  paint.lineTo(4, -6);
  paint.lineTo(-6, -17);
  paint.lineTo(-17, -15);
  paint.lineTo(-10, -4);
  paint.lineTo(-12, 0);
  paint.lineTo(-10, 4);
  paint.lineTo(-17, 15);
  paint.lineTo(-6, 17);
  paint.lineTo(4, 6);
  paint.closePath();
  const body = paint.createLinearGradient(-15, 0, 22, 0);
  body.addColorStop(0, colour(hue, 14));
  body.addColorStop(1, colour(hue, 48));
  paint.fillStyle = hit > 0.5 ? "#fff" : body;
  paint.fill();
  paint.lineWidth = 2;
  paint.lineJoin = "round";
  paint.strokeStyle = colour(hue, 76);
  paint.stroke();
  paint.fillStyle = "rgb(255 255 255 / 0.92)";
  paint.beginPath();
  paint.ellipse(4, 0, 6, 2.3, 0, 0, TAU);
  paint.fill();
}

function drawShield(x, y, hue, now) {
  paint.globalCompositeOperation = "lighter";
  const bubble = paint.createRadialGradient(x, y, 20, x, y, 37);
  bubble.addColorStop(0, colour(hue, 60, 0));
  bubble.addColorStop(1, colour(hue, 70, 0.28));
  paint.fillStyle = bubble;
  paint.strokeStyle = colour(hue, 80, 0.55 + 0.3 * Math.sin(now / 90));
  paint.lineWidth = 2;
  paint.beginPath();
  paint.arc(x, y, 37, 0, TAU);
  paint.fill();
  paint.stroke();
  paint.globalCompositeOperation = "source-over";
}

/** Name above, what is left of the hull below: of one size whatever the scale. */
function drawTag({ id, x, y, hull }) {
  const mine = id === world.me;
  const hue = hueOf(id);
  const size = 1 / Math.min(1.2, Math.max(0.7, camera.scale));
  paint.save();
  paint.translate(x, y);
  paint.scale(size, size);
  paint.font = `${mine ? 700 : 600} 14px ${FONT}`;
  paint.textAlign = "center";
  paint.textBaseline = "alphabetic";
  paint.lineWidth = 4;
  paint.lineJoin = "round";
  paint.strokeStyle = "rgb(4 6 13 / 0.8)";
  paint.fillStyle = mine ? "#fff" : colour(hue, 82);
  const name = pilot(id)?.name ?? "";
  const up = -40 / size;
  paint.strokeText(name, 0, up);
  paint.fillText(name, 0, up);
  for (let pip = 0; pip < HULL; pip += 1) {
    paint.fillStyle = pip < hull ? colour(hull === 1 ? 2 : hue, 66) : "rgb(150 170 220 / 0.2)";
    paint.fillRect(-22 + pip * 11.3, 36 / size, 9.5, 3.5);
  }
  paint.restore();
}

function drawShot(shot) {
  const hue = hueOf(shot.owner);
  const [dx, dy] = [Math.cos(shot.angle), Math.sin(shot.angle)];
  glow(paint, hue, shot.x, shot.y, 26, 0.9);
  const trail = paint.createLinearGradient(shot.x, shot.y, shot.x - dx * 50, shot.y - dy * 50);
  trail.addColorStop(0, colour(hue, 84, 0.95));
  trail.addColorStop(1, colour(hue, 60, 0));
  paint.strokeStyle = trail;
  paint.lineWidth = 4;
  paint.lineCap = "round";
  paint.beginPath();
  paint.moveTo(shot.x, shot.y);
  paint.lineTo(shot.x - dx * 50, shot.y - dy * 50);
  paint.stroke();
  paint.fillStyle = "#fff";
  paint.beginPath();
  paint.arc(shot.x, shot.y, 3, 0, TAU);
  paint.fill();
}

/** A flash and a sound for each shot that was not there before. */
function noticeShots(shots) {
  for (const id of shotsSeen) if (!shots.has(id)) shotsSeen.delete(id);
  for (const { id, owner, x, y, angle } of shots.values()) {
    if (shotsSeen.has(id)) continue;
    shotsSeen.add(id);
    const ship = shown.get(owner);
    if (ship) muzzle(ship.x + Math.cos(angle) * 26, ship.y + Math.sin(angle) * 26, hueOf(owner), angle);
    sounds.shot(hearing(x, y), owner === world.me);
  }
}

// --- Where the others are -------------------------------------------------------------------------------------------

/** An arrow at the edge of the picture for everybody beyond it. */
function drawArrows() {
  const [middleX, middleY] = [innerWidth / 2, innerHeight / 2];
  for (const ship of shown.values()) {
    if (!ship.flying || ship.id === world.me) continue;
    const { x, y } = toPage(ship.x, ship.y);
    if (x > 0 && x < innerWidth && y > 0 && y < innerHeight) continue;
    const [dx, dy] = [x - middleX, y - middleY];
    const part = Math.min((middleX - 18) / Math.abs(dx || 1), (middleY - 18) / Math.abs(dy || 1));
    paint.save();
    paint.translate(middleX + dx * part, middleY + dy * part);
    paint.rotate(Math.atan2(dy, dx));
    paint.fillStyle = colour(hueOf(ship.id), 66, 0.8);
    paint.beginPath();
    paint.moveTo(9, 0);
    paint.lineTo(-6, -7);
    paint.lineTo(-3, 0);
    paint.lineTo(-6, 7);
    paint.fill();
    paint.restore();
  }
}

/** The whole field, small, where style.css has left room for it. */
function drawMap() {
  const { left, top, width, height } = document.getElementById("map").getBoundingClientRect();
  if (width === 0) return;
  const part = width / world.width;
  paint.fillStyle = "rgb(9 14 30 / 0.6)";
  paint.strokeStyle = "rgb(120 160 255 / 0.35)";
  paint.lineWidth = 1;
  paint.beginPath();
  paint.roundRect(left, top, width, height, 6);
  paint.fill();
  paint.stroke();
  paint.save();
  paint.clip();
  const from = toWorld(0, 0);
  paint.strokeStyle = "rgb(220 235 255 / 0.28)";
  paint.strokeRect(
    left + from.x * part, top + from.y * part, innerWidth / camera.scale * part, innerHeight / camera.scale * part,
  );
  for (const { id, x, y, flying } of shown.values()) {
    if (!flying) continue;
    const mine = id === world.me;
    paint.fillStyle = mine ? "#fff" : colour(hueOf(id), 64);
    paint.beginPath();
    paint.arc(left + x * part, top + y * part, mine ? 3.4 : 2.7, 0, TAU);
    paint.fill();
  }
  paint.restore();
}

// --- One picture ----------------------------------------------------------------------------------------------------

export function draw(now, seconds) {
  const at = moment(now);
  if (at) {
    const ships = [...at.b.ships.values()];
    shown = new Map(ships.map((ship) => [ship.id, between(at.a.ships.get(ship.id), ship, at.part)]));
    const me = shown.get(world.me);
    const place = ahead(now, seconds);
    // A copy: what was told stays as it was told.
    if (me) shown.set(me.id, { ...me, ...place, angle: nose() ?? me.angle });
    noticeShots(at.b.shots);
  }
  for (const [id, age] of flashes) flashes.set(id, age + seconds);
  for (const ship of shown.values()) if (ship.flying) follow(ship, hueOf(ship.id), seconds);
  pass(seconds);
  moveCamera(seconds);
  drawSpace();
  const { x, y } = trembling();
  const scale = camera.scale * ratio;
  const [left, top] = [canvas.width / 2 - camera.x * scale, canvas.height / 2 - camera.y * scale];
  paint.setTransform(scale, 0, 0, scale, left + x * ratio, top + y * ratio);
  drawField();
  if (!at) return;
  drawTrails(paint, hueOf);
  paint.globalCompositeOperation = "lighter";
  for (const shot of at.b.shots.values()) {
    const before = at.a.shots.get(shot.id);
    if (before) drawShot(between(before, shot, at.part));
  }
  for (const ship of shown.values()) if (ship.flying) drawShip(ship, now);
  drawEffects(paint);
  for (const ship of shown.values()) if (ship.flying) drawTag(ship);
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (world.playing) {
    drawArrows();
    drawMap();
  }
}
