"""What a case of the suite is: a function that takes a Lab and raises Failure or Skip."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lab import Lab


class Failure(AssertionError):
    """Something came out otherwise than it had to."""


class Skip(Exception):
    """A tool is missing; the message says which."""


class OutOfTime(BaseException):
    """The case took longer than its limit. Not a Failure: a row of a table must not swallow it and go on."""


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    run: Callable[["Lab"], None]
    alone: bool
    """Whether it measures CPU or starts thousands of connections: nothing else runs beside it."""
    limit: int
    """Seconds after which it has failed."""


CASES: dict[str, Case] = {}


def case(name: str, *, alone: bool = False, limit: int = 60) -> Callable[[Callable[["Lab"], None]], Callable[["Lab"], None]]:
    """Registers a case. Names are "group/what it shows"."""

    def register(run: Callable[["Lab"], None]) -> Callable[["Lab"], None]:
        assert name not in CASES, name
        CASES[name] = Case(name, run, alone, limit)
        return run

    return register


def short(value: Any, most: int = 160) -> str:
    """A value for a person: long payloads are cut in the middle."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most // 2]} ... {text[-most // 2:]} ({len(text)} characters)"


def expect(what: str, got: Any, wanted: Any) -> None:
    if got != wanted:
        raise Failure(f"{what}: expected {short(wanted)}, got {short(got)}")


def expect_that(what: str, holds: bool, got: Any) -> None:
    if not holds:
        raise Failure(f"expected {what}, got {short(got)}")


def eventually(what: str, look: Callable[[], Any], timeout: float = 5.0, every: float = 0.02) -> Any:
    """Waits until look() gives something true, and returns it."""
    deadline = time.monotonic() + timeout
    while not (value := look()):
        if time.monotonic() > deadline:
            raise Failure(f"expected within {timeout:g}s: {what}; the last look gave {short(value)}")
        time.sleep(every)
    return value


@contextlib.contextmanager
def row(name: str, failures: list[str]):
    """One row of a table: its failure is noted, and the next row has its turn."""
    try:
        yield
    except (Failure, OSError) as e:
        failures.append(f"{name}: {e if isinstance(e, Failure) else repr(e)}")


def report(failures: list[str]) -> None:
    """Fails the case with the rows that failed."""
    if failures:
        more = f"\n(and {len(failures) - 8} more rows)" if len(failures) > 8 else ""
        raise Failure("\n".join(failures[:8]) + more)
