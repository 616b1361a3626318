"""The admin listener of the real server, read by the tools that people use: promtool and an HTTP client."""

import contextlib
import http.client
import json
import subprocess

import pytest

from harness.crowd import Swarm, knock
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, need, on_both_doors
from harness.peer import Peer, close_body, frame
from harness.server import Server, free_port


class Admin:
    """A client of the admin listener."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def json(self, path: str) -> dict:
        status, body = self.get(path)
        expect(f"status of {path}", status, 200)
        return json.loads(body)

    def figures(self) -> dict[str, float]:
        """The values of all series of /metrics, by their names and labels."""
        status, body = self.get("/metrics")
        expect("status of /metrics", status, 200)
        lines = (line.rpartition(" ") for line in body.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


def address(peer: Peer) -> str:
    return f"{peer.address[0]}:{peer.address[1]}"


def start(lab: Lab, *arguments: str, descriptors: int | None = None) -> tuple[Server, Admin]:
    port = free_port()
    return lab.server("--admin", str(port), *arguments, descriptors=descriptors), Admin(port)


def test_promtool_accepts_the_metrics(lab: Lab) -> None:
    tool = need("promtool")
    server, admin = start(lab, "--ping", "100ms", "--timeout", "100ms")
    with server, Peer(server.port) as peer:
        peer.send(frame("pong", peer.receive()[1]))
        checked = subprocess.run([tool, "check", "metrics"], input=admin.get("/metrics")[1], capture_output=True, text=True, timeout=30)
        expect("what promtool check metrics says", (checked.returncode, checked.stdout + checked.stderr), (0, ""))


@on_both_doors
def test_the_numbers_are_those_of_the_clients(lab: Lab) -> None:
    server, admin = start(lab, "--ping", "1s", "--timeout", "200ms", "--max-missed", "2")
    with server:
        echoing, mute, leaving = (Peer(server.port) for _ in range(3))
        sizes = (10, 1000)
        for size in sizes:
            echoing.send(frame("text", b"x" * size))
            expect("echo", echoing.data(), ("text", b"x" * size))
        refused = Peer(server.port, upgrade=False)
        refused.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        expect("status of what is not there", refused.response()[0], 404)
        leaving.goodbye()

        pongs = 0
        while len(server.ends()) < 2:
            opcode, payload = echoing.receive()
            expect("what comes", opcode, "ping")
            echoing.send(frame("pong", payload))
            pongs += 1
        figures = eventually(
            "the last pong and the last end in the figures",
            lambda: (now := admin.figures())["heartbeat_pongs_total"] >= pongs and now["heartbeat_connections"] == 1 and now)

        expect("opened", figures["heartbeat_connections_opened_total"], 3)
        for labels, count in {
            'cause="client_closed",verdict=""': 1,
            'cause="pong_timeout",verdict="peer_frozen"': 1,
            'cause="pong_timeout",verdict="path_dead"': 0,
            'cause="connection_reset",verdict=""': 0,
            'cause="internal_error",verdict=""': 0,
        }.items():
            expect(f"ends by {labels}", figures[f"heartbeat_connections_ended_total{{{labels}}}"], count)
        expect("refused", figures['heartbeat_upgrades_refused_total{reason="not_found"}'], 1)
        expect("missed", figures["heartbeat_pongs_missed_total"], 2)
        expect("round trips", figures["heartbeat_round_trip_seconds_count"], figures["heartbeat_pongs_total"])
        for direction in ("in", "out"):
            expect(f"messages {direction}", figures[f'heartbeat_messages_total{{direction="{direction}"}}'], len(sizes))
            expect_that(f"bytes {direction}", figures[f'heartbeat_io_bytes_total{{direction="{direction}"}}'] > sum(sizes), figures)
        expect_that("pings to both", pongs + 2 <= figures["heartbeat_pings_total"] <= pongs + 4, (figures["heartbeat_pings_total"], pongs))

        status = admin.json("/status")
        expect("connections in /status", [item["remote"] for item in status["connections"]["items"]], [address(echoing)])
        expect("opened and ended in /status", (status["totals"]["opened"], status["totals"]["ended"]), (3, 2))
        ends = {item["remote"]: item for item in admin.json("/status/ends")["items"]}
        expect("ends that are remembered", set(ends), {address(mute), address(leaving)})
        last = ends[address(mute)]
        expect("the mute one's end", (last["cause"], last["by"], last["verdict"], last["missed"]), ("pong_timeout", "server", "peer_frozen", 2))
        expect("its own page", admin.json(f"/status/{last['id']}"), {"id": last["id"], "end": last})
        echoing.goodbye()


@on_both_doors
def test_it_outlives_the_drain(lab: Lab) -> None:
    server, admin = start(lab, "--drain", "4s")
    with server, Peer(server.port) as peer:
        expect("readiness", admin.get("/readyz"), (200, "serving\n"))
        server.terminate()
        server.wait_for("draining")
        expect("readiness while draining", admin.get("/readyz"), (503, "draining\n"))
        expect("health while draining", admin.get("/healthz"), (200, "ok\n"))
        expect("draining in /metrics", admin.figures()["heartbeat_draining"], 1)
        expect("the client's state", admin.json("/status/1")["state"], "closing")
        peer.receive()
        peer.send(frame("close", close_body(1001)))


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_a_page_of_thousands_of_connections_is_short_and_cheap(lab: Lab) -> None:
    count, looks = 8_000, 20
    server, admin = start(lab, "--ping", "0")
    with server:
        with Swarm(server.port) as swarm:
            swarm.upgrade(count, 60)
            eventually("all of them in /status", lambda: admin.json("/status")["totals"]["connections"] == count)
            before = server.cpu()
            for _ in range(looks):
                body = admin.get("/status?sort=bytes")[1]
                expect_that("an answer of a page's length", len(body) < 50_000, len(body))
            cost = (server.cpu() - before) / looks
            swarm.close(60)
        # The limit is far above the usual time, for a busy machine. The time must not grow with the connections that are not on the page.
        expect_that("at most 50 ms of CPU for an answer", cost < 0.05, f"{1000 * cost:.1f} ms")
        server.expect_empty()


@pytest.mark.door
def test_not_ready_while_there_is_no_descriptor_to_spare(lab: Lab) -> None:
    limit = 128
    server, admin = start(lab, "--ping", "0", descriptors=limit)
    with server:
        expect("/readyz of an empty server", admin.get("/readyz")[0], 200)
        with contextlib.ExitStack() as stack:
            for _ in range(limit):
                if (peer := knock(server.port)) is None:
                    break
                stack.enter_context(peer)
            status, body = admin.get("/readyz")
            expect_that("/readyz of a full one to be 503, and to say so", status == 503 and "full" in body, (status, body))
            expect("what /status says", admin.json("/status")["state"], "full")
        eventually("ready again", lambda: admin.get("/readyz")[0] == 200)
