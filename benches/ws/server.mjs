// Node's `ws` as a server to be measured: `node server.mjs echo|fanout|LEVEL` prints its port. `fanout` sends what comes to all that are
// connected; with a level ("default" or a number) it echoes, and agrees on permessage-deflate without context takeover.
import { WebSocketServer } from 'ws';

const [job] = process.argv.slice(2);
const deflate = job !== 'echo' && job !== 'fanout' && {
  threshold: 0,
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  zlibDeflateOptions: job === 'default' ? {} : { level: Number(job) },
};
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: deflate });
server.on('listening', () => console.log(server.address().port));
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const to = job === 'fanout' ? server.clients : [socket];
    for (const client of to) client.send(data, { binary: isBinary });
  });
});
