"""What the main process of a training does about the rollout server: waits for it, and ends when it is gone. Called by
`train`; loads no torch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NoReturn

from reasoner_api.rollout import RolloutServer
from reasoner_api.status import Progress
from reasoner_api.task import EXIT_PEER_LOST, ROLLOUT_HOST, GRPOTask
from reasoner_workloads.common.run import EXIT_ERROR, ConfigError, Run
from reasoner_workloads.grpo.rollout.lease import Lease
from reasoner_workloads.training import launch
from reasoner_workloads.training.attempts import PATIENCE, fruitless


def host() -> str:
    """Host name of the rollout server. Raises ConfigError where the pod does not know it."""
    if not (name := os.environ.get(ROLLOUT_HOST)):
        raise ConfigError(f"rollout.mode: server takes {ROLLOUT_HOST} in the pod's environment, which is not there")
    return name


def await_server(this: Run[GRPOTask], main: bool, before_leaving: Callable[[], None]) -> Callable[[], None]:
    """Wait until the server is ready, for as long as a node may take to come and the model to load; gives what lets
    the server go. Only the `main` process has it, where there is one at all; the others wait for it in the trainer.
    `before_leaving`: called before the process ends for want of a server.

    Raises:
        WorkloadError: it is not ready in time.
    """
    if this.task.work.rollout.mode == "colocate":
        return lambda: None
    # Here, as it loads TRL.
    from reasoner_workloads.grpo.rollout import client

    client.use()
    if not main:
        return lambda: None
    startup = (this.task.work.rollout.server or RolloutServer()).startup_seconds
    lease = Lease(
        host=host(),
        wait_seconds=launch.JOIN_SECONDS + startup,
        told=lambda text: this.reporter.update(progress=Progress(display=text)),
        # As if this pod had been told: a checkpoint, then the end.
        on_leaving=lambda: os.kill(os.getpid(), signal.SIGTERM),
        on_lost=lambda why: _leave(this, before_leaving, why),
    )
    lease.take()
    return lease.release


def _leave(this: Run[GRPOTask], before_leaving: Callable[[], None], why: str) -> NoReturn:
    """End this process, from a thread: the main one may be in a broadcast to workers that are gone, for ever. Without
    its server the run cannot go on, which is no failure of this pod's, unless that has become a habit."""
    before_leaving()
    code = EXIT_ERROR if fruitless(this.store) >= PATIENCE else EXIT_PEER_LOST
    reason = "RolloutServerLost" if code == EXIT_ERROR else "PeerLost"
    this.reporter.update(state="Failed", reason=reason, message=f"the rollout server is gone: {why}")
    launch.leave_at_once(code, this.reporter)
