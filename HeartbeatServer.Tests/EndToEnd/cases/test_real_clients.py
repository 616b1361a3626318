"""Clients that others have written: npm ws, Node, python-websockets, wsproto, gorilla and Chromium."""

import pytest

from harness.clients import PROGRAMS, start
from harness.expect import expect, expect_that
from harness.lab import Lab, on_both_doors
from harness.server import Server

pytestmark = [on_both_doors, pytest.mark.parametrize("client", PROGRAMS)]


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws"


def test_echo_pings_and_close(lab: Lab, client: str) -> None:
    with lab.server("--ping", "300ms", "--max-missed", "10") as server:
        running = start(lab, client, url_of(server), "echo")
        running.expect_line("open")
        running.expect_line("echoed")
        closed = running.line()
        expect_that("the client to see its code, 3001", closed.startswith("closed 3001"), closed)
        end = server.wait_for_ends(1)[0]
        expect("cause and detail", (end["cause"], end["ended_by"], end["detail"]), ("client_closed", "client", 'Close 3001 "see you later"'))
        expect("messages in and out", (end["messages_in"], end["messages_out"]), (14, 14))
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])
        expect_that("no ping without its pong, but for the last", end["pings"] - end["pongs"] <= 1, (end["pings"], end["pongs"]))


def test_offers_subprotocols_and_the_first_is_spoken(lab: Lab, client: str) -> None:
    with lab.server() as server:
        running = start(lab, client, url_of(server), "offer")
        running.expect_line("open mqtt")
        server.terminate()
        running.expect_line("closed 1001 server is shutting down")
        expect_that("no count of offers at the end", "OffersNotSpoken" not in server.wait_for_ends(1)[0], server.wait_for_ends(1)[0])


def test_offers_subprotocols_and_none_is_spoken(lab: Lab, client: str) -> None:
    with lab.server("--subprotocol", "none") as server:
        start(lab, client, url_of(server), "offer")
        server.wait_for("connected")
        server.terminate()
        expect("offers that were not spoken", server.wait_for_ends(1)[0]["subprotocols_not_spoken"], 2)


def test_drained_with_1001(lab: Lab, client: str) -> None:
    with lab.server() as server:
        running = start(lab, client, url_of(server), "wait")
        running.expect_line("open")
        server.wait_for("connected")
        server.terminate()
        running.expect_line("closed 1001 server is shutting down")
        end = server.wait_for_ends(1)[0]
        expect("cause and who", (end["cause"], end["ended_by"]), ("server_shutdown", "server"))
        expect_that("a drain that does not use its window up", end["age_seconds"] < 30 and not server.lines("are cut"), server.lines("are cut"))


def test_vanishes(lab: Lab, client: str) -> None:
    with lab.server() as server:
        running = start(lab, client, url_of(server), "wait")
        running.expect_line("open")
        running.vanish()
        end = server.wait_for_ends(1)[0]
        expect_that("client_vanished or connection_reset", end["cause"] in ("client_vanished", "connection_reset"), end["cause"])
