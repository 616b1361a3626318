"""Certificates for a case: an authority of its own, and what it signs. Made with openssl."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    pem: Path
    key: Path
    both: Path
    """The certificate and its key in one file, as haproxy reads them."""
    authority: Path
    """The certificate of those who signed it. It is itself for one that signs itself."""

    def client(self) -> ssl.SSLContext:
        """What a client needs that trusts the authority, and nobody else."""
        return ssl.create_default_context(cafile=self.authority)


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificate(folder: Path) -> Certificate:
    """Makes a self-signed certificate for localhost, with an RSA key."""
    pem, key, both = folder / "heartbeat.pem", folder / "heartbeat.key", folder / "both.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", pem)
    both.write_text(pem.read_text() + key.read_text())
    return Certificate(pem, key, both, pem)


class Authority:
    """An authority, with an intermediate one that signs in its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.pem = folder / "authority.pem"
        self._sign("authority", "/CN=Test authority", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n", None, "30")
        self._sign("between", "/CN=Test intermediate", "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n", "authority", "30")
        self._made = 0

    def certificate(self, names: str = "DNS:localhost,IP:127.0.0.1", end: str = "20") -> Certificate:
        """Makes a certificate with its chain. end: the days until its end, or -1 for one that has ended."""
        self._made += 1
        name = f"server{self._made}"
        self._sign(name, "/CN=heartbeat", f"subjectAltName={names}\n", "between", end)
        pem, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        pem.write_text(pem.read_text() + (self.folder / "between.pem").read_text())
        both = self.folder / f"{name}.both.pem"
        both.write_text(pem.read_text() + key.read_text())
        return Certificate(pem, key, both, self.pem)

    def _sign(self, name: str, subject: str, extensions: str, by: str | None, end: str) -> None:
        key, request, pem = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        (self.folder / "extensions").write_text(extensions)
        signer = ["-signkey", key] if by is None else ["-CA", self.folder / f"{by}.pem", "-CAkey", self.folder / f"{by}.key", "-CAcreateserial"]
        # openssl makes a certificate of -1 days end a day before it begins: it has ended.
        openssl("x509", "-req", "-in", request, *signer, "-days", end, "-extfile", self.folder / "extensions", "-out", pem)
