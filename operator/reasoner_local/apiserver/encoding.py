"""JSON as it goes over the wire."""

import json
from typing import Any

from aiohttp import web

JSON = "application/json"


def dumps(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def answer(value: Any, code: int = 200, content_type: str = JSON) -> web.Response:
    """A JSON response."""
    return web.Response(body=dumps(value), status=code, headers={"Content-Type": content_type})
