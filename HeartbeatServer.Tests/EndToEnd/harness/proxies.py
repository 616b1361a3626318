"""Runs the shipped configurations of proxies for a case: makes certificates, and replaces ports, addresses and timeouts in the files."""

import contextlib
import dataclasses
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from .certificates import certificate
from .expect import Failure, eventually, expect
from .lab import Lab, need
from .paths import (
    COMPOSE_HAPROXY,
    ONE_SERVER_APACHE,
    ONE_SERVER_CADDY,
    ONE_SERVER_HAPROXY,
    ONE_SERVER_NGINX,
    RELAY_HAPROXY,
    RELAY_NGINX,
    SEVERAL_SERVERS_HAPROXY,
    SEVERAL_SERVERS_NGINX,
    name_of,
)
from .server import free_port

IDLE = 3
"""The idle timeouts of the proxies in these cases, in seconds."""

NGINX = {
    "listen 80;": "listen 127.0.0.1:{port};", "listen 443 ssl;": "listen 127.0.0.1:{tls_port} ssl;", "/etc/ssl/certs/heartbeat.pem": "{pem}",
    "/etc/ssl/private/heartbeat.key": "{key}", "proxy_read_timeout 60s;": f"proxy_read_timeout {IDLE}s;"}
HAPROXY = {
    "bind :80": "bind 127.0.0.1:{port}", "bind :443": "bind 127.0.0.1:{tls_port}", "/etc/haproxy/heartbeat.pem": "{both}",
    "timeout tunnel 60s": f"timeout tunnel {IDLE}s"}
CERTIFICATE = {"/etc/ssl/certs/heartbeat.pem": "{pem}", "/etc/ssl/private/heartbeat.key": "{key}"}
APACHE = {
    "Listen 80": "Listen 127.0.0.1:{port}", "Listen 443": "Listen 127.0.0.1:{tls_port}", "<VirtualHost *:443>": "<VirtualHost *:{tls_port}>",
    "Timeout 60": f"Timeout {IDLE}", **CERTIFICATE}
CADDY = {
    "localhost:2019": "localhost:{admin}", "http://:80 {": "http://:{port} {{\n\tbind 127.0.0.1",
    "https://:443 {": "https://:{tls_port} {{\n\tbind 127.0.0.1", **CERTIFICATE}
ONE = {"127.0.0.1:8080": "127.0.0.1:{upstream}"}
APPLICATION = {"127.0.0.1:3000": "127.0.0.1:{application}"}
THREE = {f"192.0.2.1{number}:8080": "127.0.0.1:{upstream}" for number in (1, 2, 3)}

FILES = {
    ONE_SERVER_NGINX: {**NGINX, **ONE, "events {": "worker_processes 1; events {{"},
    ONE_SERVER_HAPROXY: {**HAPROXY, **ONE, "maxconn 20000": "maxconn 2000"},
    ONE_SERVER_APACHE: {**APACHE, **ONE},
    ONE_SERVER_CADDY: {**CADDY, **ONE},
    SEVERAL_SERVERS_NGINX: {
        **NGINX, **THREE, "worker_processes auto;": "worker_processes 1;", "worker_rlimit_nofile 200000;": "",
        "worker_connections 100000;": "worker_connections 1000;"},
    SEVERAL_SERVERS_HAPROXY: {**HAPROXY, **THREE, "maxconn 100000": "maxconn 2000"},
    RELAY_NGINX: {**NGINX, **ONE, **APPLICATION, "events {": "worker_processes 1; events {{"},
    RELAY_HAPROXY: {**HAPROXY, **ONE, **APPLICATION, "maxconn 20000": "maxconn 2000"},
    COMPOSE_HAPROXY: {
        "bind :8443": "bind 127.0.0.1:{tls_port}", "/certificates/heartbeat.pem": "{both}", " relay:8080": " 127.0.0.1:{upstream}",
        "maxconn 20000": "maxconn 2000"},
}
"""The configurations that we ship, and what is replaced in each so that it runs here."""


def derive(file: Path, replaced: Mapping[str, object]) -> str:
    """Replaces values of the shipped file. Each old value must stand there once, outside comments. Else the case fails, because the file has changed."""
    text = file.read_text()
    for old, new in replaced.items():
        text, found = re.subn(rf"(?m)^([^#\n]*){re.escape(old)}", lambda match, new=new: f"{match[1]}{new}", text)
        expect(f"times that {old!r} is in {name_of(file)}", found, 1)
    return text


def haproxy(config: Path) -> list[str | Path]:
    return [need("haproxy"), "-f", config, "-db"]


def apache(config: Path) -> list[str | Path]:
    """The file is one of a site: the server's own has the modules."""
    folder = config.parent
    modules = ("mpm_event", "authz_core", "headers", "proxy", "proxy_http", "socache_shmcb", "ssl")
    main = folder / "httpd.conf"
    main.write_text("\n".join([
        *(f"LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so" for module in modules),
        f"ServerRoot {folder}", f"DefaultRuntimeDir {folder}", f"PidFile {folder}/httpd.pid", f"ErrorLog {folder}/proxy.log", "ServerName localhost",
        "User nobody", "Group nogroup", f"Include {config}", ""]))
    return [need("apache2"), "-f", main, "-DFOREGROUND"]


def caddy(config: Path, verb: str = "run") -> list[str | Path]:
    return [need("caddy"), verb, "--config", config, "--adapter", "caddyfile"]


def nginx(config: Path) -> list[str | Path]:
    folder = config.parent
    return [need("nginx"), "-p", folder, "-c", config, "-e", folder / "proxy.log", "-g", f"daemon off; pid {folder}/nginx.pid;"]


PROGRAMS = {ONE_SERVER_APACHE: apache, ONE_SERVER_CADDY: caddy}
"""How a file is run that neither haproxy (.cfg) nor nginx reads."""


@dataclasses.dataclass
class Proxy:
    port: int
    tls_port: int
    tls: ssl.SSLContext
    """Makes a TLS context that trusts the proxy's certificate."""
    pem: Path
    config: Path
    """The file as it was derived."""


@contextlib.contextmanager
def proxy_to(lab: Lab, file: Path, upstream: int, application: int | None = None) -> Iterator[Proxy]:
    """Starts the proxy of this file. application: the port that gets what is no WebSocket, for a file that parts them."""
    made = certificate(lab.scratch)
    config = lab.scratch / file.name
    proxy = Proxy(free_port(), free_port(), ssl.create_default_context(cafile=made.pem), made.pem, config)
    values = {
        "port": proxy.port, "tls_port": proxy.tls_port, "admin": free_port(), "upstream": upstream, "application": application, **made._asdict()}
    config.write_text(derive(file, {old: new.format(**values) for old, new in FILES[file].items()}))
    log = lab.scratch / "proxy.out"
    with log.open("wb") as output:
        program = PROGRAMS.get(file, haproxy if config.suffix == ".cfg" else nginx)
        # Caddy keeps files at home.
        process = lab.start(program(config), env={"HOME": str(lab.scratch)}, stdout=output, stderr=output)

    def listens() -> bool:
        if process.poll() is not None:
            raise Failure(f"{name_of(file)} did not start: {log.read_text()[-500:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", proxy.tls_port)) == 0

    eventually(f"{name_of(file)} to listen", listens)
    yield proxy
    process.terminate()
    process.wait(10)
