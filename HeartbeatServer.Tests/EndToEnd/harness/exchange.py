"""Tables of cases for RFC 6455: what the client sends, and exactly what has to come back, frame by frame, until the end of the connection.

A row is (name, chunks that are sent, frames that must come). Where the last frame is a Close, the connection must end with it; where not, it
must still be alive.
"""

from collections.abc import Iterable

from .expect import Table, expect
from .lab import Lab
from .peer import EOF, RESET, Item, Peer, close_body

Row = tuple[str, list[bytes], list[Item]]


def closed(code: int) -> Item:
    """A Close that the server has begun, with this code and any reason."""
    return ("closed with", code)


def echo_of_close(body: bytes) -> Item:
    return ("close", body)


CAUSES = {1002: "protocol_error", 1007: "invalid_payload", 1009: "message_too_big"}


def run(lab: Lab, rows: Iterable[Row]) -> None:
    relayed = lab.door == "relay"
    causes: list[tuple[str, str]] = []
    with lab.server("--ping", "0", *(["--max-message", "1MiB"] if relayed else [])) as server, Table() as table:
        for name, chunks, wanted in rows:
            with table.row(name), Peer(server.port, tls=server.tls) as peer:
                causes.append((name, CAUSES[wanted[-1][1]] if ends_with(wanted, "closed with") else "client_closed"))
                (check_relayed if relayed else check)(peer, chunks, wanted)
        server.expect_empty()
        for end in server.ends():
            name, cause = causes[end["connection"] - 1]
            with table.row(name):
                expect(f"cause in the log ({end['detail']})", end["cause"], cause)


def ends_with(wanted: list[Item], name: str) -> bool:
    return bool(wanted) and wanted[-1][0] == name


def check(peer: Peer, chunks: list[bytes], wanted: list[Item]) -> None:
    peer.send(*chunks)
    for place, item in enumerate(wanted):
        expect(f"frame {place + 1} of {len(wanted)}", told(peer.receive(), item), item)
    if ends_with(wanted, "close") or ends_with(wanted, "closed with"):
        expect("after the Close", peer.transcript(), [EOF])
    else:
        peer.goodbye()


def check_relayed(peer: Peer, chunks: list[bytes], wanted: list[Item]) -> None:
    """The same, where an application that others wrote replies.

    It repeats the reason of a Close, too. The Close for a broken rule is the relay's own, and overtakes replies to what came before.
    """
    peer.send(*chunks)
    items = [peer.receive() for _ in wanted[:1]]
    while len(items) < len(wanted) and items[-1][0] not in ("close", *EOF, *RESET):
        items.append(peer.receive())
    if not ends_with(wanted, "closed with"):
        expect("frames", [without_reason(item) for item in items], wanted)
    else:
        expect("the last frame", without_reason(items[-1]), ("close", close_body(wanted[-1][1])))
        expect("the frames before it", items[:-1], wanted[:len(items) - 1])
    if ends_with(wanted, "close") or ends_with(wanted, "closed with"):
        expect("after the Close", peer.transcript(), [EOF])
    else:
        peer.goodbye()


def without_reason(item: Item) -> Item:
    return ("close", item[1][:2]) if item[0] == "close" else item


def told(item: Item, wanted: Item) -> Item:
    """Checks a Close frame in the form of closed(). Its reason must be there, and must be UTF-8."""
    if wanted[0] == "closed with" and item[0] == "close" and len(item[1]) > 2:
        item[1][2:].decode()
        return closed(int.from_bytes(item[1][:2], "big"))
    return item


def chops(data: bytes, size: int = 1) -> list[bytes]:
    return [data[i:i + size] for i in range(0, len(data), size)]
