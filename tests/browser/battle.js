// Two pages of a real browser play examples/battle against each other: battle.js BINARY CHROMIUM SCREENSHOTS
//
// The server runs on a free port of the loopback address. All input is real input, keys and mouse; what happened is
// read from `window.battle`, which the page offers read-only, and from what the page shows.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [binary, executablePath, screenshots] = process.argv.slice(2);

/** Units that the fastest ship makes in a tick, see examples/battle/arena.rs. */
const UNITS_A_TICK = 500 * 0.033;

const ANN = "Ann";
const BOB = "<b>Bob</b> & Co.";
const FIELD = { width: 1280, height: 640 };

let steps = 0;
async function step(sentence, work) {
  const begun = performance.now();
  await work();
  steps += 1;
  console.log(`ok ${steps} - ${sentence} (${Math.round(performance.now() - begun)} ms)`);
}

/** Asks until the answer is not falsy; says what it waited for if that takes too long. */
async function until(what, ask, patience = 15_000) {
  const end = performance.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(performance.now() < end, `waited ${patience} ms until ${what}`);
    await pause(20);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function startServer() {
  const server = spawn(binary, ["--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  createInterface({ input: server.stderr }).on("line", (line) => log.push(line));
  const exited = once(server, "exit").then(([code, signal]) => ({ code, signal }));
  const lines = createInterface({ input: server.stdout });
  const [line] = await Promise.race([
    once(lines, "line"),
    exited.then(({ code }) => assert.fail(`the server ended with ${code}:\n${log.join("\n")}`)),
  ]);
  const [url] = /http:\/\/127\.0\.0\.1:\d+\//.exec(line) ?? assert.fail(`no address in: ${line}`);
  return { server, url, log, exited };
}

/** One player: a window of its own, with storage of its own. Every complaint of the browser is kept. */
async function openPage(browser, url, complaints) {
  const context = await browser.newContext({ viewport: FIELD });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack}`));
  page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
  page.on("response", (answer) => {
    if (answer.status() >= 400) complaints.push(`${answer.status()}: ${answer.url()}`);
  });
  const answer = await page.goto(url);
  assert.equal(answer.status(), 200);
  assert.match(answer.headers()["content-security-policy"], /default-src 'none'/);
  await until("the page is welcomed", () => page.evaluate(() => battle.me !== null));
  return page;
}

async function join(page, name) {
  await page.fill("#name", name);
  await page.click("#entry button");
}

const players = (page) => page.evaluate(() => battle.players());
const named = (all, name) => all.find((player) => player.name === name) ?? assert.fail(`no ${name} among ${JSON.stringify(all)}`);
const state = (page) => page.evaluate(() => ({ tick: battle.tick, players: battle.players() }));
const table = (page) => page.$$eval("#scores tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));

/** A number for all the pixels of the canvas. */
const picture = (page) => page.evaluate(() => {
  const field = document.getElementById("field");
  // Read from a copy: reading a canvas itself changes how the browser draws it.
  const copy = new OffscreenCanvas(field.width, field.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(field, 0, 0);
  const { data } = copy.getImageData(0, 0, field.width, field.height);
  let hash = 2166136261;
  for (const byte of data) hash = Math.imul(hash ^ byte, 16777619);
  return hash;
});

const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);

async function shoot(page, name) {
  await page.screenshot({ path: path.join(screenshots, `${name}.png`) });
}

/** Holds exactly these keys. */
async function hold(page, held, wanted) {
  for (const key of held) if (!wanted.has(key)) await page.keyboard.up(key);
  for (const key of wanted) if (!held.has(key)) await page.keyboard.down(key);
  return wanted;
}

/** `page` hunts the other with keys and mouse until `done` says so. */
async function hunt(page, hunter, prey, done) {
  let held = new Set();
  await page.mouse.down();
  await until("the hunt is over", async () => {
    const all = await players(page);
    const [from, to] = [named(all, hunter), named(all, prey)];
    const wanted = new Set();
    if (distance(from, to) > 300) {
      if (Math.abs(to.x - from.x) > 60) wanted.add(to.x > from.x ? "KeyD" : "KeyA");
      if (Math.abs(to.y - from.y) > 60) wanted.add(to.y > from.y ? "KeyS" : "KeyW");
    }
    held = await hold(page, held, wanted);
    const aim = await page.evaluate(({ x, y }) => battle.toPage(x, y), to);
    await page.mouse.move(aim.x, aim.y);
    return done();
  }, 40_000);
  await page.mouse.up();
  await hold(page, held, new Set());
}

async function play(browser, { server, url, log, exited }) {
  const complaints = [];
  const ann = await openPage(browser, url, complaints);
  const bob = await openPage(browser, url, complaints);
  await shoot(ann, "battle-entry");

  await step("a name that cannot be seen is refused by the server, and another may be tried", async () => {
    await join(ann, "\u200b");
    await until("the complaint shows", async () => /visible/.test(await ann.textContent("#complaint")));
    assert.equal(await ann.evaluate(() => battle.playing), false);
  });

  await step("both join and see each other", async () => {
    await join(ann, ANN);
    await join(bob, BOB);
    for (const page of [ann, bob]) {
      await until("two ships fly", async () => (await players(page)).length === 2);
      assert.deepEqual((await players(page)).map(({ name }) => name).sort(), [ANN, BOB].sort());
      assert.equal(await page.isVisible("#entry"), false);
    }
  });

  await step("names are shown as text, never as markup", async () => {
    for (const page of [ann, bob]) {
      assert.deepEqual((await table(page)).map(([name]) => name).sort(), [ANN, BOB].sort());
      assert.equal(await page.$$eval("#board b, #news b", (found) => found.length), 0);
    }
  });

  await step("both canvases stand still without input and change with it", async () => {
    await until("no shield is left", async () => (await players(ann)).every(({ shielded }) => !shielded));
    await pause(400);
    const still = [await picture(ann), await picture(bob)];
    await pause(300);
    assert.deepEqual([await picture(ann), await picture(bob)], still, "nobody touched anything");
    for (const page of [ann, bob]) {
      const before = [await picture(ann), await picture(bob)];
      await page.keyboard.press("ArrowUp", { delay: 250 });
      for (const [index, seen] of [ann, bob].entries()) {
        await until("the canvas changes", async () => (await picture(seen)) !== before[index]);
      }
      await pause(1500);
    }
  });

  await step("positions agree within two ticks, while both fly", async () => {
    const begun = await state(ann);
    const samples = [];
    for (const [keyOfAnn, keyOfBob] of [["KeyD", "ArrowDown"], ["KeyW", "ArrowLeft"], ["KeyA", "ArrowUp"], ["KeyS", "ArrowRight"]]) {
      await ann.keyboard.down(keyOfAnn);
      await bob.keyboard.down(keyOfBob);
      for (let sample = 0; sample < 8; sample += 1) {
        // Asking takes time too: what one page says lies between what the other says before and after.
        const [before, there, after] = [await state(ann), await state(bob), await state(ann)];
        assert.ok(there.tick >= before.tick - 2 && there.tick <= after.tick + 2, `${before.tick} ${there.tick} ${after.tick}`);
        for (const ship of there.players) {
          const near = [before, after].map(({ tick, players: seen }) => {
            const ticks = Math.abs(tick - there.tick) + 2;
            return distance(named(seen, ship.name), ship) <= ticks * UNITS_A_TICK;
          });
          assert.deepEqual(near, [true, true], `${ship.name} is elsewhere`);
        }
        const tick = Math.min(there.tick, after.tick);
        const [atAnn, atBob] = await Promise.all([ann, bob].map((page) => page.evaluate((t) => battle.at(t), tick)));
        if (atAnn && atBob) assert.deepEqual(places(atAnn), places(atBob), `tick ${tick}`);
        samples.push(atAnn && atBob);
        await pause(40);
      }
      await ann.keyboard.up(keyOfAnn);
      await bob.keyboard.up(keyOfBob);
    }
    const ended = await state(ann);
    for (const name of [ANN, BOB]) {
      assert.ok(distance(named(begun.players, name), named(ended.players, name)) > 1, `${name} flew`);
    }
    assert.ok(samples.filter(Boolean).length > samples.length / 2, "the same tick was seen by both");
  });

  await step("a score rises after a hit, for both", async () => {
    await bob.keyboard.down("Space");
    await bob.keyboard.down("KeyA");
    await hunt(ann, ANN, BOB, async () => named(await players(ann), ANN).score > 0);
    await shoot(ann, "battle-hit");
    await bob.keyboard.up("Space");
    await bob.keyboard.up("KeyA");
    await until("Bob's table shows it", async () => {
      const row = (await table(bob)).find(([name]) => name === ANN);
      return Number(row[1]) > 0;
    });
  });

  await step("four hits destroy a ship, and it comes back", async () => {
    let destroyed = false;
    await hunt(ann, ANN, BOB, async () => {
      destroyed = !named(await players(ann), BOB).flying;
      return destroyed;
    });
    await shoot(bob, "battle-destroyed");
    await until("Bob flies again", async () => named(await players(ann), BOB).flying);
    assert.ok(named(await players(bob), ANN).score >= 8);
  });

  await step("one leaves and disappears at the other", async () => {
    await bob.context().close();
    await until("one ship is left", async () => (await players(ann)).length === 1);
    assert.deepEqual((await table(ann)).map(([name]) => name), [ANN]);
    await until("the log tells", () => log.some((line) => line.includes("leaves, 1 here")));
  });

  await step("the browser had nothing to complain of", () => assert.deepEqual(complaints, []));

  await step("Ctrl-C closes the client with 1001, and the page says so", async () => {
    const begun = performance.now();
    server.kill("SIGINT");
    assert.deepEqual(await exited, { code: 0, signal: null }, log.join("\n"));
    assert.ok(performance.now() - begun < 5000, "within the close deadline");
    await until("the message shows", () => ann.isVisible("#gone"));
    assert.equal(await ann.textContent("#gone-reason"), "The server has shut down.");
    await shoot(ann, "battle-gone");
  });
}

const places = (all) => all.map(({ id, x, y, angle, hull, flying }) => ({ id, x, y, angle, hull, flying }));

const started = await startServer();
try {
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  try {
    await play(browser, started);
  } finally {
    await browser.close();
  }
  console.log(`the browser test passed: ${steps} steps`);
} catch (error) {
  console.error(error);
  console.error(`the server's log:\n${started.log.join("\n")}`);
  process.exitCode = 1;
} finally {
  // Ours, by its id; ended already if all went well.
  started.server.kill("SIGKILL");
}
