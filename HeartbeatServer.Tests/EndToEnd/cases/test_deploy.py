"""The files that deploy the server, each read by the program that it is for."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from .case import Skip, case, eventually, expect, expect_that
from .lab import CLIENTS, REPOSITORY, Lab, need
from .peer import Peer, upgrade_request
from .proxies import certificate
from .server import free_port

DEPLOY = REPOSITORY / "deploy"


def checked(what: str, *arguments: object) -> str:
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=60)
    expect(f"exit code of {what}; it said: {(done.stdout + done.stderr)[-1500:]}", done.returncode, 0)
    return done.stdout + done.stderr


def adapted(lab: Lab, file: str, **addresses: str) -> str:
    """The file with certificates that exist. Nothing else is changed, but for the addresses."""
    pem, key = certificate(lab.scratch)
    both = lab.scratch / "both.pem"
    both.write_text(pem.read_text() + key.read_text())
    text = (DEPLOY / file).read_text()
    for old, new in {
            "/etc/haproxy/heartbeat.pem": str(both), "/etc/ssl/certs/heartbeat.pem": str(pem),
            "/etc/ssl/private/heartbeat.key": str(key), **addresses}.items():
        text = text.replace(old, new)
    return text


@case("deploy/haproxy.cfg is what haproxy accepts")
def haproxy(lab: Lab) -> None:
    config = lab.scratch / "haproxy.cfg"
    config.write_text(adapted(lab, "haproxy.cfg"))
    said = checked("haproxy -c", need("haproxy"), "-c", "-f", config)
    expect_that("no warning", "WARNING" not in said.upper(), said)


def compose_proxy(lab: Lab, **addresses: str) -> Path:
    """The configuration of compose's proxy, on the certificate that compose.yaml tells people to make."""
    command = re.search(r"(?m)^#   (mkdir (?:.*\\\n)*.*)", (REPOSITORY / "compose.yaml").read_text())[1].replace("\n#", "\n")
    # Under the strictest umask that people have.
    checked("the command in compose.yaml", "sh", "-c", f'cd "{lab.scratch}" && umask 077 && {command}')
    text = (DEPLOY / "compose/haproxy.cfg").read_text()
    for old, new in {"/certificates/": f"{lab.scratch}/certificates/", **addresses}.items():
        expect_that(f"{old!r} to be in it", old in text, text)
        text = text.replace(old, new)
    config = lab.scratch / "haproxy.cfg"
    config.write_text(text)
    return config


@case("deploy/compose/haproxy.cfg is what haproxy accepts, as the user of its image")
def compose_haproxy(lab: Lab) -> None:
    if os.geteuid() != 0:
        raise Skip("root is needed to become another user")
    # The name is one of compose's network.
    config = compose_proxy(lab, **{" server:8080": " 127.0.0.1:8080"})
    # In the container the folder is a mount, which nothing stands in front of.
    lab.scratch.chmod(0o755)
    said = checked("haproxy -c", need("setpriv"), "--reuid=99", "--regid=99", "--clear-groups", need("haproxy"), "-c", "-f", config)
    expect_that("no warning", "WARNING" not in said.upper(), said)


@case("deploy/compose/haproxy.cfg finds a server that starts after it")
def late_server(lab: Lab) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names, lab.server() as server:
        names.bind(("127.0.0.1", 0))
        known = threading.Event()
        threading.Thread(target=answer_names, args=(names, known), daemon=True).start()
        port = free_port()
        config = compose_proxy(lab, **{
            "127.0.0.11:53": f"127.0.0.1:{names.getsockname()[1]}", " server:8080": f" server.invalid:{server.port}",
            "bind :8443": f"bind 127.0.0.1:{port}", "maxconn 20000": "maxconn 1000"})
        trusted = ssl.create_default_context(cafile=lab.scratch / "certificates/heartbeat.pem")
        # The machine's own resolver need not be waited for, which does not know the name either.
        proxy = lab.start([need("haproxy"), "-f", config, "-db"], env={"RES_OPTIONS": "attempts:1 timeout:1"}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def status() -> int | None:
            with contextlib.suppress(ConnectionRefusedError), Peer(port, upgrade=False, tls=trusted) as peer:
                peer.send(upgrade_request(port))
                return peer.response()[0]

        expect("status before the name is known", eventually("haproxy to listen", status, 10), 503)
        known.set()
        eventually("an upgrade when it is", lambda: status() == 101, 10)
        proxy.terminate()
        proxy.wait(10)


def answer_names(names: socket.socket, known: threading.Event) -> None:
    """A name server: no name exists until they are known, and then each of them is 127.0.0.1."""
    with contextlib.suppress(OSError):  # closed when the case ends
        while True:
            query, client = names.recvfrom(512)
            end = query.index(b"\0", 12) + 5  # of the question: the name, its type and its class
            is_address = known.is_set() and query[end - 4:end - 2] == b"\0\1"
            head = query[:2] + (b"\x81\x80" if known.is_set() else b"\x81\x83") + b"\0\1" + (b"\0\1" if is_address else b"\0\0") + bytes(4)
            names.sendto(head + query[12:end] + (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if is_address else b""), client)


@case("deploy/nginx.conf is what nginx accepts, and spreads over the servers that live")
def nginx(lab: Lab) -> None:
    with lab.server() as first, lab.server() as second:
        port, gone = free_port(), free_port()
        config = lab.scratch / "nginx.conf"
        config.write_text(adapted(lab, "nginx.conf", **{
            "listen 80;": f"listen 127.0.0.1:{port};", "listen 443 ssl;": f"listen 127.0.0.1:{free_port()} ssl;", "192.0.2.11:8080": f"127.0.0.1:{gone}",
            "192.0.2.12:8080": f"127.0.0.1:{first.port}", "192.0.2.13:8080": f"127.0.0.1:{second.port}",
            "worker_connections 100000;": "worker_connections 1000;", "worker_rlimit_nofile 200000;": ""}))
        common = [need("nginx"), "-p", lab.scratch, "-c", config, "-e", lab.scratch / "nginx.log", "-g", f"daemon off; pid {lab.scratch}/nginx.pid;"]
        checked("nginx -t", *common, "-t")
        process = lab.start([*map(str, common)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peers = [connected(port) for _ in range(20)]
        logs = (first, second)
        eventually("20 lines in the logs", lambda: sum(len(server.lines(" connected, ")) for server in logs) == 20)
        expect("share of each of the two that live", [len(server.lines(" connected, ")) for server in logs], [10, 10])
        for peer in peers:
            peer.goodbye()
        process.terminate()
        process.wait(10)


def connected(port: int) -> Peer:
    """Waits for nginx to listen."""
    for _ in range(200):
        try:
            return Peer(port)
        except ConnectionRefusedError:
            time.sleep(0.02)
    return Peer(port)


@case("deploy/the systemd unit verifies, and is as hardened as it says")
def systemd(lab: Lab) -> None:
    text = (DEPLOY / "heartbeat-server.service").read_text()
    unit = lab.scratch / "heartbeat-server.service"
    unit.write_text(text.replace("/usr/local/bin/HeartbeatServer", str(lab.executable)))
    said = checked("systemd-analyze verify", need("systemd-analyze"), "verify", unit)
    expect_that("no complaint", "heartbeat-server.service" not in said, said)
    score = checked("systemd-analyze security", need("systemd-analyze"), "security", "--offline=true", "--no-pager", unit)
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", score)[1])
    expect("score that the unit says of itself", re.search(r"says: ([\d.]+)", text)[1], f"{exposure:.1f}")
    bad = subprocess.run([lab.executable], env={"HEARTBEAT_PING": "often"}, capture_output=True, timeout=20).returncode
    expect("exit code after which it is not started again", re.search(r"RestartPreventExitStatus=(\d+)", text)[1], str(bad))


@case("deploy/Kubernetes' schemas accept the manifest")
def kubernetes(lab: Lab) -> None:
    if not (CLIENTS / "ws/node_modules/kubernetes-models").exists():
        raise Skip("kubernetes-models is not installed: run install.sh")
    check = [need("node"), CLIENTS / "ws/kubernetes.mjs"]
    said = checked("the check", *check, DEPLOY / "kubernetes.yaml")
    kinds = ["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"]
    expect("what was checked", re.findall(r"ok (\w+)", said), kinds)
    # And the check does tell right from wrong.
    wrong = lab.scratch / "wrong.yaml"
    wrong.write_text((DEPLOY / "kubernetes.yaml").read_text().replace("periodSeconds: 2\n", "periodSeconds: often\n"))
    expect("exit code for a wrong one", subprocess.run([*map(str, check), str(wrong)], capture_output=True).returncode, 1)


def parsed(file: Path) -> list[dict]:
    """The documents of a YAML file."""
    program = """
        import { readFileSync } from "node:fs"; import { parseAllDocuments } from "yaml";
        console.log(JSON.stringify(parseAllDocuments(readFileSync(process.argv[1], "utf8")).map(document => document.toJS())))"""
    done = subprocess.run(
        [need("node"), "--input-type=module", "-e", program, str(file)], cwd=CLIENTS / "ws", capture_output=True, text=True, timeout=30)
    expect(f"exit code of the YAML parser, which said {done.stderr[-300:]}", done.returncode, 0)
    return json.loads(done.stdout)


@case("deploy/kubernetes.yaml's options and probes, on a server that serves, drains and hangs")
def probes(lab: Lab) -> None:
    kinds = {document["kind"]: document for document in parsed(DEPLOY / "kubernetes.yaml")}
    container = kinds["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    # A case has a process of its own, and so an environment.
    os.environ.update({variable["name"]: variable["value"] for variable in container["env"]})
    admin = free_port()
    with lab.server("--admin", f"127.0.0.1:{admin}") as server, Peer(server.port) as peer:
        ports = {"http": server.port, "admin": admin}

        def probe(name: str) -> int | None:
            """The status that the kubelet would see, or None without an answer in time."""
            get = container[name]["httpGet"]
            url = f"http://127.0.0.1:{ports[get['port']]}{get['path']}"
            try:
                return urllib.request.urlopen(url, timeout=container[name].get("timeoutSeconds", 1)).status
            except urllib.error.HTTPError as e:
                return e.code
            except TimeoutError:
                return None

        names = ("startupProbe", "readinessProbe", "livenessProbe")
        expect("a server that serves", [probe(name) for name in names], [200, 200, 200])
        os.kill(server.pid, signal.SIGSTOP)
        threads = list(Path(f"/proc/{server.pid}/task").glob("*/stat"))
        # The signal stops one thread after the other: another could still answer.
        eventually("every thread to be stopped", lambda: all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads))
        expect("liveness of a process that hangs", probe("livenessProbe"), None)
        os.kill(server.pid, signal.SIGCONT)
        server.terminate()
        expect("the goodbye", peer.data()[0], "close")
        eventually("not ready while draining", lambda: probe("readinessProbe") == 503)
        expect("liveness while draining", probe("livenessProbe"), 200)
        peer.send(peer.frame("close", b"\x03\xe9"))


@case("deploy/kubernetes.yaml's ingress: what haproxy accepts, and a slot for every pod")
def ingress(lab: Lab) -> None:
    kinds = {document["kind"]: document for document in parsed(DEPLOY / "kubernetes.yaml")}
    annotations = kinds["Ingress"]["metadata"]["annotations"]
    # Its controller puts them into a backend.
    config = lab.scratch / "haproxy.cfg"
    config.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nfrontend web\n bind 127.0.0.1:80\n default_backend heartbeat\n"
        f"backend heartbeat\n balance {annotations['haproxy.org/load-balance']}\n option forwardfor\n{annotations['haproxy.org/backend-config-snippet']}\n"
        " server one 127.0.0.1:8080\n")
    said = checked("haproxy -c", need("haproxy"), "-c", "-f", config)
    expect_that("no warning", "WARNING" not in said.upper(), said)
    slots, most = int(annotations["haproxy.org/scale-server-slots"]), kinds["HorizontalPodAutoscaler"]["spec"]["maxReplicas"]
    expect_that(f"slots for {most} pods, and one more in a rolling update", slots > most, slots)


@case("deploy/compose.yaml, prometheus.yml and the alerts")
def compose(lab: Lab) -> None:
    folder = DEPLOY / "compose"
    checked("promtool check config", need("promtool"), "check", "config", folder / "prometheus.yml")
    rules = checked("promtool check rules", need("promtool"), "check", "rules", folder / "alerts.yml")
    expect_that("four rules", "4 rules found" in rules, rules)
    services = parsed(REPOSITORY / "compose.yaml")[0]["services"]
    expect("services", sorted(services), ["prometheus", "proxy", "server"])
    expect("ports that the server publishes", services["server"].get("ports", []), [])
    for service in services.values():
        for mount in service.get("volumes", []):
            if (path := mount.split(":")[0]).startswith("./deploy"):
                expect_that(f"{path} to be there", os.path.exists(REPOSITORY / path), path)
