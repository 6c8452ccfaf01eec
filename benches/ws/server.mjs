// Node's `ws` as an echo server, to be measured: `node server.mjs [LEVEL]` prints its port. With a level ("default" or a number) it
// agrees on permessage-deflate without context takeover.
import { WebSocketServer } from 'ws';

const [level] = process.argv.slice(2);
const deflate = level !== undefined && {
  threshold: 0,
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  zlibDeflateOptions: level === 'default' ? {} : { level: Number(level) },
};
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: deflate });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
