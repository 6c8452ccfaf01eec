// Node's `ws` with each of its settings for permessage-deflate, in both roles: node deflate.mjs ECHO_SERVER CLIENT
//
// As a client it talks to `echo_server --deflate` and `--takeover`; as a server it is examined by `client --check` with
// either. Prints a line for each; ends with a status other than 0 at the first that fails.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import WebSocket, { WebSocketServer } from 'ws';

const [echoServer, client] = process.argv.slice(2);

/** Alike enough that a kept context shows, and longer than the smallest windows. */
const messages = [0, 1, 2, 3].map((i) => JSON.stringify(Array.from({ length: 90 }, (_, k) => ({ id: k * 7 + i, name: `player ${k % 13}`, x: (k * k) % 977 }))));

/** What the other side is asked for, and what it must then have agreed to. */
const forgets = { serverNoContextTakeover: true, clientNoContextTakeover: true };
const settings = [{}, { serverNoContextTakeover: true }, { clientNoContextTakeover: true }, forgets];
for (const bits of [8, 9, 10, 11, 12, 13, 14, 15]) {
  settings.push({ serverMaxWindowBits: bits }, { clientMaxWindowBits: bits }, { serverMaxWindowBits: bits, clientMaxWindowBits: bits });
}

const patience = (what) => setTimeout(() => {
  console.error(`${what}: no end after 20 s`);
  process.exit(1);
}, 20_000);

/** A message there and back, and those like it; and one in fragments. */
async function talk(socket) {
  const answer = async () => (await once(socket, 'message'))[0].toString();
  for (const text of [...messages, '', messages[0], 'short']) {
    socket.send(text);
    assert.equal(await answer(), text);
  }
  socket.send(messages[1].slice(0, 700), { fin: false });
  socket.ping('between');
  socket.send(messages[1].slice(700), { fin: true });
  assert.equal(await answer(), messages[1]);
}

async function asClient(flag) {
  const server = spawn(echoServer, ['127.0.0.1:0', flag], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = await once(createInterface({ input: server.stdout }), 'line');
    const url = line.split(' ').at(-1);
    for (const setting of settings) {
      const timer = patience(`${flag} ${JSON.stringify(setting)}`);
      const socket = new WebSocket(url, { perMessageDeflate: { ...setting, threshold: 0 } });
      await once(socket, 'open');
      assert.match(socket.extensions, /permessage-deflate/, JSON.stringify(setting));
      await talk(socket);
      socket.close(1000);
      assert.equal((await once(socket, 'close'))[0], 1000);
      clearTimeout(timer);
    }
    console.log(`ws, client: ${settings.length} settings, ${flag}: ok`);
  } finally {
    server.kill();
  }
}

async function asServer(flag) {
  for (const setting of settings) {
    const what = `${flag} ${JSON.stringify(setting)}`;
    const timer = patience(what);
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', maxPayload: 16 << 20, perMessageDeflate: { ...setting, threshold: 0 } });
    server.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
      socket.on('error', (error) => console.error(error));
      socket.on('close', () => {});
    });
    await once(server, 'listening');
    const check = spawn(client, ['--check', flag, `ws://127.0.0.1:${server.address().port}/`], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    check.stdout.on('data', (piece) => { said += piece; });
    const [code] = await once(check, 'exit');
    assert.equal(code, 0, `${what}:\n${said}`);
    assert.match(said, /ok +compression is agreed on/);
    server.close();
    clearTimeout(timer);
  }
  console.log(`ws, server: ${settings.length} settings, ${flag}: ok`);
}

let count = 0;
for (const flag of ['--deflate', '--takeover']) {
  await asClient(flag);
  await asServer(flag);
  count += 2 * settings.length;
}
const { version } = createRequire(import.meta.url)('ws/package.json');
console.log(`== \`ws\`, compressed (both roles) | ${version} | ${count}`);
process.exit(0);
