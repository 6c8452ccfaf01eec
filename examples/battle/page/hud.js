// What stands over the picture: scores, clock, kill feed, banners, the result, and the dialogs.
//
// Whatever comes from other players is shown as text, never as markup.

import { FIGHT, RESULT } from "./wire.js";
import { colour, hueOf, newest, on, ranking, secondsLeft, world } from "./world.js";
import { link, lastName, play, connect, watched } from "./net.js";
import { isOn, toggle } from "./sound.js";

const byId = (id) => document.getElementById(id);

/** An element with text in it, which may be in some pilot's colour. */
function element(name, text, hue) {
  const it = document.createElement(name);
  it.textContent = text;
  if (hue !== undefined) it.style.setProperty("--hue", colour(hue, 70));
  return it;
}

function set(id, text) {
  // Unchanged text is not set again, or screen readers would read it again.
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

// --- Scores ---------------------------------------------------------------------------------------------------------

export function showScores() {
  const rows = ranking().map(({ id, name, hue, score }) => {
    const row = element("tr", "", hue);
    row.className = id === world.me ? "me" : "";
    row.append(element("td", name), element("td", String(score)));
    return row;
  });
  if (rows.length === 0) {
    const row = element("tr", "");
    row.className = "empty";
    row.append(element("td", "nobody yet"));
    rows.push(row);
  }
  byId("scores").replaceChildren(...rows);
}

for (const kind of ["welcome", "joined", "left", "score"]) on(kind, showScores);

// --- Kill feed ------------------------------------------------------------------------------------------------------

function tell(...parts) {
  const line = element("li", "");
  line.append(...parts);
  byId("news").append(line);
  while (byId("news").children.length > 5) byId("news").firstChild.remove();
  setTimeout(() => line.remove(), 5000);
}

const nameOf = ({ name, hue }) => element("b", name, hue);

// Those who were here before us come before the first frame, and are no news.
on("joined", (it) => { if (newest()) tell(nameOf(it), " is here"); });
on("left", (it) => tell(nameOf(it), " has left"));
on("said", ({ by, text }) => tell(nameOf(by), `: ${text}`));
on("won", ({ battle, score, name }) => tell(element("b", name), ` won battle ${battle} with ${score} points`));
on("hit", ({ fatal, winner, loser, victim }) => {
  if (!fatal || !loser) return;
  if (winner) tell(nameOf(winner), element("i", " ✸ "), nameOf(loser));
  else tell(nameOf(loser), " was destroyed");
  if (victim === world.me) banner(winner ? `${winner.name} got you` : "Destroyed", "back in a moment", hueOf(winner?.id));
});

// --- Banner, clock, ping --------------------------------------------------------------------------------------------

let bannerTimer = null;

export function banner(title, line = "", hue = 195) {
  set("banner-title", title);
  set("banner-line", line);
  byId("banner").style.setProperty("--hue", colour(hue, 72));
  byId("banner").hidden = false;
  clearTimeout(bannerTimer);
  bannerTimer = setTimeout(() => { byId("banner").hidden = true; }, 1900);
}

const pad = (number) => String(number).padStart(2, "0");

/** Called a few times a second. */
export function showClock() {
  const left = secondsLeft();
  const fight = world.round.phase === FIGHT;
  set("clock", `${Math.floor(left / 60)}:${pad(left % 60)}`);
  byId("clock").classList.toggle("late", fight && world.playing && left <= 10);
  set("goal", world.round.goal > 0 ? `first to ${world.round.goal}` : "");
  set("ping", link.ping === null ? "– ms" : `${Math.max(1, Math.round(link.ping))} ms`);
  if (!fight) set("result-next", `The next battle begins in ${left} s`);
}

// --- The result -----------------------------------------------------------------------------------------------------

on("round", ({ phase }) => {
  if (phase === RESULT) showResult();
  else byId("result").hidden = true;
  if (phase === FIGHT && world.playing) banner("Fight!", `first to ${world.round.goal}`);
});
on("welcome", () => { byId("result").hidden = true; });

function showResult() {
  byId("banner").hidden = true;
  const [first, second] = ranking();
  const drawn = !first || first.score === 0 || second?.score === first.score;
  set("result-title", drawn ? "A draw" : first.id === world.me ? "You win!" : `${first.name} wins`);
  byId("result").style.setProperty("--hue", drawn ? "" : colour(first.hue, 72));
  const places = ranking().map((it, index) => ({ ...it, place: index + 1 }));
  const told = places.filter(({ id, place }) => place <= 6 || id === world.me);
  const rows = told.map(({ id, name, hue, score, place }) => {
    const row = element("tr", "", hue);
    row.className = id === world.me ? "me" : "";
    row.append(element("td", String(place)), element("td", name), element("td", String(score)));
    return row;
  });
  byId("result-scores").replaceChildren(...rows);
  byId("result").hidden = false;
}

/** The best of all time, if the server keeps them: a line each, points and name. */
async function showBest() {
  byId("best").replaceChildren();
  const response = await fetch("/best").catch(() => null);
  if (!response?.ok) return;
  const lines = (await response.text()).split("\n").filter((line) => line !== "");
  byId("best").replaceChildren(...lines.slice(0, 5).map((line) => {
    const blank = line.indexOf(" ");
    return element("li", `${line.slice(blank + 1)}: ${line.slice(0, blank)}`);
  }));
}

// What was won just now is on the disk a moment later.
on("round", ({ phase }) => { if (phase === RESULT) setTimeout(showBest, 500); });

/** A newcomer in the middle of a result hears of the players after the round. */
on("score", () => { if (!byId("result").hidden && world.round.phase === RESULT) showResult(); });

// --- Dialogs --------------------------------------------------------------------------------------------------------

export function openEntry(complaint) {
  set("complaint", complaint);
  byId("entry").hidden = watched !== null;
  byId("name").focus();
}

on("refused", () => openEntry("A name has 1 to 16 visible characters."));
on("joined", ({ id }) => {
  if (id !== world.me) return;
  byId("entry").hidden = true;
  set("complaint", "");
  document.body.classList.add("playing");
  byId("field").focus();
});

byId("entry").firstElementChild.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = byId("name").value.trim();
  const length = [...name].length;
  if (length < 1 || length > 16) openEntry("A name has 1 to 16 visible characters.");
  else play(name);
});

byId("name").value = lastName();
if (watched !== null) byId("entry").hidden = true;

// --- The connection -------------------------------------------------------------------------------------------------

let nextAttempt = 0;
let countdown = null;

/** The battle goes on without us. */
function stand() {
  document.body.classList.remove("playing");
  for (const id of ["result", "banner"]) byId(id).hidden = true;
  clearInterval(countdown);
}

Object.assign(link, {
  found() {
    clearInterval(countdown);
    byId("lost").hidden = true;
    byId("gone").hidden = true;
  },
  lost({ reason, wait }) {
    stand();
    nextAttempt = performance.now() + wait;
    const tick = () => {
      const left = Math.max(0, Math.ceil((nextAttempt - performance.now()) / 1000));
      set("lost-reason", `${reason} ${left > 0 ? `Trying again in ${left} s.` : "Trying again now."}`);
    };
    countdown = setInterval(tick, 250);
    tick();
    byId("lost").hidden = false;
  },
  ended({ reason, idle }) {
    stand();
    byId("lost").hidden = true;
    if (idle) {
      openEntry(reason);
      return;
    }
    byId("entry").hidden = true;
    set("gone-reason", reason);
    byId("gone").hidden = false;
    byId("again").focus();
  },
});

byId("now").addEventListener("click", () => connect());
byId("again").addEventListener("click", () => {
  byId("gone").hidden = true;
  if (lastName() === "") openEntry("");
  connect();
  if (lastName() !== "") play(lastName());
});

// --- Sound ----------------------------------------------------------------------------------------------------------

byId("sound").addEventListener("click", async () => {
  await toggle();
  const [button, running] = [byId("sound"), isOn()];
  button.setAttribute("aria-pressed", String(running));
  button.textContent = running ? "Sound on" : "Sound off";
  // Space shall fire again, not press the button.
  if (world.playing) byId("field").focus();
});
