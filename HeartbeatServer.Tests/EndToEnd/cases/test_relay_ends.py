"""Who ended a relayed connection, and why: the client, the application, or the path to one of them. The other side sees what it would see without us."""

import contextlib
import os
import select
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.applications import node, relay, start_application
from harness.clients import Running, waiting_client
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab
from harness.network import HERE, THERE, other_host
from harness.peer import EOF, RESET, Peer, close_body, frame, upgrade_request
from harness.server import Line, Server
from harness.upstream import Leg, Upstream

pytestmark = pytest.mark.door

BEAT = ("--ping", "1s", "--timeout", "500ms")


def pair(server: Server, upstream: Upstream, **options: object) -> tuple[Peer, Leg]:
    """A client and the application's end of its connection. Both are upgraded."""
    client = Peer(server.port, upgrade=False, **options)
    client.send(upgrade_request(server.port))
    application = upstream.accept().upgrade()
    expect("status of the upgrade", client.response()[0], 101)
    return client, application


def expect_end(server: Server, cause: str, by: str, timeout: float = 5.0) -> Line:
    """Checks the only end in the log. Its line has to tell of the application's leg, too."""
    end = server.wait_for_ends(1, timeout)[0]
    expect(f"cause and who ({end['message']})", (end["cause"], end["ended_by"]), (cause, by))
    expect_that("the application's leg in the line", "| app 127.0.0.1:" in end["message"] or f"| app {THERE}:" in end["message"], end["message"])
    return end


def waiting_pair(lab: Lab, server: Server, upstream: Upstream, host: str, *before: str) -> tuple[Running, Leg]:
    """The same with a client in a process of its own, which only answers pings."""
    with ThreadPoolExecutor(1) as pool:
        application = pool.submit(lambda: upstream.accept().upgrade())
        return waiting_client(lab, server, host, *before), application.result()


def pinged(peer: Peer) -> None:
    """Waits for a ping of the relay, and answers it."""
    item = peer.receive()
    expect("a frame that comes to a silent client", item[0], "ping")
    peer.send(frame("pong", item[1]))


def refused(server: Server) -> tuple[int | None, dict[str, str]]:
    with Peer(server.port, upgrade=False) as peer:
        peer.send(upgrade_request(server.port))
        return peer.response()


# The application ends, or is not there.


def test_a_close_of_the_application_passes_with_its_code_and_reason(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server:
        client, application = pair(server, upstream)
        application.send(frame("close", close_body(4404, "no such room"), masked=False))
        expect("what the client gets", client.data(), ("close", close_body(4404, "no such room")))
        client.send(frame("close", close_body(4404)))
        expect("what the client gets then", client.transcript(), [EOF])
        expect("what the application gets", application.transcript(), [("close", close_body(4404)), EOF])
        end = expect_end(server, "upstream_closed", "application")
        expect("detail", end["detail"], 'Close 4404 "no such room"')


def test_a_killed_application_is_an_application_that_vanished(lab: Lab) -> None:
    behind = start_application(lab, "npm ws")
    with relay(lab, behind.port) as server:
        with Peer(server.port) as client:
            client.send(frame("text", b"are you there?"))
            expect("the echo", client.data(), ("text", b"are you there?"))
            behind.process.kill()
            expect("what the client gets", client.transcript(), [EOF])
        expect_end(server, "upstream_vanished", "application")
        status, fields = refused(server)
        expect("status for the next client", status, 502)
        expect_that("Retry-After in it", fields["retry-after"].isdigit(), fields)
        server.wait_for("502 upstream_unreachable")
        start_application(lab, "npm ws", behind.port)
        eventually("an upgrade when it is back", lambda: refused(server)[0] == 101)


def test_an_application_that_resets_says_so(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server:
        client, application = pair(server, upstream)
        application.reset()
        expect("what the client gets", client.transcript(), [RESET])
        expect_end(server, "upstream_reset", "network")


def test_a_stopped_application_keeps_its_clients(lab: Lab) -> None:
    """The relay pings on, and the client is judged by what it does itself. Whoever comes meanwhile gets 504."""
    behind = start_application(lab, "npm ws")
    with relay(lab, behind.port, *BEAT, "--upstream-timeout", "1s") as server, Peer(server.port) as client:
        os.kill(behind.process.pid, signal.SIGSTOP)
        try:
            client.send(frame("text", b"are you awake?"))
            for _ in range(5):
                pinged(client)
            expect("status for a newcomer", refused(server)[0], 504)
            server.wait_for("504 upstream_timeout")
            expect("ends", server.ends(), [])
        finally:
            os.kill(behind.process.pid, signal.SIGCONT)
        expect("the echo after it", client.data(), ("text", b"are you awake?"))
        client.goodbye()
        expect_end(server, "client_closed", "client")


def test_an_application_that_does_not_read_is_shown_and_not_cut(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port, *BEAT, "--write-timeout", "2s") as server:
        client, application = pair(server, upstream, timeout=0.2)
        message = frame("binary", bytes(1 << 16))
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += client.socket.send(message[sent % len(message):])
        client.socket.settimeout(10)
        time.sleep(5)
        expect("ends", server.ends(), [])
        received = 0
        while received + len(message) <= sent:
            expect("a message that waited", application.receive(), ("binary", bytes(1 << 16)))
            received += len(message)
        client.reset()
        application.socket.close()


@pytest.mark.parametrize(("status", "fields", "body"), [
    ("401 Unauthorized", ['WWW-Authenticate: Bearer realm="rooms"'], b'{"error": "no token"}'),
    ("503 Service Unavailable", ["Retry-After: 30"], b"full"),
], ids=["401", "503"])
def test_a_refusal_of_the_application_passes(lab: Lab, status: str, fields: list[str], body: bytes) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server, Peer(server.port, upgrade=False) as client:
        client.send(upgrade_request(server.port))
        with upstream.accept() as application:
            application.answer(status, body, *fields)
            code, got = client.response()
        expect("status", code, int(status[:3]))
        for name, _, value in (field.partition(": ") for field in fields):
            expect(name, got.get(name.lower()), value)
        expect("Connection", got.get("connection"), "close")
        expect("the body, and the end", client.rest(), body)
        server.wait_for(status[:3])


def test_an_address_without_an_answer_is_a_timeout(lab: Lab) -> None:
    """The connection is never made: the other host drops every packet."""
    with other_host() as host, lab.server("--upstream", f"ws://{THERE}:80", "--upstream-timeout", "2s") as server:
        host.lose_everything(True)
        start = time.monotonic()
        expect("status", refused(server)[0], 504)
        expect_that("an answer after 2s", 1.9 <= time.monotonic() - start <= 3, time.monotonic() - start)
        server.wait_for("504 upstream_timeout")


@pytest.mark.timeout(130)
def test_an_application_whose_host_is_gone_is_found(lab: Lab) -> None:
    """Nothing is sent to it, so only the kernel can tell: it probes after 60 s and every 10 s from then on. Two probes without an answer are enough."""
    with other_host() as host, lab.server("--upstream", f"ws://{THERE}:8000", *BEAT) as server:
        lab.start([*host.inside(), *node(lab, "ws-server.mjs", 8000, THERE)])
        eventually("the application to listen", lambda: socket.socket().connect_ex((THERE, 8000)) == 0)
        client = Peer(server.port, timeout=120)
        host.cut()
        start = time.monotonic()
        while (item := client.receive())[0] == "ping":
            client.send(frame("pong", item[1]))
        expect("what the client gets", item, EOF)
        client.socket.close()
        expect_end(server, "upstream_dead", "server")
        expect_that("it to be found before the kernel gives up", time.monotonic() - start < 115, time.monotonic() - start)


def test_an_application_that_breaks_a_rule(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server:
        client, application = pair(server, upstream)
        application.send(frame("text", b"good", masked=False) + frame("text", b"bad", masked=True))
        expect("what the client gets", client.transcript(), [("text", b"good"), EOF])
        expect("what the application gets", application.transcript(), [EOF])
        client.socket.close()
        application.socket.close()
        expect_end(server, "upstream_protocol_error", "application")


# The client ends, or is not there any more.


def test_a_close_of_the_client_passes_and_so_does_its_answer(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server:
        client, application = pair(server, upstream)
        client.send(frame("close", close_body(3001, "see you later")))
        expect("what the application gets", application.receive(), ("close", close_body(3001, "see you later")))
        application.send(frame("close", close_body(3001, "bye"), masked=False))
        # The application keeps its connection open, and the client sees the end all the same.
        expect("what the client gets", client.transcript(), [("close", close_body(3001, "bye")), EOF])
        expect_end(server, "client_closed", "client")


def test_a_client_that_vanishes_leaves_the_application_a_fin(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server:
        client, application = pair(server, upstream)
        client.send(frame("text", b"my last words"))
        client.socket.close()
        expect("what the application gets", application.transcript(), [("text", b"my last words"), EOF])
        application.socket.close()
        expect_end(server, "client_vanished", "client")


def test_a_frozen_client_is_cut_and_the_application_told(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port, *BEAT, "--log-level", "debug") as server:
        client, application = waiting_pair(lab, server, upstream, "127.0.0.1")
        os.kill(client.process.pid, signal.SIGSTOP)
        expect("what the application gets", application.transcript(), [EOF])
        application.socket.close()
        end = expect_end(server, "pong_timeout", "server")
        expect("verdict", end["verdict"], "peer_frozen")


def test_a_client_whose_cable_is_cut(lab: Lab) -> None:
    with other_host() as host, Upstream() as upstream, relay(lab, upstream.port, *BEAT, "--log-level", "debug", host=HERE) as server:
        _, application = waiting_pair(lab, server, upstream, HERE, *host.inside())
        host.cut()
        expect("what the application gets", application.transcript(), [EOF])
        application.socket.close()
        end = expect_end(server, "pong_timeout", "server")
        expect("verdict", end["verdict"], "path_dead")


def test_a_client_that_does_not_read(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port, *BEAT, "--write-timeout", "2s") as server:
        client, application = pair(server, upstream, receive_buffer=4096)
        message = frame("binary", bytes(1 << 16), masked=False)
        application.socket.settimeout(0.1)
        sent = 0
        while not select.select([application.socket], [], [], 0)[0]:
            with contextlib.suppress(TimeoutError):
                sent += application.socket.send(message[sent % len(message):])
        expect("what the application gets", application.transcript(), [EOF])
        application.socket.close()
        expect_end(server, "slow_consumer", "server")
        client.socket.close()


@pytest.mark.parametrize(("sent", "code", "cause"), [
    (frame("text", b"bad", masked=False), 1002, "protocol_error"),
    (frame("binary", b"", length=(1 << 16) + 1), 1009, "message_too_big"),
], ids=["1002", "1009"])
def test_a_client_that_breaks_a_rule_is_told_which(lab: Lab, sent: bytes, code: int, cause: str) -> None:
    with Upstream() as upstream, relay(lab, upstream.port, "--max-message", "64KiB") as server:
        client, application = pair(server, upstream)
        client.send(frame("text", b"good") + sent)
        closed = client.receive()
        expect("what the client gets", (closed[0], closed[1][:2]), ("close", close_body(code)))
        expect("what the application gets", application.transcript(), [("text", b"good"), EOF])
        application.socket.close()
        expect_end(server, cause, "server")


def test_the_drain_tells_the_client_and_the_application(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server:
        client, application = pair(server, upstream)
        server.terminate()
        closed = client.data()
        expect("what the client gets", (closed[0], closed[1][:2]), ("close", close_body(1001)))
        client.send(frame("text", b"one thing more") + frame("close", close_body(1001)))
        expect("what the application gets", application.transcript(), [("text", b"one thing more"), EOF])
        application.socket.close()
        expect("what the client gets then", client.transcript(), [EOF])
        expect_end(server, "server_shutdown", "server")


# Both are well.


def test_pings_of_the_end_points_pass_and_ours_do_not_get_in_their_way(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port, *BEAT) as server:
        client, application = pair(server, upstream)
        application.send(frame("ping", b"from the application", masked=False))
        items = [client.receive() for _ in range(1)]
        while items[-1] != ("ping", b"from the application"):
            client.send(frame("pong", items[-1][1]))
            items.append(client.receive())
        client.send(frame("pong", b"from the application") + frame("ping", b"from the client"))
        expect("what the application gets", [application.receive(), application.receive()],
               [("pong", b"from the application"), ("ping", b"from the client")])
        application.send(frame("pong", b"from the client", masked=False))
        while (item := client.receive())[0] == "ping":
            client.send(frame("pong", item[1]))
        expect("what the client gets", item, ("pong", b"from the client"))
        for _ in range(3):
            pinged(client)
        client.socket.close()
        expect("what the application gets then: no pong of ours", application.transcript(), [EOF])
