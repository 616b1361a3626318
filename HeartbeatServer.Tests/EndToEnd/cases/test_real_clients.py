"""Real clients: each is a program in clients/ that is called with URL and MODE, and prints what happens to it, a line each.

mode echo: "open", echoes of all sizes, "echoed", then waits for pings and closes with 3001 "see you later", "closed CODE REASON".
mode wait: "open", then waits until it is closed, "closed CODE REASON".
"""

import dataclasses
import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .case import Failure, Skip, case, expect, expect_that
from .lab import CLIENTS, Lab, need
from .server import Server

GORILLA = Path("/usr/share/gocode/src/github.com/gorilla/websocket")


def node(*arguments: str | Path) -> list[str | Path]:
    return [need("node"), *arguments]


def npm_ws(_: Lab) -> list[str | Path]:
    if not (CLIENTS / "ws/node_modules/ws").exists():
        raise Skip("npm ws is not installed: run install.sh")
    return node(CLIENTS / "ws/client.js")


def node_web_socket(_: Lab) -> list[str | Path]:
    return node("--no-warnings", "--experimental-websocket", CLIENTS / "node.mjs")


def python(module: str, program: str, _: Lab) -> list[str | Path]:
    if importlib.util.find_spec(module) is None:
        raise Skip(f"the Python module {module} is not installed: run install.sh")
    return [sys.executable, CLIENTS / program]


def gorilla(lab: Lab) -> list[str | Path]:
    program = lab.tools / "gorilla"
    if not program.exists():
        raise Skip("Go or golang-github-gorilla-websocket-dev is not installed: run install.sh")
    return [program]


def build_gorilla(tools: Path) -> None:
    """Compiled once, before the cases. Debian's Go packages are a GOPATH."""
    if shutil.which("go") and GORILLA.exists():
        subprocess.run(
            ["go", "build", "-o", tools / "gorilla", "."], cwd=CLIENTS / "gorilla", check=True,
            env={**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""})


def chromium(_: Lab) -> list[str | Path]:
    need("chromium")
    return [sys.executable, CLIENTS / "chromium.py"]


CLIENT_PROGRAMS: dict[str, Callable[[Lab], list[str | Path]]] = {
    "npm ws": npm_ws,
    "Node WebSocket": node_web_socket,
    "python websockets": functools.partial(python, "websockets", "py_websockets.py"),
    "python wsproto": functools.partial(python, "wsproto", "py_wsproto.py"),
    "gorilla": gorilla,
    "Chromium": chromium,
}


@dataclasses.dataclass
class Running:
    """A client that was started."""

    process: subprocess.Popen

    def line(self) -> str:
        return self.process.stdout.readline().decode().rstrip("\n")

    def expect_line(self, wanted: str) -> None:
        expect("line of the client", self.line().rstrip(), wanted)

    def vanish(self) -> None:
        """As when the power goes, as far as a process can: SIGKILL to it and to all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(lab: Lab, client: str, url: str, mode: str, **environment: str) -> Running:
    return Running(lab.start([*CLIENT_PROGRAMS[client](lab), url, mode], stdout=subprocess.PIPE, env=environment))


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/ws"


def echoes(lab: Lab, client: str) -> None:
    with lab.server("--ping", "300ms", "--max-missed", "10") as server:
        running = start(lab, client, url_of(server), "echo")
        running.expect_line("open")
        running.expect_line("echoed")
        closed = running.line()
        expect_that("the client to see its code, 3001", closed.startswith("closed 3001"), closed)
        end = server.wait_for_ends(1)[0]
        expect("cause and detail", (end["Cause"], end["EndedBy"], end["Detail"]), ("client_closed", "client", 'Close 3001 "see you later"'))
        expect("messages in and out", (end["MessagesIn"], end["MessagesOut"]), (14, 14))
        expect_that("at least three pongs", end["Pongs"] >= 3, end["Pongs"])
        expect_that("no ping without its pong, but for the last", end["Pings"] - end["Pongs"] <= 1, (end["Pings"], end["Pongs"]))


def drained(lab: Lab, client: str) -> None:
    with lab.server() as server:
        running = start(lab, client, url_of(server), "wait")
        running.expect_line("open")
        server.wait_for("connected")
        server.terminate()
        running.expect_line("closed 1001 server is shutting down")
        end = server.wait_for_ends(1)[0]
        expect("cause and who", (end["Cause"], end["EndedBy"]), ("server_shutdown", "server"))
        expect_that("a drain that does not use its window up", end["AgeSeconds"] < 30 and not server.lines("are cut"), server.lines("are cut"))


def vanishes(lab: Lab, client: str) -> None:
    with lab.server() as server:
        running = start(lab, client, url_of(server), "wait")
        running.expect_line("open")
        running.vanish()
        end = server.wait_for_ends(1)[0]
        if end["Cause"] not in ("client_vanished", "connection_reset"):
            raise Failure(f"cause: expected client_vanished or connection_reset, got {end['Cause']}")


for name in CLIENT_PROGRAMS:
    case(f"clients/{name}: echo, pings, close")(functools.partial(echoes, client=name))
    case(f"clients/{name}: drained with 1001")(functools.partial(drained, client=name))
    case(f"clients/{name}: vanishes")(functools.partial(vanishes, client=name))
