// The checks for clients that have the WebSocket of browsers (undici, Node.js, Chromium).

/**
 * Talks to the echo server at `url` with this `WebSocket`; the names of the checks that went well. Throws at the first
 * that did not. Self-contained, so that it can be sent to a page as text.
 */
export async function check(WebSocket, url) {
  const assert = (fact, what) => {
    if (!fact) throw new Error(what);
  };
  /** An open connection whose messages and end can be waited for. */
  const open = async () => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    const waiting = [];
    const came = [];
    const deliver = (event) => (waiting.length ? waiting.shift()(event) : came.push(event));
    socket.onmessage = ({ data }) => deliver({ data });
    socket.onclose = ({ code, reason, wasClean }) => deliver({ code, reason, wasClean });
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = () => reject(new Error('the connection was not opened'));
    });
    socket.onerror = null;
    const next = () => (came.length ? came.shift() : new Promise((resolve) => waiting.push(resolve)));
    return { socket, next };
  };
  const ends = async ({ socket, next }, code, reason = '') => {
    if (code === undefined) socket.close();
    else socket.close(code, reason);
    const end = await next();
    assert(end.wasClean, 'the end was not clean');
    assert(end.code === (code ?? 1005) && end.reason === reason, `closed with ${end.code} ${end.reason}`);
  };
  const checks = {
    async text() {
      const { socket, next } = await open();
      for (const text of ['hello', 'grüße, 世界 🦀', '', 'x'.repeat(70000)]) {
        socket.send(text);
        const { data } = await next();
        assert(data === text, `${text.slice(0, 20)} came back as ${String(data).slice(0, 20)}`);
      }
      await ends({ socket, next });
    },
    async 'binary of every length form'() {
      const { socket, next } = await open();
      for (const len of [0, 1, 125, 126, 127, 65535, 65536, 70000, 5 << 20]) {
        const sent = Uint8Array.from({ length: len }, (_, i) => i * 7 + (i >> 8));
        socket.send(sent);
        const { data } = await next();
        assert(data instanceof ArrayBuffer && data.byteLength === len, `${len} bytes`);
        assert(new Uint8Array(data).every((byte, i) => byte === sent[i]), `${len} bytes are others`);
      }
      await ends({ socket, next }, 1000);
    },
    async 'many messages at once, in order'() {
      const { socket, next } = await open();
      for (let i = 0; i < 5000; i += 1) socket.send(`message ${i}`);
      for (let i = 0; i < 5000; i += 1) assert((await next()).data === `message ${i}`, `message ${i}`);
      await ends({ socket, next }, 1000);
    },
    async 'close codes and reasons'() {
      for (const [code, reason] of [[1000, 'bye'], [3000, ''], [4321, 'ä'.repeat(61)], [4999, 'y'.repeat(123)]]) {
        await ends(await open(), code, reason);
      }
    },
    async 'a message that is too long is answered with 1009'() {
      const { socket, next } = await open();
      socket.send(new Uint8Array((8 << 20) + 1));
      const end = await next();
      assert(end.code === 1009, `closed with ${end.code}`);
    },
  };
  const done = [];
  for (const [name, run] of Object.entries(checks)) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('no end after 30 s')), 30_000);
    });
    try {
      await Promise.race([run(), late]);
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
    clearTimeout(timer);
    done.push(name);
  }
  return done;
}
