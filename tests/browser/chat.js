// Pages of a real browser talk over examples/chat: chat.js BINARY CHROMIUM SCREENSHOTS

import assert from "node:assert/strict";
import path from "node:path";
import { openPage, startServer, step, until, withBrowser } from "./kit.js";

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
  const { url, server, exited } = await startServer(binary, "127.0.0.1:0");
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

  await step("the browser had nothing to complain of", () => assert.deepEqual(complaints, []));
  server.kill("SIGTERM");
  await exited;
});
