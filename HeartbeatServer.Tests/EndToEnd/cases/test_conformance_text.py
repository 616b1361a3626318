"""RFC 6455 over the socket: UTF-8 and closing."""

from collections.abc import Iterable

import pytest

from harness.exchange import Row, check, chops, closed, echo_of_close, run
from harness.expect import Table, expect
from harness.lab import Lab, echo_and_relay, on_both_doors, on_every_door
from harness.peer import EOF, RESET, Peer, close_body, frame

KOSME = "κόσμε".encode()

VALID = {
    "ASCII": b"Hello, world",
    "two bytes": "Ünïcödé".encode(),
    "three bytes": KOSME + "€ 語".encode(),
    "four bytes": "😀𝄞".encode(),
    "NUL": b"\x00",
    "U+0080": b"\xc2\x80", "U+07FF": b"\xdf\xbf", "U+0800": b"\xe0\xa0\x80", "U+D7FF": b"\xed\x9f\xbf", "U+E000": b"\xee\x80\x80",
    "U+FFFD": b"\xef\xbf\xbd", "U+FFFE": b"\xef\xbf\xbe", "U+FFFF": b"\xef\xbf\xbf", "U+10000": b"\xf0\x90\x80\x80", "U+10FFFF": b"\xf4\x8f\xbf\xbf",
    "a byte order mark": b"\xef\xbb\xbfbom",
}

INVALID = {
    "a continuation byte alone": b"\x80", "another": b"\xbf",
    "FE": b"\xfe", "FF": b"\xff", "C0 80 for NUL": b"\xc0\x80", "C1 BF": b"\xc1\xbf",
    "overlong in three bytes": b"\xe0\x80\x80", "the longest of them": b"\xe0\x9f\xbf",
    "overlong in four bytes": b"\xf0\x80\x80\x80", "the longest of those": b"\xf0\x8f\xbf\xbf",
    "the surrogate D800": b"\xed\xa0\x80", "the surrogate DFFF": b"\xed\xbf\xbf", "a surrogate pair": b"\xed\xa0\xbd\xed\xb8\x80",
    "U+110000": b"\xf4\x90\x80\x80", "five bytes": b"\xf8\x88\x80\x80\x80", "six bytes": b"\xfc\x84\x80\x80\x80\x80", "F5": b"\xf5\x80\x80\x80",
    "two bytes cut by ASCII": b"\xc3(", "three bytes cut by ASCII": b"\xe2\x82(", "four bytes cut by ASCII": b"\xf0\x9f\x98(",
    "a start after a start": b"\xc3\xc3",
}
"""Each of these texts is wrong, whatever would follow."""

COMPLETED = {"of two": (b"\xc3", b"\xa9"), "of three, one": (b"\xe2", b"\x82\xac"), "of three, two": (b"\xe2\x82", b"\xac"),
             "of four, three": (b"\xf0\x9f\x98", b"\x80")}
CUT_OFF = {name: start for name, (start, _) in COMPLETED.items()}
"""Each of these texts is right so far, but wrong at the end of the message."""


@echo_and_relay
def test_valid_utf8(lab: Lab) -> None:
    def rows() -> Iterable[Row]:
        for name, text in VALID.items():
            yield name, [frame("text", text)], [("text", text)]
            yield f"{name}, in single bytes", chops(frame("text", text)), [("text", text)]
            yield f"{name}, after 4 KiB", [frame("text", b"x" * 4096 + text)], [("text", b"x" * 4096 + text)]
            fragments = [frame("continuation", text[i:i + 1], fin=False) for i in range(1, len(text))]
            yield f"{name}, in fragments of a byte", [frame("text", text[:1], fin=False), *fragments, frame("continuation")], [("text", text)]
        for name, text in INVALID.items():
            yield f"{name} as binary", [frame("binary", text)], [("binary", text)]

    run(lab, rows())


def test_invalid_utf8(lab: Lab) -> None:
    def rows() -> Iterable[Row]:
        for name, text in (INVALID | CUT_OFF).items():
            yield name, [frame("text", text)], [closed(1007)]
            yield f"{name}, in single bytes", chops(frame("text", text)), [closed(1007)]
            yield f"{name}, after good text", [frame("text", KOSME + text)], [closed(1007)]
            yield f"{name}, after 4 KiB", [frame("text", b"x" * 4096 + text)], [closed(1007)]
            yield f"{name}, after a good message", [frame("text", KOSME) + frame("text", text)], [("text", KOSME), closed(1007)]
            yield f"{name}, in the second fragment", [frame("text", KOSME, fin=False), frame("continuation", text)], [closed(1007)]
        for name, text in CUT_OFF.items():
            yield f"{name}, an empty last fragment", [frame("text", text, fin=False), frame("continuation")], [closed(1007)]
            yield f"{name}, then ASCII in the next fragment", [frame("text", text, fin=False), frame("continuation", b"x", fin=False)], [closed(1007)]

    run(lab, rows())


def test_utf8_fails_as_soon_as_a_byte_is_wrong(lab: Lab) -> None:
    """The Close comes while the frame or the message is still incomplete. It does not come while the text can still become valid."""
    with lab.server("--ping", "0") as server, Table() as table:
        for name, text in INVALID.items():
            for before in (0, 20, 5000):
                start = frame("text", b"x" * before + text, length=10_000)
                with table.row(f"{name}, {before} bytes into a frame of 10000"), Peer(server.port) as peer:
                    check(peer, [start], [closed(1007)])
            with table.row(f"{name}, in a first fragment"), Peer(server.port) as peer:
                check(peer, [frame("text", text, fin=False)], [closed(1007)])
        for name, (text, rest) in COMPLETED.items():
            sent = frame("text", text + rest)
            with table.row(f"{name}, completed later"), Peer(server.port) as peer:
                peer.send(sent[:-len(rest)])
                peer.silence(0.1)
                peer.send(sent[-len(rest):])
                expect("echo", peer.receive(), ("text", text + rest))
                peer.goodbye()


MAY_BE_SENT = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
MUST_NOT_BE_SENT = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535]


@on_every_door
def test_close_codes_and_reasons(lab: Lab) -> None:
    def rows() -> Iterable[Row]:
        yield "no body", [frame("close")], [echo_of_close(b"")]
        for code in MAY_BE_SENT:
            yield f"{code}", [frame("close", close_body(code))], [echo_of_close(close_body(code))]
            yield f"{code} with a reason", [frame("close", close_body(code, "gœdbye"))], [echo_of_close(close_body(code))]
        for code in MUST_NOT_BE_SENT:
            yield f"{code}", [frame("close", close_body(code))], [closed(1002)]
            yield f"{code} with a reason", [frame("close", close_body(code, "why"))], [closed(1002)]
        yield "half a code", [frame("close", b"\x03")], [closed(1002)]
        yield "a reason of 123 bytes", [frame("close", close_body(1000, "x" * 123))], [echo_of_close(close_body(1000))]
        yield "a reason of 123 bytes, in single bytes", chops(frame("close", close_body(1000, "x" * 123))), [echo_of_close(close_body(1000))]
        yield "a reason of 124 bytes", [frame("close", close_body(1000, "x" * 124))], [closed(1002)]
        yield "fragmented", [frame("close", close_body(1000), fin=False)], [closed(1002)]
        for name, text in (INVALID | CUT_OFF).items():
            yield f"reason with {name}", [frame("close", close_body(1000) + text)], [closed(1007)]

    run(lab, rows())


@on_both_doors
def test_what_comes_after_a_close(lab: Lab) -> None:
    bye = frame("close", close_body(1000))
    echo = echo_of_close(close_body(1000))
    run(lab, [
        ("text in the same write", [bye + frame("text", b"too late")], [echo]),
        ("ping in the same write", [bye + frame("ping", b"too late")], [echo]),
        ("a second Close in the same write", [bye + frame("close", close_body(1001))], [echo]),
        ("garbage in the same write", [bye + b"\xff" * 20], [echo]),
        ("a message before it", [frame("text", b"first") + bye + frame("text", b"last")], [("text", b"first"), echo]),
        ("inside a frame that is cut short", [frame("text", b"", length=5) + bye], [closed(1007)]),
    ])
    with lab.server("--ping", "0") as server, Table() as table:
        for name, late in {"data": frame("binary", bytes(1000)) * 500, "Closes": bye * 1000}.items():
            with table.row(f"much {name} right after it"), Peer(server.port) as peer:
                try:
                    peer.send(bye + late)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # The server need not read what comes after a Close.
                items = peer.transcript()
                expect("answer", items[:-1], [echo])
                expect("end", items[-1] in (EOF, RESET), True)
        for code, sent in {1002: frame("text", b"", rsv=4), 1007: frame("text", b"\xff"), 1009: frame("binary", b"", length=1 << 40)}.items():
            with table.row(f"our Close {code} arrives although 8 MiB follow"), Peer(server.port) as peer:
                peer.send(sent)
                for _ in range(128):
                    peer.send(bytes(65536))
                check(peer, [], [closed(code)])


@pytest.mark.timeout(120)
def test_messages_up_to_16_mib(lab: Lab) -> None:
    most = 16 << 20
    payload = (b"0123456789abcdef" * (most // 16))
    key = b"\x12\x9a\x00\xff"
    with lab.server("--ping", "0", "--max-message", "16MiB") as server, Table() as table:
        with Peer(server.port, timeout=30) as peer:
            for size in (1 << 20, 4 << 20, most):
                for opcode in ("text", "binary"):
                    with table.row(f"{opcode} of {size} whole"):
                        peer.send(frame(opcode, payload[:size]))
                        expect("echo", peer.receive(), (opcode, payload[:size]))
            sent = frame("binary", payload, key=key)
            for chop in (997, 1460, 65536):
                with table.row(f"{most} in chops of {chop}"):
                    peer.send(*chops(sent, chop))
                    expect("echo", peer.receive(), ("binary", payload))
            # A million small sends would only measure the speed of Python.
            with table.row("1 MiB in chops of 64"):
                peer.send(*chops(frame("text", payload[:1 << 20]), 64))
                expect("echo", peer.receive(), ("text", payload[:1 << 20]))
            for fragment in (64, 256, 4096, 65536, 4 << 20):
                with table.row(f"{most} in fragments of {fragment}"):
                    pieces = chops(payload, fragment)
                    peer.send(b"".join([
                        frame("text", pieces[0], fin=False), *[frame("continuation", piece, fin=False) for piece in pieces[1:-1]],
                        frame("continuation", pieces[-1])]))
                    expect("echo", peer.receive(), ("text", payload))
            peer.goodbye()
        with table.row("one byte more in fragments"), Peer(server.port) as peer:
            check(peer, [frame("binary", payload, fin=False), frame("continuation", b"x")], [closed(1009)])
        with table.row("one byte more, whole"), Peer(server.port) as peer:
            check(peer, [frame("binary", payload + b"x")], [closed(1009)])
