"""The weight group, over TCP: the trainer listens where NCCL's rendezvous would be, the worker connects."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace
from typing import Any, BinaryIO


class Group:
    """A communicator, as far as TRL lets go of it: `close_communicator` drops its group's store and socket."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.group = SimpleNamespace(store=None, socket=None)


def trainer_init(init_info: dict[str, Any], rank: int = 0) -> Group:
    """The trainer's end; waits for the worker as NCCL does."""
    assert (init_info["world_size"], rank) == (2, 0)
    with socket.create_server((init_info["master_address"], init_info["master_port"])) as server:
        connection, _ = server.accept()
    return Group(connection.makefile("wb"))


def worker_init(init_info: dict[str, Any]) -> Group:
    """The worker's end."""
    for _ in range(200):
        try:
            connection = socket.create_connection((init_info["master_address"], init_info["master_port"]))
        except ConnectionRefusedError:
            time.sleep(0.05)
            continue
        return Group(connection.makefile("rb"))
    raise TimeoutError("the trainer does not listen")
