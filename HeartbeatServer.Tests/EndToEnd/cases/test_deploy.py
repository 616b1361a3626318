"""The files that deploy the server. Each is read by the program for which it is written."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.crowd import knock
from harness.expect import eventually, expect, expect_that
from harness.lab import Lab, need
from harness.paths import (
    ALERTS,
    CLIENTS,
    COMPOSE,
    COMPOSE_HAPROXY,
    KUBERNETES,
    KUBERNETES_RELAY,
    PROMETHEUS,
    SEVERAL_SERVERS_HAPROXY,
    SEVERAL_SERVERS_NGINX,
    SYSTEMD_UNIT,
    name_of,
)
from harness.peer import Peer, close_body, frame, upgrade_request
from harness.proxies import certificate, derive, haproxy, nginx
from harness.server import free_port


def checked(what: str, *arguments: object) -> str:
    """Runs a program that must end with exit code 0. Returns what it prints."""
    done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=60)
    expect(f"exit code of {what}; it said: {(done.stdout + done.stderr)[-1500:]}", done.returncode, 0)
    return done.stdout + done.stderr


def accepted_by_haproxy(config: Path, *before: str) -> None:
    """Checks a configuration. `before`: the program, with its arguments, that starts haproxy."""
    said = checked("haproxy -c", *before, need("haproxy"), "-c", "-f", config)
    expect_that("no warning", "WARNING" not in said.upper(), said)


def test_haproxy_accepts_its_configuration(lab: Lab) -> None:
    config = lab.scratch / "haproxy.cfg"
    config.write_text(derive(SEVERAL_SERVERS_HAPROXY, {"/etc/haproxy/heartbeat.pem": certificate(lab.scratch).both}))
    accepted_by_haproxy(config)


def compose_proxy(lab: Lab, **addresses: str) -> Path:
    """The configuration of compose's proxy, on the certificate that compose.yaml tells people to make."""
    command = re.search(r"(?m)^#   (mkdir (?:.*\\\n)*.*)", COMPOSE.read_text())[1].replace("\n#", "\n")
    # The command runs under the strictest usual umask.
    checked("the command in compose.yaml", "sh", "-c", f'cd "{lab.scratch}" && umask 077 && {command}')
    config = lab.scratch / "haproxy.cfg"
    config.write_text(derive(COMPOSE_HAPROXY, {"/certificates/": f"{lab.scratch}/certificates/", **addresses}))
    return config


def test_haproxy_accepts_the_configuration_of_compose_as_the_user_of_its_image(lab: Lab) -> None:
    if os.geteuid() != 0:
        pytest.skip("root is needed to become another user")
    # The names are those of compose's network.
    config = compose_proxy(lab, **{" relay:8080": " 127.0.0.1:8080"})
    # In the container the folder is a mount, so no folder above it limits the access.
    lab.shared.chmod(0o755)
    lab.scratch.chmod(0o755)
    accepted_by_haproxy(config, need("setpriv"), "--reuid=99", "--regid=99", "--clear-groups")


def test_haproxy_of_compose_finds_a_relay_that_starts_after_it(lab: Lab) -> None:
    with name_server() as (names, known), lab.server() as server:
        port = free_port()
        config = compose_proxy(lab, **{
            "127.0.0.11:53": f"127.0.0.1:{names}", " relay:8080": f" relay.invalid:{server.port}",
            "bind :8443": f"bind 127.0.0.1:{port}", "maxconn 20000": "maxconn 1000"})
        trusted = ssl.create_default_context(cafile=lab.scratch / "certificates/heartbeat.pem")
        # The machine's own resolver does not know the name either, and the case need not wait for it.
        lab.start(haproxy(config), env={"RES_OPTIONS": "attempts:1 timeout:1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def status() -> int | None:
            with contextlib.suppress(ConnectionRefusedError), Peer(port, upgrade=False, tls=trusted) as peer:
                peer.send(upgrade_request(port))
                return peer.response()[0]

        expect("status before the name is known", eventually("haproxy to listen", status, 10), 503)
        known.set()
        eventually("an upgrade when it is", lambda: status() == 101, 10)


@contextlib.contextmanager
def name_server() -> Iterator[tuple[int, threading.Event]]:
    """Runs a name server. Gives its port and an event. No name exists until the event is set. From then on each name is 127.0.0.1."""
    known = threading.Event()

    def answer() -> None:
        while True:
            query, client = names.recvfrom(512)
            if not query:
                return
            end = query.index(b"\0", 12) + 5  # the end of the question, which has the name, its type and its class
            is_address = known.is_set() and query[end - 4:end - 2] == b"\0\1"
            head = query[:2] + (b"\x81\x80" if known.is_set() else b"\x81\x83") + b"\0\1" + (b"\0\1" if is_address else b"\0\0") + bytes(4)
            names.sendto(head + query[12:end] + (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if is_address else b""), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as names:
        names.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield names.getsockname()[1], known
        finally:
            names.sendto(b"", names.getsockname())
            thread.join()


def test_nginx_accepts_its_configuration_and_spreads_over_the_servers_that_live(lab: Lab) -> None:
    with lab.server() as first, lab.server() as second:
        port, gone = free_port(), free_port()
        config, made = lab.scratch / "nginx.conf", certificate(lab.scratch)
        config.write_text(derive(SEVERAL_SERVERS_NGINX, {
            "/etc/ssl/certs/heartbeat.pem": made.pem, "/etc/ssl/private/heartbeat.key": made.key,
            "listen 80;": f"listen 127.0.0.1:{port};", "listen 443 ssl;": f"listen 127.0.0.1:{free_port()} ssl;", "192.0.2.11:8080": f"127.0.0.1:{gone}",
            "192.0.2.12:8080": f"127.0.0.1:{first.port}", "192.0.2.13:8080": f"127.0.0.1:{second.port}",
            "worker_connections 100000;": "worker_connections 1000;", "worker_rlimit_nofile 200000;": ""}))
        checked("nginx -t", *nginx(config), "-t")
        process = lab.start(nginx(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        peers = [eventually("nginx to listen", lambda: knock(port)), *(Peer(port) for _ in range(19))]
        logs = (first, second)
        eventually("20 lines in the logs", lambda: sum(server.opened() for server in logs) == 20)
        expect("share of each of the two that live", [server.opened() for server in logs], [10, 10])
        for peer in peers:
            peer.goodbye()
        process.terminate()
        process.wait(10)


def test_the_systemd_unit_verifies_and_is_as_hardened_as_it_says(lab: Lab) -> None:
    text = (SYSTEMD_UNIT).read_text()
    unit = lab.scratch / "heartbeat-server.service"
    unit.write_text(text.replace("/usr/local/bin/HeartbeatServer", str(lab.executable)))
    said = checked("systemd-analyze verify", need("systemd-analyze"), "verify", unit)
    expect_that("no complaint", "heartbeat-server.service" not in said, said)
    score = checked("systemd-analyze security", need("systemd-analyze"), "security", "--offline=true", "--no-pager", unit)
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", score)[1])
    expect("score that the unit says of itself", re.search(r"says: ([\d.]+)", text)[1], f"{exposure:.1f}")
    bad = subprocess.run([lab.executable], env={"HEARTBEAT_PING": "often"}, capture_output=True, timeout=20).returncode
    expect("exit code after which it is not started again", re.search(r"RestartPreventExitStatus=(\d+)", text)[1], str(bad))


def test_the_schemas_of_kubernetes_accept_the_manifests(lab: Lab) -> None:
    if not (CLIENTS / "ws/node_modules/kubernetes-models").exists():
        pytest.skip("kubernetes-models is not installed: run install.sh")
    check = [need("node"), CLIENTS / "ws/kubernetes.mjs"]
    for file, kinds in {
        KUBERNETES: ["Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"],
        KUBERNETES_RELAY: ["Deployment", "Service", "Ingress"],
    }.items():
        said = checked("the check", *check, file)
        expect(f"what was checked of {name_of(file)}", re.findall(r"ok (\w+)", said), kinds)
    # The check must also refuse a wrong file.
    wrong = lab.scratch / "wrong.yaml"
    wrong.write_text((KUBERNETES).read_text().replace("periodSeconds: 2\n", "periodSeconds: often\n"))
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


def test_the_options_and_probes_of_kubernetes_on_a_server_that_serves_drains_and_hangs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {document["kind"]: document for document in parsed(KUBERNETES)}
    container = kinds["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
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
        # The signal stops one thread after the other, so a thread that still runs could answer.
        eventually("every thread to be stopped", lambda: all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads))
        expect("liveness of a process that hangs", probe("livenessProbe"), None)
        os.kill(server.pid, signal.SIGCONT)
        server.terminate()
        expect("the goodbye", peer.data()[0], "close")
        eventually("not ready while draining", lambda: probe("readinessProbe") == 503)
        expect("liveness while draining", probe("livenessProbe"), 200)
        peer.send(frame("close", close_body(1001)))


def test_the_sidecar_of_kubernetes_ends_before_its_application(lab: Lab) -> None:
    """The relay drains while the application still answers, and the pod waits for both."""
    pod = next(document for document in parsed(KUBERNETES_RELAY) if document["kind"] == "Deployment")["spec"]["template"]["spec"]
    containers = {container["name"]: container for container in pod["containers"]}
    slept = {name: container["lifecycle"]["preStop"]["sleep"]["seconds"] for name, container in containers.items()}
    relay = {variable["name"]: variable["value"] for variable in containers["relay"]["env"]}
    drained = slept["relay"] + int(relay["HEARTBEAT_DRAIN"].removesuffix("s"))
    expect_that("the application to be there until the drain is over", slept["application"] > drained, (slept, drained))
    expect_that("the pod to wait for the application", pod["terminationGracePeriodSeconds"] > slept["application"], pod["terminationGracePeriodSeconds"])
    port = containers["application"]["ports"][0]["containerPort"]
    expect("where the relay looks for the application", relay["HEARTBEAT_UPSTREAM"], f"http://127.0.0.1:{port}")


def test_all_that_comes_to_the_sidecar_of_kubernetes_goes_to_the_relay(lab: Lab) -> None:
    kinds = {document["kind"]: document for document in parsed(KUBERNETES_RELAY)}
    relay = next(container for container in kinds["Deployment"]["spec"]["template"]["spec"]["containers"] if container["name"] == "relay")
    paths = [path for rule in kinds["Ingress"]["spec"]["rules"] for path in rule["http"]["paths"]]
    expect("paths", [path["path"] for path in paths], ["/"])
    service, port = paths[0]["backend"]["service"], kinds["Service"]["spec"]["ports"][0]
    expect("the port of the Service", (service["name"], service["port"]["name"]), (kinds["Service"]["metadata"]["name"], port["name"]))
    expect("where the port leads", [each["containerPort"] for each in relay["ports"] if each["name"] == port["targetPort"]], [8080])


def test_haproxy_accepts_the_ingress_of_kubernetes_and_has_a_slot_for_every_pod(lab: Lab) -> None:
    kinds = {document["kind"]: document for document in parsed(KUBERNETES)}
    annotations = kinds["Ingress"]["metadata"]["annotations"]
    # The ingress controller puts these lines into a backend.
    config = lab.scratch / "haproxy.cfg"
    config.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nfrontend web\n bind 127.0.0.1:80\n default_backend heartbeat\n"
        f"backend heartbeat\n balance {annotations['haproxy.org/load-balance']}\n option forwardfor\n{annotations['haproxy.org/backend-config-snippet']}\n"
        " server one 127.0.0.1:8080\n")
    accepted_by_haproxy(config)
    slots, most = int(annotations["haproxy.org/scale-server-slots"]), kinds["HorizontalPodAutoscaler"]["spec"]["maxReplicas"]
    expect_that(f"slots for {most} pods, and one more in a rolling update", slots > most, slots)


def test_compose_prometheus_and_the_alerts(lab: Lab) -> None:
    checked("promtool check config", need("promtool"), "check", "config", PROMETHEUS)
    rules = checked("promtool check rules", need("promtool"), "check", "rules", ALERTS)
    expect_that("six rules", "6 rules found" in rules, rules)
    checked("promtool test rules", need("promtool"), "test", "rules", ALERTS.with_name("alerts.test.yml"))
    services = parsed(COMPOSE)[0]["services"]
    expect("services", sorted(services), ["application", "prometheus", "proxy", "relay"])
    for inside in ("application", "relay"):
        expect(f"ports that the {inside} publishes", services[inside].get("ports", []), [])
    application = services["application"]["environment"]["HEARTBEAT_PORT"]
    expect("where the relay looks for the application", services["relay"]["environment"]["HEARTBEAT_UPSTREAM"], f"http://application:{application}")
    expect_that("the proxy to know the relay alone", " application:" not in COMPOSE_HAPROXY.read_text(), COMPOSE_HAPROXY.read_text())
    mounted = [mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])]
    files = [path for path in mounted if path.startswith(".") and path != "./certificates"]  # users make the certificates themselves
    expect("files that are mounted and not there", [path for path in files if not (COMPOSE.parent / path).exists()], [])
    expect("number of files that are mounted", len(files), 3)
