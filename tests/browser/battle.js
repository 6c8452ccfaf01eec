// Pages of a real browser play examples/battle: battle.js BINARY CHROMIUM SCREENSHOTS
//
// The servers run on free ports of the loopback address. All input is real input, keys, mouse and thumbs; what happened
// is read from `window.battle`, which the page offers read-only, and from what the page shows.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { interrupt, openPage, pause, startNetwork, startServer, step, until, withBrowser } from "./kit.js";

const [binary, executablePath, screenshots] = process.argv.slice(2);

/** Units that the fastest ship makes in a tick, see examples/battle/arena.rs. */
const UNITS_A_TICK = 500 * 0.033;

const ANN = "Ann";
const BOB = "<b>Bob</b> & Co.";
const DESK = { viewport: { width: 1280, height: 720 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };

async function visit(browser, url, complaints, options) {
  const page = await openPage(browser, url, complaints, options);
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
const scoreOf = async (page, name) => named(await players(page), name).score;
const playing = (page) => page.evaluate(() => battle.playing);

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

/** Points the mouse from our ship at a place, which may be outside the picture. */
async function aim(page, from, to) {
  const [here, there] = await page.evaluate(([a, b]) => [battle.toPage(a.x, a.y), battle.toPage(b.x, b.y)], [from, to]);
  const far = Math.max(distance(here, there), 1);
  const part = Math.min(1, 180 / far);
  await page.mouse.move(here.x + (there.x - here.x) * part, here.y + (there.y - here.y) * part);
}

/** `page` hunts the other with keys and mouse until `done` says so. */
async function hunt(page, hunter, prey, done) {
  let held = new Set();
  await page.mouse.move(640, 360);
  await page.mouse.down();
  await until("the hunt is over", async () => {
    const all = await players(page);
    const [from, to] = [named(all, hunter), named(all, prey)];
    const wanted = new Set();
    if (distance(from, to) > 260) {
      if (Math.abs(to.x - from.x) > 60) wanted.add(to.x > from.x ? "KeyD" : "KeyA");
      if (Math.abs(to.y - from.y) > 60) wanted.add(to.y > from.y ? "KeyS" : "KeyW");
    }
    held = await hold(page, held, wanted);
    await aim(page, from, to);
    return done();
  }, 60_000);
  await page.mouse.up();
  await hold(page, held, new Set());
}

// --- Two players ------------------------------------------------------------------------------------------------------

const places = (all) => all.map(({ id, x, y, angle, hull, flying }) => ({ id, x, y, angle, hull, flying }));

async function duel(browser) {
  const house = await startServer(binary, "--listen", "127.0.0.1:0", "--round", "600", "--score", "1000");
  const network = await startNetwork(house.url);
  const complaints = [];
  const ann = await visit(browser, network.url, complaints, DESK);
  const bob = await visit(browser, house.url, complaints, DESK);
  await shoot(ann, "battle-entry");

  await step("a name that cannot be seen is refused by the server, and another may be tried", async () => {
    await join(ann, "\u200b");
    await until("the complaint shows", async () => /visible/.test(await ann.textContent("#complaint")));
    assert.equal(await playing(ann), false);
  });

  await step("both join and see each other", async () => {
    await join(ann, ANN);
    await join(bob, BOB);
    for (const page of [ann, bob]) {
      await until("two ships fly", async () => (await players(page)).length === 2);
      assert.deepEqual((await players(page)).map(({ name }) => name).sort(), [ANN, BOB].sort());
      await until("the entry is gone", async () => !(await page.isVisible("#entry")));
    }
  });

  await step("names are shown as text, never as markup", async () => {
    for (const page of [ann, bob]) {
      assert.deepEqual((await table(page)).map(([name]) => name).sort(), [ANN, BOB].sort());
      assert.equal(await page.$$eval("#board b, #news b b", (found) => found.length), 0);
    }
  });

  await step("the clock runs, the ping is shown, sound is off until it is asked for", async () => {
    const before = await ann.textContent("#clock");
    assert.match(before, /^\d+:\d\d$/);
    await until("a second passes", async () => (await ann.textContent("#clock")) !== before);
    await until("the ping is shown", async () => /^\d+ ms$/.test(await ann.textContent("#ping")));
    assert.equal(await ann.evaluate(() => battle.sound), false);
    await ann.click("#sound");
    await until("sound is on", () => ann.evaluate(() => battle.sound));
    assert.equal(await ann.textContent("#sound"), "Sound on");
    await ann.click("#sound");
    await until("sound is off", () => ann.evaluate(() => !battle.sound));
  });

  await step("both canvases stand still without input and change with it", async () => {
    await until("no shield is left", async () => (await players(ann)).every(({ shielded }) => !shielded));
    await pause(1500);
    const still = [await picture(ann), await picture(bob)];
    await pause(300);
    assert.deepEqual([await picture(ann), await picture(bob)], still, "nobody touched anything");
    for (const page of [ann, bob]) {
      const before = await picture(page);
      await page.keyboard.press("ArrowUp", { delay: 250 });
      await until("the canvas changes", async () => (await picture(page)) !== before);
      await pause(300);
    }
  });

  await step("positions agree within two ticks, while both fly", async () => {
    const begun = await state(ann);
    const samples = [];
    let timely = 0;
    for (const [keyOfAnn, keyOfBob] of [["KeyD", "ArrowDown"], ["KeyW", "ArrowLeft"], ["KeyA", "ArrowUp"], ["KeyS", "ArrowRight"]]) {
      await ann.keyboard.down(keyOfAnn);
      await bob.keyboard.down(keyOfBob);
      for (let sample = 0; sample < 8; sample += 1) {
        // Asking takes time too: what one page says lies between what the other says before and after.
        const [before, there, after] = [await state(ann), await state(bob), await state(ann)];
        timely += there.tick >= before.tick - 2 && there.tick <= after.tick + 2 ? 1 : 0;
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
    // A page that is drawn by a busy processor hears of a tick late, at times; not as a rule.
    assert.ok(timely > samples.length / 2, `${timely} of ${samples.length} within two ticks`);
  });

  await step("our own ship is drawn ahead of what was told, and the others' behind", async () => {
    const { id } = named(await players(ann), ANN);
    // In the middle of the field, so that no edge is in the way.
    const back = named(await players(ann), ANN).x > 960 ? "KeyA" : "KeyD";
    const onwards = back === "KeyD" ? 1 : -1;
    await ann.keyboard.down(back);
    await pause(500);
    // How far from where it was told to be is it drawn? Asked between two pictures, so some answers are of an older one.
    const far = (page) => page.evaluate(([ship, sign]) => {
      return (battle.drawn(ship).x - battle.players().find((it) => it.id === ship).x) * sign;
    }, [id, onwards]);
    const [ours, theirs] = [[], []];
    for (let sample = 0; sample < 8; sample += 1) {
      ours.push(await far(ann));
      theirs.push(await far(bob));
    }
    await ann.keyboard.up(back);
    const middle = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];
    assert.ok(middle(ours) > 0, `ours is drawn ${ours} ahead`);
    assert.ok(middle(theirs) < 0, `theirs is drawn ${theirs} ahead`);
    // At rest, nothing is foreseen.
    await until("it rests", async () => {
      const before = named(await players(ann), ANN);
      await pause(200);
      return before.x === named(await players(ann), ANN).x;
    });
    assert.ok(Math.abs(await far(ann)) < 0.1);
  });

  await step("a score rises after a hit, for both", async () => {
    await hunt(ann, ANN, BOB, async () => (await scoreOf(ann, ANN)) > 0);
    await shoot(ann, "battle-hit");
    await until("Bob's table shows it", async () => {
      const row = (await table(bob)).find(([name]) => name === ANN);
      return Number(row[1]) > 0;
    });
  });

  await step("four hits destroy a ship, the feed tells it, and it comes back", async () => {
    await hunt(ann, ANN, BOB, async () => !named(await players(ann), BOB).flying);
    await until("the feed tells it", async () => /Ann ✸ <b>Bob/.test(await bob.textContent("#news")));
    await shoot(bob, "battle-destroyed");
    await until("Bob flies again", async () => named(await players(ann), BOB).flying);
    assert.ok((await scoreOf(bob, ANN)) >= 8);
  });

  await step("whose network is cut is back within seconds, with the same score, and so after a reload", async () => {
    const returns = () => house.log.filter((line) => /comes to its seat .*name="Ann"/.test(line)).length;
    for (const [count, interruption] of [() => network.cut(), () => ann.reload()].entries()) {
      const score = await scoreOf(bob, ANN);
      await interruption();
      await until("the server knows her again", () => returns() === count + 1);
      await until("Ann flies again", () => playing(ann));
      assert.equal(await ann.isVisible("#entry"), false);
      await until("Bob sees her", async () => (await players(bob)).length === 2);
      assert.equal(await scoreOf(bob, ANN), score);
      assert.equal(await scoreOf(ann, ANN), score);
    }
  });

  await step("one leaves and disappears at the other", async () => {
    await bob.context().close();
    await until("one ship is left", async () => (await players(ann)).length === 1);
    assert.deepEqual((await table(ann)).map(([name]) => name), [ANN]);
    await until("the log tells", () => house.log.some((line) => / leaves .*here=1$/.test(line)));
  });

  // A connection that is cut is no fault of the page, but Chromium may note it.
  await step("the browser had nothing to complain of", () => assert.deepEqual(complaints, []));
  await interrupt(house);
  await ann.context().close();
  network.close();
}

// --- Two players and three bots ---------------------------------------------------------------------------------------

/** Thumbs on a touch screen: where each came down and where it is now. */
async function thumbs(page, ...moves) {
  const session = await page.context().newCDPSession(page);
  const points = (key) => moves.map((move, id) => ({ ...move[key], id }));
  await session.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: points("from") });
  await session.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: points("to") });
  return () => session.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
}

async function melee(browser) {
  const kept = mkdtempSync(path.join(tmpdir(), "battle-"));
  const options = ["--bots", "3", "--round", "25", "--result", "4", "--results", path.join(kept, "best.redb")];
  let house = await startServer(binary, "--listen", "127.0.0.1:0", ...options);
  const complaints = [];
  const ann = await visit(browser, house.url, complaints, DESK);
  await until("three bots fly", async () => (await players(ann)).length === 3);
  const bob = await visit(browser, house.url, complaints, PHONE);
  await shoot(bob, "battle-entry-touch");

  await step("two players and three bots are one battle, which a late joiner sees whole", async () => {
    await join(ann, ANN);
    await join(bob, "Bob");
    for (const page of [ann, bob]) await until("five ships fly", async () => (await table(page)).length === 5);
    assert.deepEqual((await table(bob)).map(([name]) => name).sort(), ["Ann", "Bob", "Mira (bot)", "Rigel (bot)", "Vega (bot)"]);
  });

  await step("thumbs fly and fire", async () => {
    assert.ok(await bob.isVisible("#stick-fly"));
    assert.equal(await ann.isVisible("#stick-fly"), false);
    await until("Bob is whole", async () => named(await players(bob), "Bob").flying);
    const before = named(await players(bob), "Bob");
    const flyTo = before.x < 960 ? 130 : 50;
    const release = await thumbs(
      bob, { from: { x: 90, y: 730 }, to: { x: flyTo, y: 730 } }, { from: { x: 300, y: 730 }, to: { x: 335, y: 700 } },
    );
    const id = before.id;
    await until("a shot of Bob's is seen", () => ann.evaluate((by) => battle.shots().some(({ owner }) => owner === by), id));
    await until("Bob has flown", async () => Math.abs(named(await players(ann), "Bob").x - before.x) > 60);
    await shoot(bob, "battle-touch");
    await release();
  });

  await step("the bots fight", async () => {
    const release = await thumbs(bob, { from: { x: 90, y: 730 }, to: { x: 60, y: 700 } }, { from: { x: 300, y: 730 }, to: { x: 270, y: 700 } });
    await ann.keyboard.down("KeyD");
    await until("a bot scores", async () => (await players(ann)).some(({ name, score }) => /bot/.test(name) && score > 0), 25_000);
    await shoot(ann, "battle-bots");
    await shoot(bob, "battle-touch-bots");
    await ann.keyboard.up("KeyD");
    await release();
  });

  await step("the round ends, its result is shown, and a new one begins at nothing", async () => {
    for (const page of [ann, bob]) await until("the result shows", () => page.isVisible("#result"), 40_000);
    const best = (await table(ann))[0];
    assert.match(await ann.textContent("#result-title"), /wins|You win!|A draw/);
    assert.deepEqual(await ann.$eval("#result-scores tr", (row) => [...row.cells].map((cell) => cell.textContent)), ["1", ...best]);
    assert.deepEqual(await ann.evaluate(() => battle.shots()), []);
    // The people of this round are the best of all time, if they have won anything.
    const won = (await table(ann)).filter(([name, score]) => !name.includes("(bot)") && score !== "0").map(([name, score]) => `${name}: ${score}`);
    await until("the best of all time show", async () => {
      const shown = await ann.$$eval("#best li", (lines) => lines.map((line) => line.textContent));
      return shown.length === won.length && won.every((line) => shown.includes(line));
    });
    await shoot(ann, "battle-result");
    await shoot(bob, "battle-result-touch");
    for (const page of [ann, bob]) await until("the next begins", () => page.evaluate(() => !battle.round.over && battle.round.left > 20));
    assert.equal(await ann.isVisible("#result"), false);
    assert.ok((await players(ann)).every(({ score }) => score < 10), "all began at nothing");
  });

  await step("the browser had nothing to complain of", () => assert.deepEqual(complaints, []));

  await step("Ctrl-C closes the pages with 1001, and they try again by themselves", async () => {
    await interrupt(house);
    for (const page of [ann, bob]) await until("the page says so", () => page.isVisible("#lost"));
    await until("more than one attempt failed", () => ann.evaluate(() => battle.attempts > 1));
    await shoot(ann, "battle-lost");
    await shoot(bob, "battle-lost-touch");
    // While nobody listens there, or somebody who ends just now, the browser itself complains; nobody else does.
    assert.deepEqual(complaints.filter((line) => !/ERR_CONNECTION_(REFUSED|RESET)/.test(line)), []);
  });

  await step("when the server is there again, so are the players, without a word", async () => {
    house = await startServer(binary, "--listen", new URL(house.url).host, ...options);
    for (const page of [ann, bob]) await until("it plays again", () => playing(page), 20_000);
    for (const page of [ann, bob]) assert.equal(await page.isVisible("#lost"), false);
    complaints.length = 0;
    await until("all are there", async () => (await players(ann)).length === 5);
    assert.equal(await scoreOf(ann, ANN), 0, "the new server knows nothing of the old scores");
    await ann.keyboard.press("KeyW", { delay: 300 });
    assert.deepEqual(complaints, []);
  });

  await interrupt(house);
  rmSync(kept, { recursive: true });
}

// --- One who is not there ---------------------------------------------------------------------------------------------

async function away(browser) {
  const house = await startServer(binary, "--listen", "127.0.0.1:0", "--idle", "3", "--seats", "1");
  const complaints = [];
  const ann = await visit(browser, house.url, complaints, DESK);

  await step("a seat that is not used is given up, the page says so, and another may be taken", async () => {
    await until("the page says so", async () => /seat was given up/.test(await ann.textContent("#complaint")));
    await until("the server knows", () => house.log.some((line) => / is dismissed .*reason="idle"/.test(line)));
    await join(ann, ANN);
    await until("Ann flies", () => playing(ann));
    await until("she was idle again", () => ann.isVisible("#entry"));
    assert.deepEqual(complaints, []);
  });

  await step("who plays in another window is told so in the first, which does not fight back", async () => {
    await join(ann, ANN);
    await until("Ann flies", () => playing(ann));
    // A window that is duplicated takes the storage of the first along.
    const [second] = await Promise.all([ann.waitForEvent("popup"), ann.evaluate(() => { window.open(location.href); })]);
    await until("the second plays", () => second.evaluate(() => window.battle?.playing));
    await until("the first says so", async () => /another window/.test(await ann.textContent("#gone-reason")));
    await pause(1500);
    assert.equal(await ann.evaluate(() => battle.connected), false);
    assert.deepEqual(complaints, []);
  });

  await interrupt(house);
  await ann.context().close();
}

// --- A compressed battle ----------------------------------------------------------------------------------------------

/** What a server with these options sends in 60 ticks to a page that watches five bots, and what was agreed on. */
async function traffic(browser, ...options) {
  const house = await startServer(binary, "--listen", "127.0.0.1:0", "--bots", "5", ...options);
  const network = await startNetwork(house.url);
  const complaints = [];
  const context = await browser.newContext(DESK);
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  let extensions;
  session.on("Network.webSocketHandshakeResponseReceived", ({ response }) => {
    extensions = response.headers["Sec-WebSocket-Extensions"] ?? "none";
  });
  page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack}`));
  await page.goto(network.url);
  await until("five bots fly", async () => (await players(page)).length === 5);
  const [bytes, from] = [network.received(), (await state(page)).tick];
  await until("60 ticks have passed", async () => (await state(page)).tick >= from + 60);
  const ticks = (await state(page)).tick - from;
  const each = (network.received() - bytes) / ticks;
  assert.deepEqual(complaints, []);
  await context.close();
  network.close();
  await interrupt(house);
  return { extensions, each };
}

async function compressed(browser) {
  await step("a browser agrees on compression, and a battle takes fewer bytes", async () => {
    const plain = await traffic(browser);
    const small = await traffic(browser, "--deflate");
    assert.equal(plain.extensions, "none");
    assert.match(small.extensions, /^permessage-deflate/);
    console.log(`bytes a tick: ${plain.each.toFixed(1)} plain, ${small.each.toFixed(1)} with ${small.extensions}`);
    assert.ok(small.each < plain.each * 0.9);
  });
}

async function operator(browser) {
  const house = await startServer(binary, "--listen", "127.0.0.1:0", "--threads", "2", "--bots", "3", "--idle", "4");
  const complaints = [];
  await step("an operator sees both cores at work", async () => {
    const page = await openPage(browser, `${house.url}admin`, complaints, DESK);
    const cores = () => page.$$eval("#cores tr", (rows) => rows.map((row) => [...row.cells].map((cell) => Number(cell.textContent))));
    await until("three bots fly on each of two cores", async () => {
      const rows = await cores();
      return rows.length === 2 && rows.every(([, battles, players]) => battles === 1 && players === 3);
    });
    await until("messages are counted", async () => (await cores()).every((row) => row[5] > 50));
    await shoot(page, "admin");
    await page.context().close();
  });
  await step("somebody looks on at the battle of a core, and does not play", async () => {
    // The first battle of core 1, of two.
    const page = await visit(browser, `${house.url}?watch=3`, complaints, DESK);
    await until("three ships fly", async () => (await players(page)).length === 3);
    assert.equal(await page.isVisible("#entry"), false);
    assert.equal(await playing(page), false);
    await until("the seat was given up", () => house.log.some((line) => / is dismissed .*reason="idle"/.test(line)));
    const tick = (await state(page)).tick;
    await until("it looks on again", async () => (await page.evaluate(() => battle.connected)) && (await state(page)).tick > tick + 10);
    await page.context().close();
  });
  assert.deepEqual(complaints, []);
  await interrupt(house);
}

// --- Several cores, and the way from one to the other ------------------------------------------------------------------

/** Two cores, two seats a battle, compressed: the contexts of compression go along. */
async function lobby(browser) {
  const house = await startServer(binary, "--listen", "127.0.0.1:0", "--threads", "2", "--seats", "2", "--deflate", "--score", "3", "--result", "2");
  const complaints = [];
  const sockets = new Map();
  /** A page, of which every socket is counted. */
  const enter = async (name, options) => {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    sockets.set(page, 0);
    page.on("websocket", () => sockets.set(page, sockets.get(page) + 1));
    page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(message.text()); });
    page.on("pageerror", (error) => complaints.push(`uncaught: ${error.stack}`));
    await page.goto(house.url);
    await until("the page is welcomed", () => page.evaluate(() => battle.me !== null));
    await join(page, name);
    await until(`${name} flies`, () => playing(page));
    // The core tells of its free seats with the tick.
    await pause(100);
    return page;
  };
  const place = (page) => page.evaluate(() => [battle.number, battle.core]);
  const rows = (page) => page.$$eval("#battles button", (all) => all.map((it) => [it.querySelector("b").textContent, it.disabled]));
  const choose = async (page, battle) => {
    if (!(await page.isVisible("#lobby"))) await page.click("#battle");
    await until("it may be chosen", () => page.isEnabled(`#battles [data-battle="${battle}"]`));
    await page.click(`#battles [data-battle="${battle}"]`);
  };
  const ann = await enter("Ann", { viewport: { width: 1280, height: 800 } });
  const bob = await enter("Bob", PHONE);
  const cid = await enter("Cid", DESK);

  await step("players are on two cores, and the lobby shows the battles of both", async () => {
    assert.deepEqual([await place(ann), await place(bob), await place(cid)], [[2, 0], [2, 0], [3, 1]]);
    await ann.click("#battle");
    await until("both are listed", async () => (await rows(ann)).length === 3);
    assert.deepEqual(await rows(ann), [["Battle 2", true], ["Battle 3", false], ["A new battle", false]]);
    await until("their players are", async () => /1 fly · 1 free/.test(await ann.textContent('#battles [data-battle="3"]')));
    await shoot(ann, "battle-lobby");
  });

  await step("a player changes to a battle on the other core, on the same socket", async () => {
    await choose(ann, 3);
    await until("she is there", async () => (await place(ann)).join() === "3,1");
    await until("she flies there", () => playing(ann));
    for (const page of [ann, cid]) {
      await until("both see both", async () => (await players(page)).map(({ name }) => name).sort().join() === "Ann,Cid");
    }
    await until("Bob sees nobody else", async () => (await players(bob)).length === 1);
    assert.equal(await ann.isVisible("#lobby"), false);
    assert.equal(await ann.textContent("#battle"), "Battle 3");
    const before = named(await players(cid), "Ann");
    await ann.keyboard.down(before.x < 960 ? "KeyD" : "KeyA");
    await until("her keys arrive there", async () => distance(named(await players(cid), "Ann"), before) > 60);
    await shoot(ann, "battle-changed");
    await ann.keyboard.up(before.x < 960 ? "KeyD" : "KeyA");
    assert.deepEqual([...sockets.values()], [1, 1, 1], "nobody has connected again");
  });

  await step("one who comes too late is told that the battle is full, and plays on", async () => {
    await bob.tap("#battle");
    await until("it is full", async () => /full/.test(await bob.textContent('#battles [data-battle="3"]')));
    assert.equal(await bob.isDisabled('#battles [data-battle="3"]'), true);
    await shoot(bob, "battle-lobby-touch");
    // A page that does not know yet asks all the same.
    await bob.evaluate(() => { document.querySelector('#battles [data-battle="3"]').disabled = false; document.querySelector('#battles [data-battle="3"]').click(); });
    await until("he is told", async () => /Battle 3 is full/.test(await bob.textContent("#lobby-word")));
    const tick = (await state(bob)).tick;
    await until("he plays on", async () => (await state(bob)).tick > tick + 5);
    assert.deepEqual(await place(bob), [2, 0]);
  });

  await step("who wins is told in all battles, on every core", async () => {
    const release = async () => { for (const page of [ann, cid]) await page.keyboard.up("Space"); };
    await hunt(ann, "Ann", "Cid", async () => (await ann.evaluate(() => battle.round.over)));
    await release();
    await until("Bob reads it", async () => /Ann won battle 3 with \d+ points/.test(await bob.textContent("#news")));
    await shoot(bob, "battle-won-touch");
  });

  await step("a battle of one's own opens where there is most room", async () => {
    await choose(cid, 0);
    await until("it is there", async () => (await place(cid))[0] === 4);
    assert.deepEqual(await place(cid), [4, 0]);
    await until("she is alone again", async () => (await players(ann)).length === 1);
    assert.deepEqual([...sockets.values()], [1, 1, 1]);
  });

  await step("one who reloads comes back to the battle that was changed to", async () => {
    await ann.reload();
    await until("she is back", async () => (await place(ann)).join() === "3,1" && (await playing(ann)));
    assert.deepEqual(complaints, []);
  });

  await interrupt(house);
  for (const page of [ann, bob, cid]) await page.context().close();
}

await withBrowser(executablePath, async (browser) => {
  await lobby(browser);
  await operator(browser);
  await compressed(browser);
  await away(browser);
  await duel(browser);
  await melee(browser);
});
