// An echo server made with Node's `ws`; what it listens on is printed. Some paths do something else:
//
// /bye       closes with 4321 at once
// /drive     tries whether the client echoes, and closes with 1000 if it does, with 4000 if not
// /refuse    is answered with 403, and a body in chunks
//
// With the files of a certificate and its key, in this order, it is wss.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { WebSocketServer } from 'ws';

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const page = (_, answer) => answer.writeHead(404).end();
const http = cert ? createSecureServer({ cert, key }, page) : createServer(page);
const server = new WebSocketServer({ noServer: true, maxPayload: 16 << 20 });

async function drive(socket) {
  const next = () => new Promise((resolve) => socket.once('message', (data, isBinary) => resolve({ data, isBinary })));
  for (const sent of ['hello', '', 'ä'.repeat(1000), Buffer.alloc(70000, 7), Buffer.alloc(3 << 20, 9)]) {
    const isBinary = typeof sent !== 'string';
    const echoed = next();
    socket.send(sent);
    const came = await echoed;
    if (came.isBinary !== isBinary || !came.data.equals(Buffer.from(sent))) return socket.close(4000, 'that was no echo');
  }
  socket.close(1000);
}

http.on('upgrade', (request, stream, head) => {
  if (request.url === '/refuse') {
    stream.end('HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno entry!\r\n0\r\n\r\n');
    return;
  }
  server.handleUpgrade(request, stream, head, (socket) => {
    socket.on('error', () => {});
    if (request.url === '/bye') socket.close(4321, 'so soon');
    else if (request.url === '/drive') drive(socket);
    else socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
});
http.listen(0, '127.0.0.1', () => {
  const { version } = JSON.parse(readFileSync(new URL('node_modules/ws/package.json', import.meta.url)));
  console.log(`== ws (Node.js)${cert ? ", over TLS" : ""} | ${version}`);
  console.log(`listening on ${cert ? 'wss' : 'ws'}://127.0.0.1:${http.address().port}/`);
});
