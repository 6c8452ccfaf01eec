// The same chat on Node with `ws`, in one process: `node chat.mjs` prints its port. More cores need more processes (`cluster`),
// and then a way for those of one room to meet.
//
// Bounds: 4 KiB a message, 64 KiB queued for a client. A client that has not taken its 64 KiB is told 1013 and leaves the room.
import { WebSocketServer } from 'ws';

const MAX_MESSAGE = 4 << 10;
const QUEUE = 64 << 10;

const rooms = new Map();

const join = (room, client) => {
  if (!rooms.has(room)) rooms.set(room, new Set());
  rooms.get(room).add(client);
};

const leave = (room, client) => {
  rooms.get(room)?.delete(client);
  if (rooms.get(room)?.size === 0) rooms.delete(room);
};

const tell = (room, text) => {
  for (const client of rooms.get(room) ?? []) {
    if (client.bufferedAmount > QUEUE) {
      leave(room, client);
      client.close(1013, 'too slow');
    } else {
      client.send(text, { binary: false });
    }
  }
};

const chat = (client, request) => {
  const room = request.url;
  join(room, client);
  client.on('error', (error) => console.error(error.message));
  client.on('close', () => leave(room, client));
  client.on('message', (text, isBinary) => isBinary || tell(room, text));
};

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: MAX_MESSAGE, perMessageDeflate: false });
server.on('listening', () => console.log(server.address().port));
server.on('connection', chat);
