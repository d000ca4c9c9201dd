"""A chat endpoint that answers any prompt alike after a while, as light as can be: a protocol on a socket, answers made
once. Run by `curation_throughput.py` in a process of its own.

    python server.py LATENCY_SECONDS

It prints its port. `GET /stats` tells what it has answered and its own CPU seconds, `GET /health` and `GET /v1/models`
are for clients that ask before they begin."""

from __future__ import annotations

import asyncio
import json
import sys
import time

_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "We put the values into the relation. " * 20 + "\\boxed{42}"},
        }
    ],
    "usage": {"prompt_tokens": 120, "completion_tokens": 180, "total_tokens": 300},
}
_MODELS = {"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model", "created": 0, "owned_by": "bench"}]}


def _response(body: object) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)


class Server:
    """What all connections share."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.answered = self.flying = self.most_flying = 0
        self.answer = _response(_ANSWER)

    def stats(self) -> bytes:
        """What was done so far."""
        told = {"answered": self.answered, "most_in_flight": self.most_flying, "cpu_seconds": time.process_time()}
        return _response(told)


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.get_running_loop()
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (head := self.data.find(b"\r\n\r\n")) >= 0:
            top = self.data[:head].lower()
            length = top.find(b"content-length:")
            size = 0
            if length >= 0:
                size = int(top[length + 15 :].split(b"\r\n", 1)[0])
            if len(self.data) < head + 4 + size:
                return
            self.data = self.data[head + 4 + size :]
            self._reply(top, close=b"connection: close" in top)

    def _reply(self, top: bytes, close: bool) -> None:
        server = self.server
        if top.startswith(b"post"):
            server.flying += 1
            server.most_flying = max(server.most_flying, server.flying)
            self.loop.call_later(server.latency, self._answer, close)
        elif b"/stats" in top:
            self.transport.write(server.stats())
        else:
            self.transport.write(_response(_MODELS))

    def _answer(self, close: bool) -> None:
        self.server.flying -= 1
        self.server.answered += 1
        if not self.transport.is_closing():
            self.transport.write(self.server.answer)
            if close:
                self.transport.close()


async def main() -> None:
    """Serve until killed."""
    server = Server(float(sys.argv[1]))
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4096)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
