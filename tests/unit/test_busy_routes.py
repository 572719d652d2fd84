"""Routes that are called without FastAPI: the same ones, read in the same way."""

import re
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts

from app.api.busy_routes import BusyRoute, BusyRoutes, busy
from app.api.query import refuse_unknown_parameters
from app.main import create_app
from app.settings import load_settings

APP = create_app(load_settings({"FILMGATE_REDIS_URL": "redis://127.0.0.1:1", "FAL_KEY": "none:none"}))
BUSY = BusyRoutes(APP, of=APP)
PATHS = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/job_1"),
    ("POST", "/fal/queue/fal-ai/kling-video/v2/master/image-to-video"),
    ("GET", "/fal/queue/fal-ai/kling-video/requests/job_1/status"),
    ("POST", "/fal/run/fal-ai/kling-video/v2/master/image-to-video"),
]
OTHERS = [
    ("GET", "/v1/jobs"),
    ("DELETE", "/v1/jobs/job_1"),
    ("GET", "/v1/jobs/job_1/events"),
    ("POST", "/fal/queue/fal-ai/kling-video/requests/job_1/status"),
    ("GET", "/fal/queue/fal-ai/kling-video/requests/job_1"),
    ("POST", "/fal/hooks/a/b/c"),
]


def found(method: str, path: str) -> BusyRoute | None:
    """The busy route of a request."""
    return BUSY.find({"type": "http", "method": method, "path": path})


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_busy_route_is_the_one_that_fastapi_would_call(method: str, path: str) -> None:
    """The first declared route with this method and path, with the parameters that FastAPI finds in it."""
    routes = [route for route in iter_route_contexts(APP.routes) if method in (route.methods or ())]
    first = next(route for route in routes if re.match(route.path_regex, path))
    busy_route = found(method, path)
    assert busy_route is not None
    assert busy_route.endpoint is first.endpoint


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_fastapi_would_read_a_busy_request_in_the_same_way(method: str, path: str) -> None:
    """Its endpoint depends on what is called here, and on nothing else."""
    busy_route = found(method, path)
    assert busy_route is not None
    dependencies = [each.call for each in busy_route.route.dependant.dependencies]
    assert dependencies == [refuse_unknown_parameters, busy_route.read]


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_fastapi_answers_all_other_requests(method: str, path: str) -> None:
    """Other methods of the same paths, and paths below them."""
    assert found(method, path) is None


def test_a_route_without_a_key_is_not_busy() -> None:
    """Nothing would refuse the unknown parameters of its query."""

    async def read(request: Request) -> None: ...

    app = FastAPI()

    @app.get("/open")
    @busy(read)
    async def endpoint(request: Request, nothing: Annotated[None, Depends(read)]) -> Response:
        return Response()

    with pytest.raises(ValueError, match="/open has no key"):
        BusyRoutes(app, of=app)
