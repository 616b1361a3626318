"""The files that deploy the server, each read by the program that it is for."""

import functools
import json
import os
import re
import subprocess
import time

from .case import Skip, case, eventually, expect, expect_that
from .lab import CLIENTS, REPOSITORY, Lab, need
from .peer import Peer
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
            "/etc/haproxy/heartbeat.pem": str(both), "/certificates/heartbeat.pem": str(both), "/etc/ssl/certs/heartbeat.pem": str(pem),
            "/etc/ssl/private/heartbeat.key": str(key), **addresses}.items():
        text = text.replace(old, new)
    return text


def haproxy(lab: Lab, file: str) -> None:
    config = lab.scratch / "haproxy.cfg"
    # The name is one of compose's network.
    config.write_text(adapted(lab, file, **{" server:8080": " 127.0.0.1:8080"}))
    said = checked("haproxy -c", need("haproxy"), "-c", "-f", config)
    expect_that("no warning", "WARNING" not in said.upper(), said)


for _file in ("haproxy.cfg", "compose/haproxy.cfg"):
    case(f"deploy/{_file} is what haproxy accepts")(functools.partial(haproxy, file=_file))


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


@case("deploy/Kubernetes' schemas accept the manifest")
def kubernetes(lab: Lab) -> None:
    if not (CLIENTS / "ws/node_modules/kubernetes-models").exists():
        raise Skip("kubernetes-models is not installed: run install.sh")
    check = [need("node"), CLIENTS / "ws/kubernetes.mjs"]
    said = checked("the check", *check, DEPLOY / "kubernetes.yaml")
    expect("what was checked", re.findall(r"ok (\w+)", said), ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"])
    # And the check does tell right from wrong.
    wrong = lab.scratch / "wrong.yaml"
    wrong.write_text((DEPLOY / "kubernetes.yaml").read_text().replace("periodSeconds: 2\n", "periodSeconds: often\n"))
    expect("exit code for a wrong one", subprocess.run([*map(str, check), str(wrong)], capture_output=True).returncode, 1)


@case("deploy/compose.yaml, prometheus.yml and the alerts")
def compose(lab: Lab) -> None:
    folder = DEPLOY / "compose"
    checked("promtool check config", need("promtool"), "check", "config", folder / "prometheus.yml")
    rules = checked("promtool check rules", need("promtool"), "check", "rules", folder / "alerts.yml")
    expect_that("four rules", "4 rules found" in rules, rules)
    program = 'import {readFileSync} from "node:fs"; import {parse} from "yaml"; console.log(JSON.stringify(parse(readFileSync(process.argv[1], "utf8"))))'
    done = subprocess.run(
        [need("node"), "--input-type=module", "-e", program, str(REPOSITORY / "compose.yaml")], cwd=CLIENTS / "ws", capture_output=True, text=True, timeout=30)
    expect(f"exit code of the YAML parser, which said {done.stderr[-300:]}", done.returncode, 0)
    services = json.loads(done.stdout)["services"]
    expect("services", sorted(services), ["prometheus", "proxy", "server"])
    expect("ports that the server publishes", services["server"].get("ports", []), [])
    for service in services.values():
        for mount in service.get("volumes", []):
            if (path := mount.split(":")[0]).startswith("./deploy"):
                expect_that(f"{path} to be there", os.path.exists(REPOSITORY / path), path)
