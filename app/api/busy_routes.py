"""Busy routes: called without what FastAPI does for each request.

Finding a route among a hundred, solving dependencies and keeping exit stacks costs more than checking and pricing
a job. A busy route is declared to FastAPI as all others are, which makes its documents and answers what matches no
route, such as another method. It differs in one thing: its endpoint has one dependency, which reads all of the
request. So it can be called directly: `endpoint(request, await read(request))`, where `read` may also take parts of
the path.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import signature
from re import Pattern
from typing import Any, TypeVar, cast

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import HANDLED, respond
from app.api.reads import read_by

T = TypeVar("T")
Read = Callable[..., Awaitable[T]]
Endpoint = Callable[[Request, T], Awaitable[Response]]

_reads: dict[Any, Read[Any]] = {}


def busy(read: Read[T]) -> Callable[[Endpoint[T]], Endpoint[T]]:
    """Declare an endpoint as busy; `read` is its only dependency, which checks the key first."""

    def decorate(endpoint: Endpoint[T]) -> Endpoint[T]:
        _reads[endpoint] = read
        return endpoint

    return decorate


@dataclass(frozen=True, slots=True)
class BusyRoute:
    """A route of FastAPI's that is called here."""

    route: RouteContext
    path: Pattern[str]
    endpoint: Endpoint[Any]
    read: Read[Any]
    parts: tuple[str, ...]  # of the path, that `read` takes


class BusyRoutes:
    """ASGI middleware in front of FastAPI's routers: calls the busy routes, and passes on everything else."""

    def __init__(self, app: ASGIApp, *, of: FastAPI) -> None:
        self._app = app
        self._fixed: dict[tuple[str, str], BusyRoute] = {}  # by method and path
        self._others: dict[str, list[BusyRoute]] = {}  # by method: those with parameters in their path
        for route in iter_route_contexts(of.routes):
            if route.endpoint in _reads:
                self._add(route)

    def _add(self, route: RouteContext) -> None:
        if not any(read.key for read in read_by(route.dependant)):
            raise ValueError(f"{route.path} has no key: unknown parameters of its query would not be refused")
        endpoint: Endpoint[Any] = cast("Endpoint[Any]", route.endpoint)
        read = _reads[endpoint]
        parts = tuple(name for name in signature(read).parameters if name in route.param_convertors)
        busy_route = BusyRoute(route, route.path_regex, endpoint, read, parts)
        for method in route.methods or ():
            if route.param_convertors:
                self._others.setdefault(method, []).append(busy_route)
            else:
                self._fixed[method, route.path or ""] = busy_route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        found = self.find(scope) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = found.route
        request = Request(scope, receive, send)
        try:
            parts = {name: scope["path_params"][name] for name in found.parts}
            response = await found.endpoint(request, await found.read(request, **parts))
        except HANDLED as error:
            response = await respond(request, error)
        await response(scope, receive, send)

    def find(self, scope: Scope) -> BusyRoute | None:
        """The busy route of a request, with the parameters of its path in the scope."""
        method, path = scope["method"], scope["path"]
        for busy_route in self._others.get(method, ()):
            match = busy_route.path.match(path)
            if match is not None:
                scope["path_params"] = match.groupdict()
                return busy_route
        return self._fixed.get((method, path))
