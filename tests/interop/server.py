"""An echo server made with Python: python server.py websockets|aiohttp

What it listens on is printed.
"""

import asyncio
import sys


def tell(name, version, port):
    print(f"== {name} (Python) | {version}")
    print(f"listening on ws://127.0.0.1:{port}/", flush=True)


async def serve_websockets():
    import websockets
    from websockets.asyncio.server import serve

    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    async with serve(echo, "127.0.0.1", 0, max_size=16 << 20) as server:
        tell("websockets", websockets.__version__, server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def serve_aiohttp():
    import aiohttp
    from aiohttp import WSMsgType, web

    async def echo(request):
        # Left to itself it answers every Close with 1000.
        websocket = web.WebSocketResponse(max_msg_size=16 << 20, autoclose=False)
        await websocket.prepare(request)
        while True:
            message = await websocket.receive()
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)
            elif message.type is WSMsgType.CLOSE:
                await websocket.close(code=message.data or 1000, message=(message.extra or "").encode())
                return websocket
            else:
                return websocket

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    tell("aiohttp", aiohttp.__version__, site._server.sockets[0].getsockname()[1])
    await asyncio.Event().wait()


asyncio.run({"websockets": serve_websockets, "aiohttp": serve_aiohttp}[sys.argv[1]]())
