"""Python's `websockets` and `aiohttp`, compressing as they do by default, as clients of `echo_server`: python deflate.py URL

Both keep their context from one message to the next, and expect the other side to be able to. Prints a line for each; ends
with a status other than 0 at the first that fails.
"""

import asyncio
import json
import sys

import aiohttp
import websockets
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URL = sys.argv[1]

# Alike, so that a kept context is made use of; and twice an empty one, which a flushed compressor makes no bytes of.
MESSAGES = [json.dumps([{"id": k + i, "name": f"player {k % 7}"} for k in range(90)]) for i in range(4)] + ["", "", "x"]


async def talk_websockets(options):
    async with connect(URL, proxy=None, **options) as websocket:
        assert [extension.name for extension in websocket.protocol.extensions] == ["permessage-deflate"]
        for message in MESSAGES * 3:
            await websocket.send(message)
            assert await websocket.recv() == message
            await websocket.send(message.encode())
            assert await websocket.recv() == message.encode()
        half = len(MESSAGES[0]) // 2
        await websocket.send([MESSAGES[0][:half], MESSAGES[0][half:]])
        assert await websocket.recv() == MESSAGES[0]


async def talk_aiohttp():
    async with aiohttp.ClientSession() as session, session.ws_connect(URL, compress=15) as websocket:
        assert websocket.compress, "it agreed on compression"
        for message in MESSAGES * 3:
            await websocket.send_str(message)
            assert (await websocket.receive()).data == message


async def main():
    count = 0
    await talk_websockets({})
    for bits in range(8, 16):
        for server_forgets in [False, True]:
            factory = ClientPerMessageDeflateFactory(
                server_no_context_takeover=server_forgets,
                server_max_window_bits=bits,
                client_max_window_bits=max(bits, 9),
            )
            await talk_websockets({"compression": None, "extensions": [factory]})
            count += 1
    print(f"websockets: {count + 1} settings: ok")
    await talk_aiohttp()
    print("aiohttp: ok")
    print(f"== websockets, aiohttp, compressed | {websockets.__version__}, {aiohttp.__version__} | {count + 2}")


asyncio.run(asyncio.wait_for(main(), 60))
