// The connection: opened, opened again when it is lost, and how far the server is.

import { encode } from "./wire.js";
import { on, receive, world } from "./world.js";

/** Milliseconds before the second attempt, doubled with each further one, and the most it comes to. */
const FIRST_WAIT = 400;
const LONGEST_WAIT = 8000;

/** Close codes after which nobody should come back unasked. 4000 and up: see dismissal.rs. */
const POLICY = 1008, OURS = 4000, IDLE = 4001, REPLACED = 4002;

/**
 * What the rest of the page is told: `lost({ reason, wait })` when there will be another attempt after `wait`
 * milliseconds, `ended({ reason, idle })` when there will be none, `found()` when the server is there (again).
 */
export const link = { lost() {}, ended() {}, found() {}, ping: null, attempts: 0 };

let socket = null;
let timer = null;
let wantedName = null;

export const isOpen = () => socket?.readyState === WebSocket.OPEN;

export function send(...commands) {
  if (isOpen()) socket.send(Uint8Array.from(commands.flat()));
}

/** The number of a battle to look on at, and not to play in: `/?watch=7`. */
export const watched = /^\d+$/.exec(new URLSearchParams(location.search).get("watch") ?? "")?.[0] ?? null;

/** Play under this name, now and after each return. */
export function play(name) {
  wantedName = name;
  sessionStorage.setItem("name", name);
  if (isOpen()) send(encode.join(name));
  else connect();
}

export const lastName = () => sessionStorage.getItem("name") ?? "";

on("refused", () => { wantedName = null; });
on("welcome", ({ ticket }) => {
  link.attempts = 0;
  // Of this window alone, and there after a reload: with it the server knows the same player again.
  if (watched === null) sessionStorage.setItem("ticket", ticket);
  link.found();
  // Who is known by the ticket has a ship already; then this changes nothing.
  if (wantedName !== null) send(encode.join(wantedName));
});

export function connect() {
  clearTimeout(timer);
  socket?.close();
  const ticket = sessionStorage.getItem("ticket");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const path = watched === null ? `/ws${ticket ? `?ticket=${ticket}` : ""}` : `/ws/${watched}`;
  const opened = new WebSocket(`${scheme}://${location.host}${path}`);
  opened.binaryType = "arraybuffer";
  opened.onmessage = ({ data }) => {
    if (socket === opened) take(data);
  };
  opened.onclose = ({ code, reason }) => {
    if (socket === opened) close(code, reason);
  };
  socket = opened;
}

function take(data) {
  try {
    receive(data);
  } catch (error) {
    console.warn(error);
    socket.close(OURS, String(error.message).slice(0, 60));
  }
}

function close(code, reason) {
  socket = null;
  link.ping = null;
  world.playing = false;
  // Who only looks on asks for nothing, and loses the seat as everybody does; as long as somebody looks, it is taken again.
  if (code === IDLE && watched !== null && !document.hidden) {
    connect();
    return;
  }
  if ([POLICY, OURS, IDLE, REPLACED].includes(code)) {
    if (code === IDLE) wantedName = null;
    link.ended({ reason: farewell(code, reason), idle: code === IDLE });
    return;
  }
  const most = Math.min(FIRST_WAIT * 2 ** link.attempts, LONGEST_WAIT);
  // Not all at once: everybody was cut off in the same moment.
  const wait = most / 2 + Math.random() * most / 2;
  link.attempts += 1;
  link.lost({ reason: farewell(code, reason), wait });
  timer = setTimeout(connect, wait);
}

function farewell(code, reason) {
  switch (code) {
    case 1001: return "The server has shut down.";
    case 1013: return "Your connection was too slow.";
    case 1006: return "The server cannot be reached.";
    case OURS: return "This page does not understand the server. Reload it.";
    case IDLE: return "You were away for a while, and the seat was given up.";
    case REPLACED: return "You play on in another window.";
    default: return reason === "" ? "The server ended the connection." : `The server ended the connection: ${reason}.`;
  }
}

addEventListener("online", () => { if (socket === null && link.attempts > 0) connect(); });

// --- Words ----------------------------------------------------------------------------------------------------------

const WORDS = { Digit1: "Hello!", Digit2: "Good shot!", Digit3: "Over here!", Digit4: "Sorry!" };

addEventListener("keydown", (event) => {
  const words = WORDS[event.code];
  if (!words || !world.playing || event.repeat || event.target instanceof HTMLInputElement) return;
  send(encode.say(words));
});

// --- Ping -----------------------------------------------------------------------------------------------------------

// A browser's script cannot send WebSocket pings, so the game has its own.
const asked = new Map();
let number = 0;

setInterval(() => {
  if (!isOpen() || document.hidden) return;
  number = (number + 1) & 65535;
  asked.set(number, performance.now());
  if (asked.size > 20) asked.delete(asked.keys().next().value);
  send(encode.ping(number));
}, 1000);

on("pong", (it) => {
  const begun = asked.get(it.number);
  if (begun === undefined) return;
  asked.delete(it.number);
  const took = performance.now() - begun;
  link.ping = link.ping === null ? took : link.ping * 0.6 + took * 0.4;
});
