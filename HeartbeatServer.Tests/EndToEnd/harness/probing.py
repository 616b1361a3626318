"""Runs the probe, and a server that does to its connections what a case says."""

import contextlib
import dataclasses
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .expect import Failure, expect, expect_that
from .lab import Lab
from .peer import close_body, frame
from .upstream import Leg, Upstream


@dataclasses.dataclass
class Probed:
    """What a run of the probe has come to."""
    code: int
    text: str
    """What it wrote for a person."""
    json: dict[str, Any]
    """Empty without --json."""

    @property
    def verdict(self) -> dict[str, Any]:
        return self.json["verdict"]

    def expect(self, code: int, kind: str) -> dict[str, Any]:
        verdict = self.json["verdict"] or {}
        expect(f"exit code and verdict ({verdict.get('sentence')}; {self.json['handshake']['fault']})", (self.code, verdict.get("kind")), (code, kind))
        expect("exit code in the JSON", self.json["exit_code"], code)
        return verdict


def start_probe(lab: Lab, url: str, *arguments: str, before: list[str] = [], env: Mapping[str, str] = {}) -> subprocess.Popen:
    command: list[str | Path] = [*before, lab.executable, "probe", url, *arguments]
    return lab.start(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, timeout: float = 55) -> Probed:
    output = process.communicate(timeout=timeout)[0].decode()
    return Probed(process.returncode, output, json.loads(output) if output.startswith("{") else {})


def probe(lab: Lab, url: str, *arguments: str, **options: Any) -> Probed:
    """Runs the probe to its end. It writes JSON if the case asks for it."""
    return finish(start_probe(lab, url, *arguments, **options))


def measure(lab: Lab, url: str, *arguments: str, **options: Any) -> Probed:
    """Measures for 36 s at most, which is about the shortest time for which the probe measures at all."""
    return probe(lab, url, "--json", "--for", "36s", *arguments, **options)


def expect_seconds(what: str, got: float | None, wanted: float, within: float = 0.1) -> None:
    expect_that(f"{what}: {wanted:g}s, exact to {within:g}s", got is not None and abs(got - wanted) <= within, got)


Behaviour = Callable[[Leg], None]
"""Serves a connection, which is upgraded, and returns when it has to be closed."""


def serve(leg: Leg, idle: float | None = None, life: float | None = None) -> None:
    """Answers pings. Returns after a silence, at an age, or when the client says goodbye."""
    start = time.monotonic()
    while True:
        left = None if life is None else start + life - time.monotonic()
        if left is not None and left <= 0:
            return
        leg.socket.settimeout(min((each for each in (idle, left) if each is not None), default=None))
        try:
            opcode, payload = leg.receive()
        except (TimeoutError, Failure):
            # It was silent up to one of the limits.
            if idle is not None and (left is None or idle < left):
                return
            continue
        if opcode == "ping":
            leg.send(frame("pong", payload, masked=False))
        elif opcode == "close":
            leg.send(frame("close", payload, masked=False))
            return


def goodbye(leg: Leg, code: int, reason: str) -> None:
    leg.send(frame("close", close_body(code, reason), masked=False))
    leg.socket.settimeout(2)
    with contextlib.suppress(TimeoutError, Failure, OSError, ValueError):
        leg.receive()


@contextlib.contextmanager
def endpoint(behave: Behaviour) -> Iterator[str]:
    """Serves every connection in a thread of its own. Gives the URL."""
    threads: list[threading.Thread] = []
    legs: list[Leg] = []
    over = threading.Event()
    with Upstream() as listener:
        def accept() -> None:
            while not over.is_set():
                with contextlib.suppress(Failure, OSError):
                    leg = listener.accept()
                    legs.append(leg)
                    threads.append(threading.Thread(target=work, args=(leg,), daemon=True))
                    threads[-1].start()

        def work(leg: Leg) -> None:
            # The probe may end a connection at any byte.
            with contextlib.suppress(ValueError, OSError), leg:
                behave(leg.upgrade())

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"ws://127.0.0.1:{listener.port}/chat"
        finally:
            over.set()
            for leg in legs:
                with contextlib.suppress(OSError):
                    leg.socket.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", listener.port), 1).close()
            for thread in [accepting, *threads]:
                thread.join(8)
