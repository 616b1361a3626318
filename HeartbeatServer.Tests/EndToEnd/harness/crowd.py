"""Very many clients at once, and one that asks whether there is room."""

import select
import socket
import time

from .expect import Failure
from .peer import Peer, close_body, frame, upgrade_request

ADDRESSES = 8
"""Of the loopback network: one has ports for some 28,000 connections, and those that have ended keep theirs for a minute."""

IP_BIND_ADDRESS_NO_PORT = 24


class Swarm:
    """Very many clients, all of which connect at once, on one epoll."""

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
        """Connects them all, then serves whichever is ready: request out, 101 in."""
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
        """The closing handshake of them all."""
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
                        elif not received.startswith(b"\x89"):  # a ping may come before our Close has
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
    """A client, or None if there is no room, or nobody."""
    try:
        return Peer(port, timeout=1)
    except (OSError, Failure):
        return None
