"""A WebSocket client, or the end of a connection that is none, that sends what the case says, right or wrong, and sees every byte that comes."""

import base64
import contextlib
import hashlib
import os
import re
import socket
import ssl
import struct
import time
from datetime import UTC, datetime
from typing import Self

from .expect import Failure, expect, short

OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
NAMES = {number: name for name, number in OPCODES.items()}

EOF = ("eof",)
RESET = ("reset",)

Item = tuple
"""What the client has received: (name of the opcode, payload), EOF or RESET."""


def close_body(code: int, reason: str = "") -> bytes:
    return struct.pack(">H", code) + reason.encode()


def mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")


def frame(
    opcode: str | int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True, key: bytes = b"\x12\x9a\x00\xff",
    length: int | None = None, width: int | None = None) -> bytes:
    """Makes a frame as a client sends it.

    length: the length that the header claims, if it is not the true one. width: bytes of the extended length (0, 2, 8), if they are not the fewest.
    """
    number = OPCODES.get(opcode, opcode)
    claimed = len(payload) if length is None else length
    if width is None:
        width = 0 if claimed < 126 else 2 if claimed < 65536 else 8
    seven = claimed if width == 0 else 126 if width == 2 else 127
    head = bytes([(fin << 7) | (rsv << 4) | number, (masked << 7) | seven]) + (claimed.to_bytes(width, "big") if width else b"")
    return head + (key + mask(payload, key) if masked else payload)


def upgrade_request(port: int, path: str = "/ws", host: str | None = None, extra: str = "", key: str = "dGhlIHNhbXBsZSBub25jZQ==") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{port}'}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extra}\r\n").encode()


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


class Wire:
    """One end of a connection. It sends what it is told, and sees every byte that comes."""

    masked = False
    """Whether the frames that come have to be masked."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray()
        self._end: Item | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def head(self) -> str | None:
        """Reads the head of a request or a response; None if the connection ended without one."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not self._fill():
                expect("bytes of a head before the end", bytes(self._buffer), b"")
                return None
        head = self._buffer[:end].decode("latin-1")
        del self._buffer[:end + 4]
        return head

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.socket.sendall(chunk)

    def receive(self) -> Item:
        """Reads the next frame, or the end of the connection."""
        try:
            if not self._have(2):
                return self._ended()
        except TimeoutError:
            raise Failure(f"expected a frame or the end within {self.socket.gettimeout():g}s, got {short(bytes(self._buffer))}") from None
        first, second = self._buffer[:2]
        if first & 0x70 or not first & 0x80 or second >> 7 != self.masked:
            mask_word = "with" if self.masked else "without"
            raise Failure(f"expected a final frame {mask_word} a mask and without reserved bits, got header {first:02x} {second:02x}")
        seven = second & 0x7F
        width = {126: 2, 127: 8}.get(seven, 0)
        head = self._take(2 + width)
        length = int.from_bytes(head[2:], "big") if width else seven
        if (width == 2 and length < 126) or (width == 8 and length < 65536):
            raise Failure(f"expected the fewest bytes for the length {length}, got {width}")
        key = self._take(4) if self.masked else b""
        payload = self._take(length)
        return NAMES.get(first & 0x0F, f"opcode {first & 0x0F}"), mask(payload, key) if key else payload

    def transcript(self) -> list[Item]:
        """Reads everything up to the end of the connection."""
        items = [self.receive()]
        while items[-1] not in (EOF, RESET):
            items.append(self.receive())
        return items

    def rest(self) -> bytes:
        """Reads all bytes up to the end of the connection."""
        while self._fill():
            pass
        return bytes(self._buffer)

    def silence(self, seconds: float) -> None:
        """Checks that nothing comes, neither a byte nor the end."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            if self._buffer or self._fill() or self._end:
                raise Failure(f"expected {seconds:g}s of silence, got {short(bytes(self._buffer))} {self._end or ''}")
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(before)

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def seconds_until_end(self, most: float) -> float:
        """Returns how long the server keeps the connection. It drops everything that comes."""
        start = time.monotonic()
        while (left := start + most - time.monotonic()) > 0:
            self.socket.settimeout(left)
            self._buffer.clear()
            with contextlib.suppress(TimeoutError):
                if not self._fill():
                    return time.monotonic() - start
        raise Failure(f"expected the server to end the connection within {most:g}s: it did not")

    def _have(self, count: int) -> bool:
        while len(self._buffer) < count:
            if not self._fill():
                return False
        return True

    def _take(self, count: int) -> bytes:
        if not self._have(count):
            raise Failure(f"expected {count} more bytes of a frame, got {len(self._buffer)} and then {self._end}")
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return taken

    def _ended(self) -> Item:
        if self._buffer:
            raise Failure(f"expected a whole frame, got {bytes(self._buffer)!r} and then {self._end}")
        return self._end

    def _fill(self) -> bool:
        if self._end is None:
            try:
                received = self.socket.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                self._end = RESET
                return False
            except ssl.SSLEOFError:
                received = b""
            if received:
                self._buffer += received
                return True
            self._end = EOF
        return False


class Peer(Wire):
    """A client."""

    def __init__(
        self, port: int, *, upgrade: bool = True, timeout: float = 10.0, receive_buffer: int | None = None, source: str | None = None,
        host: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(socket.socket())
        self.port = port
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(timeout)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.socket.bind((source, 0))
        self.connected_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.socket.connect(("127.0.0.1", port))
        self.address = self.socket.getsockname()
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        if upgrade:
            self.upgrade(host)

    def upgrade(self, host: str | None = None) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(upgrade_request(self.port, host=host, key=key))
        status, headers = self.response()
        expect("status of the upgrade", status, 101)
        expect("Sec-WebSocket-Accept", headers.get("sec-websocket-accept"), accept_of(key))

    def response(self) -> tuple[int | None, dict[str, str]]:
        """Reads the status and headers of an HTTP response; (None, {}) if the connection ended without one."""
        if (head := self.head()) is None:
            return None, {}
        lines = head.split("\r\n")
        if not re.fullmatch(r"HTTP/1\.1 \d{3} [^\r\n]+", lines[0]):
            raise Failure(f"expected an HTTP response, got {short(head)}")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return int(lines[0].split(" ")[1]), headers

    def data(self) -> Item:
        """Reads the next frame that is not a ping. It answers pings."""
        while (item := self.receive())[0] == "ping":
            self.send(frame("pong", item[1]))
        return item

    def goodbye(self, code: int = 1000) -> None:
        """Begins the closing handshake, and ignores pings and data that are still on their way."""
        self.send(frame("close", close_body(code)))
        items = [item for item in self.transcript() if item[0] not in ("ping", "text", "binary")]
        expect("answer to our Close", items, [("close", close_body(code)), EOF])
        self.socket.close()
