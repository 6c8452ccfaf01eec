// Bun as a server to be measured: `bun bun.mjs echo|fanout|default` prints its port. `fanout` sends what comes to all that are connected;
// `default` agrees on permessage-deflate.
const [job] = process.argv.slice(2);
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('', { status: 400 })),
  websocket: {
    perMessageDeflate: job === 'default',
    open: (socket) => socket.subscribe('room'),
    message: (socket, data) => {
      if (job === 'fanout') server.publish('room', data);
      else socket.send(data, job === 'default');
    },
  },
});
console.log(server.port);
