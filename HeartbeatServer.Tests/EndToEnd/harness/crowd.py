"""Very many clients at once, and a single client that asks whether there is room."""

import select
import socket
import time

from .expect import Failure
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
