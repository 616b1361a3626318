"""python-wsproto, which has no I/O of its own, over a blocking socket: py_wsproto.py URL MODE"""

import socket
import ssl
import sys
import threading
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Message, Ping, Request, TextMessage

SIZES = [0, 1, 125, 126, 65535, 65536, 1048576]


class Client:
    def __init__(self, url: str, offers: list[str]) -> None:
        target = urlsplit(url)
        self.socket = socket.create_connection((target.hostname, target.port))
        if target.scheme == "wss":
            self.socket = ssl.create_default_context().wrap_socket(self.socket, server_hostname=target.hostname)
        self.connection = WSConnection(ConnectionType.CLIENT)
        self.lock = threading.Lock()
        self.send(Request(host=target.netloc, target=target.path, subprotocols=offers))

    def send(self, event) -> None:
        with self.lock:
            # After its own Close the client may send nothing, not even a pong.
            if self.connection.state not in (ConnectionState.LOCAL_CLOSING, ConnectionState.CLOSED):
                self.socket.sendall(self.connection.send(event))

    def messages(self):
        """Gives whole messages until the connection is closed, and answers pings."""
        parts = []
        while data := self.socket.recv(65536):
            with self.lock:
                self.connection.receive_data(data)
                events = list(self.connection.events())
            for event in events:
                if isinstance(event, AcceptConnection):
                    print(f"open {event.subprotocol or ''}".strip(), flush=True)
                    yield None
                elif isinstance(event, Ping):
                    self.send(event.response())
                elif isinstance(event, Message):
                    parts.append(event.data)
                    if event.message_finished:
                        yield type(event.data)().join(parts)
                        parts = []
                elif isinstance(event, CloseConnection):
                    if self.connection.state is ConnectionState.REMOTE_CLOSING:
                        self.send(event.response())
                    print(f"closed {event.code} {event.reason or ''}", flush=True)
                    return
        print("closed 1006 ", flush=True)


def main(url: str, mode: str) -> None:
    client = Client(url, ["mqtt", "mqttv3.1"] if mode == "offer" else [])
    messages = client.messages()
    next(messages)
    if mode == "echo":
        for size in SIZES:
            for sent in ("\u00e9" * (size >> 1) + "x" * (size & 1), bytes(i * 7 & 255 for i in range(size))):
                client.send(TextMessage(sent) if isinstance(sent, str) else BytesMessage(sent))
                if next(messages) != sent:
                    print(f"wrong echo of {size} bytes as {type(sent).__name__}", flush=True)
                    return
        print("echoed", flush=True)
        threading.Timer(1.5, lambda: client.send(CloseConnection(code=3001, reason="see you later"))).start()
    for message in messages:
        print(f"unexpected message of {len(message)}", flush=True)


main(*sys.argv[1:])
