"""bespokelabs-curator on the same questions, its cache on as it is by default. A client of `curation_throughput.py`."""

from __future__ import annotations

import os
from pathlib import Path

from common import SYSTEM, arguments, measured, question

told = arguments()
os.environ |= {
    "TELEMETRY_ENABLED": "false",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "CURATOR_CACHE_DIR": str(told.folder / "cache"),
    "HF_HUB_OFFLINE": "1",
    "HF_HOME": str(told.folder / "hf"),
    "OPENAI_API_KEY": "none",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

import litellm  # noqa: E402

# tiktoken's vocabulary as litellm carries it: there is no other without the internet.
os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers")

from bespokelabs import curator  # noqa: E402

prompts = [
    [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(number)}]
    for number in range(told.requests)
]
model = curator.LLM(
    model_name="gpt-4o-mini",
    backend="openai",
    backend_params={
        "base_url": f"{told.url}/v1",
        "max_requests_per_minute": 10_000_000,
        "max_tokens_per_minute": 10_000_000_000,
        "max_concurrent_requests": told.concurrency,
    },
)
with measured(told.folder / "told.json") as found:
    answered = model(prompts)
    found["answers"] = len(answered.dataset if hasattr(answered, "dataset") else answered)
