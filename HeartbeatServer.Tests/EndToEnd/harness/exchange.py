"""Tables of cases for RFC 6455: what the client sends, and exactly what has to come back, frame by frame, until the end of the connection.

A row is (name, chunks that are sent, frames that must come). Where the last frame is a Close, the connection must end with it; where not, it
must still be alive.
"""

from collections.abc import Iterable

from .expect import Table, expect
from .lab import Lab
from .peer import EOF, Item, Peer

Row = tuple[str, list[bytes], list[Item]]


def closed(code: int) -> Item:
    """A Close that the server has begun, with this code and any reason."""
    return ("closed with", code)


def echo_of_close(body: bytes) -> Item:
    return ("close", body)


CAUSES = {1002: "protocol_error", 1007: "invalid_payload", 1009: "message_too_big"}


def run(lab: Lab, rows: Iterable[Row]) -> None:
    causes: list[tuple[str, str]] = []
    with lab.server("--ping", "0") as server, Table() as table:
        for name, chunks, wanted in rows:
            with table.row(name), Peer(server.port) as peer:
                causes.append((name, CAUSES[wanted[-1][1]] if wanted and wanted[-1][0] == "closed with" else "client_closed"))
                check(peer, chunks, wanted)
        server.expect_empty()
        for end in server.ends():
            name, cause = causes[end["Connection"] - 1]
            with table.row(name):
                expect(f"cause in the log ({end['Detail']})", end["Cause"], cause)


def check(peer: Peer, chunks: list[bytes], wanted: list[Item]) -> None:
    peer.send(*chunks)
    for place, item in enumerate(wanted):
        expect(f"frame {place + 1} of {len(wanted)}", told(peer.receive(), item), item)
    if wanted and wanted[-1][0] in ("close", "closed with"):
        expect("after the Close", peer.transcript(), [EOF])
    else:
        peer.goodbye()


def told(item: Item, wanted: Item) -> Item:
    """Checks a Close frame in the form of closed(). Its reason must be there, and must be UTF-8."""
    if wanted[0] == "closed with" and item[0] == "close" and len(item[1]) > 2:
        item[1][2:].decode()
        return closed(int.from_bytes(item[1][:2], "big"))
    return item


def chops(data: bytes, size: int = 1) -> list[bytes]:
    return [data[i:i + size] for i in range(0, len(data), size)]
