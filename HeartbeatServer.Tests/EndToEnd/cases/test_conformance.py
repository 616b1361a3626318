"""RFC 6455 over the socket: framing, control frames, reserved bits and fragments."""

from collections.abc import Iterable

from harness.exchange import Row, chops, closed, echo_of_close, run
from harness.lab import Lab, echo_and_relay, on_every_door
from harness.peer import close_body, frame


@on_every_door
def test_sizes_of_text_and_binary(lab: Lab) -> None:
    def rows() -> Iterable[Row]:
        for size in (0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 124, 125, 126, 127, 128, 153, 154, 155, 160, 161, 4096, 16383, 16384, 65534, 65535,
                     65536, 65537, 131072, 1 << 20):
            for opcode, payload in (("text", b"*" * size), ("binary", bytes(i * 31 & 255 for i in range(size)))):
                sent = frame(opcode, payload)
                yield f"{opcode} of {size}", [sent], [(opcode, payload)]
                yield f"{opcode} of {size}, header in single bytes", [*chops(sent[:14]), sent[14:]], [(opcode, payload)]
                if size <= 160:
                    yield f"{opcode} of {size}, in single bytes", chops(sent), [(opcode, payload)]
        for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"):
            yield f"mask {key.hex()}", [frame("text", b"masked payload", key=key)], [("text", b"masked payload")]
        many = [frame("text", b"%d" % i) for i in range(1000)]
        yield "1000 messages in one write", [b"".join(many)], [("text", b"%d" % i) for i in range(1000)]

    run(lab, rows())


@on_every_door
def test_lengths_and_masks_that_are_wrong(lab: Lab) -> None:
    run(lab, [
        ("not masked", [frame("text", b"hello", masked=False)], [closed(1002)]),
        ("not masked, empty", [frame("binary", masked=False)], [closed(1002)]),
        ("not masked ping", [frame("ping", b"x", masked=False)], [closed(1002)]),
        ("126 for a length of 125", [frame("text", b"x" * 125, width=2)], [closed(1002)]),
        ("126 for a length of 0", [frame("text", width=2)], [closed(1002)]),
        ("127 for a length of 65535", [frame("binary", bytes(65535), width=8)], [closed(1002)]),
        ("127 for a length of 1", [frame("binary", b"x", width=8)], [closed(1002)]),
        ("64-bit length with its highest bit set", [frame("binary", b"", length=1 << 63)], [closed(1002)]),
        ("64-bit length of all ones", [frame("binary", b"", length=(1 << 64) - 1)], [closed(1002)]),
        ("length 2^63-1", [frame("binary", b"", length=(1 << 63) - 1)], [closed(1009)]),
        ("one byte more than --max-message, header alone", [frame("binary", b"", length=(1 << 20) + 1)], [closed(1009)]),
        ("one byte more than --max-message, all of it", [frame("binary", bytes((1 << 20) + 1))], [closed(1009)]),
        ("more than --max-message in fragments", [
            frame("binary", bytes(1 << 19), fin=False), frame("continuation", bytes(1 << 19), fin=False), frame("continuation", b"x")],
         [closed(1009)]),
        ("replies to what came before the violation", [frame("text", b"one") + frame("ping", b"two") + frame("text", b"", masked=False)],
         [("text", b"one"), ("pong", b"two"), closed(1002)]),
    ])


@on_every_door
def test_pings_and_pongs(lab: Lab) -> None:
    longest = bytes(range(125))
    flood = [frame("ping", b"%d" % i) for i in range(500)]
    run(lab, [
        ("empty", [frame("ping")], [("pong", b"")]),
        ("with text", [frame("ping", b"hello")], [("pong", b"hello")]),
        ("with bytes that are no UTF-8", [frame("ping", b"\x00\xff\xfe\xc0")], [("pong", b"\x00\xff\xfe\xc0")]),
        ("of 125 bytes", [frame("ping", longest)], [("pong", longest)]),
        ("of 125 bytes, in single bytes", chops(frame("ping", longest)), [("pong", longest)]),
        ("of 126 bytes", [frame("ping", bytes(126))], [closed(1002)]),
        ("of 126 bytes, header alone", [frame("ping", b"", length=126)], [closed(1002)]),
        ("of 65536 bytes, header alone", [frame("ping", b"", length=65536)], [closed(1002)]),
        ("500 in one write", [b"".join(flood)], [("pong", b"%d" % i) for i in range(500)]),
        ("500 in chops of 7", chops(b"".join(flood), 7), [("pong", b"%d" % i) for i in range(500)]),
        ("fragmented", [frame("ping", b"x", fin=False)], [closed(1002)]),
        ("unsolicited pong", [frame("pong")], []),
        ("unsolicited pong with a payload", [frame("pong", b"unasked")], []),
        ("unsolicited pong of 8 bytes, as our pings are", [frame("pong", (1).to_bytes(8, "big"))], []),
        ("unsolicited pong of 125 bytes, in single bytes", chops(frame("pong", longest)), []),
        ("pong of 126 bytes", [frame("pong", bytes(126))], [closed(1002)]),
        ("fragmented pong", [frame("pong", b"", fin=False)], [closed(1002)]),
        ("pong, then ping", [frame("pong", b"a") + frame("ping", b"b")], [("pong", b"b")]),
        ("ten pings and pongs by turns", [frame("ping", b"%d" % i) + frame("pong", b"no") for i in range(10)],
         [("pong", b"%d" % i) for i in range(10)]),
    ])


@echo_and_relay
def test_reserved_bits_and_opcodes(lab: Lab) -> None:
    def rows() -> Iterable[Row]:
        for bits in range(1, 8):
            for opcode in ("text", "binary", "ping", "pong", "close"):
                yield f"bits {bits:03b} on {opcode}", [frame(opcode, b"", rsv=bits)], [closed(1002)]
            yield f"bits {bits:03b} after a good message", [frame("text", b"good") + frame("text", b"bad", rsv=bits)], [
                ("text", b"good"), closed(1002)]
            yield f"bits {bits:03b} on a continuation", [frame("text", b"a", fin=False), frame("continuation", b"b", rsv=bits)], [closed(1002)]
            yield f"bits {bits:03b}, in single bytes", chops(frame("text", b"hello", rsv=bits)), [closed(1002)]
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            yield f"opcode {opcode}", [frame(opcode)], [closed(1002)]
            yield f"opcode {opcode} with a payload", [frame(opcode, b"payload")], [closed(1002)]
            yield f"opcode {opcode} after a good message", [frame("text", b"good"), frame(opcode), frame("ping")], [("text", b"good"), closed(1002)]
            yield f"opcode {opcode} inside a message", [frame("text", b"a", fin=False), frame(opcode)], [closed(1002)]
            yield f"opcode {opcode} by its first byte", [bytes([0x80 | opcode])], [closed(1002)]

    run(lab, rows())


@on_every_door
def test_fragmentation(lab: Lab) -> None:
    first, middle, last = frame("text", b"one ", fin=False), frame("continuation", b"two ", fin=False), frame("continuation", b"three")
    whole = ("text", b"one two three")
    run(lab, [
        ("two fragments", [first, last], [("text", b"one three")]),
        ("three fragments", [first, middle, last], [whole]),
        ("three fragments in one write", [first + middle + last], [whole]),
        ("three fragments in single bytes", chops(first + middle + last), [whole]),
        ("binary", [frame("binary", b"\xff", fin=False), frame("continuation", b"\xfe")], [("binary", b"\xff\xfe")]),
        ("empty first", [frame("text", fin=False), last], [("text", b"three")]),
        ("empty last", [first, frame("continuation")], [("text", b"one ")]),
        ("all empty", [frame("text", fin=False), frame("continuation", fin=False), frame("continuation")], [("text", b"")]),
        ("1000 fragments of a byte", [frame("binary", b"a", fin=False), *[frame("continuation", b"b", fin=False)] * 998, frame("continuation", b"c")],
         [("binary", b"a" + b"b" * 998 + b"c")]),
        ("a ping between", [first, frame("ping", b"p"), last], [("pong", b"p"), ("text", b"one three")]),
        ("a ping between, in one write", [first + frame("ping", b"p") + middle + frame("ping", b"q") + last], [("pong", b"p"), ("pong", b"q"), whole]),
        ("a ping between, in single bytes", chops(first + frame("ping", b"p") + last), [("pong", b"p"), ("text", b"one three")]),
        ("a pong between", [first, frame("pong", b"p"), last], [("text", b"one three")]),
        ("a Close between", [first, frame("close", close_body(1000))], [echo_of_close(close_body(1000))]),
        ("two messages, one after the other", [first, last, first, last], [("text", b"one three"), ("text", b"one three")]),
        ("continuation at the very start", [last], [closed(1002)]),
        ("continuation without FIN at the very start", [middle, last], [closed(1002)]),
        ("continuation after a whole message", [frame("text", b"whole"), last], [("text", b"whole"), closed(1002)]),
        ("continuation after a finished message", [first, last, last], [("text", b"one three"), closed(1002)]),
        ("text inside text", [first, frame("text", b"new")], [closed(1002)]),
        ("binary inside text", [first, frame("binary", b"new")], [closed(1002)]),
        ("first fragment inside text", [first, first], [closed(1002)]),
        ("text inside binary", [frame("binary", b"a", fin=False), frame("text", b"b")], [closed(1002)]),
        ("text inside text, after a ping", [first, frame("ping"), frame("text", b"new")], [("pong", b""), closed(1002)]),
        ("text inside text, by its header", [first, frame("text", b"", length=10)], [closed(1002)]),
    ])
