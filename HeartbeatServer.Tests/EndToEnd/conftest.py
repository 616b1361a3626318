"""Runs the cases, each in a process of its own, prints a line for each and the totals."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import (  # noqa: F401 (importing registers the cases)
    admin,
    conformance,
    conformance_text,
    container,
    dashboard,
    deploy,
    figures,
    hostile_clients,
    hostile_requests,
    proxies,
    real_clients,
    rolling,
    shipped,
    storms,
    verdicts,
)
from .case import CASES, Case, Failure, OutOfTime, Skip
from .lab import REPOSITORY, Lab

PARALLEL = 6
GRACE = 20
"""Seconds that a case may take to clean up after its limit."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.sh", description="The end-to-end suite.")
    parser.add_argument("--server", type=Path, help="executable to test; without it, a Release build of the repository")
    parser.add_argument("--only", metavar="TEXT", help="only cases whose name has the text")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="write the memory figures of the hostile cases there, as Markdown")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--tools", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()

    chosen = [case for case in CASES.values() if (options.only or "").lower() in case.name.lower()]
    if options.list:
        print(*(case.name for case in chosen), sep="\n")
        return 0
    if options.case:
        print(json.dumps(run_here(CASES[options.case], Lab(options.server, options.tools))))
        return 0
    if not chosen:
        parser.error(f"no case has {options.only!r} in its name; --list shows them")

    server = (options.server or build()).resolve()
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory(prefix="heartbeat-e2e-tools-") as tools:
        real_clients.build_gorilla(Path(tools))

        def run(case: Case) -> None:
            result = run_apart(case, server, Path(tools))
            results[case.name] = result
            show(case, result)

        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(run, [case for case in chosen if not case.alone]))
        for case in chosen:
            if case.alone:
                run(case)

    figures.show({case.name: results[case.name] for case in chosen}, options.figures)
    counts = {status: sum(result["status"] == status for result in results.values()) for status in ("ok", "FAIL", "skip")}
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


def build() -> Path:
    project = REPOSITORY / "HeartbeatServer"
    subprocess.run(["dotnet", "build", project, "-c", "Release", "-v", "quiet", "-nologo"], check=True)
    return project / "bin/Release/net10.0/HeartbeatServer"


def run_apart(case: Case, server: Path, tools: Path) -> dict:
    """In a process of its own: a case that hangs or leaks does it alone."""
    start = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "endtoend", "--case", case.name, "--server", server, "--tools", tools],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, errors = child.communicate(timeout=case.limit + GRACE)
        result = json.loads(output)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        result = {"status": "FAIL", "reason": f"still running {GRACE}s after its limit of {case.limit}s"}
    except ValueError:
        result = {"status": "FAIL", "reason": f"the case's process ended with {child.returncode}: {errors.decode()[-2000:]}"}
    return {**result, "seconds": time.monotonic() - start}


def run_here(case: Case, lab: Lab) -> dict:
    def out_of_time(*_: object) -> None:
        raise OutOfTime(f"not done after {case.limit}s, at {where()}")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(case.limit)
    result = {"status": "ok"}
    try:
        with lab:
            case.run(lab)
    except Skip as e:
        result = {"status": "skip", "reason": str(e)}
    except (Failure, OutOfTime) as e:
        result = {"status": "FAIL", "reason": f"{e}\n{log_tail(lab)}"}
    except Exception:
        result = {"status": "FAIL", "reason": f"{traceback.format_exc()}{log_tail(lab)}"}
    finally:
        signal.alarm(0)
    return {**result, "figures": lab.figures}


def where() -> str:
    """The line of the case that it hangs in."""
    frames = [frame for frame in traceback.extract_stack() if "endtoend" in frame.filename]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-6:-2]))


def log_tail(lab: Lab) -> str:
    """The last lines of each server's log, and errors from before."""
    return "\n".join(
        f"server: {line['@m'][:300]}"
        for server in lab.servers[-2:]
        for place, line in enumerate(server.log)
        if place >= len(server.log) - 4 or line.get("@l") in ("Error", "Fatal"))


_printing = threading.Lock()


def show(case: Case, result: dict) -> None:
    reason = result.get("reason", "").strip().replace("\n", "\n        ")
    with _printing:
        print(f"{result['status']:<4}  {case.name}  ({result['seconds']:.1f}s){'  ' + reason if reason else ''}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    os._exit(130)
