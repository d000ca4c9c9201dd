"""A stand-in for vLLM 0.31, for machines without a GPU: as much of it as TRL's server mode touches.

`serve` is a server that answers on vLLM's routes, generating with transformers. Weights go through a TCP socket where
vLLM's NCCL group would broadcast them. What it does not show: NCCL itself, and vLLM's engine."""


class LLM:
    """Imported by TRL for its colocate mode, which the stand-in has not."""


class RequestOutput:
    """As LLM."""


class SamplingParams:
    """As LLM."""
