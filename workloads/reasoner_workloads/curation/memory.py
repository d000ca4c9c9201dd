"""How often Python looks for cycles of garbage. Called once by each program that asks models."""

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 100


def collect_seldom() -> None:
    """Look for cycles less often, and never among what is imported: a request's objects are in no cycle and live for as
    long as its answer takes, and looking through them, and all libraries, took a fifth of a pod's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
