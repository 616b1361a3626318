"""buildah builds the Dockerfile on stand-ins for its base images (harness/standins.sh). The cases run the image in the way that it declares."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.clients import start
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, need
from harness.paths import REPOSITORY, SUITE
from harness.peer import Peer, close_body
from harness.server import free_port

REVISION = "0123456789abcdef0123456789abcdef01234567"


def buildah(lab: Lab, *arguments: str | Path, timeout: int = 300) -> str:
    done = subprocess.run([need("buildah"), *arguments], env=store(lab), capture_output=True, text=True, timeout=timeout)
    expect(f"exit code of buildah {arguments[0]}; it said: {(done.stdout + done.stderr)[-1500:]}", done.returncode, 0)
    return done.stdout.strip()


def store(lab: Lab) -> dict[str, str]:
    """Gives the case a storage of its own, without overlay mounts and without namespaces, which a sandbox may forbid."""
    settings = lab.scratch / "storage.conf"
    settings.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{lab.scratch}/images"\nrunroot = "{lab.scratch}/run"\n')
    return {**os.environ, "CONTAINERS_STORAGE_CONF": str(settings), "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}


class Image:
    """The root folder of the built image, and its configuration."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        buildah(lab, "bud", "--isolation", "chroot", "--format", "docker", "--volume", "/usr:/usr:ro", "--build-arg", "SDK_IMAGE=localhost/sdk",
                "--build-arg", "RUNTIME_IMAGE=localhost/runtime", "--build-arg", f"REVISION={REVISION}",
                "--tag", "heartbeat-server", REPOSITORY, timeout=400)
        self.config = json.loads(buildah(lab, "inspect", "--type", "image", "heartbeat-server"))["Docker"]["config"]
        self.root = Path(buildah(lab, "mount", buildah(lab, "from", "--pull-never", "heartbeat-server")))

    def command(self, *program: str) -> list[str]:
        """Runs a program in the image as the image's user, without capabilities, on a read-only root. /proc and /dev are as in a container."""
        user = self.config["User"]
        uid, _, gid = user.partition(":")
        script = f'mount --bind "{self.root}" "{self.root}" && mount -o remount,ro,bind "{self.root}" && mount --rbind /proc "{self.root}/proc" && mount --rbind /dev "{self.root}/dev" && exec "$@"'
        return [need("unshare"), "--mount", "--propagation", "private", "sh", "-c", script, "sh", need("setpriv"), "--no-new-privs",
                need("chroot"), f"--userspec={uid}:{gid}", str(self.root), *program]

    def environment(self, **more: str) -> dict[str, str]:
        return {**dict(pair.split("=", 1) for pair in self.config["Env"]), **more}

    def health(self, port: int) -> tuple[int, str]:
        """Runs the image's own HEALTHCHECK once."""
        kind, *program = self.config["Healthcheck"]["Test"]
        expect("kind of the health check: no shell is there", kind, "CMD")
        done = subprocess.run(
            self.command(*program), env=self.environment(HEARTBEAT_PORT=str(port)), capture_output=True, text=True, timeout=20)
        return done.returncode, (done.stdout + done.stderr).strip()


@contextlib.contextmanager
def image(lab: Lab) -> Iterator[Image]:
    if os.geteuid() != 0:
        pytest.skip("root is needed for mounts and chroot")
    if (lab.executable.parent / "HeartbeatServer.dll").exists():
        pytest.skip("a build, not a published file")
    environment = store(lab)
    need("buildah")
    done = subprocess.run(
        [SUITE / "harness/standins.sh", "localhost/sdk", "localhost/runtime", lab.executable], env=environment, capture_output=True, text=True, timeout=120)
    expect(f"exit code of standins.sh; it said: {done.stderr[-1000:]}", done.returncode, 0)
    try:
        yield Image(lab)
    finally:
        buildah(lab, "umount", "--all")


@pytest.mark.alone
@pytest.mark.timeout(500)
def test_it_is_built_not_root_read_only_pings_tells_its_health_and_drains(lab: Lab) -> None:
    with image(lab) as built:
        config = built.config
        expect("user", config["User"], "1654:1654")
        expect("ports", list(config["ExposedPorts"]), ["8080/tcp"])
        expect("signal that stops it", config["StopSignal"], "SIGTERM")
        expect("entry point", config["Entrypoint"], ["/app/HeartbeatServer"])
        expect("revision in the labels", config["Labels"]["org.opencontainers.image.revision"], REVISION)
        number = re.search(r"<Version>(.+)</Version>", (REPOSITORY / "Directory.Build.props").read_text())[1]
        expect("version in the labels", config["Labels"]["org.opencontainers.image.version"], number)
        expect("what there is beside the runtime image", sorted(file.name for file in (built.root / "app").iterdir()), ["HeartbeatServer"])
        version = subprocess.run(built.command(*config["Entrypoint"], "--version"), capture_output=True, text=True, timeout=20, check=True)
        expect_that("the revision in --version", version.stdout.strip().endswith("+" + REVISION), version.stdout)

        port = free_port()
        expect_that("bad health without a server", built.health(port)[0] == 1, built.health(port))
        log = lab.scratch / "container.log"
        with log.open("wb") as output:
            environment = built.environment(HEARTBEAT_PORT=str(port), HEARTBEAT_PING="300ms", HEARTBEAT_DRAIN="3s")
            process = lab.start(
                ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items()), *built.command(*config["Entrypoint"])],
                stdout=output, stderr=output)
        eventually("the line that it listens", lambda: "Listening on" in log.read_text(), 10)
        status = Path(f"/proc/{process.pid}/status").read_text()
        expect_that("user 1654 and no capabilities", "Uid:\t1654\t1654\t1654\t1654" in status and "CapEff:\t0000000000000000" in status, status)
        mounts = Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()
        own = [line.split()[5] for line in mounts if line.split()[4] == "/" or line.split()[4] == str(built.root)]
        expect_that("a root that is read-only", own and own[-1].split(",")[0] == "ro", own)
        expect("health", built.health(port), (0, f"healthy: http://127.0.0.1:{port}/healthz answered 200 ok"))

        client = start(lab, "npm ws", f"ws://127.0.0.1:{port}/ws", "echo")
        for line in ("open", "echoed", "closed 3001"):
            client.expect_line(line)
        with Peer(port) as slow:
            process.send_signal(15)
            while (item := slow.receive())[0] == "ping":
                pass
            expect("goodbye", (item[0], item[1][:2]), ("close", close_body(1001)))
            expect_that("bad health while draining", built.health(port)[0] == 1, built.health(port))
            # The client does not answer the Close, so the server cuts it when the time is over.
            process.wait(3 + 5)
        expect("exit code", process.returncode, 0)
        text = log.read_text()
        expect_that("pings, and the drain's end in the log", "server_shutdown" in text and text.rstrip().endswith("Stopped"), text)
