"""The dashboard in a real browser. A person who sees only this page must learn how each client is, and why it left."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness.browser import Page, page
from harness.clients import waiting_client
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, need
from harness.paths import DASHBOARD, SUITE
from harness.peer import EOF, RESET, Peer, frame, upgrade_request
from harness.server import Server, free_port

PING = ("--ping", "2s", "--timeout", "1s")
SLOW = 1.3
"""Seconds after which the slow client answers. They are more than --timeout and less than --ping."""

FLAPS = 4
CROWD = 60


def stays(server: Server, source: str, delay: float = 0.0) -> int:
    """Runs a client that answers each ping after a delay, until the server ends. Returns the number of its connection."""
    peer = Peer(server.port, source=source, timeout=120)

    def run() -> None:
        with contextlib.suppress(OSError), peer:
            while (item := peer.receive()) not in (EOF, RESET):
                if item[0] == "ping":
                    time.sleep(delay)
                    peer.send(frame("pong", item[1]))

    threading.Thread(target=run, daemon=True).start()
    return server.number_of(peer)


def flap(server: Server, source: str) -> None:
    for _ in range(FLAPS):
        with Peer(server.port, source=source) as peer:
            pass
        server.end_of(peer)


def chip(shown: Page, number: int) -> str:
    return f"document.querySelector('#rows tr[data-id=\"{number}\"] .chip')?.textContent"


def expect_to_fit(shown: Page) -> None:
    widths = shown.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    expect_that("a page that is not wider than its window", widths[0] <= widths[1], widths)


@pytest.mark.timeout(120)
def test_healthy_slow_frozen_flapping_and_gone_are_told_apart(lab: Lab) -> None:
    port = free_port()
    origin = f"http://localhost:{port}"
    server = lab.server("--admin", str(port), "--log-level", "debug", *PING)
    server.wait_until_it_listens()
    with page(lab) as shown:
        shown.look(1400, "light")
        shown.open(origin)
        shown.wait_for_text("#situation", "Nobody is connected.")
        shown.wait_for_text("#plots", "No pong measured yet.")
        shown.wait_for_text("#no-ends", "No connection has ended yet.")

        frozen, killed = 1, 2
        os.kill(waiting_client(lab, server, "127.0.0.1").process.pid, signal.SIGSTOP)
        waiting_client(lab, server, "127.0.0.1").vanish()
        gone = eventually("the end of the killed client", lambda: [end for end in server.ends() if end["connection"] == killed])[0]
        healthy = stays(server, "127.0.0.11")
        slow = stays(server, "127.0.0.12", SLOW)
        flap(server, "127.0.0.2")

        # The page tells of the frozen client while it is silent, and after its end.
        shown.wait("a silent client", f"{chip(shown, frozen)}?.startsWith('silent, ')")
        shown.wait_for_text("#situation", f"1 client was frozen and is cut: #{frozen} ")
        shown.wait_for_text("#ends", "pong_timeout, peer_frozen")
        shown.wait_for_text("#ends", "The client's kernel answered, its program did not")
        shown.wait_for_text("#ends", "Its event loop is blocked, or it is stopped or suspended")
        shown.wait("a healthy client", f"{chip(shown, healthy)} === 'healthy'")
        shown.wait("a client that is always late", f"{chip(shown, slow)} === 'always late'")
        shown.wait_for_text("#situation", f"1 client keeps answering late: #{slow} 127.0.0.12:")
        shown.wait_for_text("#situation", "Raise --timeout to at least")
        shown.wait_for_text("#situation", f"127.0.0.2 connected and left {FLAPS} times in")
        left = "1 client left without a goodbye" if gone["cause"] == "client_vanished" else "1 connection was reset"
        shown.wait_for_text("#situation", f"{left}: #{killed} ")
        situation = shown.text("#situation")
        expect_that("nothing to be said of the healthy client", "127.0.0.11:" not in situation, situation)
        shown.wait("four plots with something in them", "document.querySelectorAll('#plots canvas').length === 4 && !document.querySelector('#plots .is-empty')")
        shown.wait("a plot that says its figures", "document.querySelector('#plots figure:nth-child(2) [role=img]').ariaLabel.includes('pong_timeout 1')")

        by_keyboard(shown, healthy, slow)
        ended_details(shown, frozen)

        grounds = set()
        for width, scheme in ((1400, "dark"), (360, "dark"), (360, "light"), (1400, "light")):
            shown.look(width, scheme)
            shown.wait("plots as wide as their frames", "[...document.querySelectorAll('.plot')].every(each => Math.abs(each.firstElementChild.clientWidth - each.clientWidth) < 2)")
            expect_to_fit(shown)
            grounds.add(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
        expect("grounds, light and dark", len(grounds), 2)
        shown.expect_quiet_console()

        shown.expect_accessible("five clients")
        shown.look(1400, "light")
        shown.evaluate(f"document.querySelector('#rows tr[data-id=\"{healthy}\"] a').click()")
        shown.wait_for_text("#details", "It answers in time.")
        expect("the address of a connection", shown.evaluate("location.hash.split('&')[0]"), f"#connection={healthy}")
        shown.expect_accessible("the details")
        server.kill()
        shown.wait_for_text("#gone", "No answer since ")
        shown.wait_for_text("#details", "No answer since ")
        shown.expect_accessible("a server that is gone")
        expect("state of a server that is gone", shown.text("#state"), "no answer")
        expect("other errors on the console than those of requests", {entry["source"] for entry in shown.console} - {"network"}, set())

        with lab.server("--admin", str(port), *PING):
            shown.wait("the banner to go", "document.getElementById('gone').hidden")
            shown.wait_for_text("#situation", "Nobody is connected.")
            shown.wait_for_text("#news", "The server was started anew. Its figures begin again, and the details were closed.")
            expect("details of a connection of the server before", shown.evaluate("document.getElementById('details').open"), False)
            shown.wait_for_text("#no-ends", "No connection has ended yet.")
            shown.wait_for_text("#plots", "No pong measured yet.")
            shown.console.clear()
            asked = len(shown.requests)
            shown.wait("another poll", "document.getElementById('state').textContent === 'serving'")
            shown.expect_quiet_console()
        elsewhere = [url for url in shown.requests if not url.startswith(f"{origin}/")]
        expect("requests that leave the machine", elsewhere, [])
        expect_that("requests at all", asked > 10, asked)


def by_keyboard(shown: Page, first: int, second: int) -> None:
    """Sorts by number, both ways, and opens and closes the details."""
    order = "[...document.querySelectorAll('#rows tr')].map(row => Number(row.dataset.id))"
    shown.tab_to("No.")
    for direction, wanted in (("descending", [second, first]), ("ascending", [first, second])):
        shown.press("Enter")
        expect("aria-sort", shown.evaluate("document.activeElement.parentElement.ariaSort"), direction)
        shown.wait(f"rows in {direction} order", f"JSON.stringify({order}) === '{wanted}'.replaceAll(' ', '')")
    shown.wait("the order to be read out", "document.getElementById('page-news').textContent === '1–2 of 2, by id, ascending'")
    shown.tab_to("Next")
    shown.press("Enter")
    expect("focus on a button that leads nowhere", shown.evaluate("document.activeElement.id"), "next")
    shown.tab_to(f"#{second}")
    shown.press("Enter")
    shown.wait_for_text("#details", "It answers, but after --timeout 1s")
    shown.press("Escape")
    shown.wait("the details to close", "!document.getElementById('details').open")
    expect("focus after the details", shown.evaluate("document.activeElement.textContent"), f"#{second}")


def ended_details(shown: Page, ended: int) -> None:
    opened = f"[...document.querySelectorAll('#ends a')].find(each => each.textContent === '#{ended}').click()"
    shown.evaluate(opened)
    shown.wait_for_text("#details", "ended: pong_timeout, peer_frozen")
    # The dialog opens again before its close event has come.
    shown.evaluate(f"document.getElementById('details').close(); {opened}")
    shown.wait_for_text("#details", "ended: pong_timeout, peer_frozen")
    shown.wait_for_text("#details", "3 ping(s) without a sign of life")
    shown.press("Escape")


def test_a_crowd_that_leaves_at_once_and_a_request_that_is_refused(lab: Lab) -> None:
    """No client of the crowd comes back. So the page must not say that they flap, though each address has left many times."""
    port = free_port()
    with lab.server("--admin", str(port), "--ping", "0") as server, page(lab) as shown:
        shown.look(1400, "light")
        shown.open(f"http://localhost:{port}")
        shown.wait_for_text("#about", "It sends no pings (--ping 0), so it does not learn how clients are.")
        with contextlib.ExitStack() as stack:
            for place in range(CROWD):
                stack.enter_context(Peer(server.port, source=f"127.0.2.{1 + place % 4}"))
            shown.wait_for_text("#range", f"1–25 of {CROWD}")
            expect("rows of a page", shown.evaluate("document.querySelectorAll('#rows tr').length"), 25)
        with Peer(server.port, upgrade=False) as lost:
            lost.send(upgrade_request(server.port, path="/elsewhere"))
            expect("status", lost.response()[0], 404)
        shown.wait_for_text("#situation", f"{CROWD} of {CROWD} connections ended within ")
        shown.wait_for_text("#situation", f"(client_vanished {CROWD}; from 4 addresses).")
        shown.wait_for_text("#situation", "1 request was refused in the last 5 minutes. not_found 1 (another path than --path /ws).")
        expect_that("no word of flapping", "flapping" not in shown.text("#situation"), shown.text("#situation"))
        shown.wait_for_text("#ends", f"client_vanished {CROWD}")
        shown.wait_for_text("#ends", f"{CROWD} connections from 4 addresses: ")
        expect("entries of a crowd that left together", shown.evaluate("document.querySelectorAll('#ends > li').length"), 1)
        shown.evaluate("document.querySelector('#ends summary').click()")
        shown.wait("25 of them", "document.querySelectorAll('#ends tbody tr').length === 25")
        shown.evaluate("[...document.querySelectorAll('#ends button')].find(each => each.textContent === 'Show 25 more').click()")
        shown.wait("50 of them", "document.querySelectorAll('#ends tbody tr').length === 50")
        shown.expect_accessible("a crowd that left")
        shown.expect_quiet_console()


def saved(shown: Page, button: str) -> list[str]:
    """Presses a button that saves a file. Returns the lines of the file."""
    shown.evaluate("URL.createObjectURL = blob => { blob.text().then(text => { window.saved = text; }); return 'data:,'; }; window.saved = null;")
    shown.evaluate(f"document.getElementById('{button}').click()")
    return shown.wait("a file", "window.saved").splitlines()


def test_a_view_has_an_address_and_can_be_saved(lab: Lab) -> None:
    port = free_port()
    with lab.server("--admin", str(port), *PING) as server, page(lab) as shown, contextlib.ExitStack() as stack:
        for source in ("127.0.0.21", "127.0.0.22"):
            stays(server, source)
        mute = stack.enter_context(Peer(server.port, source="127.0.0.23"))
        number = server.number_of(mute)
        with Peer(server.port, source="127.0.0.24") as left:
            left.goodbye()
        gone = server.number_of(left)
        origin = f"http://localhost:{port}"
        shown.look(1400, "light")

        shown.open(f"{origin}/#search=127.0.0.2&sort=id&order=asc")
        shown.wait_for_text("#range", "1–3 of 3")
        expect("the text of the search", shown.evaluate("document.getElementById('search').value"), "127.0.0.2")
        shown.wait_for_text("#ends", f"#{gone} 127.0.0.24:")
        lines = saved(shown, "connections-csv")
        expect_that("a line of names and three connections", len(lines) == 4 and lines[0].startswith("id,remote,state,") and "127.0.0.21:" in lines[1], lines)
        lines = saved(shown, "ends-csv")
        expect_that("a line of names and one end", len(lines) == 2 and ",client_closed,client," in lines[1], lines)

        shown.evaluate("document.getElementById('state-filter').value = 'suspect'; document.getElementById('state-filter').dispatchEvent(new Event('change'));")
        shown.wait("the one that is silent", f"JSON.stringify([...document.querySelectorAll('#rows tr')].map(row => row.dataset.id)) === '[\"{number}\"]'")
        expect("the address of the view", shown.evaluate("location.hash"), "#search=127.0.0.2&state=suspect&sort=id&order=asc")
        shown.evaluate("document.getElementById('cause').value = 'pong_timeout'; document.getElementById('cause').dispatchEvent(new Event('change'));")
        shown.wait_for_text("#ends", f"#{number} 127.0.0.23:")
        expect_that("no other cause", "client_closed" not in shown.text("#ends"), shown.text("#ends"))

        # As somebody does who was sent the address of a connection that has ended.
        shown.open("about:blank")
        shown.open(f"{origin}/#connection={gone}")
        shown.wait_for_text("#details", "ended: client_closed")
        shown.press("Escape")
        shown.wait("an address without it", "location.hash === ''")
        shown.expect_quiet_console()


def test_without_javascript_the_page_says_what_to_read_instead(lab: Lab) -> None:
    port = free_port()
    with lab.server("--admin", str(port)) as server, page(lab) as shown:
        server.wait_until_it_listens()
        shown.call("Emulation.setScriptExecutionDisabled", value=True)
        shown.open(f"http://localhost:{port}")
        shown.wait_for_text("noscript", "This page needs JavaScript. The same figures are at /status, /status/why and /metrics.")
        shown.wait("its style sheet", "document.readyState === 'complete'")
        colours = shown.evaluate("[...document.querySelectorAll('.alert, .alert a')].map(each => getComputedStyle(each).color)")
        expect_that("links as readable as the text around them", len(colours) == 4 and len(set(colours)) == 1, colours)
        expect("height of the empty parts of the page", shown.evaluate("document.querySelector('main').offsetHeight"), 0)


def test_texts_and_patterns(lab: Lab) -> None:
    """Node's test runner tests the pure modules of the page. They are copied into a folder whose package.json says that they are modules."""
    folder = lab.scratch / "dashboard"
    shutil.copytree(DASHBOARD, folder)
    for test in (SUITE / "dashboard").glob("*.test.js"):
        shutil.copy(test, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    ran = subprocess.run([need("node"), "--test", "--test-reporter=tap", *sorted(folder.glob("*.test.js"))], cwd=folder, capture_output=True, text=True, timeout=50)
    expect_that("every test of Node to pass", ran.returncode == 0 and "\n# fail 0" in ran.stdout and "\n# pass 0" not in ran.stdout, ran.stdout[-3000:] + ran.stderr[-1000:])
