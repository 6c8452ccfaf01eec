// Pages of a real browser talk over examples/chat: chat.js BINARY CHROMIUM SCREENSHOTS

import assert from "node:assert/strict";
import path from "node:path";
import { interrupt, openPage, startServer, step, until, withBrowser } from "./kit.js";

const [binary, executablePath, screenshots] = process.argv.slice(2);
const WINDOW = { viewport: { width: 800, height: 500 } };

async function say(page, words) {
  await page.fill("#words", words);
  await page.click("#say button");
}

const heard = (page) => page.$$eval("#heard li", (lines) => lines.map((line) => [...line.childNodes].map((part) => part.textContent)));
const hears = (page, ...line) => until(`${line} is heard`, async () => {
  return (await heard(page)).some((it) => JSON.stringify(it) === JSON.stringify(line));
});

await withBrowser(executablePath, async (browser) => {
  const house = await startServer(binary, "127.0.0.1:0");
  const { url } = house;
  const complaints = [];
  const ann = await openPage(browser, `${url}kitchen`, complaints, WINDOW);
  const bob = await openPage(browser, `${url}kitchen`, complaints, WINDOW);
  const eve = await openPage(browser, url, complaints, WINDOW);

  await step("who enters a room is announced there, and sees who is there", async () => {
    assert.equal(await ann.textContent("#room"), "kitchen");
    assert.equal(await eve.textContent("#room"), "lobby");
    await say(ann, "Ann");
    await hears(ann, "Ann comes in. Here: Ann.");
    await say(bob, "<b>Bob</b>");
    for (const page of [ann, bob]) await hears(page, "<b>Bob</b> comes in. Here: Ann, <b>Bob</b>.");
    await say(eve, "Eve");
    await hears(eve, "Eve comes in. Here: Eve.");
  });

  await step("what is said is heard by all in the room, as text, in order, and by nobody else", async () => {
    const words = ["hello", "<img src=x onerror=alert(1)>", "日本語 🚀", "one\ttwo"];
    for (const it of words) await say(ann, it);
    await say(bob, "hello, Ann");
    for (const page of [ann, bob]) {
      await hears(page, "<b>Bob</b>", "hello, Ann");
      assert.deepEqual((await heard(page)).filter(([who]) => who === "Ann").map(([, it]) => it), words);
    }
    assert.deepEqual(await heard(eve), [["Eve comes in. Here: Eve."]]);
    await bob.screenshot({ path: path.join(screenshots, "chat.png") });
  });

  await step("who closes the page has left", async () => {
    await bob.close();
    await hears(ann, "<b>Bob</b> has left.");
  });

  await step("who talks without taking breath is not heard, and told so; after a while it is", async () => {
    await eve.evaluate(() => {
      for (let word = 1; word <= 12; word += 1) {
        document.querySelector("#words").value = `word ${word}`;
        document.querySelector("#say").requestSubmit();
      }
    });
    await hears(eve, "Not so fast: that was not heard.");
    await until("Eve is out of breath no more", async () => {
      await say(eve, "slowly, then");
      return (await heard(eve)).some(([who, words]) => who === "Eve" && words === "slowly, then");
    });
    const words = (await heard(eve)).filter(([who, it]) => who === "Eve" && /^word/.test(it)).map(([, it]) => it);
    assert.deepEqual(words, [1, 2, 3, 4, 5, 6, 7, 8].map((word) => `word ${word}`));
  });

  await step("Ctrl-C closes all connections, and the pages say why", async () => {
    await interrupt(house);
    // Before they have tried again.
    await Promise.all([ann, eve].map((page) => until("the page says so", async () => {
      return await page.textContent("#state") === "the chat ends; trying again";
    })));
    assert.deepEqual(house.log, [], "nothing went wrong with any connection");
  });

  await step("the browser had nothing to complain of", () => {
    // While nobody listens there any more, it may.
    assert.deepEqual(complaints.filter((line) => !line.includes("ERR_CONNECTION_REFUSED")), []);
  });
});
