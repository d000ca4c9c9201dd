"""What a hostile web does, for tests: a server that writes whatever bytes it is given, and a listener that must never
be reached."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Wire = Callable[[], Iterator[bytes]]


def response(body: bytes = b"<p>page</p>", status: str = "200 OK", **headers: str) -> Wire:
    """A whole response; `_` in a header's name is a hyphen."""
    known = {"Content_Type": "text/html", "Connection": "close", "Content_Length": str(len(body))} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in known.items() if value)
    return lambda: iter([f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body])


def wire(*parts: bytes) -> Wire:
    """These bytes."""
    return lambda: iter(parts)


def endless(start: bytes, again: bytes) -> Wire:
    """A start, and then the same until the other side has enough."""

    def run() -> Iterator[bytes]:
        yield start
        while True:
            yield again

    return run


@dataclass
class RawServer:
    """Answers paths with bytes; what it has none for is not found."""

    url: str = ""
    answers: dict[str, Wire] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def raw_server(host: str) -> Iterator[RawServer]:
    """A server at an address of loopback."""
    found = RawServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline(65536).split(b" ")[1].decode("latin-1")
            while self.rfile.readline(65536).strip():
                pass
            found.asked.append(path)
            with suppress(OSError):
                for part in found.answers.get(path, response(b"", "404 Not Found"))():
                    self.wfile.write(part)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 64

    with Server((host, 0), Handler) as server:
        found.url = f"http://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Listener:
    """A port on every address of this machine that no one may connect to."""

    sock: socket.socket

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    @property
    def reached(self) -> bool:
        """Whether a connection has come in."""
        try:
            connection, _ = self.sock.accept()
        except BlockingIOError:
            return False
        connection.close()
        return True


@contextmanager
def listener() -> Iterator[Listener]:
    """A listener on IPv4, and on IPv6 where there is any."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=dual, backlog=64) as sock:
        sock.setblocking(False)
        yield Listener(sock)
