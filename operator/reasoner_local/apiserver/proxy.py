"""`pods/NAME:PORT/proxy/PATH`: a request passed on to the pod's own address."""

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from .errors import ApiError, bad_request
from .objects import Obj, dig, meta

# Meant for this connection, or set anew by the next one.
_HOP_HEADERS = frozenset(
    [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "host",
        "content-length",
        "content-encoding",
        "authorization",
        "accept-encoding",
    ]
)


def split_port(name: str) -> tuple[str, int | None]:
    """The pod's name and the port in `[SCHEME:]NAME[:PORT]`."""
    parts = name.split(":")
    if len(parts) == 3:
        parts = parts[1:]
    if len(parts) == 1 or not parts[1]:
        return parts[0], None
    if not parts[1].isdigit():
        raise bad_request(f"invalid pod request {name!r}: the port must be a number")
    return parts[0], int(parts[1])


def _first_port(pod: Obj) -> int:
    for container in dig(pod, "spec", "containers") or []:
        for port in container.get("ports") or []:
            return int(port["containerPort"])
    return 80


async def serve_proxy(session: ClientSession, pod: Obj, port: int | None, request: web.Request) -> web.StreamResponse:
    """Pass the request on and its answer back. Raises 503 when the pod has no address or nobody answers there."""
    address, name = dig(pod, "status", "podIP"), meta(pod)["name"]
    if not address:
        raise ApiError(503, "ServiceUnavailable", f'address not allowed: pod "{name}" has no IP address')
    _, _, path = request.raw_path.partition("/proxy")
    url = f"http://{address}:{port or _first_port(pod)}{path or '/'}"
    headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_HEADERS}
    body = await request.read()
    try:
        async with session.request(
            request.method,
            url,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=ClientTimeout(total=None, sock_connect=5),
        ) as upstream:
            kept = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP_HEADERS}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            await response.prepare(request)
            async for piece in upstream.content.iter_any():
                await response.write(piece)
            return response
    except (ClientError, TimeoutError) as error:
        why = f"error trying to reach service: {error or type(error).__name__}"
        raise ApiError(503, "ServiceUnavailable", why) from error
