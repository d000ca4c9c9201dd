"""Serves a verifier over the OpenAI API on transformers' own generation, for machines without a GPU (vLLM serves it
elsewhere, to the same requests): `python -m reasoner_workloads serve --model DIR --served-model-name NAME`.

`transformers serve` itself answers to folder names alone, lists no models offline and is slow to its first request;
this is its use case cut down to greedy completions, gathered into batches as they come in. Loads torch late."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

#: Seconds for which an idle connection is kept: longer than clients keep theirs, so that none asks over one that is
#: just being closed.
KEEP_ALIVE_SECONDS = 75
#: Seconds for replies that are owed when the server is to end; the pod's grace period is longer.
REPLY_SECONDS = 110


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM and return the exit code."""
    arguments = parser().parse_args(argv)
    # Threads that spin for work starve the event loop, and whoever else is on the machine: half the cores, waiting
    # quietly. Read when torch is loaded, so set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 2)))
    import uvicorn

    from reasoner_workloads.verifier.engine import Engine
    from reasoner_workloads.verifier.openai_api import application

    engine = Engine(arguments.model, max_batch=arguments.max_batch, max_model_len=arguments.max_model_len)
    app = application(engine, arguments.served_model_name or [arguments.model.name])
    # On SIGTERM no connection is taken any more, and the replies that are owed are still given.
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=REPLY_SECONDS,
    )
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line, in vLLM's names where vLLM has the option."""
    top = argparse.ArgumentParser(prog="reasoner_workloads serve", description="serve a verifier over the OpenAI API")
    top.add_argument("--model", type=Path, required=True, help="folder of the model")
    top.add_argument(
        "--served-model-name", nargs="+", help="names that requests use, the first in replies; the folder's when absent"
    )
    top.add_argument("--host", default="127.0.0.1", help="address to listen on")
    top.add_argument("--port", type=int, default=8000, help="port to listen on")
    top.add_argument("--max-batch", type=int, default=128, help="requests generated for at once")
    top.add_argument("--max-model-len", type=int, help="tokens of prompt and reply at most; the model's own by default")
    return top
