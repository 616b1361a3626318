"""Limits that people set, at the server itself. Behind a proxy: test_proxies.py."""

import contextlib

from harness.expect import eventually, expect
from harness.lab import Lab, on_both_doors
from harness.peer import Peer, upgrade_request


@on_both_doors
def test_who_is_one_too_many_is_refused_until_another_leaves(lab: Lab) -> None:
    with lab.server("--max-connections", "3", "--max-connections-per-ip", "2") as server, contextlib.ExitStack() as stack:

        def knock(source: str) -> tuple[Peer, int | None]:
            peer = stack.enter_context(Peer(server.port, upgrade=False, source=source))
            peer.send(upgrade_request(server.port))
            return peer, peer.response()[0]

        first, status = knock("127.0.0.5")
        expect("status of the first from 127.0.0.5", status, 101)
        expect("status of the second", knock("127.0.0.5")[1], 101)
        expect("status of the third, one too many of its address", knock("127.0.0.5")[1], 429)
        expect("status of the first from 127.0.0.6", knock("127.0.0.6")[1], 101)
        expect("status of one too many in all", knock("127.0.0.7")[1], 503)
        first.goodbye()
        eventually("room for another", lambda: knock("127.0.0.7")[1] == 101)
