"""What a process group of several nodes comes to when one of them is gone, or when all of them find the same wrong: one
failure, however many pods end of it. Used by the `run` modules (`blamed`) and by `launch` (`verdict`); loads no
torch."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from reasoner_api.task import EXIT_BAD_CONFIG, EXIT_PAUSED, EXIT_PEER_LOST, EXIT_TERMINATED
from reasoner_workloads.common.run import EXIT_ERROR, PeerLost, WorkloadError
from reasoner_workloads.common.store import StoreError

#: How gloo tells of a connection that the other side has left; NCCL and the store have types of their own.
GLOO = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting")
#: Failures of what all nodes stand on, or that all have agreed on. The first node's pod fails of them; where it is
#: well, `launch` counts how often the others take it along.
SHARED = ("StalePolicy", "VerifierUnavailable", "InputUnavailable")


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
def blamed() -> Iterator[None]:
    """Raise PeerLost for a broken connection to another process of the group, and on all nodes but the first for what
    all of them find."""
    try:
        yield
    except RuntimeError as error:
        if not _of_a_connection(error):
            raise
        raise PeerLost(f"another process of the group is gone: {_first_line(error)}") from error
    except (StoreError, WorkloadError) as error:
        if os.environ.get("GROUP_RANK", "0") == "0" or not _shared(error):
            raise
        raise PeerLost(f"{_first_line(error)} (which the first node is to say)") from error


def _shared(error: StoreError | WorkloadError) -> bool:
    return isinstance(error, StoreError) or (error.exit_code == EXIT_ERROR and error.reason in SHARED)


def _of_a_connection(error: RuntimeError) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return "DistError" in kinds or ("gloo" in str(error) and any(text in str(error) for text in GLOO))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
