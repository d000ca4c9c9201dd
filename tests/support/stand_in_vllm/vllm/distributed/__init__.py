"""The engine's own groups: one worker."""


class _Alone:
    world_size = 1
    cpu_group = None


def get_tp_group() -> _Alone:
    """The tensor-parallel group."""
    return _Alone()
