"""python-websockets: py_websockets.py URL MODE"""

import asyncio
import sys

import websockets

SIZES = [0, 1, 125, 126, 65535, 65536, 1048576]


async def main(url: str, mode: str) -> None:
    offers = ["mqtt", "mqttv3.1"] if mode == "offer" else None
    async with websockets.connect(url, ping_interval=None, subprotocols=offers) as socket:
        print(f"open {socket.subprotocol or ''}".strip(), flush=True)
        if mode == "echo":
            for size in SIZES:
                for sent in ("\u00e9" * (size >> 1) + "x" * (size & 1), bytes(i * 7 & 255 for i in range(size))):
                    await socket.send(sent)
                    if await socket.recv() != sent:
                        print(f"wrong echo of {size} bytes as {type(sent).__name__}", flush=True)
                        return
            print("echoed", flush=True)
            await asyncio.sleep(1.5)
            await socket.close(3001, "see you later")
        await socket.wait_closed()
        print(f"closed {socket.close_code} {socket.close_reason}", flush=True)


asyncio.run(main(*sys.argv[1:]))
