"""An echo on python-websockets that compresses and pings every 200 ms: websockets_server.py PORT"""

import asyncio
import sys

import websockets


async def echo(socket: websockets.WebSocketServerProtocol) -> None:
    async for message in socket:
        await socket.send(message)


async def main(port: int) -> None:
    async with websockets.serve(echo, "127.0.0.1", port, subprotocols=["mqtt"], ping_interval=0.2, ping_timeout=5):
        await asyncio.Future()


asyncio.run(main(int(sys.argv[1])))
