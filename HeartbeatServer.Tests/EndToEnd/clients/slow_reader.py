"""A client that sends one message, takes its echo at a steady rate, and answers each ping when it sees it. Called with HOST PORT BYTES RATE.

Prints "echoed SECONDS" when it has the whole echo, or "ended" if the server ended the connection before.
"""

import socket
import struct
import sys
import time


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = struct.pack(">BB", 0x80 | opcode, 0x80 | (size if size < 126 else 126 if size < 65536 else 127))
    extended = b"" if size < 126 else struct.pack(">H", size) if size < 65536 else struct.pack(">Q", size)
    return head + extended + bytes(4) + payload


def frames(buffer: bytearray):
    """Takes the whole frames of the server from the start of the buffer."""
    while len(buffer) >= 2:
        length = buffer[1]
        width = {126: 2, 127: 8}.get(length, 0)
        if len(buffer) < 2 + width:
            return
        if width:
            length = int.from_bytes(buffer[2:2 + width], "big")
        if len(buffer) < 2 + width + length:
            return
        yield buffer[0] & 0x0F, bytes(buffer[2 + width:2 + width + length])
        del buffer[:2 + width + length]


def main() -> None:
    host, port, size, rate = sys.argv[1], *map(int, sys.argv[2:])
    client = socket.create_connection((host, port), 10)
    client.sendall(
        f"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    buffer = bytearray()
    while b"\r\n\r\n" not in buffer:
        buffer += client.recv(4096)
    del buffer[:buffer.index(b"\r\n\r\n") + 4]
    print("open", flush=True)

    client.sendall(frame(2, bytes(size)))
    start = time.monotonic()
    taken = 0
    while True:
        # The client reads as many bytes as the rate allows by now, and no more.
        due = int((time.monotonic() - start) * rate) - taken
        if due <= 0:
            time.sleep(0.01)
            continue
        received = client.recv(min(due, 65536))
        if not received:
            print("ended", flush=True)
            return
        taken += len(received)
        buffer += received
        for opcode, payload in frames(buffer):
            if opcode == 9:
                client.sendall(frame(10, payload))
            elif opcode == 2:
                print(f"echoed {time.monotonic() - start:.1f}", flush=True)
                client.sendall(frame(8, struct.pack(">H", 1000)))
            else:
                return


main()
