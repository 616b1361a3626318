"""What a case gets: servers, programs and a scratch folder, all gone when it ends; and a place for its figures."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from .case import Skip, eventually, expect, expect_that, report, row
from .peer import Peer
from .server import Server, die_together

HERE = Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent
CLIENTS = HERE / "clients"

MOST_GROWTH = 64.0
"""MiB that a hostile case may leave behind."""

MOST_AT_WORST = 512.0
"""MiB that the server may grow by while a hostile case lasts, where the case does not say less. Thousands of requests a second leave garbage."""


TRIM, WORTH_TRIMMING = 6.0, 16.0
"""Seconds after which the server has given back what it did not need any more, where that is more than so many MiB."""

LONGEST_STALL = 1.0
"""Seconds that a healthy client may wait for an echo while a hostile case lasts, on a machine that is busy with the case itself."""


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

    def server(self, *arguments: str, descriptors: int | None = None, host: str = "127.0.0.1", port: int | None = None) -> Server:
        server = Server(self.executable, *arguments, descriptors=descriptors, host=host, port=port)
        self.servers.append(server)
        return server

    def start(self, arguments: list[str | Path], **options: object) -> subprocess.Popen:
        """Starts a program in a process group of its own, which is killed at the end of the case if it is still there."""
        environment = {**os.environ, "TMPDIR": str(self.scratch), **options.pop("env", {})}
        process = subprocess.Popen(arguments, process_group=0, env=environment, preexec_fn=die_together, **options)
        self._stack.callback(kill, process)
        return process

    @contextlib.contextmanager
    def hostile(
        self, *arguments: str, descriptors: int | None = None, at_worst: float = MOST_AT_WORST, stall: float = LONGEST_STALL) -> Iterator[Server]:
        """A server that something is done to, while healthy clients are there too. Afterwards it has its descriptors and memory back.

        at_worst: MiB that it may grow by meanwhile. stall: seconds that a healthy client may wait for an echo.
        """
        with self.server(*arguments, descriptors=descriptors) as server:
            warm_up(server)
            base, before = server.descriptors(), server.rss()
            with Watch(server) as watch:
                yield server
                healthy(server)
            server.expect_empty()
            eventually(f"at most {base} open descriptors, as before", lambda: server.descriptors() <= base, 15)
            if server.rss() - before > WORTH_TRIMMING:
                time.sleep(TRIM)
            self.figures = {"before": before, "peak": max(watch.rss), "after": server.rss(), "echo": 1000 * max(watch.echoes)}
            for when, most in (("peak", at_worst), ("after", MOST_GROWTH)):
                growth = self.figures[when] - before
                expect_that(f"RSS to grow by at most {most:.0f} MiB ({when})", growth <= most, f"{growth:.1f} MiB, from {before:.1f}")
            expect_that(f"no healthy client to wait {stall:g}s for an echo meanwhile", max(watch.echoes) < stall, f"{max(watch.echoes):.2f}s")


class Watch:
    """Samples the memory of the server, and how long healthy clients wait for their echoes, while a case lasts."""

    CLIENTS = 4
    """More than the server has threads that wait for sockets: one of them may be stalled, and the others not."""

    def __init__(self, server: Server) -> None:
        self.rss: list[float] = []
        self.echoes: list[float] = []
        """In seconds."""
        self._server = server
        self._done = threading.Event()
        self._failures: list[str] = []
        peers = [Peer(server.port, timeout=30) for _ in range(self.CLIENTS)]
        self._threads = [threading.Thread(target=self._run, args=(peer,), daemon=True) for peer in peers]

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            report(self._failures)

    def _run(self, peer: Peer) -> None:
        with row("a healthy client", self._failures), peer:
            done = False
            while not done:
                done = self._done.wait(0.05)
                self.rss.append(self._server.rss())
                sent = time.monotonic()
                peer.send(peer.frame("text", b"are you well?"))
                expect("echo", peer.data(), ("text", b"are you well?"))
                self.echoes.append(time.monotonic() - sent)
            peer.goodbye()


def elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process of its own, so that it does not slow this one, which watches, down."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


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
