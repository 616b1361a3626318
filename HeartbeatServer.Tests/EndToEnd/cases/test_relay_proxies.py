"""The relay beside nginx and haproxy: they part WebSockets from pages by the files that we ship, and cut what is silent for too long."""

import re
import time
import urllib.request
from pathlib import Path

import pytest

from harness.applications import GOODBYES, relay, start_application, start_client
from harness.expect import expect, expect_that
from harness.lab import Lab
from harness.paths import ONE_SERVER_NGINX, RELAY_HAPROXY, RELAY_NGINX, name_of
from harness.peer import EOF, Peer, frame, upgrade_request
from harness.proxies import IDLE, proxy_to
from harness.server import free_port

pytestmark = pytest.mark.door

SPLITTERS = pytest.mark.parametrize("file", [RELAY_NGINX, RELAY_HAPROXY], ids=name_of)
TRUST = ("--trust-proxy", "127.0.0.1")


@SPLITTERS
@pytest.mark.parametrize(("application", "program", "first", "then"), [
    ("socket.io", "socket-io-client.mjs", "open polling", "over websocket"),
    ("SignalR", "signalr-client.mjs", "open WebSocketTransport", None),
], ids=["socket.io", "SignalR"])
def test_polling_and_negotiation_go_past_the_relay(lab: Lab, file: Path, application: str, program: str, first: str, then: str | None) -> None:
    """Unchanged clients with their default settings. What they ask by HTTP goes straight to the application, the WebSocket through the relay."""
    behind = start_application(lab, application)
    with relay(lab, behind.port, "--ping", "300ms", "--max-missed", "10", "--upstream-http", "off", *TRUST) as server, proxy_to(lab, file, server.port, behind.port) as proxy:
        client = start_client(lab, program, proxy.port, "any")
        lines = client.process.communicate(timeout=30)[0].decode().splitlines()
        expect("what the client did", lines[:-1], [line for line in (first, then, "exchanged", "exchanged again") if line])
        end = server.wait_for_ends(1)[0]
        expect_that(f"one of {GOODBYES[application]}", end["cause"] in GOODBYES[application], server.ends())
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])


@SPLITTERS
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket"])
def test_a_page_goes_to_the_application_and_a_web_socket_to_the_relay(lab: Lab, file: Path, upgrade: str) -> None:
    behind = start_application(lab, "socket.io")
    with relay(lab, behind.port, *TRUST) as server, proxy_to(lab, file, server.port, behind.port) as proxy:
        page = urllib.request.urlopen(f"http://127.0.0.1:{proxy.port}/index.html", timeout=5).read()
        expect("the page", page, b"a page of the application")
        with Peer(proxy.tls_port, upgrade=False, tls=proxy.tls, source="127.0.0.5") as peer:
            request = upgrade_request(proxy.tls_port, path="/socket.io/?EIO=4&transport=websocket").replace(b": websocket", f": {upgrade}".encode())
            peer.send(request)
            expect("status of the upgrade", peer.response()[0], 101)
            expect("the first message of Engine.IO", peer.data()[1][:1], b"0")
        expect_that("the client's address, and the proxy's, in the log", " 127.0.0.5 via 127.0.0.1:" in server.wait_for(" connected, ")["message"], server.lines(" connected, "))


def test_a_page_that_reaches_a_relay_for_web_sockets_alone_is_told_the_way_past_it(lab: Lab) -> None:
    with relay(lab, free_port(), "--upstream-http", "off") as server, Peer(server.port, upgrade=False) as peer:
        peer.send(f"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        status, fields = peer.response()
        expect("status", status, 426)
        expect("Upgrade in it", fields.get("upgrade"), "websocket")


def silent_for(peer: Peer, seconds: float) -> None:
    """A client that sends nothing by itself. It answers pings."""
    deadline = time.monotonic() + seconds
    peer.socket.settimeout(seconds + 5)
    while time.monotonic() < deadline:
        item = peer.receive()
        expect("a frame that comes to a silent client", item[0], "ping")
        peer.send(frame("pong", item[1]))


def test_an_application_that_never_pings_lives_behind_nginx_and_the_relay(lab: Lab) -> None:
    behind = start_application(lab, "npm ws")
    with relay(lab, behind.port, "--ping", "1s", *TRUST) as server, proxy_to(lab, ONE_SERVER_NGINX, server.port) as proxy, Peer(proxy.port) as peer:
        silent_for(peer, 4 * IDLE)
        peer.send(frame("text", b"still there?"))
        expect("echo", peer.data(), ("text", b"still there?"))
        expect("ends", server.ends(), [])
        peer.goodbye()


def test_the_same_application_dies_behind_nginx_alone(lab: Lab) -> None:
    behind = start_application(lab, "npm ws")
    with proxy_to(lab, ONE_SERVER_NGINX, behind.port) as proxy, Peer(proxy.port) as peer:
        seconds = peer.seconds_until_end(IDLE + 5)
        expect_that(f"nginx to cut after {IDLE}s", IDLE - 0.5 <= seconds <= IDLE + 3, seconds)


def test_a_proxy_between_relay_and_application_that_cuts_is_on_the_applications_leg(lab: Lab) -> None:
    """The relay sends no pings towards the application, so this proxy's timeout is the application's own business. The line shows its round number."""
    behind = start_application(lab, "npm ws")
    with proxy_to(lab, ONE_SERVER_NGINX, behind.port) as proxy, relay(lab, proxy.port, "--ping", "500ms") as server, Peer(server.port) as peer:
        items = [peer.receive()]
        while items[-1][0] == "ping":
            peer.send(frame("pong", items[-1][1]))
            items.append(peer.receive())
        expect("what the client gets after pings", items[-1], EOF)
        peer.socket.close()
        end = server.wait_for_ends(1)[0]
        expect("cause and who", (end["cause"], end["ended_by"]), ("upstream_vanished", "application"))
        # nginx has counted from the answer on, which the relay may have read a little later.
        silence = float(re.search(r"last byte ([\d.]+)s ago", end["message"].partition("| app ")[2])[1])
        expect_that(f"the application's leg silent for {IDLE}s", IDLE - 0.5 <= silence <= IDLE + 3, end["message"])
