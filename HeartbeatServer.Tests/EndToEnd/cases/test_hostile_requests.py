"""What strangers send instead of, or with, an upgrade request."""

import contextlib
import random
import selectors
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.expect import Failure, Table, expect, expect_that
from harness.lab import Lab, echo_and_relay, elsewhere, on_both_doors
from harness.peer import EOF, Peer, close_body, frame, upgrade_request

TIMEOUT = 2.0
"""--handshake-timeout in these cases, in seconds."""

SLACK = 1.5


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def garbage(port: int) -> dict[str, bytes]:
    seeded = random.Random(20261122)
    good = upgrade_request(port)
    return {
        "nothing at all": b"",
        "random bytes": seeded.randbytes(500).replace(b"\n", b"x"),
        "random lines": b"\r\n".join(seeded.randbytes(50) for _ in range(50)) + b"\r\n\r\n",
        "a TLS ClientHello": client_hello(),
        "an SSH banner": b"SSH-2.0-OpenSSH_9.2\r\n",
        "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "10,000 NULs": bytes(10_000),
        "1,000 empty lines": b"\r\n" * 1000,
        "HTTP/0.9": b"GET /ws\r\n",
        "a request line of one word": b"GET\r\n\r\n",
        "HTTP/9.9": good.replace(b"HTTP/1.1", b"HTTP/9.9"),
        "a version that is none": good.replace(b"HTTP/1.1", b"HTTP/x"),
        "a method of 10,000 letters": b"G" * 10_000 + good,
        "a path of 100,000 letters": good.replace(b"/ws", b"/" + b"a" * 100_000),
        "a path with half an escape": good.replace(b"/ws", b"/%2"),
        "a header without a colon": good.replace(b"Upgrade: websocket", b"Upgrade websocket"),
        "a header without a name": good.replace(b"Upgrade: websocket", b": websocket"),
        "a NUL in a header": good.replace(b"Upgrade: websocket", b"Upgrade: web\0socket"),
        "no Host": good.replace(f"Host: 127.0.0.1:{port}\r\n".encode(), b""),
        "a Host that is none": good.replace(f"Host: 127.0.0.1:{port}".encode(), b"Host: a b/c@d"),
        "half a request": good[:len(good) // 2],
        "a request but for its last byte": good[:-1],
        "a header line of 70,000 bytes": good.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"),
        "10,000 headers": good.replace(b"\r\n\r\n", b"".join(b"\r\nX-%d: y" % i for i in range(10_000)) + b"\r\n\r\n"),
        "3,000 headers, and as many names in Connection": good.replace(
            b"Connection: Upgrade", b"Connection: Upgrade" + b",b" * 3000).replace(b"\r\n\r\n", b"\r\na:" * 3000 + b"\r\n\r\n"),
        "129 headers": good.replace(b"\r\n\r\n", b"\r\na:" * 124 + b"\r\n\r\n"),
        "a negative length": good.replace(b"\r\n\r\n", b"\r\nContent-Length: -1\r\n\r\n"),
        "a length of 2^64": good.replace(b"\r\n\r\n", b"\r\nContent-Length: 18446744073709551616\r\n\r\n"),
        "a length that is no number": good.replace(b"\r\n\r\n", b"\r\nContent-Length: many\r\n\r\n"),
        "a POST without a length": good.replace(b"GET", b"POST"),
        "an encoding that nobody has": good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: gzip\r\n\r\n"),
        "chunks that are none": good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    }


@echo_and_relay
@pytest.mark.door
def test_garbage_and_unfinished_requests(lab: Lab) -> None:
    """The server answers each request with 4xx, 501 or 505 or not at all, and never with 101. The connection ends in time."""
    with lab.hostile("--handshake-timeout", "2s") as server, Table() as table:
        start = time.monotonic()
        waiting = []
        requests = garbage(server.port)
        if lab.door == "relay":
            del requests["a path with half an escape"]  # it is the application's, which answers any
        for name, request in requests.items():
            peer = Peer(server.port, upgrade=False)
            with table.row(name), contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.send(request)
            waiting.append((name, peer))
        for name, peer in waiting:
            with table.row(name), peer:
                with contextlib.suppress(TimeoutError):
                    peer.socket.settimeout(max(0.1, start + TIMEOUT + SLACK - time.monotonic()))
                    status, _ = peer.response()
                    expect_that("4xx, 501, 505 or no answer", status in (None, 501, 505) or 400 <= status < 500, status)
                peer.seconds_until_end(max(0.1, start + TIMEOUT + SLACK - time.monotonic()))


@pytest.mark.door
def test_slow_loris_one_byte_a_second(lab: Lab) -> None:
    with lab.hostile("--handshake-timeout", "2s") as server, ThreadPoolExecutor(50) as pool:
        # The timeout of requests does not concern an upgraded connection, however quiet it is.
        quiet = Peer(server.port)
        lives = list(pool.map(drip, [server.port] * 50))
        expect_that(f"each to live for {TIMEOUT}s, and a second more at most", TIMEOUT - 0.1 <= min(lives) and max(lives) <= TIMEOUT + 1, lives)
        quiet.send(frame("text", b"here"))
        expect("echo to the quiet one", quiet.data(), ("text", b"here"))
        quiet.goodbye()


def drip(port: int) -> float:
    """Sends a request at one byte a second. Returns after how many seconds the server ended it."""
    start = time.monotonic()
    with Peer(port, upgrade=False, timeout=1) as peer, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for byte in upgrade_request(port)[:10]:
            peer.send(bytes([byte]))
            with contextlib.suppress(Failure, TimeoutError):
                peer.seconds_until_end(1)
                break
    return time.monotonic() - start


def test_upgrade_requests_of_odd_forms(lab: Lab) -> None:
    with lab.hostile("--handshake-timeout", "2s") as server, Table() as table:
        good = upgrade_request(server.port)
        local = f"Host: 127.0.0.1:{server.port}".encode()
        for name, request, status in [
            ("absolute URL", good.replace(b"GET /ws", b"GET http://127.0.0.1:%d/ws" % server.port), 101),
            ("absolute URL of another host", good.replace(b"GET /ws", b"GET http://example.com/ws"), 101),
            ("wrong Host", good.replace(local, b"Host: evil.example"), 101),
            ("wrong port in Host", good.replace(local, b"Host: 127.0.0.1:1"), 101),
            ("Host in capitals, without a port", good.replace(local, b"HOST: LOCALHOST"), 101),
            ("IPv6 literal as Host", good.replace(local, b"Host: [::1]:8080"), 101),
            ("no name in Host", good.replace(local, b"Host:"), 101),
            ("two Hosts", good.replace(local, local + b"\r\n" + local), 400),
            ("two keys", good.replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Key"), 400),
            ("Connection in two lines", good.replace(b"Connection: Upgrade", b"Connection: keep-alive\r\nConnection: Upgrade"), 101),
            ("Connection in two lines, the other way round", good.replace(b"Connection: Upgrade", b"Connection: Upgrade\r\nConnection: keep-alive"), 101),
            ("Expect", good.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), 101),
            ("a path that leads to ours", good.replace(b"/ws", b"/admin/../ws"), 404),
            ("our path, escaped", good.replace(b"/ws", b"/%77s"), 404),
            ("a fragment", good.replace(b"/ws", b"/ws#f"), 400),
            ("bare LF", good.replace(b"\r\n", b"\n"), 400),
            ("a length that hides", good.replace(b"\r\n\r\n", b"\r\nContent-Length : 5\r\n\r\n"), 400),
            ("an unknown encoding", good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: nonsense\r\n\r\n"), 400),
            ("with a query", good.replace(b"/ws", b"/ws?token=1&x=%20"), 101),
            ("names in capitals", good.replace(b"Upgrade: websocket", b"UPGRADE: WebSocket").replace(b"Connection: Upgrade", b"CONNECTION: UPGRADE"), 101),
            ("several connection tokens", good.replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"), 101),
            ("HTTP/1.0", good.replace(b"HTTP/1.1", b"HTTP/1.0"), 426),
            ("version 8", good.replace(b"Version: 13", b"Version: 8"), 426),
            ("no key", good.replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
            ("key of 15 bytes", upgrade_request(server.port, key="AAAAAAAAAAAAAAAAAAAA"), 400),
            ("POST", good.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"), 405),
            ("another path", good.replace(b"/ws", b"/"), 404),
            ("a path below", good.replace(b"/ws", b"/ws/below"), 404),
            ("a body", good.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"), 400),
            ("a body that is announced and does not come", good.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"), 400),
            ("a body in chunks", good.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 400),
        ]:
            with table.row(name), Peer(server.port, upgrade=False) as peer:
                peer.send(request)
                expect("status", peer.response()[0], status)
                if status == 101:
                    peer.send(frame("text", b"hello"))
                    expect("echo", peer.receive(), ("text", b"hello"))
                    peer.goodbye()
                else:
                    peer.seconds_until_end(TIMEOUT + SLACK)


@on_both_doors
def test_bytes_behind_the_upgrade_request(lab: Lab) -> None:
    with lab.hostile() as server, Table() as table:
        request = upgrade_request(server.port)
        hello = frame("text", b"hello")
        for name, chunks, wanted in [
            ("a frame in the same write", [request + hello], [("text", b"hello")]),
            ("half a frame in the same write", [request + hello[:5], hello[5:]], [("text", b"hello")]),
            ("1,000 frames in the same write", [request + hello * 1000], [("text", b"hello")] * 1000),
            ("64 KiB in the same write", [request + frame("binary", bytes(65536))], [("binary", bytes(65536))]),
            ("all in single bytes", [bytes([byte]) for byte in request + hello], [("text", b"hello")]),
            ("a second upgrade request", [request + request], None),
            ("garbage", [request + b"\xff" * 100], None),
        ]:
            with table.row(name), Peer(server.port, upgrade=False) as peer:
                peer.send(*chunks)
                expect("status", peer.response()[0], 101)
                if wanted is None:
                    item = peer.receive()
                    expect("answer", (item[0], item[1][:2]), ("close", close_body(1002)))
                    expect("what follows", peer.transcript(), [EOF])
                    peer.socket.close()
                    expect("cause", server.end_of(peer)["cause"], "protocol_error")
                else:
                    expect("frames", [peer.receive() for _ in wanted], wanted)
                    peer.goodbye()
        with table.row("a Close in the same write"), Peer(server.port, upgrade=False) as peer:
            peer.send(request + frame("close", close_body(1000)))
            expect("status", peer.response()[0], 101)
            expect("frames", peer.transcript(), [("close", close_body(1000)), EOF])


def pour(port: int, start: bytes, more: bytes, clients: int, seconds: float) -> int:
    """Runs clients that send without end, and come again when they are cut off. Returns how often they were cut off."""
    cut = 0
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as sockets:
        def connect() -> None:
            client = sockets.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(start)
            client.setblocking(False)
            selector.register(client, selectors.EVENT_WRITE | selectors.EVENT_READ)

        for _ in range(clients):
            connect()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for key, events in selector.select(0.1):
                try:
                    if events & selectors.EVENT_READ and not key.fileobj.recv(65536):
                        raise ConnectionResetError
                    if events & selectors.EVENT_WRITE:
                        key.fileobj.send(more)
                except BlockingIOError:
                    pass
                except OSError:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    cut += 1
                    connect()
    return cut


ENDLESS = {
    "request lines": (b"GET /", b"a" * 65536, 5),
    "header lines": (b"GET /ws HTTP/1.1\r\nHost: a\r\nX: ", b"a" * 65536, 10),
    "headers": (b"GET /ws HTTP/1.1\r\nHost: a\r\n", b"X-Header: value\r\n" * 1000, 5),
    "empty lines": (b"\r\n", b"\r\n" * 10_000, 5),
}


@echo_and_relay
@pytest.mark.door
@pytest.mark.parametrize("kind", ENDLESS)
def test_100_clients_with_endless(lab: Lab, kind: str) -> None:
    start, more, seconds = ENDLESS[kind]
    with lab.hostile("--handshake-timeout", "2s") as server:
        cut = elsewhere(pour, server.port, start, more, 100, seconds)
        expect_that("each to be cut off at least once", cut >= 100, cut)


@pytest.mark.alone
@pytest.mark.door
def test_requests_that_http_listener_would_answer_itself(lab: Lab) -> None:
    """HttpListener would answer these requests with 411 or 501 itself, close the socket, and return the request all the same.

    Each request must get one answer, that of the server, and leave nothing behind.
    """
    padding = b"X: " + b"x" * 7_000 + b"\r\n"
    post = b"POST /ws HTTP/1.1\r\nHost: localhost\r\n" + 2 * padding
    requests = {
        b"HTTP/1.1 405": post + b"\r\n",
        b"HTTP/1.1 400": post + b"Transfer-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
    }

    def ask(status: bytes) -> None:
        for _ in range(400):
            with socket.create_connection(("127.0.0.1", lab_server.port), timeout=10) as client:
                client.sendall(requests[status])
                answer = b""
                while part := client.recv(4096):
                    answer += part
                expect("status, and responses", (answer[:12], answer.count(b"HTTP/1.1 ")), (status, 1))

    with lab.hostile() as lab_server, ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, 2 * list(requests)))
