"""One command before a whole application: its pages go through the relay, too. There is no proxy before it."""

import contextlib
import hashlib
import http.client
import time
import urllib.request
from collections.abc import Iterator

import pytest

from harness.applications import GOODBYES, Application, relay, start_application, start_client
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab
from harness.peer import Peer
from harness.server import Server, free_port
from harness.upstream import Upstream

pytestmark = pytest.mark.door

MIB = 1 << 20

FLAT = 24
"""By so many MiB the memory of the server may grow, whatever passes."""


@contextlib.contextmanager
def pages(lab: Lab, *arguments: str) -> Iterator[tuple[Server, Application]]:
    (lab.scratch / "file").write_bytes(bytes(range(256)) * 4096)
    application = start_application(lab, "pages")
    with relay(lab, application.port, *arguments) as server:
        yield server, application


@contextlib.contextmanager
def get(server: Server, path: str, method: str = "GET", **options: object) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, **options)
    with contextlib.closing(connection), connection.getresponse() as response:
        yield response


@pytest.mark.parametrize(("application", "program", "first", "then"), [
    ("socket.io", "socket-io-client.mjs", "open polling", "over websocket"),
    ("SignalR", "signalr-client.mjs", "open WebSocketTransport", None),
], ids=["socket.io", "SignalR"])
def test_an_application_with_its_polling_and_its_negotiation(lab: Lab, application: str, program: str, first: str, then: str | None) -> None:
    """Unchanged clients with their default settings."""
    with relay(lab, start_application(lab, application).port, "--ping", "300ms", "--max-missed", "10") as server:
        client = start_client(lab, program, server.port, "any")
        lines = client.process.communicate(timeout=30)[0].decode().splitlines()
        expect("what the client did", lines[:-1], [line for line in (first, then, "exchanged", "exchanged again") if line])
        end = server.wait_for_ends(1)[0]
        expect_that(f"one of {GOODBYES[application]}", end["cause"] in GOODBYES[application], server.ends())
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])
        expect("refused requests in the log", server.lines("Refused"), [])


def test_each_server_sent_event_arrives_at_once(lab: Lab) -> None:
    with pages(lab) as (server, _), get(server, "/events") as response:
        expect("the type", response.headers["Content-Type"], "text/event-stream")
        arrived = []
        for i in (1, 2, 3):
            expect("an event", (response.readline(), response.readline()), (f"data: {i}\n".encode(), b"\n"))
            arrived.append(time.monotonic())
        expect_that("300 ms between two events", all(0.15 < later - sooner < 1 for sooner, later in zip(arrived, arrived[1:])), arrived)
        expect("the rest", response.read(), b"")


def test_an_answer_may_take_longer_than_the_time_for_an_upgrade(lab: Lab) -> None:
    with pages(lab, "--upstream-timeout", "1s", "--write-timeout", "1s") as (server, _), get(server, "/poll") as response:
        expect("the answer", (response.status, response.read()), (200, b"news"))


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_of_200_MB_takes_no_memory(lab: Lab, is_chunked: bool) -> None:
    with pages(lab) as (server, _):
        piece, count = bytes(range(256)) * 4096, 200
        with get(server, "/upload", "POST", body=piece) as response:
            response.read()
        before, most = server.rss(), 0.0

        def body() -> Iterator[bytes]:
            nonlocal most
            for _ in range(count):
                yield piece
                most = max(most, server.rss())

        headers = {} if is_chunked else {"Content-Length": str(count * len(piece))}
        with get(server, "/upload", "POST", body=body(), headers=headers, encode_chunked=is_chunked) as response:
            expected = hashlib.sha256(piece * count).hexdigest()
            expect("what the application got", response.read().decode(), f"{count * len(piece)} {expected}")
        expect_that(f"memory to grow by at most {FLAT} MiB", most - before <= FLAT, f"{most - before:.1f} MiB, from {before:.1f}")


def test_a_slow_reader_holds_no_memory_and_blocks_nobody(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port, "--ping", "200ms") as server:
        before = server.rss()
        with Peer(server.port, upgrade=False, receive_buffer=4096) as slow:
            slow.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            with upstream.accept() as application:
                application.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                application.socket.settimeout(1)
                with pytest.raises(TimeoutError):
                    while True:
                        application.socket.send(bytes(MIB))
                expect_that(f"memory to grow by at most {FLAT} MiB", server.rss() - before <= FLAT, server.rss() - before)
                with Peer(server.port, upgrade=False) as other:
                    other.send(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")
                    with upstream.accept() as second:
                        second.answer("200 OK", b"quick")
                        expect("status", other.response()[0], 200)


def test_a_range_of_a_file(lab: Lab) -> None:
    with pages(lab) as (server, _):
        with get(server, "/file", headers={"Range": "bytes=1000-1999"}) as response:
            expect("status and range", (response.status, response.headers["Content-Range"]), (206, f"bytes 1000-1999/{MIB}"))
            expect("the bytes", response.read(), (bytes(range(256)) * 8)[1000:2000])
        with get(server, "/file", "HEAD") as response:
            expect("the length of the whole", (response.headers["Content-Length"], response.read()), (str(MIB), b""))
        with get(server, "/file") as response:
            expect("the whole", response.read(), bytes(range(256)) * 4096)


def test_a_client_that_goes_ends_the_request(lab: Lab) -> None:
    with pages(lab) as (server, application):
        with Peer(server.port, upgrade=False) as peer:
            peer.send(b"GET /poll HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.3)
        eventually("the application to learn of it", lambda: "the client of /poll has gone" in application.said())
        expect("lines of the log", server.lines("/poll"), [])


@pytest.mark.parametrize("request_", [
    b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    b"Content-Length: 0\r\nContent-Length: 44\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\nX: y\r\nLong: z\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n1\n0\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n100000001\r\nx\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n1;\n0\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 10_000 + b"\r\n0\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\rGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=["both", "two lengths", "two encodings", "vertical tab", "bare LF", "large", "LF in an extension", "long extension", "CR in a trailer"])
def test_a_second_request_cannot_be_smuggled(lab: Lab, request_: bytes) -> None:
    """The application gets no complete request, and nothing of what stands behind it."""
    with Upstream() as upstream, relay(lab, upstream.port) as server, Peer(server.port, upgrade=False) as peer:
        peer.send(b"POST /up HTTP/1.1\r\nHost: x\r\n" + request_)
        if b"100000001" in request_:
            peer.socket.close()  # the chunk is announced, and never comes
        else:
            status = peer.response()[0]
            expect_that("400 or 501", status in (400, 501), status)
        arrived = upstream.received()
        expect_that("no whole request", arrived == b"" or not has_last_chunk(arrived), arrived)


def has_last_chunk(request: bytes) -> bool:
    """Whether the body of a request has come to its end. What stands inside a chunk is data, whatever it looks like."""
    head, _, body = request.partition(b"\r\n\r\n")
    expect_that("a body in chunks", b"transfer-encoding: chunked" in head.lower(), head)
    while body:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return True
        body = body[int(size, 16) + 2:]
    return False


def test_an_application_that_ends_in_its_answer(lab: Lab) -> None:
    with Upstream() as upstream, relay(lab, upstream.port) as server, Peer(server.port, upgrade=False) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with upstream.accept() as application:
            application.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            expect("status", peer.response()[0], 200)
        expect("what the client gets", peer.rest(), b"half")
        server.wait_for(" was cut: ")


def test_a_drain_lets_a_page_finish(lab: Lab) -> None:
    with pages(lab) as (server, _), get(server, "/events") as response:
        expect("the first event", response.readline(), b"data: 1\n")
        server.terminate()
        expect_that("the last event", response.read().endswith(b"data: 3\n\n"), None)


def test_the_metrics_count_pages(lab: Lab) -> None:
    admin = free_port()
    with pages(lab, "--admin", str(admin)) as (server, _):
        for path, status in (("/file", 200), ("/nowhere", 404)):
            with get(server, path) as response:
                expect("status", response.status, status)
                response.read()

        def metrics() -> str:
            return urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5).read().decode()

        eventually("both pages to be counted", lambda: 'heartbeat_pages_total{class="2xx"} 1' in metrics() and 'heartbeat_pages_total{class="4xx"} 1' in metrics())
        eventually("none to be under way", lambda: "heartbeat_pages_active 0" in metrics())
        expect("lines for them", server.lines("/file"), [])
