"""Has a server whose pod is leaving close its connections, each with a reply: a client that keeps them would go on
asking over them until the server ends, and lose what it asks then. Wrapped around the project's own server by
`openai_api`; vLLM takes it from a folder (`--middleware leaving.Leaving`), so it imports nothing of the project."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: Names the file whose existence says that the pod is leaving.
VARIABLE = "LEAVING_FILE"


class Leaving:
    """ASGI middleware."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.file = Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on; the head of a reply with `Connection: close` where the pod is leaving."""

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start" and self.leaving():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self.app(scope, receive, tell)

    def leaving(self) -> bool:
        """Whether the pod is."""
        return self.file is not None and self.file.exists()
