// What the browser tests are made of: servers, pages, a network that can be cut, and patience.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

let steps = 0;
export async function step(sentence, work) {
  const begun = performance.now();
  await work();
  steps += 1;
  console.log(`ok ${steps} - ${sentence} (${Math.round(performance.now() - begun)} ms)`);
}

export const stepCount = () => steps;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks until the answer is not falsy; says what it waited for if that takes too long. */
export async function until(what, ask, patience = 15_000) {
  const end = performance.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(performance.now() < end, `waited ${patience} ms until ${what}`);
    await pause(20);
  }
}

/** All that were started, to be ended by their ids: ended already if all went well. */
const servers = [];

/** Starts a server that prints its address, and waits until it has. */
export async function startServer(binary, ...options) {
  const server = spawn(binary, options, { stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  createInterface({ input: server.stderr }).on("line", (line) => log.push(line));
  servers.push({ server, binary, log });
  const exited = once(server, "exit").then(([code, signal]) => ({ code, signal }));
  const lines = createInterface({ input: server.stdout });
  const [line] = await Promise.race([
    once(lines, "line"),
    exited.then(({ code }) => assert.fail(`the server ended with ${code}:\n${log.join("\n")}`)),
  ]);
  const [url] = /http:\/\/127\.0\.0\.1:\d+\//.exec(line) ?? assert.fail(`no address in: ${line}`);
  return { server, url, log, exited };
}

/** Ctrl-C, after which a server has to be gone within the close deadline. */
export async function interrupt({ server, exited, log }) {
  const begun = performance.now();
  server.kill("SIGINT");
  assert.deepEqual(await exited, { code: 0, signal: null }, log.join("\n"));
  assert.ok(performance.now() - begun < 5000, "within the close deadline");
}

/** A way to a server that can be cut, and that counts the bytes which come back along it. */
export async function startNetwork(url) {
  const { port, hostname } = new URL(url);
  const open = new Set();
  let received = 0;
  const way = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    far.on("data", (bytes) => { received += bytes.length; });
    for (const [one, other] of [[near, far], [far, near]]) {
      open.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => { open.delete(one); other.destroy(); });
    }
  });
  way.listen(0, "127.0.0.1");
  await once(way, "listening");
  return {
    url: `http://127.0.0.1:${way.address().port}/`,
    received: () => received,
    cut: () => { for (const socket of open) socket.destroy(); },
    close: () => { way.close(); for (const socket of open) socket.destroy(); },
  };
}

/** One visitor: a window of its own, with storage of its own. Every complaint of the browser is kept. */
export async function openPage(browser, url, complaints, options) {
  const context = await browser.newContext(options);
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
  return page;
}

/** Runs `test` with a browser. Whatever happens, nothing that was started stays. */
export async function withBrowser(executablePath, test) {
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
      await test(browser);
    } finally {
      await browser.close();
    }
    console.log(`the browser test passed: ${steps} steps`);
  } catch (error) {
    console.error(error);
    for (const { binary, log } of servers) console.error(`the log of ${binary}:\n${log.slice(-60).join("\n")}`);
    process.exitCode = 1;
  } finally {
    for (const { server } of servers) server.kill("SIGKILL");
  }
}
