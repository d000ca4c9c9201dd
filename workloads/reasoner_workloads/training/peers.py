"""What a process group of several nodes comes to when one of them is gone: the others could not go on, which is no
failure of theirs. Used by the `run` modules (`blamed`) and by `launch` (`verdict`); loads no torch."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from reasoner_api.task import EXIT_BAD_CONFIG, EXIT_PAUSED, EXIT_PEER_LOST, EXIT_TERMINATED
from reasoner_workloads.common.run import EXIT_ERROR, PeerLost
from reasoner_workloads.common.store import Store
from reasoner_workloads.training.attempts import fruitless

#: How gloo tells of a connection that the other side has left; NCCL and the store have types of their own.
GLOO = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")
#: Attempts in a row from the same step after which a lost peer counts as a failure: the network may be at fault, and
#: what is not counted would be tried for ever.
PATIENCE = 5


@dataclass(frozen=True)
class Ending:
    """How a node's ranks ended."""

    code: int
    """torchrun's own exit code."""
    left: Collection[int]
    """Exit codes that ranks have left."""
    first: int | None
    """Exit code of the first to fail, negative for a signal."""
    asked: bool
    """Whether this pod was told to stop."""
    nodes: int


def verdict(ending: Ending) -> int:
    """The pod's exit code."""
    if ending.code == 0:
        return 0
    for known in (EXIT_BAD_CONFIG, EXIT_PAUSED):
        if known in ending.left:
            return known
    if ending.asked:
        return EXIT_TERMINATED
    # NCCL ends a process by SIGABRT when another's connection is gone. Ranks that stopped though this pod was not
    # asked to did so together with one that was.
    of_others = (EXIT_PEER_LOST, EXIT_TERMINATED, -signal.SIGABRT)
    return EXIT_PEER_LOST if ending.nodes > 1 and ending.first in of_others else EXIT_ERROR


@contextlib.contextmanager
def blamed(store: Store) -> Iterator[None]:
    """Raise PeerLost for a broken connection to another process of the group, unless that has become a habit."""
    try:
        yield
    except RuntimeError as error:
        if not _of_a_connection(error) or fruitless(store) >= PATIENCE:
            raise
        raise PeerLost(f"another process of the group is gone: {_first_line(error)}") from error


def _of_a_connection(error: RuntimeError) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "DistError" in kinds or ("gloo" in str(error) and any(text in str(error) for text in GLOO))


def _first_line(error: RuntimeError) -> str:
    return str(error).partition("\n")[0][:300]
