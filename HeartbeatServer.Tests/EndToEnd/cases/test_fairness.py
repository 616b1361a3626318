"""The server does not cut a client that is alive, however slow the client or its line is, and whatever happens to the server itself."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.clients import Running, waiting_client
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, elsewhere
from harness.network import HERE, other_host
from harness.paths import CLIENTS
from harness.peer import Peer, frame, upgrade_request
from harness.server import Server


def slow_reader(lab: Lab, server: Server, host: str, size: int, rate: int, *before: str) -> Running:
    program = [*before, sys.executable, CLIENTS / "slow_reader.py", host, str(server.port), str(size), str(rate)]
    client = Running(lab.start(program, stdout=subprocess.PIPE))
    client.expect_line("open")
    return client


def expect_echoed(clients: list[Running], server: Server) -> None:
    for client in clients:
        line = client.line()
        expect_that("the whole echo", line.startswith("echoed "), line)
    ends = server.wait_for_ends(len(clients))
    expect("causes", {end["cause"] for end in ends}, {"client_closed"})


def test_clients_that_read_slowly_get_their_whole_echo(lab: Lab) -> None:
    with lab.server("--ping", "500ms", "--timeout", "250ms", "--write-timeout", "10s") as server:
        expect_echoed([slow_reader(lab, server, "127.0.0.1", 256 << 10, 32 << 10) for _ in range(12)], server)


def test_on_a_slow_line_a_client_gets_its_whole_echo(lab: Lab) -> None:
    with other_host() as host, lab.server("--ping", "500ms", "--timeout", "250ms", "--write-timeout", "10s", host=HERE) as server:
        host.slow_down("64kbit")
        expect_echoed([slow_reader(lab, server, HERE, 96 << 10, 1 << 30, *host.inside())], server)


def test_after_an_outage_that_healed_everybody_is_there(lab: Lab) -> None:
    """TCP retransmits again before the server's patience is over, because its backoff has a limit (Linux 6.15)."""
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 15):
        pytest.skip("the kernel has no limit for the time between two retransmissions: Linux 6.15 has")
    with other_host() as host, lab.server("--ping", "5s", "--log-level", "debug", host=HERE) as server:
        clients = [waiting_client(lab, server, HERE, *host.inside()) for _ in range(3)]
        pongs = len(server.lines("pong, round trip"))
        host.lose_everything(True)
        time.sleep(9.5)
        host.lose_everything(False)
        eventually("a pong of each after the outage", lambda: len(server.lines("pong, round trip")) + len(server.lines("late pong")) >= pongs + 3, 10)
        expect("ends", server.ends(), [])
        for client in clients:
            client.vanish()
        server.wait_for_ends(3)


def test_a_server_that_was_stopped_blames_no_client_for_it(lab: Lab) -> None:
    with lab.server("--ping", "1s", "--handshake-timeout", "2s", "--write-timeout", "2s") as server:
        writers = [Peer(server.port, timeout=20) for _ in range(20)]
        for peer in writers:
            peer.send(frame("binary", bytes(1 << 20)))
        unfinished = [Peer(server.port, upgrade=False, timeout=20) for _ in range(20)]
        for peer in unfinished:
            peer.send(upgrade_request(server.port)[:40])
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGSTOP)
        for peer in unfinished:
            peer.send(upgrade_request(server.port)[40:])
        time.sleep(5)
        os.kill(server.pid, signal.SIGCONT)
        for peer in unfinished:
            expect("status of a request that was complete while the server was stopped", peer.response()[0], 101)
        for peer in writers:
            expect("echo of a client that read all the time", peer.data(), ("binary", bytes(1 << 20)))
        expect("ends", server.ends(), [])
        for peer in writers + unfinished:
            peer.goodbye()


def test_with_no_pings_a_host_that_is_gone_is_found_all_the_same(lab: Lab) -> None:
    with other_host() as host, lab.server("--ping", "0", host=HERE) as server:
        program = [*host.inside(), sys.executable, CLIENTS / "py_wsproto.py", f"ws://{HERE}:{server.port}/ws", "wait"]
        client = Running(lab.start(program, stdout=subprocess.PIPE))
        client.expect_line("open")
        keepalive = subprocess.run(["ss", "-tno", f"sport = :{server.port}"], capture_output=True, text=True, check=True).stdout
        expect_that("a keep-alive timer on the connection", "timer:(keepalive," in keepalive, keepalive)
        client.vanish()
        server.wait_for_ends(1)


def hold_half_open(port: int, seconds: float, rate: int) -> None:
    """Connects again and again, sends nothing, and keeps each connection open."""
    held = []
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds:
        while len(held) < passed * rate:
            try:
                held.append(socket.create_connection(("127.0.0.1", port), 1))
            except OSError:
                held.append(None)
        time.sleep(0.005)


@pytest.mark.door
def test_half_open_requests_lock_no_newcomer_out(lab: Lab) -> None:
    with lab.server(descriptors=600) as server, ThreadPoolExecutor(1) as pool:
        members = [Peer(server.port) for _ in range(20)]
        flood = pool.submit(elsewhere, hold_half_open, server.port, 5.0, 400)
        time.sleep(2.0)
        for _ in range(10):
            start = time.monotonic()
            with Peer(server.port, source="127.0.0.9") as newcomer:
                newcomer.send(frame("text", b"let me in"))
                expect("echo", newcomer.data(), ("text", b"let me in"))
                newcomer.goodbye()
            expect_that("a newcomer to be served within a second", time.monotonic() - start < 1, time.monotonic() - start)
            time.sleep(0.1)
        flood.result()
        for peer in members:
            peer.goodbye()
        expect("causes", {end["cause"] for end in server.ends()}, {"client_closed"})
