"""Where the weight group meets."""

import os


def get_ip() -> str:
    """The address that the trainer is reached at, as vLLM finds it."""
    return os.environ["VLLM_HOST_IP"]
