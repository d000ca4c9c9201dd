"""Base models of the Hugging Face Hub: one commit for the whole of a run, and patience with a Hub that is away. Called
by the trainers and the rollout server; loads neither torch nor transformers."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from reasoner_workloads.common.run import ConfigError, WorkloadError
from reasoner_workloads.common.store import Missing, Store
from reasoner_workloads.training.inputs import Fetched

#: Object of the run's store: the commit that its name stood for when the run began.
REVISION = "base-model-revision"
#: Seconds for which a Hub is asked again that is away.
PATIENCE = 900.0
PAUSES = wait_random_exponential(multiplier=2, min=1, max=60)
#: What transformers and vLLM load; the weights are named apart.
_FILES = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")
#: The same weights once more, in their makers' own formats.
_NOT_THESE = ("original/*", "consolidated*")


def pinned(base: Fetched, store: Store) -> Fetched:
    """The base model's files on this machine's disk, where it is named by its name on the Hub: of the commit that the
    first pod of the run found, so that one that resumes measures its KL from the same weights.

    Raises:
        ConfigError: the Hub has no such model for this run.
        WorkloadError: the Hub stays away; another try may find it.
    """
    if Path(base.path).exists():
        return base
    name = base.path
    try:
        revision = store.get(REVISION).decode()
    except Missing:
        store.put_new(REVISION, _patiently(name, partial(_newest, name)).encode())
        revision = store.get(REVISION).decode()
    return Fetched(_patiently(name, partial(_download, name, revision)), f"{name}@{revision}")


def _newest(name: str) -> str:
    """The commit that the name stands for now; from the cache where the Hub is not to be asked."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, "config.json")).parent.name


def _download(name: str, revision: str) -> str:
    from huggingface_hub import constants, snapshot_download

    for weights in ("*.safetensors", "*.bin"):
        folder = snapshot_download(
            name, revision=revision, allow_patterns=[*_FILES, weights], ignore_patterns=list(_NOT_THESE),
            local_files_only=constants.HF_HUB_OFFLINE,
        )  # fmt: skip
        if any(Path(folder).glob(weights)):
            return folder
    raise ValueError("it holds no weights")


def _patiently(name: str, ask: Callable[[], str]) -> str:
    trying = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_after_delay(PATIENCE),
        wait=PAUSES,
        before_sleep=_say,
        reraise=True,
    )
    try:
        return trying(ask)
    except _failures() as error:
        why = f"cannot fetch {name} from the Hugging Face Hub: {str(error).partition(os.linesep)[0]}"
        if _may_pass(error):
            raise WorkloadError(f"baseModel: {why}", reason="InputUnavailable") from error
        hint = (
            " (is HF_TOKEN right, in compute.env, and may it read this model?)" if _status(error) in (401, 403) else ""
        )
        raise ConfigError(f"baseModel: {why}{hint}") from error


def _failures() -> tuple[type[Exception], ...]:
    """How a look-up fails. httpx's own errors are no OSErrors."""
    from httpx import HTTPError
    from huggingface_hub.errors import EntryNotFoundError

    return OSError, ValueError, HTTPError, EntryNotFoundError


def _may_pass(error: BaseException) -> bool:
    """Whether asking again may help: not where the Hub has said no, nor where it must not be asked."""
    from huggingface_hub import constants, errors

    final = (
        errors.RepositoryNotFoundError, errors.DisabledRepoError, errors.RevisionNotFoundError,
        errors.RemoteEntryNotFoundError, ValueError,
    )  # fmt: skip
    if not isinstance(error, _failures()) or isinstance(error, final) or constants.HF_HUB_OFFLINE:
        return False
    status = _status(error)
    return status is None or status >= 500 or status in (408, 425, 429)


def _status(error: BaseException) -> int | None:
    """The HTTP status by which the Hub has answered, if it has."""
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    print(f"the Hugging Face Hub does not answer, since {state.seconds_since_start or 0:.0f} s: {error}", flush=True)
