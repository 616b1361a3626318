"""The application behind the relay is restarted under many clients: killed, and one instance after the other."""

import asyncio
import re
import subprocess
import time
from collections import Counter

import pytest

from harness.applications import Application, relay, start_application
from harness.crowd import Crowd, until
from harness.expect import expect, expect_that
from harness.lab import Lab
from harness.proxies import haproxy
from harness.server import Server, free_port

CLIENTS = 600

pytestmark = [pytest.mark.door, pytest.mark.alone]


def report(crowd: Crowd, server: Server) -> None:
    """pytest shows this for a case that failed, and with -rP for one that passed."""
    print(f"upgrades by attempt {dict(sorted(crowd.upgraded.items()))}; failed attempts {Counter(crowd.failed).most_common(4)}")
    print(f"ends the clients saw {dict(crowd.ends)}; causes in the log {causes(server)}")
    print(next(end["message"] for end in server.ends() if end["cause"].startswith("upstream_")))


def causes(server: Server) -> Counter:
    return Counter(end["cause"] for end in server.ends())


def test_a_killed_application_comes_back(lab: Lab) -> None:
    """Everybody learns of it within two seconds. Until it is back, whoever comes gets 502."""
    behind = start_application(lab, "npm ws")

    async def kill_and_restart(server: Server) -> Crowd:
        crowd = Crowd(server.port)
        await crowd.come(CLIENTS)
        behind.process.kill()
        await until("all clients to be told", lambda: len(server.ends()) >= CLIENTS, 2)
        await until("somebody to be refused", lambda: bool(server.lines("502 upstream_unreachable")), 5)
        await asyncio.to_thread(start_application, lab, "npm ws", behind.port)
        await until("all clients to be back", lambda: crowd.connected == CLIENTS, 20)
        await crowd.leave()
        return crowd

    with relay(lab, behind.port, "--ping", "2s") as server:
        crowd = asyncio.run(kill_and_restart(server))
        server.expect_empty()
        report(crowd, server)
        expect("causes", causes(server), {"upstream_vanished": CLIENTS, "client_closed": CLIENTS})
        expect("what failed attempts got", {re.sub(r"attempt \d+: ", "", failure) for failure in crowd.failed},
               {"ValueError('HTTP/1.1 502 Bad Gateway')"})


def balancer(lab: Lab, applications: list[Application]) -> int:
    """Starts haproxy before several instances of the application, and returns its port."""
    port, config = free_port(), lab.scratch / "haproxy.cfg"
    servers = "\n".join(f"    server {place} 127.0.0.1:{application.port} check" for place, application in enumerate(applications))
    config.write_text(f"""
global
    maxconn 9000
defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    retries 3
    option redispatch 1
frontend one_name
    bind 127.0.0.1:{port}
    default_backend instances
backend instances
    balance leastconn
    default-server inter 500 fall 1 rise 1
{servers}
""")
    lab.start(haproxy(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return port


@pytest.mark.timeout(120)
def test_instances_of_the_application_are_restarted_one_by_one(lab: Lab) -> None:
    """Each says goodbye to its clients. They come back through the relay, to the instance that is there."""
    instances = [start_application(lab, "npm ws") for _ in range(2)]

    async def roll(server: Server) -> Crowd:
        crowd = Crowd(server.port)
        await crowd.come(CLIENTS)
        for place, old in enumerate(instances):
            told = crowd.ends["Close 1001"]
            old.process.terminate()
            await asyncio.to_thread(old.process.wait, 20)
            instances[place] = await asyncio.to_thread(start_application, lab, "npm ws", old.port)
            await until("all clients to be back", lambda: crowd.connected == CLIENTS, 20)
            expect_that("a share of the clients to be sent away", crowd.ends["Close 1001"] - told >= CLIENTS // 4, crowd.ends)
            await asyncio.sleep(1)  # haproxy checks every 500 ms
        await crowd.leave()
        return crowd

    with relay(lab, balancer(lab, instances), "--ping", "2s") as server:
        time.sleep(1)
        crowd = asyncio.run(roll(server))
        server.expect_empty()
        report(crowd, server)
        expect("how clients were sent away", {end for end in crowd.ends if end != "left"}, {"Close 1001"})
        expect("causes", set(causes(server)), {"upstream_closed", "client_closed"})
        expect("what the application said", {end["detail"] for end in server.ends() if end["cause"] == "upstream_closed"},
               {'Close 1001 "the application restarts"'})
        expect("attempts that failed", crowd.failed, [])
