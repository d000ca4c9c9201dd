"""A Kubernetes API server in one Python process: kubectl, kopf and the official client speak to it.

Objects live in memory. Used by the embedded cluster (`reasoner_local`) and by tests:

    server = ApiServer(logs=node)
    url = await server.start("127.0.0.1", 8001)
    ...
    await server.stop()
"""

from .app import ApiServer
from .logs import LogQuery, LogSource

__all__ = ["ApiServer", "LogQuery", "LogSource"]
