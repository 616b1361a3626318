"""An application that does what the case says. The relay connects to it."""

import re
import socket
from typing import Self

from .expect import Failure
from .peer import Wire, accept_of


class Upstream:
    """Listens, and gives the connections one by one to the case."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._listener = socket.create_server((host, 0), backlog=128)
        self._listener.settimeout(5)
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def accept(self) -> "Leg":
        """Waits for a connection, and for its request."""
        try:
            return Leg(self._listener.accept()[0])
        except TimeoutError:
            raise Failure("expected a connection to the application within 5s") from None

    def received(self) -> bytes:
        """All bytes of the next connection up to its end; nothing if none comes."""
        try:
            connection = self._listener.accept()[0]
        except TimeoutError:
            return b""
        with connection:
            connection.settimeout(10)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    def close(self) -> None:
        """Goes: whoever connects now is refused."""
        self._listener.close()


class Leg(Wire):
    """The application's end of a connection from the relay."""

    masked = True

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.socket.settimeout(10)
        self.request = self.head()
        if self.request is None:
            raise Failure("expected a request at the application, the connection ended without one")

    def field(self, name: str) -> list[str]:
        """The values of all lines of the request that have this name."""
        return re.findall(rf"(?im)^{name}: *(.*?)\r?$", self.request)

    def answer(self, status: str, body: bytes = b"", *fields: str) -> None:
        """Answers with a status and a body instead of the upgrade."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
        self.send("".join(line + "\r\n" for line in lines).encode() + b"\r\n" + body)

    def upgrade(self) -> Self:
        (key,) = self.field("Sec-WebSocket-Key")
        self.send(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_of(key)}\r\n\r\n".encode())
        return self
