"""Who is to blame for a pong timeout: a program that does not answer, or a path that does not deliver. With real TCP on both sides."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from harness.clients import waiting_client
from harness.expect import expect, expect_that
from harness.lab import Lab, need, on_both_doors
from harness.server import Server

_SLOT = os.getpid() % (1 << 14)
HERE, THERE = (f"198.18.{_SLOT >> 6}.{(_SLOT & 63) * 4 + host}" for host in (1, 2))
"""Two hosts of our own, and of this run alone; the network is the one that RFC 2544 sets aside for tests."""


def expect_timeout(server: Server, verdict: str) -> None:
    end = server.wait_for_ends(1, 15)[0]
    expect("cause and verdict", (end["Cause"], end.get("Verdict")), ("pong_timeout", verdict))
    expect_that("at least a pong before the silence", end["Pongs"] >= 1, end["Pongs"])
    expect("missed pongs", end["Missed"], 3)
    expect_that("the kernel's round trip in the line", end["KernelRoundTripMs"] > 0, end["KernelRoundTripMs"])


@on_both_doors
def test_a_frozen_program_is_a_frozen_peer(lab: Lab) -> None:
    with lab.server("--ping", "1s", "--log-level", "debug") as server:
        client = waiting_client(lab, server, "127.0.0.1")
        os.kill(client.process.pid, signal.SIGSTOP)
        expect_timeout(server, "peer_frozen")


@contextlib.contextmanager
def other_host() -> Iterator[str]:
    """A network namespace with a cable to ours; gives its name. The cable's ends are {name}a, here, and {name}b, there."""
    ip = need("ip")
    name = f"hb{os.getpid()}"

    def run(*arguments: str) -> None:
        subprocess.run([ip, *arguments], check=True, capture_output=True, timeout=10)

    try:
        run("netns", "add", name)
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no network namespace can be made here: {e.stderr.decode().strip()}")
    try:
        run("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        run("addr", "add", f"{HERE}/30", "dev", f"{name}a")
        run("link", "set", f"{name}a", "up")
        run("-n", name, "addr", "add", f"{THERE}/30", "dev", f"{name}b")
        run("-n", name, "link", "set", f"{name}b", "up")
        yield name
    finally:
        # Both: as long as the client lives in it, the other host and its end of the cable stay.
        with contextlib.suppress(subprocess.CalledProcessError):
            run("link", "del", f"{name}a")
        run("netns", "del", name)


def test_a_cut_cable_is_a_dead_path(lab: Lab) -> None:
    with other_host() as name, lab.server("--ping", "1s", "--log-level", "debug", host=HERE) as server:
        waiting_client(lab, server, HERE, need("ip"), "netns", "exec", name)
        subprocess.run([need("ip"), "-n", name, "link", "set", f"{name}b", "down"], check=True, timeout=10)
        expect_timeout(server, "path_dead")
