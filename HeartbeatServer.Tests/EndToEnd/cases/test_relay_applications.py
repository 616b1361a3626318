"""Real applications behind the relay, unchanged, from their packages, with the clients that belong to them."""

import pytest

from harness.applications import GOODBYES, relay, start_application, start_client
from harness.clients import PROGRAMS, start
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab

PINGS = ("--ping", "300ms", "--max-missed", "10")

PAIRS = {
    "graphql-ws": ["graphql-client.mjs"],
    "socket.io": ["socket-io-client.mjs", "websocket"],
    "SignalR": ["signalr-client.mjs", "websocket"],
    "mosquitto": ["mqtt-client.mjs"],
}


@pytest.mark.door
@pytest.mark.parametrize("application", PAIRS)
def test_an_application_and_its_client_by_web_socket_alone(lab: Lab, application: str) -> None:
    """The client exchanges, is silent for several pings, and exchanges again on the same connection."""
    program, *arguments = PAIRS[application]
    with relay(lab, start_application(lab, application).port, *PINGS) as server:
        client = start_client(lab, program, server.port, *arguments)
        lines = client.process.communicate(timeout=30)[0].decode().splitlines()
        expect_that("two exchanges and the end", [line for line in lines if "exchanged" in line] == ["exchanged", "exchanged again"], lines)
        expect("exit code of the client", client.process.returncode, 0)
        end = server.wait_for_ends(1)[0]
        expect_that(f"one of {GOODBYES[application]}", end["cause"] in GOODBYES[application], server.ends())
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])
        expect("missed pongs", end["missed"], 0)


@pytest.mark.door
@pytest.mark.parametrize(("client", "application"), [
    *((client, "npm ws") for client in PROGRAMS), ("python websockets", "python websockets"), ("npm ws", "python websockets"), ("npm ws", "uvicorn")])
def test_an_echo_and_a_client_that_others_wrote(lab: Lab, client: str, application: str) -> None:
    """npm ws and python-websockets compress where the client offers it. python-websockets pings, too, and its pongs must come back to it."""
    behind = start_application(lab, application)
    with relay(lab, behind.port, *PINGS) as server:
        running = start(lab, client, f"ws://127.0.0.1:{server.port}/ws", "echo")
        running.expect_line("open")
        running.expect_line("echoed")
        closed = running.line()
        expect_that("the client to see its code, 3001", closed.startswith("closed 3001"), closed)
        end = server.wait_for_ends(1)[0]
        expect("cause and detail", (end["cause"], end["ended_by"], end["detail"]), ("client_closed", "client", 'Close 3001 "see you later"'))
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])


@pytest.mark.door
def test_compression_is_agreed_on_by_the_end_points(lab: Lab) -> None:
    behind = start_application(lab, "npm ws")
    with relay(lab, behind.port) as server:
        running = start(lab, "npm ws", f"ws://127.0.0.1:{server.port}/", "echo")
        running.expect_line("open")
        running.expect_line("echoed")
        running.expect_line("closed 3001 see you later")
        eventually("both lines of the application", lambda: behind.said() == ["connected permessage-deflate", "closed 3001 see you later"])


@pytest.mark.door
def test_the_application_speaks_a_subprotocol_that_it_chooses(lab: Lab) -> None:
    with relay(lab, start_application(lab, "python websockets").port) as server:
        start(lab, "npm ws", f"ws://127.0.0.1:{server.port}/ws", "offer").expect_line("open mqtt")
