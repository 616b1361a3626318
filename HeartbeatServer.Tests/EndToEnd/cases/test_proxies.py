"""nginx, haproxy, Apache and Caddy in front of the server, configured by the files that we ship with other ports, certificates and timeouts."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from harness.clients import start
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab
from harness.paths import (
    ONE_SERVER_APACHE,
    ONE_SERVER_CADDY,
    ONE_SERVER_HAPROXY,
    ONE_SERVER_NGINX,
    RELAY_HAPROXY,
    RELAY_NGINX,
    name_of,
)
from harness.peer import EOF, Peer, close_body, frame, upgrade_request
from harness.proxies import FILES, IDLE, Proxy, caddy, proxy_to
from harness.server import free_port

PROXIES = {"nginx": ONE_SERVER_NGINX, "haproxy": ONE_SERVER_HAPROXY, "apache": ONE_SERVER_APACHE, "caddy": ONE_SERVER_CADDY}

CAUSE_OF_CUT = {"nginx": ("client_vanished", "client"), "haproxy": ("connection_reset", "network"), "apache": ("client_vanished", "client")}
"""What the server sees when a proxy cuts a client: haproxy sends RST, the others FIN. docs/troubleshooting.md says so. Caddy cuts nobody."""

every_proxy_that_cuts = pytest.mark.parametrize("kind", CAUSE_OF_CUT)
every_proxy = pytest.mark.parametrize("kind", PROXIES)
with_and_without_tls = pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])


def peer_through(proxy: Proxy, secure: bool) -> Peer:
    return Peer(proxy.tls_port if secure else proxy.port, host="ws.example.com", tls=proxy.tls if secure else None, timeout=10)


@every_proxy
@with_and_without_tls
def test_with_pings_a_silent_client_stays(lab: Lab, kind: str, secure: bool) -> None:
    """A client that sends only pongs stays connected for many times the idle timeout."""
    with lab.server("--ping", "1s") as server, proxy_to(lab, PROXIES[kind], server.port) as proxy, peer_through(proxy, secure) as peer:
        deadline = time.monotonic() + 20
        pings = 0
        while time.monotonic() < deadline:
            item = peer.receive()
            expect(f"frame that comes to a silent client after {pings} pings", item[0], "ping")
            peer.send(frame("pong", item[1]))
            pings += 1
        expect_that("at least 18 pings in 20s", pings >= 18, pings)
        expect("ends in the log", server.ends(), [])
        peer.goodbye()


@every_proxy_that_cuts
@with_and_without_tls
def test_without_pings_a_silent_client_is_cut(lab: Lab, kind: str, secure: bool) -> None:
    """Without pings the proxy cuts the silent client, and the server's log says that the server did not do so."""
    with lab.server("--ping", "0") as server, proxy_to(lab, PROXIES[kind], server.port) as proxy, peer_through(proxy, secure) as peer:
        seconds = peer.seconds_until_end(IDLE + 5)
        expect_that(f"the proxy to cut after {IDLE}s", IDLE - 0.5 <= seconds <= IDLE + 3, seconds)
        end = server.wait_for_ends(1)[0]
        expect("cause, and who", (end["cause"], end["ended_by"]), CAUSE_OF_CUT[kind])
        expect_that(f"an age of {IDLE}s in the log", IDLE - 0.5 <= end["age_seconds"] <= IDLE + 3, end["age_seconds"])
        expect_that("silence as long as the age", end["last_byte_seconds"] >= IDLE - 0.5, end["last_byte_seconds"])


@every_proxy_that_cuts
def test_the_record_says_why_they_cut(lab: Lab, kind: str) -> None:
    """The proxy cuts eight silent clients that came one after another. The server says that it was an idle timeout, how long it is, and what to do."""
    admin = free_port()
    with (
        lab.server("--ping", "0", "--admin", str(admin)) as server,
        proxy_to(lab, PROXIES[kind], server.port) as proxy,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(8):
            stack.enter_context(peer_through(proxy, False))
            time.sleep(0.3)
        server.wait_for_ends(8)
        with urllib.request.urlopen(f"http://localhost:{admin}/status/why", timeout=5) as answer:
            (sentence,) = json.load(answer)["sentences"]
        expect("kind, how many, and the ping that helps", (sentence["kind"], sentence["count"], sentence["of"], sentence["ping"]), ("silence", 8, 8, "1s"))
        expect_that(f"a silence of {IDLE}s", IDLE - 0.1 <= sentence["seconds"] <= IDLE + 1.1, sentence["seconds"])
        expect("causes", sentence["causes"], {CAUSE_OF_CUT[kind][0]: 8})
        warning = eventually("the warning in the log", lambda: server.lines("Why (silence)"), 15)[0]
        expect("level", warning["level"], "warning")


@pytest.mark.parametrize("direction", ["from the client", "from the server"])
@pytest.mark.parametrize("kind", ["nginx", "apache"])
def test_bytes_of_one_direction_keep_a_connection(lab: Lab, kind: str, direction: str) -> None:
    """docs/troubleshooting.md says so: a client that only receives is as good as one that only sends."""
    ping = "1s" if direction == "from the server" else "0"
    with lab.server("--ping", ping, "--timeout", "0") as server, proxy_to(lab, PROXIES[kind], server.port) as proxy, peer_through(proxy, False) as peer:
        connected = time.monotonic()
        while time.monotonic() < connected + 2.5 * IDLE:
            if direction == "from the client":
                peer.send(frame("pong", b"unasked"))
                time.sleep(1)
            else:
                expect("what comes", peer.receive()[0], "ping")
        expect("ends in the log", server.ends(), [])


def test_a_reload_of_caddy_ends_all_and_its_silence_does_not(lab: Lab) -> None:
    with lab.server("--ping", "0") as server, proxy_to(lab, ONE_SERVER_CADDY, server.port) as proxy, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(peer_through(proxy, secure)) for secure in (False, True)]
        time.sleep(2 * IDLE)
        expect("ends by silence", server.ends(), [])
        subprocess.run([*caddy(proxy.config, "reload"), "--force"], check=True, capture_output=True, timeout=20)
        ends = server.wait_for_ends(len(peers))
        told = {(end["cause"], "unmasked Close 1001: a proxy that stops, not the client" in end["message"]) for end in ends}
        expect("causes of a reload, and what they say", told, {("protocol_error", True)})


@every_proxy
def test_host_and_upgrade_pass(lab: Lab, kind: str) -> None:
    """The client's Host header reaches the server unchanged."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        upstream.settimeout(10)
        head = []

        def accept() -> None:
            connection, _ = upstream.accept()
            with connection:
                head.append(connection.recv(65536).decode())
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        server = threading.Thread(target=accept)
        server.start()
        with proxy_to(lab, PROXIES[kind], upstream.getsockname()[1]) as proxy, Peer(proxy.port, upgrade=False) as peer:
            peer.send(upgrade_request(proxy.port, host="ws.example.com:8443"))
            expect("status", peer.response()[0], 404)
        server.join(10)
        expect("Host at the server", re.findall(r"(?im)^host: *(.*?)\r?$", head[0]), ["ws.example.com:8443"])
        expect("Upgrade at the server", re.findall(r"(?im)^upgrade: *(.*?)\r?$", head[0]), ["websocket"])


@every_proxy
@with_and_without_tls
def test_echo_pings_and_close(lab: Lab, kind: str, secure: bool) -> None:
    """A real client through the proxy: echoes of all sizes, pings, and a close that both sides see."""
    with lab.server("--ping", "300ms", "--max-missed", "10") as server, proxy_to(lab, PROXIES[kind], server.port) as proxy:
        url = f"ws://localhost:{proxy.port}/ws" if not secure else f"wss://localhost:{proxy.tls_port}/ws"
        client = start(lab, "npm ws", url, "echo", NODE_EXTRA_CA_CERTS=str(proxy.pem))
        client.expect_line("open")
        client.expect_line("echoed")
        client.expect_line("closed 3001")
        end = server.wait_for_ends(1)[0]
        expect("cause and detail", (end["cause"], end["detail"]), ("client_closed", 'Close 3001 "see you later"'))
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])


@every_proxy
def test_drained_with_1001(lab: Lab, kind: str) -> None:
    with lab.server() as server, proxy_to(lab, PROXIES[kind], server.port) as proxy, peer_through(proxy, True) as peer:
        server.terminate()
        item = peer.data()
        expect("goodbye through the proxy", (item[0], item[1][:2], item[1][2:]), ("close", close_body(1001), b"server is shutting down"))
        peer.send(frame("close", item[1][:2]))
        expect("what follows", peer.transcript(), [EOF])
        expect("cause", server.wait_for_ends(1)[0]["cause"], "server_shutdown")


@pytest.mark.parametrize("file", [file for file in FILES if file not in (RELAY_NGINX, RELAY_HAPROXY)], ids=name_of)
def test_a_client_cannot_hide_its_address(lab: Lab, file: Path) -> None:
    """Behind a trusted proxy the log and the limits go by the client's address, whatever the client itself sends in its headers."""
    with lab.server("--trust-proxy", "127.0.0.1", "--max-connections-per-ip", "1") as server, proxy_to(lab, file, server.port) as proxy:

        def connect(source: str, *headers: str) -> tuple[Peer, int]:
            peer = Peer(proxy.tls_port, upgrade=False, source=source, tls=proxy.tls)
            peer.send(upgrade_request(proxy.tls_port, extra="".join(header + "\r\n" for header in headers)))
            return peer, peer.response()[0]

        first, answer = connect("127.0.0.5")
        expect("first from 127.0.0.5", answer, 101)
        line = eventually("its line", lambda: server.lines(" connected, "))[0]
        expect_that("the client and the proxy in the log", " 127.0.0.5 via 127.0.0.1:" in line["message"], line["message"])
        peers = [first]
        old, new = "X-Forwarded-For: 203.0.113.66", "Forwarded: for=203.0.113.66"
        for spoof in ((), (old,), (new,), (old, new)):
            peer, answer = connect("127.0.0.5", *spoof)
            expect(f"second from 127.0.0.5, with {spoof}", answer, 429)
            peers.append(peer)
        peer, answer = connect("127.0.0.6", old, new)
        expect("first from 127.0.0.6", answer, 101)
        for peer in (*peers, peer):
            peer.socket.close()
