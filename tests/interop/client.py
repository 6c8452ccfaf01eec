"""Python's `websockets` as a client of `echo_server`: python client.py URL

Prints a line for each check; ends with a status other than 0 at the first that fails.
"""

import asyncio
import sys
import traceback

import websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

URL = sys.argv[1]
OPTIONS = {"compression": None, "max_size": 16 << 20, "proxy": None}


async def text_and_binary():
    async with connect(URL, **OPTIONS) as websocket:
        for message in ["hello", "grüße, 世界 🦀", "", b"", b"\x00\xff" * 70, bytes(range(256)) * 300]:
            await websocket.send(message)
            assert await websocket.recv() == message


async def five_mib():
    async with connect(URL, **OPTIONS) as websocket:
        message = bytes(range(251)) * (5 * (1 << 20) // 251 + 1)
        await websocket.send(message)
        assert await websocket.recv() == message


async def fragments_with_a_ping_between():
    async with connect(URL, **OPTIONS) as websocket:

        async def pieces():
            for piece in ["one ", "", "two ", "three"]:
                yield piece
                await (await websocket.ping("between"))

        await websocket.send(pieces())
        assert await websocket.recv() == "one two three"


async def many_tiny_fragments():
    async with connect(URL, **OPTIONS) as websocket:
        await websocket.send([b"x"] * 4000)
        assert await websocket.recv() == b"x" * 4000


async def pings():
    async with connect(URL, **OPTIONS) as websocket:
        for payload in [b"", b"a", b"x" * 125]:
            latency = await asyncio.wait_for(await websocket.ping(payload), 5)
            assert latency >= 0


async def close_codes_and_reasons():
    for code, reason in [(1000, "bye"), (1001, ""), (1011, "ä" * 61), (3000, "x"), (4999, "y" * 123)]:
        websocket = await connect(URL, **OPTIONS)
        await websocket.close(code, reason)
        assert (websocket.close_code, websocket.close_reason) == (code, reason)


async def ended_by(send):
    """How the server ends a connection on which `send` was called."""
    websocket = await connect(URL, **OPTIONS)
    try:
        await send(websocket)
        while True:
            await asyncio.wait_for(websocket.recv(), 10)
    except ConnectionClosed as closed:
        assert closed.rcvd is not None, "the server's Close has to arrive"
        return closed.rcvd.code


async def too_long():
    assert await ended_by(lambda websocket: websocket.send(bytes((8 << 20) + 1))) == 1009


async def broken_frames():
    async def write(websocket, data):
        websocket.transport.write(data)

    not_utf8 = Frame(Opcode.TEXT, b"\xed\xa0\x80").serialize(mask=True)
    reserved = b"\xc1\x80\0\0\0\0"
    unmasked = Frame(Opcode.TEXT, b"x").serialize(mask=False)
    for data, code in [(not_utf8, 1007), (reserved, 1002), (unmasked, 1002), (b"\x83\x80\0\0\0\0", 1002)]:
        assert await ended_by(lambda websocket: write(websocket, data)) == code, data


async def deflate_is_not_agreed_on():
    async with connect(URL, **{**OPTIONS, "compression": "deflate"}) as websocket:
        assert "sec-websocket-extensions" not in websocket.response.headers
        await websocket.send("plain")
        assert await websocket.recv() == "plain"


async def a_body_is_refused():
    try:
        await connect(URL, additional_headers={"Content-Length": "5"}, **OPTIONS)
    except InvalidStatus as refused:
        assert refused.response.status_code == 400
        assert refused.response.headers["Connection"] == "close"
    else:
        raise AssertionError("accepted")


CHECKS = [
    text_and_binary,
    five_mib,
    fragments_with_a_ping_between,
    many_tiny_fragments,
    pings,
    close_codes_and_reasons,
    too_long,
    broken_frames,
    deflate_is_not_agreed_on,
    a_body_is_refused,
]


async def main():
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            await asyncio.wait_for(check(), 20)
        except Exception:
            traceback.print_exc()
            sys.exit(f"websockets {websockets.__version__}: {name}: failed")
        print(f"websockets: {name}: ok", flush=True)
    print(f"== websockets (Python) | {websockets.__version__} | {len(CHECKS)}")


asyncio.run(main())
