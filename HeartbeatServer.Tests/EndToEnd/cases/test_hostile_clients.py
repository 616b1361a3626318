"""Upgraded clients that are slow, greedy, mute, or gone without a word."""

import contextlib
import ctypes
import random
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.expect import Failure, Table, eventually, expect, expect_that
from harness.lab import WATCHING, Lab, echo_and_relay, elsewhere
from harness.peer import EOF, Peer, close_body, frame, upgrade_request
from harness.server import of

WRITE_TIMEOUT = 10.0
"""Seconds after which the server ends a client that does not read."""


def stuff(port: int, clients: int, seconds: float, bytes_a_second: int, payload: int) -> None:
    """Runs clients that send messages and read almost nothing of the echoes, until the server ends them."""
    def one(seed: int) -> None:
        message = frame("binary", random.Random(seed).randbytes(payload))
        with Peer(port, receive_buffer=4096) as peer:
            peer.socket.setblocking(False)
            deadline = time.monotonic() + seconds
            rest = b""
            while time.monotonic() < deadline:
                try:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            rest = rest or message
                            rest = rest[peer.socket.send(rest):]
                    if bytes_a_second and not peer.socket.recv(bytes_a_second):
                        return
                except BlockingIOError:
                    pass
                except OSError:
                    return
                time.sleep(1)

    threads = [threading.Thread(target=one, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("bytes_a_second", [0, 1], ids=["nothing", "a byte a second"])
def test_20_clients_that_hardly_read_their_echoes(lab: Lab, bytes_a_second: int) -> None:
    clients = 20
    with lab.hostile("--ping", "1s", "--write-timeout", f"{WRITE_TIMEOUT:g}s") as server:
        before = len(server.ends())
        elsewhere(stuff, server.port, clients, 25, bytes_a_second, 100_000)
        ends = server.wait_for_ends(before + clients)[before:before + clients]
        expect("causes", {end["cause"] for end in ends}, {"slow_consumer"})
        ages = [end["age_seconds"] for end in ends]
        expect_that(f"ends {WRITE_TIMEOUT:g}s after the last progress", WRITE_TIMEOUT <= min(ages) and max(ages) <= WRITE_TIMEOUT + 8, ages)
        expect("missed pongs: a client that cannot be written to is not mute", {end["missed"] for end in ends}, {0})


@echo_and_relay
def test_200_headers_of_16_mib_and_nothing_else(lab: Lab) -> None:
    with lab.hostile("--ping", "0", "--max-message", "16MiB", at_worst=64) as server:
        before = len(server.ends())
        peers = [Peer(server.port) for _ in range(200)]
        for peer in peers:
            peer.send(frame("binary", b"", length=16 << 20))
        time.sleep(1)
        for peer in peers:
            peer.send(b"x")
        time.sleep(1)
        for peer in peers:
            peer.silence(0.001)
            peer.socket.close()
        ends = server.wait_for_ends(before + 200)[before:]
        expect("causes", {end["cause"] for end in ends}, {"client_vanished"})


def crumbs(port: int, seconds: float) -> None:
    """Clients send empty fragments without end, which never reach a limit of a size."""
    with Peer(port) as peer:
        peer.send(frame("text", b"", fin=False))
        many = frame("continuation", b"", fin=False) * 10_000
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            peer.send(many)
        peer.send(frame("continuation", b"done"))
        expect("echo", peer.data(), ("text", b"done"))
        peer.goodbye()


def test_fragments_of_a_byte_and_of_none_for_ever(lab: Lab) -> None:
    with lab.hostile("--ping", "1s", at_worst=64) as server:
        with Peer(server.port, timeout=20) as peer:
            peer.send(frame("binary", b"x", fin=False))
            many = frame("continuation", b"x", fin=False) * 65536
            for _ in range(16):  # together a MiB, which is allowed, and one byte more
                peer.send(many)
            item = peer.data()
            expect("answer to one byte too many", (item[0], item[1][:2]), ("close", close_body(1009)))
            expect("what follows", peer.transcript(), [EOF])
            peer.socket.close()
            expect("cause", server.end_of(peer)["cause"], "message_too_big")
        elsewhere(crumbs, server.port, 5.0)


def flood(port: int, pings: int) -> None:
    """A client sends pings as fast as it can, and reads every pong. They come in order."""
    with Peer(port, timeout=30) as peer:
        batch = 1000
        for first in range(0, pings, batch):
            payloads = [struct.pack(">Q", number) * 15 for number in range(first, first + batch)]
            peer.send(b"".join(frame("ping", payload) for payload in payloads))
            got = [item for item in (peer.receive() for _ in range(batch))]
            while missing := batch - sum(item[0] == "pong" for item in got):
                got += [peer.receive() for _ in range(missing)]
            expect("pongs", [item[1] for item in got if item[0] == "pong"], payloads)
        peer.goodbye()


def test_ping_floods(lab: Lab) -> None:
    with lab.hostile("--ping", "10s", "--write-timeout", f"{WRITE_TIMEOUT:g}s") as server:
        before = len(server.ends())
        elsewhere(flood, server.port, 200_000)
        elsewhere(deaf_flood, server.port, 25.0)
        ends = server.wait_for_ends(before + 2)[before:]
        expect("causes, with and without reading the pongs", [end["cause"] for end in ends], ["client_closed", "slow_consumer"])


def deaf_flood(port: int, seconds: float) -> None:
    many = frame("ping", bytes(125)) * 1000
    with Peer(port, receive_buffer=4096, timeout=seconds) as peer, contextlib.suppress(OSError):
        while True:
            peer.send(many)


def vanish_without_fin(peer: Peer) -> None:
    """Closes the socket without sending a packet, as when a machine loses its power. This needs CAP_NET_ADMIN."""
    peer.socket.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR
    peer.socket.close()


def deafen(peer: Peer) -> None:
    """Drops every packet that comes to the socket before TCP sees it, like a path that swallows packets."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("HL", 1, ctypes.addressof(code))
    peer.socket.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def test_gone_without_fin_mute_deaf_or_never_closing(lab: Lab) -> None:
    ping, timeout, missed = 0.5, 0.2, 3
    worst = ping * missed + timeout
    with lab.hostile("--ping", "500ms", "--timeout", "200ms", "--max-missed", "3") as server, Table() as table:
        mute, deaf, gone = ([Peer(server.port) for _ in range(20)] for _ in range(3))
        for peer in deaf:
            deafen(peer)
        powerless = False
        for peer in gone:
            try:
                vanish_without_fin(peer)
            except PermissionError:
                powerless = True
                peer.socket.close()
        for what, peers, cause, verdict in (
                ("mute", mute, "pong_timeout", "peer_frozen"), ("deaf", deaf, "pong_timeout", "path_dead"),
                ("gone", gone, "client_vanished" if powerless else "connection_reset", None)):
            with table.row(what):
                ends = [server.end_of(peer, worst + 5) for peer in peers]
                expect("causes and verdicts", {(end["cause"], end.get("verdict")) for end in ends}, {(cause, verdict)})
                if verdict is not None:
                    lives = sorted(end["age_seconds"] for end in ends)
                    expect_that(f"a life of {worst - ping:.1f}s to {worst:.1f}s", worst - ping - 0.1 <= lives[0] and lives[-1] <= worst + 0.5, lives)
                    expect("missed pongs", {end["missed"] for end in ends}, {missed})
        with table.row("goodbye to the mute"):
            items = mute[0].transcript()
            expect("last frame", items[-2], ("close", close_body(1011, "pong timeout")))
        # These clients have closed, or have to, but hold their end of the TCP connection open.
        holding = []
        for what, sent, answer, cause in (
                ("closed", frame("close", close_body(1000)), ("close", close_body(1000)), "client_closed"),
                ("violated", frame("text", b"", rsv=4), None, "protocol_error")):
            with table.row(what):
                peer = Peer(server.port)
                holding.append(peer)
                peer.send(sent)
                item = peer.data()
                if answer is not None:
                    expect("answer", item, answer)
                expect("what follows", peer.transcript(), [EOF])
                end = server.end_of(peer, 6)
                expect("cause", end["cause"], cause)


@echo_and_relay
@pytest.mark.alone
def test_2000_resets_at_once(lab: Lab) -> None:
    with lab.hostile() as server:
        before = len(server.ends())
        upgraded = [Peer(server.port) for _ in range(2000)]
        addresses = {peer.address for peer in upgraded}
        for peer in upgraded:
            peer.reset()
        ends = server.wait_for_ends(before + 2000, 10)[before:]
        expect("connections that ended", {of(end) for end in ends} == addresses, True)
        expect("causes", {end["cause"] for end in ends}, {"connection_reset"})

        halfway = [Peer(server.port, upgrade=False) for _ in range(2000)]
        for number, peer in enumerate(halfway):
            peer.send(upgrade_request(server.port)[:number % 150])
        for peer in halfway:
            peer.reset()


def fuzz(port: int, seconds: float, seed: int) -> int:
    """Sends random and mutated bytes, in random pieces, with random ends. Returns how many connections it has made."""
    chance = random.Random(seed)
    start = time.monotonic()
    connections = 0
    while time.monotonic() - start < seconds:
        connections += 1
        with contextlib.suppress(OSError), Peer(port, upgrade=False, timeout=0.02) as peer:
            data = mutate(chance, upgrade_request(port), 0.01) if chance.random() < 0.2 else upgrade_request(port)
            data += {0: chance.randbytes, 1: lambda size: stream(chance, size, 0.0), 2: lambda size: stream(chance, size, 0.003)}[
                chance.randrange(3)](chance.randrange(4000))
            while data:
                size = min(len(data), chance.choice((1, 2, 7, 100, 5000)))
                peer.send(data[:size])
                data = data[size:] if chance.random() > 0.01 else b""
            with contextlib.suppress(Failure, TimeoutError):
                peer.transcript()
            if chance.random() < 0.3:
                peer.reset()
    return connections


def stream(chance: random.Random, size: int, rate: float) -> bytes:
    """Frames that are mostly right, with bits flipped."""
    frames = b""
    while len(frames) < size:
        opcode = chance.choice(("text", "text", "binary", "continuation", "ping", "pong", "close" if chance.random() < 0.1 else "ping"))
        payload = chance.choice((b"", b"text", "κόσμε".encode(), close_body(1000), chance.randbytes(chance.randrange(200))))
        frames += frame(opcode, payload, fin=chance.random() < 0.7, key=chance.randbytes(4))
    return mutate(chance, frames, rate)


def mutate(chance: random.Random, data: bytes, rate: float) -> bytes:
    bytes_ = bytearray(data)
    for _ in range(int(len(bytes_) * rate + chance.random())):
        if bytes_:
            bytes_[chance.randrange(len(bytes_))] ^= 1 << chance.randrange(8)
    return bytes(bytes_)


@echo_and_relay
def test_seeded_fuzzer_for_20_seconds(lab: Lab) -> None:
    with lab.hostile("--ping", "1s", "--handshake-timeout", "2s") as server:
        connections = elsewhere(fuzz, server.port, 20.0, 20261122)
        expect_that("some hundred connections", connections > 200, connections)
        eventually(
            "an end for every connection but the healthy ones",
            lambda: len(server.ends()) >= server.opened() - WATCHING, 10)
        causes = {end["cause"] for end in server.ends()}
        allowed = {"client_closed", "client_vanished", "connection_reset", "protocol_error", "invalid_payload", "message_too_big"}
        violations = {"protocol_error", "invalid_payload"}
        if lab.door == "relay":
            # The relay passes text on as it is, and the application looks at it.
            allowed |= {"upstream_closed"}
            violations = {"protocol_error", "upstream_closed"}
        expect("causes other than the client's doing", causes - allowed, set())
        expect("violations found", violations <= causes, True)


@pytest.mark.alone
@pytest.mark.door
def test_sigterm_in_the_middle_of_a_storm(lab: Lab) -> None:
    """Each client that got a 101 also gets a Close 1001. The others get a 503 or no connection. The log has an end for each connection."""
    outcomes: list[str] = []
    stop = threading.Event()

    def come_and_come(port: int) -> None:
        while not stop.is_set():
            try:
                with Peer(port, upgrade=False, timeout=10) as peer:
                    peer.send(upgrade_request(port))
                    status, _ = peer.response()
                    if status != 101:
                        outcomes.append(f"status {status}")
                        continue
                    item = peer.receive()
                    outcomes.append(f"upgraded, then {item[0]} {int.from_bytes(item[1][:2], 'big') if len(item) > 1 else ''}")
                    peer.send(frame("close", item[1][:2]))
                    peer.transcript()
            except OSError as e:
                outcomes.append(f"no connection: {type(e).__name__}")
                time.sleep(0.01)

    with lab.server("--ping", "0") as server:
        with ThreadPoolExecutor(50) as pool:
            clients = [pool.submit(come_and_come, server.port) for _ in range(50)]
            try:
                eventually("the storm to be there", lambda: server.opened() >= 50)
                server.terminate()
                server.stop()
            finally:
                stop.set()
        wrong = sorted({outcome for outcome in outcomes if outcome.startswith("upgraded") and outcome != "upgraded, then close 1001"})
        expect("ends of those that were upgraded, other than Close 1001", wrong, [])
        for client in clients:
            client.result()
        expect("connections without an end in the log", server.opened() - len(server.ends()), 0)
        expect("causes", {end["cause"] for end in server.ends()}, {"server_shutdown"})
