"""How often Python looks for cycles of garbage. Called once by each program that holds a cluster's objects."""

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 100


def collect_seldom() -> None:
    """Look for cycles less often, and never among what is imported: stored objects are JSON values, hundreds of
    thousands of them and none in a cycle, and looking through them all took a fifth of the API server's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
