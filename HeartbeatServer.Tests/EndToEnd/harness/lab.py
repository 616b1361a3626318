"""What a case gets: servers, programs and a scratch folder. All of them are removed when the case ends."""

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .certificates import Authority, Certificate
from .expect import eventually, expect, expect_that
from .paths import SUITE, name_of
from .peer import Peer, frame
from .server import Server, die_together

on_both_doors = pytest.mark.parametrize("door", ["default", "plain"])
"""Runs a case twice: with the server's own accept path, and with HttpListener's plain accept loop (--plain-requests)."""

echo_and_relay = pytest.mark.parametrize("door", ["default", "relay"])
"""Runs a case twice: with the server that echoes, and with the server as a relay before an echo on npm ws."""

on_every_door = pytest.mark.parametrize("door", ["default", "plain", "relay", "tls"])
"""Runs a case twice more: with the server as a relay before an echo on npm ws, and with a server that speaks TLS."""

MOST_GROWTH = 64.0
"""MiB that a hostile case may leave behind."""

MOST_AT_WORST = 512.0
"""MiB by which the server may grow during a hostile case, if the case sets no lower limit. Thousands of requests a second leave garbage."""

TRIM, WORTH_TRIMMING = 6.0, 16.0
"""TRIM seconds after a burst, a server that has grown by more than WORTH_TRIMMING MiB has given back what it does not need any more."""

LONGEST_STALL = 1.0
"""Seconds that a healthy client may wait for an echo while a hostile case lasts, on a machine that is busy with the case itself."""

WATCHING = 4
"""How many healthy clients there are beside a hostile case. They are more than the server's event loops, so a single stalled loop is noticed, too."""


class Lab:
    def __init__(self, executable: Path, shared: Path, door: str, record: Callable[[str, object], None]) -> None:
        """shared: the folder with the programs that were built for the suite. record: notes figures for the table at the end of the run."""
        self.executable = executable
        self.shared = shared
        self.servers: list[Server] = []
        self.door = door
        self.upstream: int | None = None
        """The port of the application before which every server of the case is a relay."""
        self._record = record
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Lab":
        self.scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir=self.shared, ignore_cleanup_errors=True)))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.__exit__(*exception)

    @functools.cached_property
    def authority(self) -> Authority:
        return Authority(self.scratch / "certificates")

    @functools.cached_property
    def certificate(self) -> Certificate:
        """The certificate of the servers of the case, if they speak TLS."""
        return self.authority.certificate()

    def server(self, *arguments: str, descriptors: int | None = None, host: str = "127.0.0.1", port: int | None = None) -> Server:
        if self.door == "plain":
            arguments = ("--plain-requests", *arguments)
        if self.door == "tls":
            arguments = ("--tls-cert", str(self.certificate.pem), "--tls-key", str(self.certificate.key), *arguments)
        if self.upstream is not None:
            arguments = ("--upstream", f"ws://127.0.0.1:{self.upstream}", *arguments)
        server = Server(self.executable, *arguments, descriptors=descriptors, host=host, port=port)
        server.tls = self.certificate.client() if self.door == "tls" else None
        self._stack.callback(server.kill)
        self.servers.append(server)
        return server

    def start(self, arguments: list[str | Path], env: Mapping[str, str] = {}, **options: object) -> subprocess.Popen:
        """Starts a program in a process group of its own, which is killed at the end of the case if it is still there."""
        environment = {**os.environ, "TMPDIR": str(self.scratch), **env}
        process = subprocess.Popen(
            arguments, process_group=0, env=environment, stdin=subprocess.DEVNULL, preexec_fn=die_together, **options)
        self._stack.callback(kill, process)
        return process

    def log_tail(self) -> str:
        """The last lines of the logs of the last two servers, and the errors from before."""
        return "\n".join(
            f"server: {line['message'][:300]}"
            for server in self.servers[-2:]
            for place, line in enumerate(server.log)
            if place >= len(server.log) - 4 or line["level"] in ("error", "fatal"))

    @contextlib.contextmanager
    def hostile(
        self, *arguments: str, descriptors: int | None = None, at_worst: float = MOST_AT_WORST, stall: float = LONGEST_STALL) -> Iterator[Server]:
        """Starts a server that the case attacks while healthy clients are connected. Afterwards it must have its descriptors and memory back.

        at_worst: MiB by which it may grow meanwhile. stall: seconds that a healthy client may wait for an echo.
        """
        with self.server(*arguments, descriptors=descriptors) as server:
            warm_up(server)
            base, before = server.descriptors(), server.rss()
            with watched(server) as seen:
                yield server
                healthy(server)
            server.expect_empty()
            eventually(f"at most {base} open descriptors, as before", lambda: server.descriptors() <= base, 15)
            if server.rss() - before > WORTH_TRIMMING:
                time.sleep(TRIM)
            peak, after, longest = max(seen.rss), server.rss(), max(seen.echoes)
            self._record("figures", [before, peak, after, 1000 * longest])
            for when, rss, most in (("peak", peak, at_worst), ("after", after, MOST_GROWTH)):
                expect_that(f"RSS to grow by at most {most:.0f} MiB ({when})", rss - before <= most, f"{rss - before:.1f} MiB, from {before:.1f}")
            expect_that(f"no healthy client to wait {stall:g}s for an echo meanwhile", longest < stall, f"{longest:.2f}s")


@dataclasses.dataclass
class Seen:
    rss: list[float] = dataclasses.field(default_factory=list)
    """The server's resident memory, in MiB."""
    echoes: list[float] = dataclasses.field(default_factory=list)
    """How long healthy clients waited for their echoes, in seconds."""


@contextlib.contextmanager
def watched(server: Server) -> Iterator[Seen]:
    """A context manager that samples the memory of the server, and lets healthy clients ask for echoes."""
    seen = Seen()
    over = threading.Event()

    def ask(peer: Peer) -> None:
        with peer:
            last = False
            while not last:
                last = over.wait(0.05)
                seen.rss.append(server.rss())
                sent = time.monotonic()
                peer.send(frame("text", b"are you well?"))
                expect("echo to a healthy client", peer.data(), ("text", b"are you well?"))
                seen.echoes.append(time.monotonic() - sent)
            peer.goodbye()

    with ThreadPoolExecutor(WATCHING) as pool:
        clients = [pool.submit(ask, peer) for peer in [Peer(server.port, timeout=30, tls=server.tls) for _ in range(WATCHING)]]
        try:
            yield seen
        finally:
            over.set()
    for client in clients:
        client.result()


def elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a process of its own, so that it does not slow down this process, which watches."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), die_together) as pool:
        return pool.submit(work, *arguments).result()


def warm_up(server: Server) -> None:
    """Serves the first clients, so that code is compiled and pools are filled. Their cost must not count as that of the case."""
    for _ in range(3):
        peers = [Peer(server.port, tls=server.tls) for _ in range(40)]
        for peer in peers:
            peer.send(frame("binary", bytes(100_000)))
            peer.receive()
        for peer in peers:
            peer.goodbye()
    server.expect_empty()
    time.sleep(0.2)


def healthy(server: Server) -> None:
    """Checks that an ordinary client can connect, get an echo, and close."""
    with Peer(server.port, tls=server.tls) as peer:
        for payload in (b"", b"still there?", bytes(70_000)):
            peer.send(frame("binary", payload))
            expect("echo to a healthy client", peer.data(), ("binary", payload))
        peer.goodbye()


def kill(process: subprocess.Popen) -> None:
    """Kills a program that the case has started, and all that the program has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def need(program: str) -> str:
    """The path of an installed program."""
    for folder in [*os.get_exec_path(), "/usr/sbin", "/sbin"]:
        if os.access(path := os.path.join(folder, program), os.X_OK):
            return path
    pytest.skip(f"{program} is not installed: run {name_of(SUITE / 'install.sh')}")
