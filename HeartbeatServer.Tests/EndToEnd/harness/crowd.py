"""Very many clients at once, who stay or come back, and a single client that asks whether there is room."""

import asyncio
import contextlib
import random
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable

from .expect import Failure, expect_that
from .peer import Peer, close_body, frame, upgrade_request

ADDRESSES = 8
"""Addresses of the loopback network. One address has ports for some 28,000 connections, and a port stays in use for a minute after its connection."""

IP_BIND_ADDRESS_NO_PORT = 24


class Swarm:
    """Very many clients that all connect at once, on one epoll instance."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self.clients: dict[int, socket.socket] = {}
        self.failures: list[str] = []

    def __enter__(self) -> "Swarm":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients.values():
            client.close()
        self._epoll.close()

    def upgrade(self, count: int, timeout: float) -> None:
        """Connects all clients, and then serves each one that is ready: it sends the request and reads the 101."""
        for number in range(count):
            client = socket.socket()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((f"127.0.1.{1 + number % ADDRESSES}", 0))
            client.connect_ex(("127.0.0.1", self._port))
            self.clients[client.fileno()] = client
            self._epoll.register(client, select.EPOLLOUT)
        self._serve(upgrade_request(self._port), b"HTTP/1.1 101", timeout, "upgraded")

    def close(self, timeout: float) -> None:
        """Does the closing handshake with all clients."""
        for number in self.clients:
            self._epoll.modify(number, select.EPOLLOUT)
        self._serve(frame("close", close_body(1000)), b"\x88\x02\x03\xe8", timeout, "closed")

    def _serve(self, request: bytes, answer: bytes, timeout: float, what: str) -> None:
        waiting = set(self.clients)
        deadline = time.monotonic() + timeout
        while waiting and time.monotonic() < deadline:
            for number, events in self._epoll.poll(0.1, 1000):
                try:
                    if events & select.EPOLLOUT:
                        self.clients[number].sendall(request)
                        self._epoll.modify(number, select.EPOLLIN)
                    elif number in waiting:
                        received = self.clients[number].recv(4096)
                        if answer in received:
                            self._epoll.modify(number, 0)
                        elif not received.startswith(b"\x89"):  # a ping may come before the server has read our Close
                            self.failures.append(f"answer {received[:60]!r}")
                        else:
                            continue
                        waiting.discard(number)
                except OSError as e:
                    self.failures.append(repr(e))
                    waiting.discard(number)
                    self._epoll.unregister(number)
                    self.clients.pop(number).close()
        if waiting:
            raise Failure(f"expected all of {len(self.clients)} to be {what} within {timeout:g}s, {len(waiting)} were not")


def knock(port: int) -> Peer | None:
    """Connects a client. Returns None if there is no room, or no server."""
    try:
        return Peer(port, timeout=1)
    except (OSError, Failure):
        return None


class Crowd:
    """The clients of one process. Each is a task that connects, answers pings, and comes back after a Close with backoff."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.upgraded = Counter()
        """How many upgrades succeeded at the first attempt, the second, and so on."""
        self.failed: list[str] = []
        """Attempts that failed."""
        self.ends: Counter[str] = Counter()
        self.connected = 0
        self.done = False
        self.tasks: list[asyncio.Task] = []
        self.shares: list[int] = []
        """The connections of each server at the end of the case."""

    async def come(self, count: int) -> None:
        """Lets the clients come, and waits until all are connected."""
        for number in range(count):
            self.tasks.append(asyncio.create_task(self.run(number)))
            if number % 50 == 49:
                await asyncio.sleep(0.02)
        await until("all clients to be connected", lambda: self.connected == count, 30)

    async def leave(self) -> None:
        """Lets all clients leave for good."""
        self.done = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def run(self, number: int) -> None:
        pause = random.Random(number)
        while not self.done:
            for attempt in range(1, 10):
                try:
                    reader, writer = await self._connect()
                    self.upgraded[attempt] += 1
                    break
                except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as e:
                    self.failed.append(f"attempt {attempt}: {e!r}")
                    # The pause is random, and at least 50 ms. It is at most 200 ms at first, and twice as long with each attempt.
                    await asyncio.sleep(pause.uniform(0.05, 0.1 * 2**attempt))
            else:
                self.ends["gave up"] += 1
                return
            self.connected += 1
            try:
                self.ends[await self._serve(reader, writer)] += 1
            finally:
                self.connected -= 1
                writer.close()
            if not self.done:
                await asyncio.sleep(pause.uniform(0, 1))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(upgrade_request(self._port, host="ws.example.com"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            if not head.startswith(b"HTTP/1.1 101 "):
                raise ValueError(head.split(b"\r\n")[0].decode())
            return reader, writer
        except BaseException:
            writer.close()
            raise

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Returns how the connection ended: "Close 1001", or the error that the client got instead."""
        with contextlib.suppress(asyncio.CancelledError):
            try:
                while True:
                    first, second = await reader.readexactly(2)
                    body = await reader.readexactly(second & 0x7F)
                    if first == 0x89:
                        writer.write(frame("pong", body))
                    elif first == 0x88:
                        writer.write(frame("close", body[:2]))
                        with contextlib.suppress(OSError):
                            await writer.drain()
                        return f"Close {struct.unpack('>H', body[:2])[0]}"
            except (asyncio.IncompleteReadError, OSError) as e:
                return f"cut: {e!r}"
        writer.write(frame("close", close_body(1000)))
        return "left"


async def until(what: str, look: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        expect_that(f"{what} within {seconds:g}s", time.monotonic() < deadline, what)
        await asyncio.sleep(0.05)
