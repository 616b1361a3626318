"""Another host: a network namespace with a cable to ours, which can be slow or cut."""

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Iterator

import pytest

from .lab import need

_SLOT = os.getpid() % (1 << 14)
HERE, THERE = (f"198.18.{_SLOT >> 6}.{(_SLOT & 63) * 4 + host}" for host in (1, 2))
"""The addresses of two hosts that belong to this run alone, in the network that RFC 2544 reserves for tests."""


@dataclasses.dataclass
class OtherHost:
    name: str
    """The name of the namespace. The cable has the end {name}a on this host, and {name}b on the other."""

    def run(self, *arguments: str) -> None:
        subprocess.run(arguments, check=True, capture_output=True, timeout=10)

    def inside(self) -> list[str]:
        """The words before a command with which it runs on the other host."""
        return [need("ip"), "netns", "exec", self.name]

    def cut(self) -> None:
        """Cuts the cable: no packet passes any more, in either direction."""
        self.run(need("ip"), "-n", self.name, "link", "set", f"{self.name}b", "down")

    def lose_everything(self, lose: bool) -> None:
        """Lets the other host drop all packets silently, or take them again."""
        if lose:
            self.run(*self.inside(), need("nft"), "add table inet lost; add chain inet lost packets { type filter hook input priority 0; policy drop; }")
        else:
            self.run(*self.inside(), need("nft"), "delete table inet lost")

    def forget(self, port: int, seconds: int) -> None:
        """Lets the other host forget each connection to this port after so much silence, as a NAT does: then it drops its packets, in both directions."""
        self.run(*self.inside(), need("nft"), f"""
            table inet nat {{
                set known {{ type inet_service; flags dynamic,timeout; timeout {seconds}s; }}
                chain out {{
                    type filter hook output priority 0;
                    tcp dport {port} tcp flags & (syn|ack) == syn update @known {{ tcp sport }} accept
                    tcp dport {port} tcp sport @known update @known {{ tcp sport }} accept
                    tcp dport {port} drop
                }}
                chain in {{
                    type filter hook input priority 0;
                    tcp sport {port} tcp dport @known update @known {{ tcp dport }} accept
                    tcp sport {port} drop
                }}
            }}""")

    def slow_down(self, rate: str) -> None:
        """Makes the line from this host to the other as slow as a telephone, for example 64kbit."""
        self.run(need("tc"), "qdisc", "add", "dev", f"{self.name}a", "root", "tbf", "rate", rate, "burst", "4kb", "limit", "30kb")


@contextlib.contextmanager
def other_host() -> Iterator[OtherHost]:
    ip = need("ip")
    host = OtherHost(f"hb{os.getpid()}")
    name = host.name
    try:
        host.run(ip, "netns", "add", name)
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no network namespace can be made here: {e.stderr.decode().strip()}")
    try:
        host.run(ip, "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        host.run(ip, "addr", "add", f"{HERE}/30", "dev", f"{name}a")
        host.run(ip, "link", "set", f"{name}a", "up")
        host.run(ip, "-n", name, "addr", "add", f"{THERE}/30", "dev", f"{name}b")
        host.run(ip, "-n", name, "link", "set", f"{name}b", "up")
        yield host
    finally:
        # Both are deleted, because the other host and its end of the cable stay as long as a client runs there.
        with contextlib.suppress(subprocess.CalledProcessError):
            host.run(ip, "link", "del", f"{name}a")
        host.run(ip, "netns", "del", name)
