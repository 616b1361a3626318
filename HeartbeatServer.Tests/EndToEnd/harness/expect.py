"""Checks what a case expects, and explains to a person what came instead."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any


class Failure(AssertionError):
    """Something was not as the case expects."""


def short(value: Any, most: int = 160) -> str:
    """A value as text for a person. Long payloads are cut in the middle."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most // 2]} ... {text[-most // 2:]} ({len(text)} characters)"


def expect(what: str, got: Any, wanted: Any) -> None:
    __tracebackhide__ = True
    if got != wanted:
        raise Failure(f"{what}: expected {short(wanted)}, got {short(got)}")


def expect_that(what: str, holds: bool, got: Any) -> None:
    __tracebackhide__ = True
    if not holds:
        raise Failure(f"expected {what}, got {short(got)}")


def eventually(what: str, look: Callable[[], Any], timeout: float = 5.0, every: float = 0.02) -> Any:
    """Waits until look() gives something true, and returns it."""
    __tracebackhide__ = True
    deadline = time.monotonic() + timeout
    while not (value := look()):
        if time.monotonic() > deadline:
            raise Failure(f"expected within {timeout:g}s: {what}; the last look gave {short(value)}")
        time.sleep(every)
    return value


class Table:
    """A table of rows, each of which runs even if others have failed. Leaving the table fails the case with all rows that failed."""

    def __enter__(self) -> "Table":
        self._failures: list[str] = []
        return self

    @contextlib.contextmanager
    def row(self, name: str) -> Iterator[None]:
        try:
            yield
        except (Failure, OSError) as e:
            self._failures.append(f"{name}: {e if isinstance(e, Failure) else repr(e)}")

    def __exit__(self, *_: object) -> None:
        __tracebackhide__ = True
        if self._failures:
            more = f"\n(and {len(self._failures) - 8} more rows)" if len(self._failures) > 8 else ""
            raise Failure("\n".join(self._failures[:8]) + more)
