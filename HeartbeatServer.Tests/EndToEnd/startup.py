"""Size, time from start to listening, and memory at rest of an executable: /usr/bin/python3 startup.py FILE."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness.expect import Failure
from harness.peer import Peer
from harness.server import free_port

STARTS = 20


def start(executable: Path, *arguments: str) -> tuple[subprocess.Popen, float]:
    """Starts it with an empty environment. Returns the process, and the seconds until a client has its 101."""
    port = free_port()
    begin = time.monotonic()
    process = subprocess.Popen(
        [executable, "--host", "127.0.0.1", "--port", str(port), *arguments], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = begin + 20
    while True:
        try:
            with Peer(port) as peer:
                taken = time.monotonic() - begin
                peer.goodbye()
            return process, taken
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{executable} did not start") from None
            time.sleep(0.0005)


def rss(process: subprocess.Popen) -> float:
    """The memory of the process in MiB."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    executable = Path(sys.argv[1]).resolve()
    times, memory = [], []
    for _ in range(STARTS):
        process, taken = start(executable)
        times.append(1000 * taken)
        time.sleep(1)
        memory.append(rss(process))
        process.terminate()
        process.wait(10)
    print(f"{executable.name}: {executable.stat().st_size / 1e6:.1f} MB")
    for what, values, unit in (("start to first 101", times, "ms"), ("RSS a second later", memory, "MiB")):
        print(f"{what}: median {statistics.median(values):.1f} {unit}, {min(values):.1f} to {max(values):.1f}, {STARTS} starts")


if __name__ == "__main__":
    main()
