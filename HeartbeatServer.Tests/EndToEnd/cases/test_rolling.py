"""A rolling restart: three servers behind haproxy, configured by the file that we ship, are restarted one after the other under 3,000 clients."""

import asyncio
import contextlib
import random
import subprocess
import time
import urllib.request
from collections import Counter

import pytest

from harness.crowd import Crowd, until
from harness.expect import expect, expect_that
from harness.lab import Lab
from harness.paths import SEVERAL_SERVERS_HAPROXY
from harness.proxies import certificate, derive, haproxy
from harness.server import Server, free_port

CLIENTS = 3000
SERVERS = 3
SHARE = (0.28, 0.39)
"""Bounds of a server's share of the connections. An even share would be a third. haproxy can spread only new connections, because an open one stays
at its server. The server that was restarted last is empty at first, because its clients have connected elsewhere meanwhile. So half of the clients
connect anew before the case judges the shares, which is enough to fill this server."""

SLOW_START = 10
"""slowstart of haproxy's configuration, in seconds."""


def proxy(lab: Lab, ports: list[int]) -> int:
    """Starts haproxy, and returns its port."""
    port, config = free_port(), lab.scratch / "haproxy.cfg"
    config.write_text(derive(SEVERAL_SERVERS_HAPROXY, {
        "bind :80": f"bind 127.0.0.1:{port}", "bind :443": f"bind 127.0.0.1:{free_port()}", "/etc/haproxy/heartbeat.pem": certificate(lab.scratch).both,
        "maxconn 100000": "maxconn 9000", **{f"192.0.2.1{number}:8080": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}}))
    lab.start(haproxy(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return port


def healthy(port: int) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).status == 200
    return False


async def roll(lab: Lab, servers: list[Server], port: int) -> Crowd:
    start = time.monotonic()
    crowd = Crowd(port)

    def note(text: str) -> None:
        shares = " ".join(str(now(server)) for server in servers)
        print(f"{time.monotonic() - start:6.2f}s  {text}; clients connected {crowd.connected}, at the servers {shares}, upgrades {sum(crowd.upgraded.values())}")

    await crowd.come(CLIENTS)
    note("all are there")
    for place, old in enumerate(servers):
        old.terminate()
        note(f"SIGTERM to server {place + 1}")
        await asyncio.to_thread(old.stop)
        note(f"server {place + 1} has ended")
        new = lab.server("--ping", "2s", "--drain", "8s", port=old.port)
        await asyncio.to_thread(new.wait_until_it_listens)
        servers[place] = new
        await until("the new server to be healthy", lambda new=new: healthy(new.port), 10)
        note(f"server {place + 1} is healthy again")
        await until("all clients to be back", lambda: crowd.connected == CLIENTS, 30)
        # haproxy needs two good checks at an interval of 1 s (rise 2), and a part of the ramp of slowstart.
        await asyncio.sleep(4)
        note("all are back")
    await asyncio.sleep(SLOW_START)
    for task in random.Random(1).sample(crowd.tasks, CLIENTS // 2):
        task.cancel()  # the client sends Close 1000, and another one comes
    await asyncio.sleep(2)
    await until("all clients to be back", lambda: crowd.connected == CLIENTS, 30)
    await until("all of them at the servers", lambda: sum(map(now, servers)) == CLIENTS, 10)
    note("half of the clients have come anew")
    crowd.shares = list(map(now, servers))
    await crowd.leave()
    return crowd


def now(server: Server) -> int:
    """How many connections the server has, according to its log."""
    return server.opened() - len(server.ends())


@pytest.mark.alone
@pytest.mark.timeout(150)
def test_three_servers_behind_haproxy_restarted_and_3000_clients(lab: Lab) -> None:
    """The case prints how the restart went. pytest shows this for a case that failed, and with -rP for one that passed."""
    servers = [lab.server("--ping", "2s", "--drain", "8s") for _ in range(SERVERS)]
    for server in servers:
        server.wait_until_it_listens()
    port = proxy(lab, [server.port for server in servers])
    time.sleep(2.5)  # haproxy makes its first checks
    crowd = asyncio.run(roll(lab, servers, port))
    print(f"upgrades by attempt {dict(sorted(crowd.upgraded.items()))}; failed attempts {Counter(crowd.failed).most_common(4)}")
    print(f"ends the clients saw {dict(crowd.ends)}; connections at the servers at the end {crowd.shares}")
    expect("how clients were sent away", {end for end in crowd.ends if end != "left"}, {"Close 1001"})
    expect_that("each server to send its share away", crowd.ends["Close 1001"] >= CLIENTS, crowd.ends)
    expect_that("no upgrade to fail that was retried once", max(crowd.upgraded) <= 2, crowd.upgraded)
    for place, share in enumerate(crowd.shares):
        expect_that(f"server {place + 1} to have its share of the clients: {SHARE}", SHARE[0] <= share / CLIENTS <= SHARE[1], crowd.shares)
    for server in servers:
        server.stop()
