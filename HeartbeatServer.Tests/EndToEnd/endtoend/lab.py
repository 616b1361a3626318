"""What a case gets: servers, programs and a scratch folder, all gone when it ends; and a place for its figures."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .case import Skip, eventually, expect
from .peer import Peer
from .server import Server

HERE = Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent
CLIENTS = HERE / "clients"
DOCS = REPOSITORY / "docs"

MOST_GROWTH = 64.0
"""MiB that a hostile case may leave behind."""


class Lab:
    def __init__(self, executable: Path, tools: Path) -> None:
        self.executable = executable
        self.tools = tools
        """Programs that were built for the suite."""
        self.servers: list[Server] = []
        self.figures: dict[str, float] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Lab":
        self.scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="heartbeat-e2e-", ignore_cleanup_errors=True)))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(*exception)

    def server(self, *arguments: str, descriptors: int | None = None, host: str = "127.0.0.1") -> Server:
        server = Server(self.executable, *arguments, descriptors=descriptors, host=host)
        self.servers.append(server)
        return server

    def start(self, arguments: list[str | Path], **options: object) -> subprocess.Popen:
        """Starts a program in a process group of its own, which is killed at the end of the case if it is still there."""
        environment = {**os.environ, "TMPDIR": str(self.scratch), **options.pop("env", {})}
        process = subprocess.Popen(arguments, process_group=0, env=environment, **options)
        self._stack.callback(kill, process)
        return process

    @contextlib.contextmanager
    def hostile(self, *arguments: str, descriptors: int | None = None) -> Iterator[Server]:
        """A server that something is done to. Afterwards it serves a healthy client, and has its descriptors and memory back."""
        with self.server(*arguments, descriptors=descriptors) as server:
            warm_up(server)
            base, before = server.descriptors(), server.rss()
            self.figures |= {"before": before}
            yield server

            healthy(server)
            server.expect_empty()
            eventually(f"at most {base} open descriptors, as before", lambda: server.descriptors() <= base, 15)
            self.figures |= {"after": server.rss()}
            growth = server.rss() - before
            if growth > MOST_GROWTH:
                expect("growth of RSS in MiB", f"{growth:.0f}", f"at most {MOST_GROWTH:.0f}")

    def peak(self, server: Server, *, most: float | None = None) -> None:
        """Notes the memory while the case is at its worst."""
        rss = server.rss()
        self.figures["peak"] = max(rss, self.figures.get("peak", 0.0))
        if most is not None and rss - self.figures["before"] > most:
            expect("growth of RSS in MiB at the peak", f"{rss - self.figures['before']:.0f}", f"at most {most:.0f}")


def warm_up(server: Server) -> None:
    """Code is compiled, pools are filled: what the first clients cost is not put down to the case."""
    for _ in range(3):
        peers = [Peer(server.port) for _ in range(40)]
        for peer in peers:
            peer.send(peer.frame("binary", bytes(100_000)))
            peer.receive()
        for peer in peers:
            peer.goodbye()
    server.expect_empty()
    time.sleep(0.2)


def healthy(server: Server) -> None:
    """A client like any other connects, is echoed, and says goodbye."""
    with Peer(server.port) as peer:
        for payload in (b"", b"still there?", bytes(70_000)):
            peer.send(peer.frame("binary", payload))
            expect("echo to a healthy client", peer.data(), ("binary", payload))
        peer.goodbye()


def kill(process: subprocess.Popen) -> None:
    """Kills a program of ours and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def need(program: str) -> str:
    """The path of an installed program."""
    for folder in [*os.get_exec_path(), "/usr/sbin", "/sbin"]:
        if os.access(path := os.path.join(folder, program), os.X_OK):
            return path
    raise Skip(f"{program} is not installed: run {os.path.relpath(HERE / 'install.sh')}")
