"""What a table's column is, and how ages are written. Used by the built-in columns and by those of CRDs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .objects import Obj, seconds_since


@dataclass(frozen=True)
class Column:
    """One column: its heading, what its cell shows, and whether only `-o wide` has it (priority 1)."""

    name: str
    cell: Callable[[Obj], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Obj:
        """The column as the API describes it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def duration(seconds: float) -> str:
    """A span as kubectl writes it: two units while they matter, one afterwards."""
    whole = int(seconds)
    if whole < 0:
        return "0s" if whole > -2 else "<invalid>"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"


def age(stamp: str | None) -> str:
    """The time since an RFC 3339 stamp, as kubectl writes ages."""
    if not stamp:
        return "<unknown>"
    try:
        return duration(seconds_since(stamp))
    except ValueError:
        return "<invalid>"
