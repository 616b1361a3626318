"""Very many connections at once: more than usual, and more than there are descriptors."""

import contextlib
import multiprocessing
import multiprocessing.synchronize
import socket
import time

import pytest

from harness.crowd import Swarm, knock
from harness.expect import Failure, eventually, expect, expect_that
from harness.lab import Lab, healthy
from harness.peer import Peer, frame, upgrade_request
from harness.server import die_together, free_port


def failed_cookies() -> int:
    """How many connections the kernel has reset in this network because it did not recognise one of its own SYN cookies (RFC 4987)."""
    with open("/proc/net/netstat", encoding="ascii") as netstat:
        names, values = [line.split() for line in netstat if line.startswith("TcpExt:")]
    return int(values[names.index("SyncookiesFailed")])


@pytest.mark.alone
@pytest.mark.timeout(90)
def test_10000_connections_as_fast_as_they_come(lab: Lab) -> None:
    """More clients come than the kernel lets wait (net.core.somaxconn). It then sends SYN cookies, and may fail to recognise one that returns."""
    count = 10_000
    with lab.hostile(stall=5) as server, Swarm(server.port) as swarm:
        before, ended = server.opened(), len(server.ends())
        cookies = failed_cookies()
        swarm.upgrade(count, 30)
        cookies = failed_cookies() - cookies
        expect_that(f"no failure but the kernel's own {cookies}", len(swarm.failures) <= cookies, swarm.failures[:5])
        failed = len(swarm.failures)
        count -= failed
        eventually(f"{count} connections in the log", lambda: server.opened() - before >= count, 10)
        expect("ends while they are there", len(server.ends()) - ended, 0)
        swarm.close(30)
        expect("failures of the closing handshake", swarm.failures[failed:], [])
        ends = server.wait_for_ends(ended + count, 10)[ended:]
        expect("causes", {end["cause"] for end in ends}, {"client_closed"})


LIMIT = 256
"""The limit of the server's descriptors in these cases."""


@pytest.mark.alone
@pytest.mark.timeout(90)
@pytest.mark.door
def test_at_the_descriptor_limit(lab: Lab) -> None:
    with lab.hostile("--ping", "0", descriptors=LIMIT) as server, contextlib.ExitStack() as stack:
        peers: list[Peer] = []
        deadline = time.monotonic() + 20
        while (peer := knock(server.port)) is not None:
            peers.append(stack.enter_context(peer))
            expect_that(f"the limit of {LIMIT} to be reached", len(peers) < LIMIT and time.monotonic() < deadline, len(peers))
        # The runtime itself needs a dozen descriptors, or some 60 with its libraries in files.
        expect_that(f"room for most of {LIMIT}", len(peers) >= LIMIT - 100, len(peers))

        # The clients outside keep knocking. That costs the server nothing, because they wait in the kernel.
        waiting = [stack.enter_context(socket.socket()) for _ in range(100)]
        for outside in waiting:
            outside.setblocking(False)
            outside.connect_ex(("127.0.0.1", server.port))
        share = server.cpu_share(2)
        expect_that("less than 20 % of a processor at the limit", share < 0.2, f"{share:.0%}")
        for peer in (peers[0], peers[-1]):
            peer.send(frame("text", b"inside"))
            expect("echo to those inside", peer.receive(), ("text", b"inside"))
        warnings = [line["message"] for line in server.log if line["level"] == "warning"]
        about = [text for text in warnings if "open files" in text]
        expect_that("a warning about open files, once in a while", 1 <= len(about) <= 3, warnings)

        for peer in peers[:50]:
            peer.goodbye()
        for outside in waiting:
            outside.close()
        stack.enter_context(eventually("room again", lambda: knock(server.port), 5))
        for peer in peers[50:]:
            peer.send(frame("text", b"still"))
            expect("echo to those who stayed", peer.receive(), ("text", b"still"))


@pytest.mark.alone
@pytest.mark.door
@pytest.mark.parametrize("limit", [256, 1024])
def test_a_flood_past_the_limit_of_descriptors(lab: Lab, limit: int) -> None:
    """Twice as many clients as there is room for come at once, to a server that has served nobody yet. What it loads or opens late, it needs now."""
    for _ in range(3):
        with lab.server("--ping", "0", descriptors=limit) as server:
            with Swarm(server.port) as swarm, contextlib.suppress(Failure):  # most clients rightly get no answer
                swarm.upgrade(2 * limit, 2)
            eventually("room again, in a server that lives", lambda: knock(server.port)).goodbye()
            healthy(server)


def press(port: int, stop: multiprocessing.synchronize.Event) -> None:
    """A client that waits for a restart: it connects again and again, a thousand times a second and more."""
    die_together()
    while not stop.is_set():
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                client.sendall(upgrade_request(port))


@pytest.mark.timeout(90)
def test_clients_that_press_in_while_it_starts(lab: Lab) -> None:
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
