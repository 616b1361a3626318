"""HeartbeatServer probe: what it says of paths whose limits are known."""

import os
import signal
import time

import pytest

from harness.applications import start_application
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab
from harness.network import HERE, other_host
from harness.paths import ONE_SERVER_HAPROXY, ONE_SERVER_NGINX
from harness.probing import endpoint, expect_seconds, finish, goodbye, measure, probe, serve, start_probe
from harness.proxies import IDLE, proxy_to
from harness.server import free_port
from harness.upstream import Leg, Upstream

pytestmark = pytest.mark.door

PROXIES = {"nginx": ONE_SERVER_NGINX, "haproxy": ONE_SERVER_HAPROXY}


# Limits of the way.


@pytest.mark.parametrize("kind", PROXIES)
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_the_idle_timeout_of_a_proxy_is_measured(lab: Lab, kind: str, secure: bool) -> None:
    with lab.server("--ping", "0") as server, proxy_to(lab, PROXIES[kind], server.port) as proxy:
        url = f"wss://localhost:{proxy.tls_port}/ws" if secure else f"ws://localhost:{proxy.port}/ws"
        probed = measure(lab, url, env={"SSL_CERT_FILE": str(proxy.pem)})
        verdict = probed.expect(3, "silence")
        expect_seconds("the silence", verdict["seconds"], IDLE)
        expect_that("an end with FIN or RST", verdict["end"] in ("fin", "rst"), verdict["end"])
        expect("how many of how many", verdict["count"], verdict["of"])
        expect_that("at least the three silent ones", verdict["count"] >= 3, verdict["count"])
        expect("the ping", verdict["ping"], "1s")
        expect_that("no longer than it has to take", probed.json["took_seconds"] < 15, probed.json["took_seconds"])
        expect("TLS in the times", probed.json["handshake"]["tls_ms"] is not None, secure)
        expect("who says goodbye", {end["cause"] for end in server.wait_for_ends(3)} - {"client_vanished", "connection_reset", "client_closed"}, set())


def test_packets_that_are_dropped_without_a_word_are_put_into_a_bracket(lab: Lab) -> None:
    with other_host() as host, lab.server("--ping", "0", host=HERE) as server:
        host.forget(server.port, seconds=5)
        probed = measure(lab, f"ws://{HERE}:{server.port}/ws", before=host.inside())
        verdict = probed.expect(3, "drop")
        expect_that("5s in the bracket", verdict["from_seconds"] <= 5.05 and verdict["to_seconds"] >= 5, verdict)
        expect_that("a bracket of at most 2s", verdict["to_seconds"] - verdict["from_seconds"] <= 2, verdict)
        expect("the ping", verdict["ping"], "2s")
        expect("how they ended", verdict["end"], "lost")
        # The server cannot have seen an end, and must not wait for those clients when it stops.
        server.terminate()


def test_a_limit_on_the_life_is_no_silence(lab: Lab) -> None:
    with endpoint(lambda leg: serve(leg, life=9)) as url:
        verdict = measure(lab, url).expect(3, "life")
        expect_seconds("the age", verdict["seconds"], 9)
        expect("the ping", verdict["ping"], None)
        expect_that("that pings do not help", "Pings do not help" in verdict["sentence"], verdict["sentence"])


# What is no limit of the way.


def test_a_goodbye_to_silent_connections_alone_is_the_limit_of_the_server(lab: Lab) -> None:
    def behave(leg: Leg) -> None:
        serve(leg, idle=4)
        goodbye(leg, 1001, "Idle Timeout")

    with endpoint(behave) as url:
        probed = measure(lab, url)
        verdict = probed.expect(3, "silence")
        expect_seconds("the silence", verdict["seconds"], 4)
        silent = [each for each in probed.json["connections"] if each["role"] == "silent"]
        expect("ends of the silent ones", [(each["end"], each["close_code"], each["close_reason"]) for each in silent], [("close", 1001, "Idle Timeout")] * 3)


def test_an_application_that_waits_for_a_message_is_known_and_gets_it(lab: Lab) -> None:
    application = start_application(lab, "graphql-ws")
    url = f"ws://127.0.0.1:{application.port}/graphql"
    offer = ("--subprotocol", "graphql-transport-ws")
    verdict = measure(lab, url, *offer).expect(4, "application")
    expect_seconds("the age", verdict["seconds"], 3, within=0.2)
    expect_that("the code and the way out", all(text in verdict["sentence"] for text in ("Close 4408", "--send")), verdict["sentence"])
    probed = probe(lab, url, *offer, "--send", '{"type":"connection_init"}', "--for", "6s", "--json")
    expect("exit code with its message", probed.code, 0)


def test_ends_at_random_are_no_limit(lab: Lab) -> None:
    ages = iter([3.1, 8.4, 4.9, 11.3, 5.6, 2.2, 9.7, 6.6, 7.5, 3.8, 10.5, 4.2, 12.0, 2.7, 8.9, 6.1] * 5)
    with endpoint(lambda leg: serve(leg, life=next(ages))) as url:
        measure(lab, url).expect(4, "random")


def test_a_server_that_pings_breaks_the_silence(lab: Lab) -> None:
    with lab.server("--ping", "2s") as server:
        probed = measure(lab, f"ws://127.0.0.1:{server.port}/ws")
        verdict = probed.expect(4, "server_speaks")
        expect_seconds("the beat", verdict["seconds"], 2)
        expect("pings that missed their answer", [end["missed"] for end in server.wait_for_ends(5) if end["missed"]], [])
        expect("causes", {end["cause"] for end in server.ends()}, {"client_closed"})


def test_a_server_that_stops_is_no_limit(lab: Lab) -> None:
    with lab.server("--ping", "0") as server:
        process = start_probe(lab, f"ws://127.0.0.1:{server.port}/ws", "--json", "--for", "36s")
        eventually("ten connections", lambda: server.opened() >= 10, 10)
        time.sleep(2)
        server.terminate()
        expect_that("that something restarted", "restarted or failed" in finish(process).expect(4, "moment")["sentence"], process.args)


# No connection.


def test_a_refusal_shows_its_status_and_its_body_without_what_was_given(lab: Lab) -> None:
    secret = "s3cr3t-token-of-mine"
    with Upstream() as upstream:
        process = start_probe(lab, f"ws://127.0.0.1:{upstream.port}/chat?key={secret}", "--header", f"Authorization: Bearer {secret}")
        with upstream.accept() as leg:
            expect("the header", leg.field("Authorization"), [f"Bearer {secret}"])
            expect_that("a User-Agent that says what it is", "HeartbeatServer-probe/" in leg.field("User-Agent")[0], leg.field("User-Agent"))
            leg.answer("401 Unauthorized", f"\x1b[31mno such token: {secret}\n".encode() + b"x" * 5000, "WWW-Authenticate: Bearer", "Via: 1.1 gate")
        probed = finish(process)
    expect("exit code", probed.code, 1)
    for text in ("401 Unauthorized", "\\u001b[31mno such token: ***", "Via: 1.1 gate", "--header"):
        expect_that(f"{text!r} in the output", text in probed.text, probed.text)
    expect_that("no secret, and no control character", secret not in probed.text and "\x1b" not in probed.text, probed.text)
    expect_that("a short output", len(probed.text) < 2500, len(probed.text))


def test_a_wrong_path_gets_the_server_s_own_words(lab: Lab) -> None:
    with lab.server() as server:
        probed = probe(lab, f"ws://127.0.0.1:{server.port}/nothing")
        expect("exit code", probed.code, 1)
        expect_that("status and body", "404 Not Found" in probed.text and "WebSocket clients connect to /ws" in probed.text, probed.text)


def test_a_certificate_that_nobody_vouches_for_is_refused_and_can_be_taken(lab: Lab) -> None:
    with lab.server("--ping", "0") as server, proxy_to(lab, ONE_SERVER_NGINX, server.port) as proxy:
        url = f"wss://localhost:{proxy.tls_port}/ws"
        probed = probe(lab, url, "--for", "1s")
        expect("exit code", probed.code, 1)
        expect_that("the way out", "certificate" in probed.text and "--insecure" in probed.text, probed.text)
        expect("exit code with --insecure", probe(lab, url, "--for", "1s", "--insecure").code, 0)
        expect("exit code of ws:// on that port", probe(lab, f"ws://localhost:{proxy.tls_port}/ws", "--for", "1s").code, 1)


def test_nobody_listens(lab: Lab) -> None:
    probed = probe(lab, f"ws://127.0.0.1:{free_port()}/", "--json")
    expect("exit code", (probed.code, probed.json["exit_code"], probed.json["verdict"]), (1, 1, None))
    expect_that("why", "refused" in probed.json["handshake"]["fault"], probed.json["handshake"])


# What a person sees.


def test_the_plain_client_of_the_quick_start(lab: Lab) -> None:
    with lab.server("--ping", "1s") as server:
        probed = probe(lab, f"ws://127.0.0.1:{server.port}/ws", "--for", "4s")
        expect("exit code", probed.code, 0)
        for text in ("5 pings, 5 answered, round trip", "from the server, answered", "Goodbye."):
            expect_that(f"{text!r} in the output", text in probed.text, probed.text)
        expect("cause", server.wait_for_ends(1)[0]["cause"], "client_closed")


def test_ctrl_c_shows_what_is_known(lab: Lab) -> None:
    with lab.server("--ping", "0") as server:
        process = start_probe(lab, f"ws://127.0.0.1:{server.port}/ws", "--json")
        eventually("ten connections", lambda: server.opened() >= 10, 10)
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        probed = finish(process, 10)
        verdict = probed.expect(4, "none")
        expect("interrupted", probed.json["interrupted"], True)
        expect_that("what passed so far", verdict["tested_seconds"] >= 3, verdict)
        expect("causes", {end["cause"] for end in server.wait_for_ends(10)}, {"client_closed"})


def test_a_terminal_gets_progress_in_place(lab: Lab) -> None:
    with lab.server("--ping", "0") as server:
        ours, theirs = os.openpty()
        url = f"ws://127.0.0.1:{server.port}/ws"
        process = lab.start([lab.executable, "probe", url], stdout=theirs, stderr=theirs, env={"TERM": "xterm"})
        os.close(theirs)
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(ours)
        process.wait(10)
        text = shown.decode()
        for kind in ("  silent   ", "  ladder   ", "  control  "):
            expect_that(f"a line for {kind.strip()}", kind in text, text[-2000:])
        expect_that("lines that are rewritten in place", "\x1b[4A\r\x1b[J" in text, text[-2000:])
        expect_that("no progress below the verdict", "\x1b" not in text[text.rindex("It was interrupted"):], text[-500:])
