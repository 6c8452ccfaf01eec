"""Python's `aiohttp` as a client of `echo_server`: python aiohttp_client.py URL

Prints a line for each check; ends with a status other than 0 at the first that fails.
"""

import asyncio
import sys
import traceback

import aiohttp
from aiohttp import WSMsgType

URL = sys.argv[1]


class Connection:
    """A connection of a session of its own."""

    def __init__(self, **options):
        self.options = {"max_msg_size": 16 << 20, "autoping": False, **options}

    async def __aenter__(self):
        self.session = aiohttp.ClientSession()
        return await self.session.ws_connect(URL, **self.options)

    async def __aexit__(self, *_):
        await self.session.close()


async def text_and_binary():
    async with Connection() as ws:
        for text in ["hello", "grüße, 世界 🦀", "", "x" * 70000]:
            await ws.send_str(text)
            message = await ws.receive()
            assert (message.type, message.data) == (WSMsgType.TEXT, text)
        for size in [0, 1, 125, 126, 127, 65535, 65536]:
            data = bytes(i % 251 for i in range(size))
            await ws.send_bytes(data)
            message = await ws.receive()
            assert (message.type, message.data) == (WSMsgType.BINARY, data), size
        await ws.close()
        assert ws.close_code == 1000


async def five_mib():
    async with Connection() as ws:
        data = bytes(range(251)) * (5 * (1 << 20) // 251 + 1)
        await ws.send_bytes(data)
        assert (await ws.receive()).data == data
        await ws.close()


async def pings():
    async with Connection() as ws:
        for payload in [b"", b"a", b"x" * 125]:
            await ws.ping(payload)
            message = await ws.receive()
            assert (message.type, message.data) == (WSMsgType.PONG, payload)
        await ws.close()


async def many_at_once_in_order():
    async with Connection() as ws:
        for i in range(5000):
            await ws.send_str(f"message {i}")
        for i in range(5000):
            assert (await ws.receive()).data == f"message {i}"
        await ws.close()


async def close_codes():
    for code, reason in [(1000, b"bye"), (1001, b""), (3000, "ä".encode() * 61), (4999, b"y" * 123)]:
        async with Connection() as ws:
            await ws.close(code=code, message=reason)
            assert ws.close_code == code


async def too_long():
    async with Connection() as ws:
        await ws.send_bytes(bytes((8 << 20) + 1))
        message = await ws.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009), message


async def deflate_is_not_agreed_on():
    async with Connection(compress=15) as ws:
        assert not ws.compress
        await ws.send_str("plain")
        assert (await ws.receive()).data == "plain"
        await ws.close()


async def a_foreign_status_is_seen():
    async with aiohttp.ClientSession() as session:
        async with session.get(URL.replace("ws:", "http:", 1)) as answer:
            assert answer.status == 426
            assert answer.headers["Sec-WebSocket-Version"] == "13"


CHECKS = [
    text_and_binary,
    five_mib,
    pings,
    many_at_once_in_order,
    close_codes,
    too_long,
    deflate_is_not_agreed_on,
    a_foreign_status_is_seen,
]


async def main():
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            await asyncio.wait_for(check(), 20)
        except Exception:
            traceback.print_exc()
            sys.exit(f"aiohttp {aiohttp.__version__}: {name}: failed")
        print(f"aiohttp: {name}: ok", flush=True)
    print(f"== aiohttp (Python) | {aiohttp.__version__} | {len(CHECKS)}")


asyncio.run(main())
