// Node's `ws` as a client of `echo_server`: node client.mjs URL
//
// Prints a line for each check; ends with a status other than 0 at the first that fails.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import WebSocket from 'ws';

const url = process.argv[2];

/** An open connection whose messages and end can be waited for. */
async function open(options = {}) {
  const socket = new WebSocket(url, options.protocols ?? [], { perMessageDeflate: false, ...options });
  const waiting = [];
  const came = [];
  const deliver = (event) => (waiting.length ? waiting.shift()(event) : came.push(event));
  socket.on('message', (data, isBinary) => deliver({ data, isBinary }));
  socket.on('pong', (data) => deliver({ pong: data.toString() }));
  socket.on('close', (code, reason) => deliver({ code, reason: reason.toString() }));
  socket.on('error', (error) => deliver({ error }));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const next = () => (came.length ? came.shift() : new Promise((resolve) => waiting.push(resolve)));
  return { socket, next };
}

const checks = {
  async 'text, some of it not ASCII, and empty'() {
    const { socket, next } = await open();
    for (const text of ['hello', 'grüße, 世界 🦀', '']) {
      socket.send(text);
      const { data, isBinary } = await next();
      assert.equal(isBinary, false);
      assert.equal(data.toString(), text);
    }
    socket.close();
    assert.deepEqual(await next(), { code: 1005, reason: '' });
  },
  async 'binary of every length form'() {
    const { socket, next } = await open();
    for (const len of [0, 1, 125, 126, 127, 65535, 65536, 70000]) {
      const sent = Buffer.alloc(len, len);
      socket.send(sent);
      const { data, isBinary } = await next();
      assert.equal(isBinary, true);
      assert.ok(data.equals(sent), `${len} bytes`);
    }
    socket.close(1000);
    assert.deepEqual(await next(), { code: 1000, reason: '' });
  },
  async '5 MiB'() {
    const { socket, next } = await open();
    const sent = Buffer.alloc(5 << 20);
    for (let i = 0; i < sent.length; i += 1) sent[i] = (i * 7 + (i >> 8)) & 255;
    socket.send(sent);
    const { data } = await next();
    assert.ok(data.equals(sent));
    socket.close(1000);
    assert.equal((await next()).code, 1000);
  },
  async 'fragments, with a ping between them'() {
    const { socket, next } = await open();
    socket.send('one ', { fin: false });
    socket.ping('between');
    socket.send('two ', { fin: false });
    socket.send('three', { fin: true });
    assert.deepEqual(await next(), { pong: 'between' });
    assert.equal((await next()).data.toString(), 'one two three');
    socket.close(1000);
    assert.equal((await next()).code, 1000);
  },
  async 'pings'() {
    const { socket, next } = await open();
    for (const payload of ['', 'a', 'x'.repeat(125)]) {
      socket.ping(payload);
      assert.deepEqual(await next(), { pong: payload });
    }
    socket.pong('nobody asked');
    socket.close(1000);
    assert.equal((await next()).code, 1000);
  },
  async 'many messages at once, in order'() {
    const { socket, next } = await open();
    for (let i = 0; i < 5000; i += 1) socket.send(`message ${i}`);
    for (let i = 0; i < 5000; i += 1) assert.equal((await next()).data.toString(), `message ${i}`);
    socket.close(1000);
    assert.equal((await next()).code, 1000);
  },
  async 'close codes and reasons come back'() {
    for (const [code, reason] of [[1000, 'bye'], [1001, ''], [1011, 'ä'.repeat(61)], [3000, 'x'], [4999, 'y'.repeat(123)]]) {
      const { socket, next } = await open();
      socket.close(code, reason);
      assert.deepEqual(await next(), { code, reason });
    }
  },
  async 'a message that is too long is answered with 1009'() {
    const { socket, next } = await open();
    socket.send(Buffer.alloc((8 << 20) + 1));
    let event;
    do event = await next(); while (event.code === undefined);
    assert.equal(event.code, 1009);
  },
  async 'text that is not UTF-8 is answered with 1007'() {
    const { socket, next } = await open();
    socket._socket.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc0, 0x80]));
    assert.equal((await next()).code, 1007);
  },
  async 'a frame without a mask is answered with 1002'() {
    const { socket, next } = await open();
    socket._socket.write(Buffer.from([0x81, 0x02, 0x68, 0x69]));
    assert.equal((await next()).code, 1002);
  },
  async 'deflate and subprotocols are offered, and not agreed on'() {
    const { socket, next } = await open({ perMessageDeflate: true, protocols: ['chat', 'battle'] }).catch((error) => {
      assert.match(error.message, /Server sent no subprotocol/);
      return {};
    });
    if (socket) {
      socket.close();
      await next();
    }
    const deflate = await open({ perMessageDeflate: true });
    assert.equal(deflate.socket.extensions, '');
    deflate.socket.send('plain');
    assert.equal((await deflate.next()).data.toString(), 'plain');
    deflate.socket.close(1000);
    assert.equal((await deflate.next()).code, 1000);
  },
  async 'another version is answered with 426, and so is a page request'() {
    const get = (headers) =>
      new Promise((resolve, reject) => {
        const request = http.get(url.replace('ws:', 'http:'), { headers, agent: false });
        request.on('response', (response) => {
          response.resume();
          response.on('end', () => resolve({ status: response.statusCode, headers: response.headers }));
        });
        request.on('error', reject);
      });
    for (const version of [undefined, '8']) {
      const upgrade = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' };
      const { status, headers } = await get(version ? { ...upgrade, 'Sec-WebSocket-Version': version } : {});
      assert.equal(status, 426);
      assert.equal(headers['sec-websocket-version'], '13');
    }
  },
};

for (const [name, check] of Object.entries(checks)) {
  const patience = setTimeout(() => {
    console.error(`ws: ${name}: no end after 20 s`);
    process.exit(1);
  }, 20_000);
  try {
    await check();
  } catch (error) {
    console.error(`ws: ${name}: ${error.stack}`);
    process.exit(1);
  }
  clearTimeout(patience);
  console.log(`ws: ${name}: ok`);
}
const { version } = JSON.parse(readFileSync(new URL('node_modules/ws/package.json', import.meta.url)));
console.log(`== ws (Node.js) | ${version} | ${Object.keys(checks).length}`);
