"""Real clients. Each is a program in clients/ that is called with URL and MODE, and prints a line for each thing that happens.

mode echo: "open", echoes of all sizes, "echoed", then waits for pings and closes with 3001 "see you later", "closed CODE REASON".
mode wait: "open", then waits until it is closed, "closed CODE REASON".
mode offer: the same, but it offers the subprotocols mqtt and mqttv3.1, and prints "open" with the one that is spoken.
"""

import dataclasses
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .expect import expect
from .lab import Lab, need
from .paths import CLIENTS
from .server import Server

GORILLA = Path("/usr/share/gocode/src/github.com/gorilla/websocket")


def npm_ws(_: Lab) -> list[str | Path]:
    if not (CLIENTS / "ws/node_modules/ws").exists():
        pytest.skip("npm ws is not installed: run install.sh")
    return [need("node"), CLIENTS / "ws/client.js"]


def node_web_socket(_: Lab) -> list[str | Path]:
    return [need("node"), "--no-warnings", "--experimental-websocket", CLIENTS / "node.mjs"]


def python(module: str, program: str) -> Callable[[Lab], list[str | Path]]:
    def command(_: Lab) -> list[str | Path]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the Python module {module} is not installed: run install.sh")
        return [sys.executable, CLIENTS / program]

    return command


def gorilla(lab: Lab) -> list[str | Path]:
    program = lab.shared / "gorilla"
    if not program.exists():
        pytest.skip("Go or golang-github-gorilla-websocket-dev is not installed: run install.sh")
    return [program]


def build_gorilla(folder: Path) -> None:
    """Compiles the Go client once, before the cases. Debian's Go packages are a GOPATH."""
    if shutil.which("go") and GORILLA.exists():
        subprocess.run(
            ["go", "build", "-o", folder / "gorilla", "."], cwd=CLIENTS / "gorilla", check=True,
            env={**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""})


def chromium(_: Lab) -> list[str | Path]:
    need("chromium")
    return [sys.executable, CLIENTS / "chromium.py"]


PROGRAMS: dict[str, Callable[[Lab], list[str | Path]]] = {
    "npm ws": npm_ws,
    "Node WebSocket": node_web_socket,
    "python websockets": python("websockets", "py_websockets.py"),
    "python wsproto": python("wsproto", "py_wsproto.py"),
    "gorilla": gorilla,
    "Chromium": chromium,
}


@dataclasses.dataclass
class Running:
    """A client that is running."""

    process: subprocess.Popen

    def line(self) -> str:
        return self.process.stdout.readline().decode().rstrip("\n")

    def expect_line(self, wanted: str) -> None:
        expect("line of the client", self.line().rstrip(), wanted)

    def vanish(self) -> None:
        """Ends the client as if it had lost its power, as far as a process can: the client and all that it has started get SIGKILL."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(lab: Lab, client: str, url: str, mode: str, **environment: str) -> Running:
    return Running(lab.start([*PROGRAMS[client](lab), url, mode], stdout=subprocess.PIPE, env=environment))


def waiting_client(lab: Lab, server: Server, host: str, *before: str) -> Running:
    """Starts a client that only answers pings. `before`: the program, with its arguments, that starts the client."""
    program = [*before, sys.executable, CLIENTS / "py_wsproto.py", f"ws://{host}:{server.port}/ws", "wait"]
    client = Running(lab.start(program, stdout=subprocess.PIPE))
    client.expect_line("open")
    server.wait_for("pong, round trip")
    return client
