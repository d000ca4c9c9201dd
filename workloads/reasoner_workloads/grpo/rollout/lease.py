"""The trainer's hold on the rollout server: awaited before training, heard of while it lasts. Used by the main process
alone; loads no torch.

A connection that stays open is all there is to it: each side learns at once when the other is gone, whatever either
is busy with. TRL by itself would find a lost server only at the next request, and a broadcast of weights to it would
wait for ever."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reasoner_api.task import LEASE_PORT
from reasoner_workloads.common.run import WorkloadError

#: Seconds without a sign of life after which the server's node is taken for lost; it gives one every `BEAT_SECONDS`.
SILENT_SECONDS = 30.0
BEAT_SECONDS = 1.0
_PAUSE_SECONDS = 1.0


@dataclass
class Lease:
    """One training's hold on the server of `host`."""

    host: str
    wait_seconds: float
    told: Callable[[str], None]
    """Called with what is waited for."""
    on_leaving: Callable[[], None]
    """Called once when the server was told to stop and waits for the trainer to do so."""
    on_lost: Callable[[str], None]
    """Called with the reason when the server is gone."""
    port: int = LEASE_PORT
    _socket: socket.socket | None = None
    _released: bool = False

    def take(self) -> None:
        """Wait until the server is ready; it serves this training alone from then on.

        Raises:
            WorkloadError: it is not within `wait_seconds`. Another try may find it.
        """
        begun = time.monotonic()
        while True:
            why = self._try(begun)
            if why is None:
                return
            if time.monotonic() - begun > self.wait_seconds:
                raise WorkloadError(
                    f"rollout server {self.host} not ready after {self.wait_seconds:.0f} s: {why}; see the log of its "
                    "pod, or whether a NetworkPolicy or the cluster's DNS is in the way",
                    reason="RolloutServerNotReady",
                )
            self.told(f"waiting for the rollout server {self.host}: {why}")
            time.sleep(_PAUSE_SECONDS)

    def release(self) -> None:
        """Let the server go."""
        self._released = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self._socket.shutdown(socket.SHUT_RDWR)

    def _try(self, begun: float) -> str | None:
        """One connection; None once the server is ready, else what is in the way."""
        with contextlib.ExitStack() as open_things:
            try:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=SILENT_SECONDS)
                open_things.callback(connection.close)
                connection.request("POST", "/lease")
                mine = connection.sock
                reply = open_things.enter_context(connection.getresponse())
                lines = _lines(reply)
                for line in lines:
                    if line["state"] == "ready":
                        self._socket = mine
                        listening = (lines, open_things.pop_all())
                        threading.Thread(target=self._listen, args=listening, name="rollout-lease", daemon=True).start()
                        return None
                    if line["state"] != "loading":
                        return str(line["message"])
                    self.told(f"waiting for the rollout server {self.host}: {line['message']}")
                    if time.monotonic() - begun > self.wait_seconds:
                        return str(line["message"])
            except (OSError, http.client.HTTPException, ValueError) as error:
                return f"{type(error).__name__}: {error}"
        return "it ended the connection"

    def _listen(self, lines: Iterator[dict[str, Any]], open_things: contextlib.ExitStack) -> None:
        why, leaving = "its connection is closed", False
        with open_things:
            try:
                for line in lines:
                    if line["state"] == "leaving" and not leaving:
                        leaving = True
                        self.on_leaving()
                    elif line["state"] == "failed":
                        why = str(line["message"])
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
        if not self._released:
            self.on_lost(why)


def _lines(reply: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    if reply.status != 200:
        raise http.client.HTTPException(f"{reply.status} {reply.reason}")
    for line in reply:
        if line.strip():
            yield json.loads(line)
