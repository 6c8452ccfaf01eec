// The lobby: which battles there are, on every core, and the way to another one, on the same connection.

import { encode } from "./wire.js";
import { on, world } from "./world.js";
import { send } from "./net.js";
import { banner } from "./hud.js";

/** Milliseconds between two looks, while it is open: as often as the cores tell each other. */
const PACE = 1000;

/** Why the server lets us stay, see change.rs. */
const WHY = new Map([[1, "is full."], [2, "is over."], [3, "cannot be reached just now. Try again."]]);

const byId = (id) => document.getElementById(id);
const isOpen = () => !byId("lobby").hidden;
const say = (words) => { byId("lobby-word").textContent = words; };

let listed = [];
let looking = null;

/** The battles as they were last told: `{ battle, core, players, free }`. */
export const battles = () => listed;

const look = () => send(encode.lobby());

export function openLobby() {
  say("");
  byId("lobby").hidden = false;
  byId("battle").setAttribute("aria-expanded", "true");
  clearInterval(looking);
  looking = setInterval(look, PACE);
  show();
  look();
  byId("lobby-close").focus();
}

export function closeLobby() {
  if (!isOpen()) return;
  clearInterval(looking);
  byId("lobby").hidden = true;
  byId("battle").setAttribute("aria-expanded", "false");
  byId(world.playing ? "field" : "battle").focus();
}

function change(battle) {
  say(battle === 0 ? "Opening a battle …" : `Going to battle ${battle} …`);
  send(encode.change(battle));
}

/** One line of the list. */
function line(title, place, state, battle, disabled) {
  const [item, button] = [document.createElement("li"), document.createElement("button")];
  const parts = [["b", title], ["span", place], ["i", state]].map(([name, text]) => {
    return Object.assign(document.createElement(name), { textContent: text });
  });
  Object.assign(button, { type: "button", disabled });
  button.dataset.battle = battle;
  button.append(...parts);
  item.append(button);
  return item;
}

function state({ battle, free, players }) {
  const here = `${players} fly`;
  if (battle === world.battle) return `${here} · you are here`;
  return free === 0 ? `${here} · full` : `${here} · ${free} free`;
}

function show() {
  const focused = document.activeElement?.dataset?.battle;
  const lines = listed.map((it) => {
    return line(`Battle ${it.battle}`, `core ${it.core}`, state(it), it.battle, it.free === 0 || it.battle === world.battle);
  });
  byId("battles").replaceChildren(...lines, line("A new battle", "", "yours to fill", 0, false));
  // The line that was under the finger, or had the focus, is a new one now.
  if (focused !== undefined) byId("battles").querySelector(`[data-battle="${focused}"]`)?.focus();
}

on("lobby", ({ battles: told }) => {
  listed = told;
  if (isOpen()) show();
});
on("stay", ({ battle, why }) => say(`${battle === 0 ? "A new battle" : `Battle ${battle}`} ${WHY.get(why) ?? "is out of reach."}`));

let before = null;
on("welcome", ({ battle, core }) => {
  const name = `Battle ${battle}`;
  byId("battle").textContent = name;
  byId("choose").textContent = `${name}, on core ${core}: choose another`;
  if (before !== null && before !== battle) banner(name, `on core ${core}`);
  before = battle;
  closeLobby();
});

byId("battle").addEventListener("click", () => (isOpen() ? closeLobby() : openLobby()));
byId("choose").addEventListener("click", openLobby);
byId("lobby-close").addEventListener("click", closeLobby);
byId("battles").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button) change(Number(button.dataset.battle));
});
addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement || event.repeat) return;
  if (event.code === "Escape") closeLobby();
  if (event.code === "KeyB") isOpen() ? closeLobby() : openLobby();
});
