"""Applications that know nothing of the relay, from their packages, and the clients that belong to them.

A client is called with a port and prints a line for each thing that happens: "exchanged" when it has had its answers, "exchanged again" when it has had
them once more after a silence of 1.5 s, and "closed" with what it knows of the end.
"""

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .clients import Running
from .expect import Failure, eventually
from .lab import Lab, need
from .paths import APPLICATIONS
from .server import Server, free_port

Command = list[str | Path]


def node(lab: Lab, program: str, *arguments: object) -> Command:
    if not (APPLICATIONS / "node_modules").exists():
        pytest.skip("the applications' packages are not installed: run install.sh")
    return [need("node"), APPLICATIONS / program, *map(str, arguments)]


def npm(program: str) -> Callable[[Lab, int], Command]:
    return lambda lab, port: node(lab, program, port)


def python(module: str, *arguments: str) -> Callable[[Lab, int], Command]:
    """A program of Debian's Python. {port} in its arguments is replaced."""
    def command(_: Lab, port: int) -> Command:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the Python module {module} is not installed: run install.sh")
        return [sys.executable, *(argument.format(port=port) for argument in arguments)]

    return command


def signalr(lab: Lab, port: int) -> Command:
    return [need("dotnet"), lab.shared / "signalr/signalr.dll", str(port)]


def build_signalr(folder: Path) -> None:
    """Builds the ASP.NET application once, before the cases. It is built outside the repository, whose settings are for the server."""
    source = folder / "signalr-source"
    shutil.copytree(APPLICATIONS / "signalr", source)
    subprocess.run(["dotnet", "publish", source, "-c", "Release", "-v", "quiet", "-nologo", "-o", folder / "signalr"], check=True)


def mosquitto(lab: Lab, port: int) -> Command:
    config = lab.scratch / "mosquitto.conf"
    # mosquitto 2.0.11 does not start with a listener for WebSockets alone.
    config.write_text(f"allow_anonymous true\nlistener {free_port()} 127.0.0.1\nlistener {port}\nprotocol websockets\n")
    return [need("mosquitto"), "-c", config]


def pages(lab: Lab, port: int) -> Command:
    """Serves the file that the case has put into its folder."""
    return node(lab, "pages-server.mjs", port, lab.scratch / "file")


PROGRAMS: dict[str, Callable[[Lab, int], Command]] = {
    "npm ws": npm("ws-server.mjs"),
    "graphql-ws": npm("graphql-server.mjs"),
    "socket.io": npm("socket-io-server.mjs"),
    "SignalR": signalr,
    "python websockets": python("websockets", str(APPLICATIONS / "websockets_server.py"), "{port}"),
    "uvicorn": python("uvicorn", "-m", "uvicorn", "--app-dir", str(APPLICATIONS), "--port", "{port}", "--log-level", "warning", "asgi:app"),
    "mosquitto": mosquitto,
    "pages": pages,
}

GOODBYES = {
    "graphql-ws": ["client_closed"],
    "socket.io": ["client_closed"],
    "SignalR": ["client_closed", "upstream_closed"],
    "mosquitto": ["client_closed", "upstream_vanished"],
}
"""How a connection may end when its client says goodbye. SignalR and MQTT have a goodbye of their own, and after it either side may be the first to end."""


@dataclasses.dataclass
class Application:
    port: int
    process: subprocess.Popen
    log: Path

    def said(self) -> list[str]:
        """The lines that the application has written."""
        return self.log.read_text().splitlines()


def start_application(lab: Lab, name: str, port: int | None = None) -> Application:
    port = port or free_port()
    log = lab.scratch / f"application-{port}.log"
    with log.open("ab") as output:
        process = lab.start(PROGRAMS[name](lab, port), stdout=output, stderr=output)

    def listens() -> bool:
        if process.poll() is not None:
            raise Failure(f"{name} did not start: {log.read_text()[-500:]}")
        with contextlib.closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    eventually(f"{name} to listen", listens, 20)
    return Application(port, process, log)


def relay(lab: Lab, upstream: int, *arguments: str, **options: object) -> Server:
    """The server as a relay before an application on this port."""
    return lab.server("--upstream", f"ws://127.0.0.1:{upstream}", *arguments, **options)


def start_client(lab: Lab, program: str, port: int, *arguments: str) -> Running:
    """Starts the client of an application."""
    return Running(lab.start(node(lab, program, port, *arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
