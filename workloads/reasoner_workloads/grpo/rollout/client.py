"""TRL's client of the vLLM server, with errors that say what failed, and versions on the weights. Put in the place of
TRL's by `use`; needs TRL."""

from __future__ import annotations

from typing import Any

import requests
from trl.generation import vllm_generation
from trl.generation.vllm_client import VLLMClient

from reasoner_workloads.common.run import WorkloadError

#: Characters of a refusal that go into a message.
SHOWN = 500
#: Seconds for what takes the server a moment.
_SECONDS = 120.0


class RolloutClient(VLLMClient):  # type: ignore[misc]
    """As TRL's, but for what it says where a request fails."""

    sending = ""
    """Version of the weights that are being sent."""

    def weight_version(self) -> str:
        """The version of the weights that the engine says it holds."""
        return str(self._get(f"{self.base_url}/weight_info")["weight_version"])

    def check_sums(self, expected: str) -> str:
        """Have the workers compare their weights' sums with these; what is wrong, or nothing."""
        body = {"method": "check_policy_sums", "args": [expected]}
        # Not by TRL's session: that tries a 500 again, and here it is the answer.
        reply = requests.post(f"{self.base_url}/collective_rpc", json=body, timeout=_SECONDS)
        return "" if reply.status_code == 200 else f"{reply.status_code} {reply.text[:SHOWN]}"

    def _finish_weight_update(self) -> None:
        self._post(f"{self.base_url}/finish_weight_update", json={"weight_version": self.sending})

    def _get(self, url: str, **more: Any) -> Any:
        return self._asked("GET", url, **more)

    def _post(self, url: str, **more: Any) -> Any:
        return self._asked("POST", url, **more)

    def _asked(self, method: str, url: str, **more: Any) -> Any:
        try:
            reply = self.session.request(method, url, **more)
        except requests.RequestException as error:
            raise WorkloadError(
                f"rollout server: {method} {url} failed: {error}", reason="RolloutServerUnreachable"
            ) from error
        if reply.status_code != 200:
            raise WorkloadError(
                f"rollout server: {method} {url} answers {reply.status_code}: {reply.text[:SHOWN]}",
                reason="RolloutServerRefuses",
            )
        return reply.json()


def use() -> None:
    """Have TRL make its clients of this class: it has no parameter for it."""
    vllm_generation.VLLMClient = RolloutClient
