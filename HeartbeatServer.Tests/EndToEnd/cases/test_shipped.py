"""The published file alone: in an empty folder, without environment variables, and without a .NET that it could find."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, need, on_both_doors
from harness.paths import REPOSITORY
from harness.peer import Peer, close_body, frame
from harness.server import free_port

FIRST_PAGE = b"\x7fELF"


def alone(lab: Lab) -> str:
    """The path of a copy of the executable that is alone in a folder."""
    if (lab.executable.parent / "HeartbeatServer.dll").exists():
        pytest.skip("a build, not a published file: ./build.sh publish, and --server dist/RID/HeartbeatServer")
    folder = lab.scratch / "empty"
    folder.mkdir()
    copy = shutil.copy2(lab.executable, folder)
    with open(copy, "rb") as file:
        expect("first bytes of the file", file.read(4), FIRST_PAGE)
    return copy


def test_it_runs_alone_in_a_folder_with_an_empty_environment(lab: Lab) -> None:
    file, port = alone(lab), free_port()
    # Like "env -i": without PATH the program cannot find dotnet, and there is no DOTNET_ROOT and no HOME.
    process = lab.start(
        ["/usr/bin/env", "-i", file, "--host", "127.0.0.1", "--port", str(port), "--ping", "1s"], cwd=os.path.dirname(file),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    expect_that("the line that it listens", "Listening on ws://127.0.0.1:" in (first := process.stdout.readline()), first)
    with Peer(port) as peer:
        expect("the first frame", peer.receive()[0], "ping")
        peer.send(frame("text", b"shipped"))
        expect("echo", peer.data(), ("text", b"shipped"))
        mapped = {line.split()[5] for line in open(f"/proc/{process.pid}/maps") if len(line.split()) > 5 and line.split()[5].startswith("/")}
        expect("files of .NET that it loaded from elsewhere", [name for name in mapped if "dotnet" in name.lower()], [])
        peer.goodbye()
    process.terminate()
    output, _ = process.communicate(timeout=15)
    expect("exit code", process.returncode, 0)
    expect_that("the end in the log", "ended: client_closed after" in output and output.rstrip().endswith("Stopped"), output)
    expect("files in the folder afterwards", os.listdir(os.path.dirname(file)), ["HeartbeatServer"])


def test_it_says_which_version_and_commit_it_is(lab: Lab) -> None:
    said = subprocess.run(["/usr/bin/env", "-i", alone(lab), "--version"], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    number = re.search(r"<Version>(.+)</Version>", (REPOSITORY / "Directory.Build.props").read_text())[1]
    expect_that(f"{number}+COMMIT", re.fullmatch(re.escape(number) + r"\+[0-9a-f]{7,40}", said) is not None, said)


def test_it_needs_no_newer_glibc_than_the_readme_says(lab: Lab) -> None:
    with open(alone(lab), "rb") as file:
        versions = {tuple(map(int, version.split(b"."))) for version in re.findall(rb"GLIBC_(\d+\.\d+)", file.read())}
    said = re.search(r"glibc ([\d.]+) or later", (REPOSITORY / "README.md").read_text())[1]
    expect("the newest that it asks for", ".".join(map(str, max(versions))), said)


@pytest.mark.timeout(120)
def test_a_publish_that_fails_leaves_the_last_good_file_and_build_sh_works_through_a_link(lab: Lab) -> None:
    need("dotnet")
    link = lab.scratch / "build"
    link.symlink_to(REPOSITORY / "build.sh")
    # The platform does not exist, so the case cannot overwrite anybody's files.
    folder = REPOSITORY / "dist/none-x64"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / "HeartbeatServer").write_text("the last good one")
        done = subprocess.run([link, "publish", folder.name, "--no-such-option"], capture_output=True, text=True, timeout=100)
        expect_that("dotnet to refuse the option", done.returncode != 0 and "--no-such-option" in done.stdout + done.stderr, done.stdout + done.stderr)
        expect("what is there afterwards", (folder / "HeartbeatServer").read_text(), "the last good one")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_raises_the_limit_of_open_files_and_says_when_it_is_too_low(lab: Lab) -> None:
    def with_limit(soft: int, hard: int) -> list[str]:
        return ["/bin/sh", "-c", f'ulimit -Sn {soft}; ulimit -Hn {hard}; exec "$@"', "sh", str(lab.executable), "--port", str(free_port())]

    raised = lab.start(with_limit(100, 4096), stdout=subprocess.DEVNULL)
    limits = Path(f"/proc/{raised.pid}/limits")
    eventually("the soft limit to be the hard one", lambda: re.search(r"Max open files +4096 +4096 ", limits.read_text()))
    refused = subprocess.run(with_limit(20, 20), capture_output=True, text=True, timeout=20)
    expect_that("1, and why", refused.returncode == 1 and "ulimit -n) is 20. The server itself needs 96" in refused.stderr, (refused.returncode, refused.stderr))


@on_both_doors
def test_healthcheck_good_draining_nobody_there_and_a_bad_command_line(lab: Lab) -> None:
    def ask(*arguments: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run([lab.executable, "healthcheck", *arguments], env=environment, capture_output=True, text=True, timeout=20)
        return done.returncode, (done.stdout + done.stderr).strip()

    with lab.server("--drain", "5s") as server:
        port = str(server.port)
        url = f"http://127.0.0.1:{port}/healthz"
        expect("good", ask("--port", port), (0, f"healthy: {url} answered 200 ok"))
        expect("good, by the environment", ask(HEARTBEAT_PORT=port, HEARTBEAT_HOST="127.0.0.1")[0], 0)
        with Peer(server.port) as peer:
            server.terminate()
            expect("the goodbye", peer.receive()[0], "close")
            eventually("503 while draining", lambda: ask("--port", port) == (1, f"unhealthy: {url} answered 503 draining"))
            peer.send(frame("close", close_body(1001)))
    code, said = ask("--port", port)
    expect_that("1 and the reason, where nobody listens", code == 1 and said.startswith(f"unhealthy: {url}: Connection refused"), (code, said))
    expect("exit code of a bad command line", ask("--port", "http")[0], 2)


def test_a_slip_gets_one_line_and_variables_that_set_nothing_are_told(lab: Lab) -> None:
    done = subprocess.run([lab.executable, "--prot", "8081"], capture_output=True, text=True, timeout=20)
    expect("the exit code and the line", (done.returncode, done.stderr.splitlines()[0]), (2, "'--prot' is no option. Did you mean --port?"))
    port = free_port()
    links = {"HEARTBEAT_PORT": "tcp://10.0.0.11:8080", "HEARTBEAT_SERVICE_HOST": "10.0.0.11"}
    log = lab.scratch / "stray.log"
    with log.open("w") as output:
        lab.start([str(lab.executable), "--port", str(port)], stdout=output, env={**links, "HEARTBEAT_MAXMISSED": "5"})
    url = f"http://127.0.0.1:{port}"
    eventually("a server that serves", lambda: subprocess.run([lab.executable, "healthcheck", url], capture_output=True, timeout=20).returncode == 0)
    told = log.read_text()
    expect_that("the slip and what was meant", "HEARTBEAT_MAXMISSED is none of the server's" in told and "Did you mean HEARTBEAT_MAX_MISSED?" in told, told)
    expect_that("the links, once", told.count("Ignored 2 variable(s)") == 1, told)


def test_the_archive_has_the_file_and_the_documents_and_its_checksum_is_right(lab: Lab) -> None:
    archives = sorted(lab.executable.parent.parent.glob(f"HeartbeatServer-*-{lab.executable.parent.name}.tar.gz"))
    if not archives:
        pytest.skip("no archive beside the file: ./build.sh publish makes it")
    archive = archives[-1]
    name = archive.name.removesuffix(".tar.gz")
    subprocess.run(["tar", "-xzf", archive, "-C", lab.scratch], check=True)
    folder = lab.scratch / name
    expect("the program in it", (folder / "HeartbeatServer").read_bytes() == lab.executable.read_bytes(), True)
    expect_that("one that may be run", os.access(folder / "HeartbeatServer", os.X_OK), oct((folder / "HeartbeatServer").stat().st_mode))
    for document in ("LICENSE", "README.md", "docs/reference.md"):
        expect(document, (folder / document).read_text(), (REPOSITORY / document).read_text())
    links = {link for link in re.findall(r"\]\((docs/[\w.-]+\.\w+)", (folder / "README.md").read_text())}
    expect("pages that the README links to and the archive lacks", {link for link in links if not (folder / link).exists()}, set())
    said = subprocess.run([folder / "HeartbeatServer", "--version"], capture_output=True, text=True, timeout=20).stdout
    expect_that("its version in the name of the archive", name.startswith(f"HeartbeatServer-{said.split('+')[0].strip()}-"), (name, said))
    sums = (archive.parent / "SHA256SUMS").read_text().splitlines()
    [line] = [each for each in sums if each.endswith(f"  {archive.name}")]
    done = subprocess.run(["sha256sum", "--check", "--strict"], input=line + "\n", cwd=archive.parent, capture_output=True, text=True)
    expect_that("a checksum that is right", done.returncode == 0, done.stdout + done.stderr)


@pytest.mark.timeout(300)
def test_the_tool_package_installs_from_a_folder_and_runs(lab: Lab) -> None:
    """dotnet tool install, and dotnet tool exec, which dnx calls. Nothing of it stays on the machine."""
    dotnet = need("dotnet")
    feed = lab.scratch / "feed"
    made = subprocess.run(
        [dotnet, "pack", REPOSITORY / "HeartbeatServer", "-p:PackageOutputPath=" + str(feed), "--artifacts-path", lab.scratch / "built"],
        capture_output=True, text=True, timeout=200)
    expect_that("a package", made.returncode == 0, made.stdout[-2000:] + made.stderr[-1000:])
    # The package has its dependencies inside: no other feed is asked.
    (lab.scratch / "nuget.config").write_text(
        f'<configuration><packageSources><clear/><add key="local" value="{feed}"/></packageSources></configuration>')
    environment = {**os.environ, "DOTNET_CLI_HOME": str(lab.scratch), "NUGET_PACKAGES": str(lab.scratch / "packages"), "DOTNET_NOLOGO": "1"}

    def run(*arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(each) for each in arguments], cwd=lab.scratch, env=environment, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL)

    tools = lab.scratch / "tools"
    installed = run(dotnet, "tool", "install", "HeartbeatServer", "--tool-path", tools)
    expect_that("an installed tool", installed.returncode == 0, installed.stdout + installed.stderr)
    version = run(tools / "HeartbeatServer", "--version")
    expect_that("its version", version.returncode == 0 and re.match(r"\d+\.\d+\.\d+", version.stdout), version.stdout + version.stderr)
    once = run(dotnet, "tool", "exec", "HeartbeatServer", "--yes", "--", "--version")
    expect_that("the same without an installation", version.stdout.strip() in once.stdout, once.stdout + once.stderr)

    port = free_port()
    lab.start([tools / "HeartbeatServer", "--port", str(port)], env=environment, stdout=subprocess.DEVNULL)
    eventually("a server that serves", lambda: run(tools / "HeartbeatServer", "healthcheck", f"http://127.0.0.1:{port}").returncode == 0, 30)
    with Peer(port) as peer:
        peer.send(frame("text", b"hello"))
        expect("the echo", peer.receive(), ("text", b"hello"))
