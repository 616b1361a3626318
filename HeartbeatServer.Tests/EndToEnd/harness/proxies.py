"""Prepares the shipped configurations of proxies for a case: makes certificates, and replaces the addresses in the files."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .expect import expect
from .lab import need
from .paths import name_of


class Certificate(NamedTuple):
    pem: Path
    key: Path
    both: Path
    """The certificate and its key in one file, as haproxy reads them."""


def certificate(folder: Path) -> Certificate:
    """Makes a self-signed certificate for localhost."""
    made = Certificate(folder / "heartbeat.pem", folder / "heartbeat.key", folder / "both.pem")
    subprocess.run(
        [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", made.key, "-out", made.pem],
        check=True, capture_output=True)
    made.both.write_text(made.pem.read_text() + made.key.read_text())
    return made


def derive(file: Path, replaced: Mapping[str, object]) -> str:
    """Replaces values of the shipped file. Each old value must stand there once, outside comments. Else the case fails, because the file has changed."""
    text = file.read_text()
    for old, new in replaced.items():
        text, found = re.subn(rf"(?m)^([^#\n]*){re.escape(old)}", lambda match, new=new: f"{match[1]}{new}", text)
        expect(f"times that {old!r} is in {name_of(file)}", found, 1)
    return text


def haproxy(config: Path) -> list[str | Path]:
    return [need("haproxy"), "-f", config, "-db"]


def nginx(config: Path) -> list[str | Path]:
    folder = config.parent
    return [need("nginx"), "-p", folder, "-c", config, "-e", folder / "proxy.log", "-g", f"daemon off; pid {folder}/nginx.pid;"]
