"""The server with --tls-cert: real clients over wss://, what it refuses, and certificates that change."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from harness.certificates import Authority, openssl
from harness.clients import PROGRAMS, start
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, elsewhere, need
from harness.peer import Peer, frame, upgrade_request
from harness.server import Server, free_port


@pytest.fixture
def door() -> str:
    return "tls"


def trusting(lab: Lab) -> dict[str, str]:
    """The variables by which the real clients learn to trust the authority of the case."""
    store = lab.scratch / ".pki/nssdb"
    store.mkdir(parents=True)
    need("certutil")
    subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
    subprocess.run(["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "test", "-i", lab.authority.pem], check=True)
    return {"NODE_EXTRA_CA_CERTS": str(lab.authority.pem), "SSL_CERT_FILE": str(lab.authority.pem), "HOME": str(lab.scratch)}


def s_client(server: Server, *arguments: str, says: bytes = b"") -> str:
    """What openssl s_client prints of a handshake."""
    ran = subprocess.run(
        [need("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", *arguments], input=says, capture_output=True, timeout=20)
    return (ran.stdout + ran.stderr).decode(errors="replace")


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_real_client_verifies_and_talks(lab: Lab, client: str) -> None:
    with lab.server("--ping", "300ms", "--max-missed", "10") as server:
        running = start(lab, client, f"wss://localhost:{server.port}/ws", "echo", **trusting(lab))
        running.expect_line("open")
        running.expect_line("echoed")
        expect_that("the client to see its code, 3001", (closed := running.line()).startswith("closed 3001"), closed)
        end = server.wait_for_ends(1)[0]
        expect("cause and messages", (end["cause"], end["messages_in"], end["messages_out"]), ("client_closed", 14, 14))
        expect_that("at least three pongs", end["pongs"] >= 3, end["pongs"])


@pytest.mark.parametrize("client", ["npm ws", "python websockets"])
def test_a_client_that_does_not_trust_the_certificate_does_not_talk_and_the_log_has_it(lab: Lab, client: str) -> None:
    with lab.server() as server:
        start(lab, client, f"wss://localhost:{server.port}/ws", "wait")
        line = server.wait_for("Rejected a request", 10)
        expect_that("a word for it", line["reason"] in ("tls_alert", "tls_gone") and "trust the certificate" in line["message"], line["message"])


def test_versions_and_ciphers_of_today_only(lab: Lab) -> None:
    with lab.server() as server:
        for version in ("1.2", "1.3"):
            told = s_client(server, f"-tls{version.replace('.', '_')}", "-CAfile", str(lab.authority.pem))
            expect_that(f"TLS {version}, and the chain verified", f"TLSv{version}" in told and "Verify return code: 0 (ok)" in told, told[-600:])
        for version in ("-tls1", "-tls1_1"):
            told = s_client(server, version, "-cipher", "ALL@SECLEVEL=0")
            expect_that(f"{version} to be refused", "Cipher is (NONE)" in told and "alert protocol version" in told, told[-600:])
        weak = s_client(server, "-tls1_2", "-cipher", "NULL:eNULL:aNULL:RC4:3DES:@SECLEVEL=0")
        expect_that("weak ciphers to be refused", "Cipher is (NONE)" in weak, weak[-600:])
        told = s_client(server, "-alpn", "h2,http/1.1")
        expect_that("http/1.1 to be chosen", "ALPN protocol: http/1.1" in told, told[-600:])
        server.wait_for("400 tls_version")


def test_a_handshake_is_not_begun_anew(lab: Lab) -> None:
    with lab.server() as server:
        process = lab.start(
            ["bash", "-c", f"(sleep 1; echo R; sleep 2) | openssl s_client -connect 127.0.0.1:{server.port} -tls1_2 2>&1"], stdout=subprocess.PIPE)
        told = process.stdout.read().decode(errors="replace")
        expect_that("the client to have tried", "RENEGOTIATING" in told, told[-400:])
        expect_that("no second handshake", told.count("depth=0") + told.count("verify return:1") <= 3 and "read R BLOCK" not in told, told[-400:])
        line = server.wait_for("tls_failed")
        expect_that("the words", "tried to begin the handshake anew" in line["message"], line["message"])


def test_plain_HTTP_is_told_so(lab: Lab) -> None:
    with lab.server() as server:
        with Peer(server.port, upgrade=False) as peer:
            peer.send(upgrade_request(server.port))
            expect("status", peer.response()[0], 400)
            expect_that("the scheme in the answer", b"wss://" in peer.rest(), "")
        expect("reason in the log", server.wait_for("Rejected a request")["reason"], "plain_http")


def test_a_new_certificate_under_load_loses_nobody(lab: Lab) -> None:
    pem, key = lab.scratch / "fullchain.pem", lab.scratch / "privkey.pem"

    def put(made) -> None:
        # As certbot does it: one file after the other, each in one step.
        for source, target in ((made.pem, pem), (made.key, key)):
            shutil.copy(source, f"{target}.new")
            Path(f"{target}.new").rename(target)

    put(lab.certificate)
    lab.door = "default"
    trusted = lab.certificate.client()
    with lab.server("--ping", "0", "--tls-cert", str(pem), "--tls-key", str(key)) as server, contextlib.ExitStack() as stack:
        def serial() -> int:
            with Peer(server.port, upgrade=False, tls=trusted) as peer:
                return int(peer.socket.getpeercert()["serialNumber"], 16)

        before = serial()
        peers = [stack.enter_context(Peer(server.port, tls=trusted)) for _ in range(50)]
        put(lab.authority.certificate())
        deadline = time.monotonic() + 20
        while (now := serial()) == before and time.monotonic() < deadline:
            for peer in peers:
                peer.send(frame("text", b"still here"))
                expect("echo meanwhile", peer.data(), ("text", b"still here"))
        expect_that("a new certificate for new handshakes", now != before, now)
        # A bad one changes nothing but the log.
        pem.write_text("no certificate")
        server.wait_for("are not used", 20)
        expect("the certificate that stays", serial(), now)
        for peer in peers:
            peer.send(frame("binary", bytes(50_000)))
            expect("echo afterwards", peer.data(), ("binary", bytes(50_000)))
            peer.goodbye()
        expect("warnings", [line["event"] for line in server.log if line["level"] == "warning"], ["certificate_rejected"])


def test_a_certificate_that_ends_soon_is_a_warning_and_in_the_status(lab: Lab) -> None:
    admin = free_port()
    made = lab.authority.certificate(end="5")
    made.key.chmod(0o644)
    lab.door = "default"
    with lab.server("--tls-cert", str(made.pem), "--tls-key", str(made.key), "--admin", str(admin)) as server:
        server.wait_for("ends in 4 day(s)")
        server.wait_for("is open to every user")
        told = subprocess.run(["curl", "--silent", f"http://127.0.0.1:{admin}/status", f"http://127.0.0.1:{admin}/metrics"], capture_output=True).stdout.decode()
        expect_that("days in the status", '"days_left":4' in told, told[:300])
        seconds = float(re.search(r"(?m)^heartbeat_certificate_remaining_seconds ([0-9.e+]+)$", told)[1])
        expect_that("seconds in the metrics", 4 * 86400 < seconds <= 5 * 86400, seconds)


def test_a_certificate_that_has_ended_does_not_take_the_place_of_a_good_one(lab: Lab) -> None:
    pem, key = lab.scratch / "fullchain.pem", lab.scratch / "privkey.pem"
    shutil.copy(lab.certificate.pem, pem)
    shutil.copy(lab.certificate.key, key)
    lab.door = "default"
    with lab.server("--tls-cert", str(pem), "--tls-key", str(key)) as server:
        ended = lab.authority.certificate(end="-1")
        shutil.copy(ended.pem, pem)
        shutil.copy(ended.key, key)
        line = server.wait_for("are not used", 20)
        expect_that("why, and how long the good one lasts", re.search(r"it ended .* ago, on .*stays; it ends in 19 day", line["message"]), line["message"])
        with Peer(server.port, tls=lab.certificate.client()) as peer:
            peer.goodbye()


def test_the_health_check_speaks_TLS_and_does_not_verify(lab: Lab) -> None:
    with lab.server() as server:
        def check(*arguments: str) -> tuple[int, str]:
            ran = subprocess.run([lab.executable, "healthcheck", "--port", str(server.port), *arguments], capture_output=True)
            return ran.returncode, ran.stdout.decode()

        code, said = check("--tls-cert", str(lab.certificate.pem))
        expect("healthy", (code, said.partition(" answered ")[2].strip()), (0, "200 ok"))
        expect("without --tls-cert it asks in plain", check()[0], 1)


@pytest.mark.parametrize("arguments, words", [
    (["--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.key"], "--tls-cert /nowhere.pem: there is no such file."),
    (["--tls-cert", "{pem}", "--tls-key", "/dev/zero"], "--tls-key /dev/zero: this is no file in PEM: it is longer than 1 MiB."),
    (["--tls-cert", "{pem}", "--tls-key", "{other}"], "the key does not belong to the certificate"),
    (["--tls-cert", "{weak}", "--tls-key", "{weak_key}"], "no TLS handshake is possible with this certificate, whose key is RSA of 512 bits"),
    (["--upstream", "https://localhost", "--upstream-ca", "/dev/zero"], "--upstream-ca /dev/zero: this is no file in PEM"),
    (["--plain-requests", "--tls-cert", "{pem}", "--tls-key", "{key}"], "--tls-cert needs epoll"),
])
def test_a_start_that_cannot_be_says_why(lab: Lab, arguments: list[str], words: str) -> None:
    weak, weak_key = lab.scratch / "weak.pem", lab.scratch / "weak.key"
    openssl("req", "-x509", "-newkey", "rsa:512", "-noenc", "-subj", "/CN=localhost", "-keyout", weak_key, "-out", weak)
    values = {
        "pem": lab.certificate.pem, "key": lab.certificate.key, "other": lab.authority.certificate().key, "weak": weak, "weak_key": weak_key}
    ran = subprocess.run(
        [lab.executable, "--port", str(free_port()), *(argument.format(**values) for argument in arguments)], capture_output=True, timeout=20)
    expect("exit code", ran.returncode, 1)
    expect_that("the reason", words in ran.stderr.decode(), ran.stderr.decode())


@pytest.mark.parametrize("inside", ["ws", "wss"])
@pytest.mark.parametrize("outside", ["ws", "wss"])
def test_each_leg_of_a_relay_is_by_itself(lab: Lab, outside: str, inside: str) -> None:
    lab.door = "tls" if inside == "wss" else "default"
    with lab.server() as application:
        lab.door = "tls" if outside == "wss" else "default"
        trust = ["--upstream-ca", str(lab.authority.pem)] if inside == "wss" else []
        with lab.server("--ping", "300ms", "--max-missed", "10", "--upstream", f"{inside}://localhost:{application.port}", *trust) as relay:
            running = start(lab, "npm ws", f"{outside}://localhost:{relay.port}/ws", "echo", **trusting(lab))
            running.expect_line("open")
            running.expect_line("echoed")
            expect_that("the client to see its code, 3001", (closed := running.line()).startswith("closed 3001"), closed)
            expect("cause", relay.wait_for_ends(1)[0]["cause"], "client_closed")
            # A page, too: the application refuses it, in its own words.
            with Peer(relay.port, upgrade=False, tls=relay.tls) as peer:
                peer.send(b"GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
                expect("status of a page", peer.response()[0], 404)


@pytest.mark.parametrize("fault, words", [
    ("ended", "out of date"), ("name", "it is not for localhost"), ("authority", "nobody in --upstream-ca has signed it"), ("plain", "Does it speak TLS at this port?")])
def test_an_application_that_cannot_prove_who_it_is_gets_nobody(lab: Lab, fault: str, words: str) -> None:
    if fault == "ended":
        lab.certificate = lab.authority.certificate(end="-1")
    elif fault == "name":
        lab.certificate = lab.authority.certificate(names="DNS:other.example")
    lab.door = "default" if fault == "plain" else "tls"
    trusted = Authority(lab.scratch / "others").pem if fault == "authority" else lab.authority.pem
    with lab.server() as application:
        lab.door = "default"
        with lab.server("--upstream", f"wss://localhost:{application.port}", "--upstream-ca", str(trusted)) as relay:
            with Peer(relay.port, upgrade=False) as peer:
                peer.send(upgrade_request(relay.port))
                expect("status", peer.response()[0], 502)
                expect_that("the reason", words in peer.rest().decode(), words)
            line = relay.wait_for("Refused GET")
            expect("reason", line["reason"], "upstream_unreachable" if fault == "plain" else "upstream_bad_certificate")
            expect("connections of the application", application.opened(), 0)


def half_handshakes(port: int, count: int) -> int:
    """Begins so many handshakes, ends none, and counts those that the server has closed."""
    held = []
    for number in range(count):
        held.append(socket.create_connection(("127.0.0.1", port)))
        held[-1].sendall([b"\x16", b"\x16\x03\x01\x02\x00\x01", b""][number % 3])
    time.sleep(3)
    closed = 0
    for one in held:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            try:
                closed += one.recv(1) == b""
            except ConnectionResetError:
                closed += 1
        one.close()
    return closed


@pytest.mark.alone
def test_half_handshakes_are_closed_in_time_and_harm_nobody(lab: Lab) -> None:
    with lab.hostile("--handshake-timeout", "1s") as server:
        expect("handshakes that were closed", elsewhere(half_handshakes, server.port, 2000), 2000)


def garbage(port: int, count: int) -> None:
    for number in range(count):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as one:
            one.settimeout(5)
            one.sendall([b"\x16\x03\x01\x00\x05hello", b"\x16" + bytes(range(256)) * 4, b"\x00" * 100, b"\x16\x03\x03\xff\xff" + b"x" * 70_000][number % 4])
            while one.recv(4096):
                pass


@pytest.mark.alone
def test_garbage_is_refused_and_harms_nobody(lab: Lab) -> None:
    with lab.hostile() as server:
        elsewhere(garbage, server.port, 2000)
        server.wait_for("tls_failed")


@pytest.mark.alone
def test_clients_that_do_not_read_stop_being_read(lab: Lab) -> None:
    with lab.hostile("--write-timeout", "2s", "--ping", "0", "--max-buffered", "64MiB") as server:
        peers = [Peer(server.port, tls=server.tls, receive_buffer=4096) for _ in range(30)]
        for peer in peers:
            peer.socket.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ssl.SSLError, OSError):
                for _ in range(200):
                    peer.send(frame("binary", bytes(60_000)))
        eventually("all of them cut", lambda: sum(end["cause"] == "slow_consumer" for end in server.ends()) == 30, 20)
        for peer in peers:
            peer.socket.close()
