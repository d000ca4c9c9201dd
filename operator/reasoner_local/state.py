"""What a cluster writes into its state folder for the CLI and for its successor: who runs, where, since when.
Used by `cluster` and `cli`."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

_ATTEMPTS, _PAUSE = 5, 0.1


@dataclass
class Part:
    """One process of the cluster."""

    name: str
    address: str
    pid: int
    log: str


@dataclass
class ClusterState:
    """A cluster, as its state folder tells of it."""

    mark: str
    pid: int
    url: str = ""
    ready: bool = False
    parts: list[Part] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


class Locked(Exception):
    """Another cluster runs in the state folder."""


class StateDir:
    """A state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the cluster."""
        return self.path / "kubeconfig"

    @property
    def logs(self) -> Path:
        """Logs of pods and of the cluster's own processes."""
        return self.path / "logs"

    @property
    def _file(self) -> Path:
        return self.path / "cluster.json"

    def lock(self) -> None:
        """Claim the folder until the process ends. Raises Locked."""
        self.path.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            handle = self._try(fcntl.LOCK_EX)
            if handle is not None:
                self._lock = handle
                return
            # It may be somebody who only looks whether it is locked.
            time.sleep(_PAUSE)
        raise Locked(f"a cluster is running in {self.path}")

    def _try(self, kind: int) -> int | None:
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def is_locked(self) -> bool:
        """Whether a cluster runs here."""
        if not (self.path / "lock").exists():
            return False
        handle = self._try(fcntl.LOCK_SH)
        if handle is None:
            return True
        os.close(handle)
        return False

    def write(self, state: ClusterState) -> None:
        """Replace what is told."""
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state), indent=1))
        draft.replace(self._file)

    def read(self) -> ClusterState | None:
        """What was last told; None where no cluster ever ran, or in a form of another version."""
        try:
            raw = json.loads(self._file.read_text())
            parts = [Part(**part) for part in raw.pop("parts")]
            return ClusterState(parts=parts, **raw)
        except (FileNotFoundError, TypeError, KeyError, ValueError):
            return None

    @property
    def operator_kubeconfig(self) -> Path:
        """Kubeconfig of the operator, with its service account's token."""
        return self.path / "operator.kubeconfig"


def default_state_dir() -> Path:
    """`.reasoner/local` in a checkout or where it exists, else below the user's state folder."""
    here = Path(".reasoner/local")
    if here.exists() or (Path("crds").is_dir() and Path("pyproject.toml").is_file()):
        return here
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "reasoner"
