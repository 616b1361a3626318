"""Who is to blame for a pong timeout: a program that does not answer, or a path that does not deliver. Both sides have real TCP."""

import os
import signal

from harness.clients import waiting_client
from harness.expect import expect, expect_that
from harness.lab import Lab, on_both_doors
from harness.network import HERE, other_host
from harness.server import Server

def expect_timeout(server: Server, verdict: str) -> None:
    end = server.wait_for_ends(1, 15)[0]
    expect("cause and verdict", (end["cause"], end.get("verdict")), ("pong_timeout", verdict))
    expect_that("at least a pong before the silence", end["pongs"] >= 1, end["pongs"])
    expect("missed pongs", end["missed"], 3)
    expect_that("the kernel's round trip in the line", end["kernel_round_trip_ms"] > 0, end["kernel_round_trip_ms"])


@on_both_doors
def test_a_frozen_program_is_a_frozen_peer(lab: Lab) -> None:
    with lab.server("--ping", "1s", "--log-level", "debug") as server:
        client = waiting_client(lab, server, "127.0.0.1")
        os.kill(client.process.pid, signal.SIGSTOP)
        expect_timeout(server, "peer_frozen")


def test_a_cut_cable_is_a_dead_path(lab: Lab) -> None:
    with other_host() as host, lab.server("--ping", "1s", "--log-level", "debug", host=HERE) as server:
        waiting_client(lab, server, HERE, *host.inside())
        host.cut()
        expect_timeout(server, "path_dead")
