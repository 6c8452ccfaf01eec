// Keyboard, mouse and thumbs: from what is held down to commands.

import { encode, DOWN, LEFT, RIGHT, UP } from "./wire.js";
import { world } from "./world.js";
import { hold } from "./ahead.js";
import { send } from "./net.js";

const TAU = 2 * Math.PI;
const DIRECTIONS = {
  KeyW: UP, ArrowUp: UP, KeyS: DOWN, ArrowDown: DOWN, KeyA: LEFT, ArrowLeft: LEFT, KeyD: RIGHT, ArrowRight: RIGHT,
};

/** Milliseconds between two changes of nothing but the aim: a tick. The server allows more, see allowance.rs. */
const AIM_PACE = 33;

/** Pixels a thumb moves from rest to full, and from where on it counts. */
const REACH = 52;
const DEAD = 10;

const keys = new Set();
const mouse = { x: 0, y: 0, down: false, moved: -Infinity };
const sent = { held: 0, pulled: false, turn: null, at: -Infinity };
let angle = null;

/** The two thumbs: where they came down, and how far they are from there now. */
const thumbs = { fly: newThumb("stick-fly"), aim: newThumb("stick-aim") };

function newThumb(id) {
  return { element: document.getElementById(id), pointer: null, x: 0, y: 0, dx: 0, dy: 0 };
}

const isPushed = ({ pointer, dx, dy }) => pointer !== null && Math.hypot(dx, dy) > DEAD;
const sign = (held, plus, minus) => (held & plus ? 1 : 0) - (held & minus ? 1 : 0);

function directions() {
  let held = 0;
  for (const key of keys) held |= DIRECTIONS[key] ?? 0;
  const { dx, dy } = thumbs.fly;
  if (isPushed(thumbs.fly)) {
    // Eight directions, each within 22.5 degrees.
    const enough = 0.38 * Math.hypot(dx, dy);
    held |= (dy < -enough ? UP : 0) | (dy > enough ? DOWN : 0) | (dx < -enough ? LEFT : 0) | (dx > enough ? RIGHT : 0);
  }
  return held;
}

/** A thumb aims first, then the mouse until it has rested for long; else one aims where one flies. */
function wantedAngle(held, ship, toWorld) {
  if (isPushed(thumbs.aim)) return Math.atan2(thumbs.aim.dy, thumbs.aim.dx);
  if (mouse.down || performance.now() - mouse.moved < 10_000) {
    if (!ship) return angle;
    const { x, y } = toWorld(mouse.x, mouse.y);
    return Math.atan2(y - ship.y, x - ship.x);
  }
  const [x, y] = [sign(held, RIGHT, LEFT), sign(held, DOWN, UP)];
  return x === 0 && y === 0 ? angle : Math.atan2(y, x);
}

/** Where our nose points, before the server says so; null if we do not know. */
export const nose = () => angle;

/** Sends what has changed since it was last sent. Called for each picture, and for each key. */
export function steer(ship, toWorld) {
  if (!world.playing) return;
  const now = performance.now();
  const held = directions();
  const pulled = mouse.down || keys.has("Space") || isPushed(thumbs.aim);
  angle = wantedAngle(held, ship, toWorld);
  const turn = angle === null ? null : Math.round((angle / TAU + 1) * 65536) & 65535;
  const urgent = held !== sent.held || pulled !== sent.pulled;
  const turned = turn !== null && turn !== sent.turn;
  if (!urgent && !(turned && now - sent.at >= AIM_PACE)) return;
  const commands = [];
  if (turned) commands.push(encode.aim(turn));
  if (held !== sent.held) {
    commands.push(encode.move(held));
    hold(held, now);
  }
  if (pulled !== sent.pulled) commands.push(encode.trigger(pulled));
  Object.assign(sent, { held, pulled, turn, at: now });
  send(...commands);
}

/** A new ship knows nothing of the keys held. */
export function takeOver() {
  Object.assign(sent, { held: 0, pulled: false, turn: null, at: -Infinity });
  hold(0, performance.now());
  mouse.moved = -Infinity;
}

export function letGo() {
  keys.clear();
  mouse.down = false;
  for (const thumb of Object.values(thumbs)) release(thumb);
}

// --- Thumbs ---------------------------------------------------------------------------------------------------------

function press(thumb, { pointerId, clientX, clientY }) {
  Object.assign(thumb, { pointer: pointerId, x: clientX, y: clientY, dx: 0, dy: 0 });
  show(thumb);
}

function push(thumb, { clientX, clientY }) {
  thumb.dx = clientX - thumb.x;
  thumb.dy = clientY - thumb.y;
  const far = Math.hypot(thumb.dx, thumb.dy);
  // The stick follows a thumb that goes too far, so that turning back has its effect at once.
  if (far > REACH) {
    const part = 1 - REACH / far;
    thumb.x += thumb.dx * part;
    thumb.y += thumb.dy * part;
    thumb.dx -= thumb.dx * part;
    thumb.dy -= thumb.dy * part;
  }
  show(thumb);
}

function release(thumb) {
  Object.assign(thumb, { pointer: null, dx: 0, dy: 0 });
  show(thumb);
}

function show({ element, pointer, x, y, dx, dy }) {
  const held = pointer !== null;
  element.classList.toggle("held", held);
  element.style.left = held ? `${x}px` : "";
  element.style.top = held ? `${y}px` : "";
  element.firstElementChild.style.transform = `translate(${dx}px, ${dy}px)`;
}

const thumbOf = ({ pointerId }) => Object.values(thumbs).find(({ pointer }) => pointer === pointerId);

// --- Events ---------------------------------------------------------------------------------------------------------

/** `changed` is called when something was pressed or let go, which should not wait for the next picture. */
export function listen(canvas, changed) {
  addEventListener("keydown", (event) => {
    const ours = event.code in DIRECTIONS || event.code === "Space";
    if (!world.playing || !ours || event.ctrlKey || event.metaKey || event.altKey) return;
    // Space on a focused button is the button's.
    if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLInputElement) return;
    event.preventDefault();
    keys.add(event.code);
    changed();
  });
  addEventListener("keyup", (event) => { if (keys.delete(event.code)) changed(); });
  const forget = () => { letGo(); changed(); };
  addEventListener("blur", forget);
  document.addEventListener("visibilitychange", () => { if (document.hidden) forget(); });

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (event.pointerType !== "mouse") {
      document.body.classList.add("touch");
      const thumb = event.clientX < innerWidth / 2 ? thumbs.fly : thumbs.aim;
      if (thumb.pointer === null) press(thumb, event);
    } else if (event.button === 0) {
      Object.assign(mouse, { x: event.clientX, y: event.clientY, moved: performance.now(), down: true });
    }
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    const thumb = thumbOf(event);
    if (thumb) push(thumb, event);
    else if (event.pointerType === "mouse") {
      Object.assign(mouse, { x: event.clientX, y: event.clientY, moved: performance.now() });
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      const thumb = thumbOf(event);
      if (thumb) release(thumb);
      else mouse.down = false;
      changed();
    });
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
}

if (matchMedia("(pointer: coarse)").matches) document.body.classList.add("touch");
