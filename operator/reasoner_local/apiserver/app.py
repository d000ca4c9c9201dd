"""The API server itself: an aiohttp application over one store. Started by `reasoner_local` and by tests."""

import logging
import socket
import ssl

from aiohttp import ClientSession, web

from . import discovery, openapi
from .access import Access, AlwaysAllow, Authorized, asked_of, creating, require
from .admission import admit_fields
from .builtin_kinds import builtin_resources
from .crds import CrdController
from .encoding import answer
from .errors import ApiError, method_not_allowed, no_such_path
from .garbage import GarbageCollector
from .handlers import Call, Handlers, applies
from .logs import LogSource, serve_log
from .objects import Obj
from .proxy import serve_proxy, split_port
from .rbac import Asked
from .request import Target, body_of, flag, target_of, wants
from .resources import Registry, Resource
from .reviews import review
from .seeds import seed
from .store import Store
from .tokens import Tokens, User
from .writer import body_object
from .writes import Writes

_LOG = logging.getLogger(__name__)
# What a real server takes in one request.
_BODY_LIMIT = 3 * 1024 * 1024
# Subresources by which clients get into a container; here that is a process among this machine's.
_INTO_PODS = ("exec", "attach", "portforward")
_NO_NEED = "its pods are processes of this machine, whose ports and files are at hand (`reasoner local status`)"
VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+reasoner",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2025-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}


def _answer(error: ApiError) -> web.Response:
    response = answer(error.status(), error.code)
    if seconds := error.details.get("retryAfterSeconds"):
        response.headers["Retry-After"] = str(seconds)
    return response


class ApiServer:
    """A Kubernetes API server in memory.

    `logs` is asked for the logs of pods; it may also be set later. With an `admin_token` requests need a token and what
    RBAC grants; without one everybody may do everything, as behind `kubectl proxy`. `start` returns the URL, `stop`
    ends every request; the objects stay for as long as the instance does.
    """

    def __init__(self, logs: LogSource | None = None, admin_token: str = "") -> None:
        self.logs = logs
        self.store = Store()
        self.registry = Registry()
        for resource in builtin_resources():
            self.registry.add(resource)
        self._writes = Writes(self.store, self.registry)
        self._handlers = Handlers(self._writes)
        self._tokens = Tokens(self.store)
        self._access: Access = Authorized(self.store, self._tokens, admin_token) if admin_token else AlwaysAllow()
        self._crds = CrdController(self.store, self.registry)
        self._garbage = GarbageCollector(self._writes)
        self._runner: web.AppRunner | None = None
        self._session: ClientSession | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> str:
        """Serve on that address (port 0 takes a free one), by HTTPS where there is a certificate. Returns the URL.
        Raises OSError when it is taken."""
        seed(self._writes)
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._session = ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        listener = socket.create_server((host, port), backlog=512)
        await web.SockSite(self._runner, listener, ssl_context=tls).start()
        return f"{'https' if tls else 'http'}://{host}:{listener.getsockname()[1]}"

    async def stop(self) -> None:
        """End every watch, then the server."""
        self.store.close()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ApiError as error:
            return _answer(error)
        except web.HTTPRequestEntityTooLarge:
            return _answer(ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {_BODY_LIMIT}"))
        except ConnectionResetError:
            raise
        except Exception:  # noqa: BLE001
            # The one place where a bug becomes an answer: the client must learn that its request failed.
            _LOG.exception("%s %s failed", request.method, request.path)
            return _answer(ApiError(500, "InternalError", "an internal error occurred; the server's log says more"))

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.path.strip("/")
        target = target_of(request.path)
        user, asked = self._access.user_of(request), asked_of(request, target)
        require(self._access, user, asked)
        if target is not None:
            return await self._serve(request, target, user, asked)
        if path in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        if path == "version":
            return answer(VERSION)
        if path.split("/")[0] == "openapi":
            return answer(self._openapi(path))
        return self._discover(request, path)

    def _openapi(self, path: str) -> Obj:
        if path == "openapi/v2":
            return openapi.document_v2()
        if path == "openapi/v3":
            return openapi.document_list(self.registry, self.store.revision)
        return openapi.document(self.registry, path.removeprefix("openapi/v3/"))

    def _discover(self, request: web.Request, path: str) -> web.Response:
        parts = path.split("/")
        if path in ("api", "apis") and wants(request, "APIGroupDiscoveryList"):
            found = discovery.aggregated(self.registry, core=path == "api")
            return answer(found, content_type=discovery.AGGREGATED)
        match parts:
            case [""]:
                return answer({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/openapi/v3", "/version"]})
            case ["api"]:
                return answer(discovery.core_versions())
            case ["api", version]:
                return answer(discovery.resource_list(self.registry, "", version))
            case ["apis"]:
                return answer(discovery.group_list(self.registry))
            case ["apis", group]:
                return answer(discovery.group(self.registry, group))
            case ["apis", group, version]:
                return answer(discovery.resource_list(self.registry, group, version))
            case _:
                raise no_such_path()

    def _resource_of(self, target: Target) -> Resource:
        resource = self.registry.find(target.group, target.version, target.plural)
        if resource is not None and target.subresource in _INTO_PODS and resource.kind == "Pod":
            raise ApiError(405, "MethodNotAllowed", f"the embedded cluster has no {target.subresource}: {_NO_NEED}")
        if resource is None or (target.subresource and target.subresource not in resource.subresources):
            raise no_such_path()
        return resource

    async def _serve(self, request: web.Request, target: Target, user: User, asked: Asked) -> web.StreamResponse:
        resource = self._resource_of(target)
        if target.subresource in ("log", "proxy"):
            return await self._serve_pod(request, resource, target)
        body = None if request.method == "GET" else await body_of(request)
        # From here to the answer of a write nothing awaits.
        call = Call(request, resource, target, body)
        if resource.verbs == ("create",):
            return self._review(call, user)
        if target.subresource == "token":
            return self._token(call)
        if applies(request) and self.store.get(resource.key, call.key) is None:
            require(self._access, user, creating(asked))
        if request.method == "GET" and flag(request, "watch"):
            return await self._handlers.watch(call)
        return self._handlers.single(call) if target.name else self._handlers.collection(call)

    def _review(self, call: Call, user: User) -> web.Response:
        if call.request.method != "POST" or call.target.name:
            raise method_not_allowed()
        body = admit_fields(call.resource, body_object(call.body), "Ignore", [])
        body |= {"apiVersion": call.resource.group_version, "kind": call.resource.kind}
        return answer(review(self._access, self._tokens, user, body), 201)

    def _token(self, call: Call) -> web.Response:
        if call.request.method != "POST":
            raise method_not_allowed()
        account = self._handlers.find(call)
        return answer(self._tokens.request(call.resource, account, body_object(call.body)), 201)

    async def _serve_pod(self, request: web.Request, resource: Resource, target: Target) -> web.StreamResponse:
        name, port = split_port(target.name) if target.subresource == "proxy" else (target.name, None)
        named = Target(target.group, target.version, target.plural, target.namespace, name)
        pod = self._handlers.find(Call(request, resource, named))
        if target.subresource == "log":
            return await serve_log(self.logs, pod, request)
        assert self._session is not None
        return await serve_proxy(self._session, pod, port, request)
