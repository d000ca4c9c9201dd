"""torchrun, which also says who failed first: run by `launch` as a child, `python -m reasoner_workloads.training.agent
<torchrun's arguments>`. torchrun itself prints that for people and exits with 1 in every case."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from torch.distributed import DistError, run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError

from reasoner_api.task import EXIT_PEER_LOST
from reasoner_workloads.training.launch import FIRST_FAILURE, workdir


def main(argv: Sequence[str]) -> int:
    """Run this node's ranks; 0 when all have done their work, 1 when the first failure is noted."""
    try:
        run.main(list(argv))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        return _note(rank, failure.local_rank, failure.exitcode)
    except (RendezvousError, DistError) as error:
        # The other nodes did not come, or the one that the group meets at is gone.
        print(f"the process group does not form: {error}", file=sys.stderr, flush=True)
        return _note(-1, -1, EXIT_PEER_LOST)
    return 0


def _note(rank: int, local: int, code: int) -> int:
    Path(workdir(), FIRST_FAILURE).write_text(json.dumps({"rank": rank, "local": local, "code": code}))
    return 1


if __name__ == "__main__":
    # Without it stdout of a container is read in blocks.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(sys.argv[1:]))
