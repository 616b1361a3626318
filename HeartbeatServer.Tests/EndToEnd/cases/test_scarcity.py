"""Where something is lacking that other programs take for granted: memory, descriptors, standard descriptors."""

import contextlib
import signal
import socket
import subprocess

import pytest

from harness.applications import relay, start_application
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab
from harness.peer import Peer, frame, upgrade_request
from harness.server import free_port

MIB = 1 << 20

HEAP = 384 * MIB
"""What the runtime allows itself in a container of 512 MiB."""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_standard_descriptors_that_the_parent_has_closed(lab: Lab, closed: str) -> None:
    port = free_port()
    program = lab.start(
        ["sh", "-c", f'exec "$0" "$@" {closed}', lab.executable, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def echoed() -> bool:
        expect("exit code of the server", program.poll(), None)
        with contextlib.suppress(ConnectionRefusedError), Peer(port) as peer:
            peer.send(frame("text", b"are you there?"))
            return peer.data() == ("text", b"are you there?")
        return False

    eventually("an echo", echoed, 20)
    program.send_signal(signal.SIGTERM)
    expect("exit code after SIGTERM", program.wait(15), 0)


def test_450_messages_left_unfinished_where_memory_is_short(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOTNET_GCHeapHardLimit", f"{HEAP:x}")
    clients = 450
    with lab.server("--ping", "0") as server, contextlib.ExitStack() as stack:
        unfinished = frame("binary", bytes(MIB))[:-1]
        for _ in range(clients):
            stack.enter_context(Peer(server.port)).send(unfinished)

        with Peer(server.port) as healthy:
            large = bytes(900_000)
            healthy.send(frame("binary", large))
            expect("the echo to a healthy client", healthy.data(), ("binary", large))
            healthy.goodbye()
        expect_that("the server to stay within half of its heap", server.rss() < HEAP / MIB / 2, server.rss())
        stack.close()
        server.expect_empty()
        ends = [end for end in server.ends() if end["cause"] == "buffer_limit"]
        # What is left holds the budget: a quarter of the heap, in arrays of 2 MiB.
        expect_that("all but some 48 to be sent away", clients - 60 < len(ends) < clients, len(ends))
        expect_that("the reason", all("its unfinished message was the largest, 2.0 MiB" in end["detail"] for end in ends[-10:]), ends[-1])


def test_clients_that_take_no_echo_where_memory_is_short(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOTNET_GCHeapHardLimit", f"{HEAP:x}")
    clients = 120
    with lab.server("--ping", "0") as server, contextlib.ExitStack() as stack:
        message = frame("binary", bytes(MIB))
        for _ in range(clients):
            peer = stack.enter_context(Peer(server.port, receive_buffer=4096))
            peer.socket.settimeout(0.1)
            # Until the kernel is full, and the server holds the rest of an echo.
            with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
                for _ in range(20):
                    peer.send(message)

        with Peer(server.port) as healthy:
            large = bytes(900_000)
            healthy.send(frame("binary", large))
            expect("the echo to a healthy client", healthy.data(), ("binary", large))
            healthy.goodbye()
        ends = eventually("some to be cut", lambda: [end for end in server.ends() if end["cause"] == "buffer_limit"])
        expect_that("the slowest to be cut, and not the healthy one", clients - 60 <= len(ends) < clients, len(ends))
        stack.close()
        server.expect_empty()


def test_upgrades_at_once_through_a_relay_where_descriptors_are_short(lab: Lab) -> None:
    application = start_application(lab, "npm ws")
    with relay(lab, application.port, "--ping", "0", descriptors=256) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(300)]
        for client in clients:
            client.sendall(upgrade_request(server.port))

        def upgraded() -> int:
            count = 0
            for client in clients:
                with contextlib.suppress(BlockingIOError, ConnectionResetError):
                    count += client.recv(12, socket.MSG_PEEK | socket.MSG_DONTWAIT).endswith(b" 101")
            return count

        # A pair takes two of some 130.
        eventually("most places to be taken", lambda: upgraded() > 50, 20)
        stack.close()
        server.expect_empty()
        blamed = [line["message"] for line in server.log if line.get("reason", "").startswith("upstream_")]
        expect("refusals that blame the application", blamed, [])
