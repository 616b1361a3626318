"""Starts, watches and stops the server under test as a process. Cases judge by its JSON log."""

import contextlib
import ctypes
import functools
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from .expect import Failure, eventually, expect, short
from .peer import Peer

Line = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_together(descriptors: int | None = None) -> None:
    """Prepares a child process before it becomes its program. The child gets a limit of descriptors, and ends when the case's process ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


def of(line: Line) -> tuple[str | None, int | None]:
    """The address and the port of the client that a line is about."""
    return line.get("remote_address"), line.get("remote_port")


class Server:
    """A context manager: leaving it sends SIGTERM and expects a clean end, without an error in the log."""

    def __init__(self, executable: Path, *arguments: str, descriptors: int | None = None, host: str = "127.0.0.1", port: int | None = None) -> None:
        self.port = port or free_port()
        self.tls: ssl.SSLContext | None = None
        """What a client needs for the TLS of this server; None for a server in plain."""
        self.log: list[Line] = []
        self._terminated = False
        self._process = subprocess.Popen(
            [executable, "--host", host, "--port", str(self.port), "--log-format", "json", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=functools.partial(die_together, descriptors))
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "Server":
        try:
            self.wait_until_it_listens()
            return self
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None:
            self.kill()
        else:
            self.stop()

    def wait_until_it_listens(self) -> None:
        eventually("the server to say that it listens", lambda: self.lines("Listening") or self._process.poll() is not None, 20)
        if self._process.poll() is not None:
            raise Failure(f"the server did not start: {short(self.log, 500)}")

    def kill(self) -> None:
        """Ends the server at once. Does nothing if it has ended already."""
        self._process.kill()
        self._process.wait()
        self._reader.join(5)

    def terminate(self) -> None:
        """Sends SIGTERM, but only once, because a second one would cut the drain short."""
        if not self._terminated:
            self._terminated = True
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Sends SIGTERM, if that was not done, and checks what must be true of every end of the server."""
        expect("exit code of the server before SIGTERM", None if self._terminated else self._process.poll(), None)
        self.terminate()
        try:
            code = self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("the server to end within 15s of SIGTERM: it did not") from None
        self._reader.join(5)
        expect("exit code of the server after SIGTERM", code, 0)
        errors = [line for line in self.log if line["level"] in ("error", "fatal")]
        expect("errors in the server's log", [f"{line['message']} {line.get('exception', '')[:300]}" for line in errors], [])
        expect("ends in the log, one for each connection", len(self.ends()), self.lines("Summary after")[-1]["opened"])

    def lines(self, text: str) -> list[Line]:
        """The log lines whose message contains the text."""
        return [line for line in list(self.log) if text in line["message"]]

    def ends(self) -> list[Line]:
        """The log lines of ended connections."""
        return [line for line in list(self.log) if line.get("event") == "connection_ended"]

    def opened(self) -> int:
        """How many connections the log knows of: by their lines, and by the counts that stand for lines when there were many."""
        log = list(self.log)
        lines = sum(line.get("event") == "connection_opened" for line in log)
        counted = sum(line["more"] for line in log if line.get("collapsed") == "connection_opened")
        return max(lines + counted, max((line.get("connection", 0) for line in log), default=0))

    def number_of(self, peer: Peer) -> int:
        """The number of a client's connection. An earlier client may have had the same port: its lines are older."""
        lines = eventually(
            f"{peer.address} in the log",
            lambda: [line for line in list(self.log) if line.get("connection") and of(line) == peer.address and line["time"] >= peer.connected_at])
        return max(line["connection"] for line in lines)

    def end_of(self, peer: Peer, timeout: float = 5.0) -> Line:
        """Waits for the line of the end of a client's connection."""
        number = self.number_of(peer)
        return eventually(f"an end in the log of #{number}", lambda: [end for end in self.ends() if end["connection"] == number], timeout)[0]

    def wait_for(self, text: str, timeout: float = 5.0) -> Line:
        return eventually(f"{text!r} in the log", lambda: self.lines(text), timeout)[0]

    def wait_for_ends(self, count: int, timeout: float = 5.0) -> list[Line]:
        eventually(f"{count} ends in the log", lambda: len(self.ends()) >= count, timeout)
        return self.ends()

    def expect_empty(self, timeout: float = 10.0) -> None:
        """Checks that every connection has ended, and has exactly one end in the log."""
        eventually("as many ends as connections in the log", lambda: len(self.ends()) == self.opened(), timeout)

    def rss(self) -> float:
        """The resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024

    def descriptors(self) -> int:
        """The number of open descriptors without those of files, because the runtime opens its libraries when it first needs them."""
        count = 0
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                count += not os.readlink(entry.path).startswith("/")
        return count

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, seconds: float) -> float:
        """Measures for some seconds which share of one processor the server uses."""
        before, start = self.cpu(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu() - before) / (time.monotonic() - start)

    def _read(self) -> None:
        for text in self._process.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"message": text.decode(errors="replace").rstrip(), "level": "fatal"}
            self.log.append(line)
