"""Tells pytest how to run the suite: the options, when a case has its turn, what a case gets, and what is printed at the end."""

import faulthandler
import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.applications import build_signalr, start_application
from harness.clients import build_gorilla
from harness.expect import expect_that
from harness.lab import Lab
from harness.paths import REPOSITORY

GRACE = 40
"""Seconds that a case may take to clean up after its time limit."""


def pytest_addoption(parser: pytest.Parser) -> None:
    suite = parser.getgroup("the end-to-end suite")
    suite.addoption("--server", metavar="PATH", help="executable to test; without it, a Release build of the repository")
    suite.addoption("--only", metavar="TEXT", default="", help="only cases whose name has the text")
    suite.addoption("--figures", metavar="FILE", help="write the memory figures of the hostile cases there, as Markdown")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepares what all cases share, once, before pytest-xdist starts its workers. They inherit the environment."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    server = Path(session.config.option.server or build()).resolve()
    if not server.is_file():
        raise pytest.UsageError(f"--server: there is no {server}")
    shared = tempfile.mkdtemp(prefix="heartbeat-e2e-")
    session.config.add_cleanup(functools.partial(shutil.rmtree, shared, ignore_errors=True))
    build_gorilla(Path(shared))
    build_signalr(Path(shared))
    os.environ.update(E2E_SHARED=shared, E2E_SERVER=str(server))


def build() -> Path:
    project = REPOSITORY / "HeartbeatServer"
    subprocess.run(["dotnet", "build", project, "-c", "Release", "-v", "quiet", "-nologo"], check=True)
    return project / "bin/Release/net10.0/HeartbeatServer"


def runs_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the cases that run alone at the end."""
    wanted = config.option.only.lower().replace(" ", "_")
    chosen = [item for item in items if wanted in item.nodeid.lower().replace(" ", "_")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = sorted(chosen, key=runs_alone)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Waits for the case's turn, and ends the worker if the case hangs so that pytest-timeout cannot end it.

    The programs of a worker that ends are killed by the kernel. pytest-xdist reports the case as failed, and starts another worker.
    """
    limit = item.get_closest_marker("timeout")
    seconds = limit.args[0] if limit else float(item.config.getini("timeout"))
    with open(Path(os.environ["E2E_SHARED"]) / "turn", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX if runs_alone(item) else fcntl.LOCK_SH)
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()
        fcntl.flock(turn, fcntl.LOCK_UN)


@pytest.fixture
def door() -> str:
    """How requests come in: "default", "plain", or "relay", where an application replies. Cases marked with on_every_door are run with each."""
    return "default"


@pytest.fixture
def lab(door: str, record_property) -> Iterator[Lab]:
    before = set(threading.enumerate())
    with Lab(Path(os.environ["E2E_SERVER"]), Path(os.environ["E2E_SHARED"]), door, record_property) as lab:
        if door == "relay":
            lab.upstream = start_application(lab, "npm ws").port
        yield lab
        print(lab.log_tail())  # pytest shows this for a case that failed
    # A process that a case leaves behind would run beside the next case.
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        expect_that("the threads of the case to have ended", not thread.is_alive(), thread)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Prints for each hostile case the server's memory before, at its largest and after, and how long healthy clients waited."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures = {report.nodeid: dict(report.user_properties)["figures"] for report in reports if dict(report.user_properties).get("figures")}
    if not figures:
        return
    table = [
        "| hostile case | RSS before, MiB | at the worst | after | longest wait of a healthy client for an echo, ms |",
        "|---|---|---|---|---|"]
    for nodeid, (before, peak, after, echo) in sorted(figures.items()):
        name = nodeid.partition("::test_")[2].replace("_", " ")
        table.append(f"| {name} | {before:.1f} | {peak:.1f} | {after:.1f} | {echo:.0f} |")
    terminalreporter.section("memory")
    terminalreporter.write_line("\n".join(table))
    if config.option.figures:
        Path(config.option.figures).write_text("\n".join(table) + "\n")
