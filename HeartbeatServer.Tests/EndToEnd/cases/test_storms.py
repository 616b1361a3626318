"""More connections at once than anybody asked for, and more than there are descriptors."""

import contextlib
import functools
import multiprocessing
import multiprocessing.synchronize
import select
import socket
import time

from .case import Failure, case, eventually, expect, expect_that
from .lab import Lab, healthy
from .peer import Peer, close_body, frame, upgrade_request
from .server import Server, free_port

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


def failed_cookies() -> int:
    """Connections that the kernel has reset in this network, because it did not know a SYN cookie of its own again (RFC 4987)."""
    with open("/proc/net/netstat", encoding="ascii") as netstat:
        names, values = [line.split() for line in netstat if line.startswith("TcpExt:")]
    return int(values[names.index("SyncookiesFailed")])


@case("hostile/10,000 connections as fast as they come", alone=True, limit=90)
def storm(lab: Lab) -> None:
    """More than the kernel lets wait (net.core.somaxconn): it then sends SYN cookies, and of those that come back it may fail to know one."""
    count = 10_000
    with lab.hostile(stall=5) as server, Swarm(server.port) as swarm:
        before, ended = len(server.lines(" connected, ")), len(server.ends())
        cookies = failed_cookies()
        swarm.upgrade(count, 30)
        cookies = failed_cookies() - cookies
        expect_that(f"no failure but the kernel's own {cookies}", len(swarm.failures) <= cookies, swarm.failures[:5])
        failed = len(swarm.failures)
        count -= failed
        eventually(f"{count} connections in the log", lambda: len(server.lines(" connected, ")) - before >= count, 10)
        expect("ends while they are there", len(server.ends()) - ended, 0)
        swarm.close(30)
        expect("failures of the closing handshake", swarm.failures[failed:], [])
        ends = server.wait_for_ends(ended + count, 10)[ended:]
        expect("causes", {end["Cause"] for end in ends}, {"client_closed"})


LIMIT = 256
"""Descriptors of the server here."""


@case("hostile/at the descriptor limit", alone=True, limit=90)
def descriptor_limit(lab: Lab) -> None:
    with lab.hostile("--ping", "0", descriptors=LIMIT) as server, contextlib.ExitStack() as stack:
        peers: list[Peer] = []
        deadline = time.monotonic() + 20
        while (peer := knock(server)) is not None:
            peers.append(stack.enter_context(peer))
            expect_that(f"the limit of {LIMIT} to be reached", len(peers) < LIMIT and time.monotonic() < deadline, len(peers))
        # The runtime has some of its own: a dozen, or with its libraries in files some 60.
        expect_that(f"room for most of {LIMIT}", len(peers) >= LIMIT - 100, len(peers))

        # Those outside keep knocking, and it costs nothing: the kernel lets them wait.
        waiting = [stack.enter_context(socket.socket()) for _ in range(100)]
        for outside in waiting:
            outside.setblocking(False)
            outside.connect_ex(("127.0.0.1", server.port))
        share = server.cpu_share(2)
        expect_that("less than 20 % of a processor at the limit", share < 0.2, f"{share:.0%}")
        for peer in (peers[0], peers[-1]):
            peer.send(frame("text", b"inside"))
            expect("echo to those inside", peer.receive(), ("text", b"inside"))
        warnings = [line["@m"] for line in server.log if line.get("@l") == "Warning"]
        about = [text for text in warnings if "open files" in text]
        expect_that("a warning about open files, once in a while", 1 <= len(about) <= 3, warnings)

        for peer in peers[:50]:
            peer.goodbye()
        for outside in waiting:
            outside.close()
        stack.enter_context(eventually("room again", lambda: knock(server), 5))
        for peer in peers[50:]:
            peer.send(frame("text", b"still"))
            expect("echo to those who stayed", peer.receive(), ("text", b"still"))


def flooded(lab: Lab, limit: int) -> None:
    """Twice as many as there is room for, at once, at a server that has served nobody yet: whatever it loads or opens late, it needs now."""
    for _ in range(3):
        with lab.server("--ping", "0", descriptors=limit) as server:
            with Swarm(server.port) as swarm, contextlib.suppress(Failure):  # most get no answer, and that is right
                swarm.upgrade(2 * limit, 2)
            eventually("room again, in a server that lives", lambda: knock(server)).goodbye()
            healthy(server)


for most in (256, 1024):
    case(f"hostile/a flood past the limit of {most} descriptors", alone=True)(functools.partial(flooded, limit=most))


def knock(server: Server) -> Peer | None:
    """A client, or None if there is no room."""
    try:
        return Peer(server.port, timeout=1)
    except (OSError, Failure):
        return None


def press(port: int, stop: multiprocessing.synchronize.Event) -> None:
    """A client that waits for a restart: it connects again and again, a thousand times a second and more."""
    while not stop.is_set():
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                client.sendall(upgrade_request(port))


@case("hostile/clients that press in while it starts", limit=90)
def press_in(lab: Lab) -> None:
    statuses: list[int] = []
    for _ in range(5):
        port = free_port()
        stop = multiprocessing.Event()
        client = multiprocessing.Process(target=press, args=(port, stop), daemon=True)
        client.start()
        try:
            with lab.server(port=port) as server:
                with Peer(server.port, upgrade=False) as peer:
                    peer.send(upgrade_request(server.port))
                    statuses.append(peer.response()[0])
                stop.set()
                client.join(10)
        finally:
            client.kill()
            client.join()
    expect("answers to an upgrade", statuses, [101] * 5)
