"""Which single scope of a key suffices for which route; a new route without an entry fails `test_scopes.py`."""

from typing import Any

from app.domain.accounts import Scope
from tests.integration.fal_queue import MODEL

READ = frozenset({Scope.JOBS_READ, Scope.TEAM_READ, Scope.TEAM_ADMIN})
WRITE = frozenset({Scope.JOBS_WRITE, Scope.TEAM_ADMIN})
SEE = frozenset({Scope.TEAM_READ, Scope.TEAM_ADMIN})
ADMIN = frozenset({Scope.TEAM_ADMIN})
BOTH = ADMIN  # what acts on a job reads it first: of single scopes, only this one has both halves
EVERY = frozenset(Scope)

URL = "https://consumer.example/hook"
JOB: Any = object()  # stands for a valid submission, which names the emulator's sample
INPUT: Any = object()  # the same at fal's door
NEEDS: dict[str, tuple[frozenset[Scope], Any]] = {
    "POST /v1/jobs": (WRITE, JOB),
    "POST /v1/quotes": (READ, JOB),
    "GET /v1/jobs": (READ, None),
    "GET /v1/jobs/{job_id}": (READ, None),
    "DELETE /v1/jobs/{job_id}": (BOTH, None),
    "POST /v1/jobs/{job_id}/cancel": (BOTH, None),
    "GET /v1/jobs/{job_id}/video": (READ, None),
    "GET /v1/jobs/{job_id}/events": (READ, None),
    "GET /v1/jobs/{job_id}/deliveries": (READ, None),
    "GET /v1/events": (READ, None),
    "GET /v1/usage": (READ, None),
    "GET /v1/me": (EVERY, None),
    "GET /v1/models": (EVERY, None),
    "GET /v1/models/{model_id}": (EVERY, None),
    "POST /v1/tokens": (EVERY, {}),  # with no more than the key's own rights
    "POST /v1/files": (WRITE, None),
    "GET /v1/deliveries": (SEE, None),
    "GET /v1/deliveries/{delivery_id}": (READ, None),
    "POST /v1/deliveries/{delivery_id}/replay": (BOTH, None),
    "POST /v1/deliveries/replay": (ADMIN, {}),
    "GET /v1/webhook-endpoints": (SEE, None),
    "POST /v1/webhook-endpoints": (ADMIN, {"url": URL}),
    "GET /v1/webhook-endpoints/{endpoint_id}": (SEE, None),
    "PATCH /v1/webhook-endpoints/{endpoint_id}": (ADMIN, {"paused": True}),
    "DELETE /v1/webhook-endpoints/{endpoint_id}": (ADMIN, None),
    "GET /v1/webhook-endpoints/{endpoint_id}/deliveries": (SEE, None),
    "POST /v1/webhook-endpoints/{endpoint_id}/test": (ADMIN, None),
    "POST /v1/webhook-endpoints/{endpoint_id}/rotate-secret": (ADMIN, {}),
    "GET /v1/webhook-secret": (ADMIN, None),
    "POST /v1/webhook-secret/rotate": (ADMIN, {}),
    "POST /fal/queue/{model_id}": (WRITE, INPUT),
    "POST /fal/run/{model_id}": (WRITE, INPUT),
    "GET /fal/queue/{app}/requests/{request_id}": (READ, None),
    "GET /fal/queue/{app}/requests/{request_id}/response": (READ, None),
    "GET /fal/queue/{app}/requests/{request_id}/status": (READ, None),
    "GET /fal/queue/{app}/requests/{request_id}/status/stream": (READ, None),
    "PUT /fal/queue/{app}/requests/{request_id}/cancel": (BOTH, None),
    "POST /fal/rest/tokens": (EVERY, {"allowed_apps": ["kling-video"]}),
    "POST /fal/rest/tokens/": (EVERY, {"allowed_apps": ["kling-video"]}),
    "POST /fal/rest/storage/auth/token": (WRITE, {}),
    "POST /fal/rest/storage/upload/initiate": (WRITE, {}),
    "POST /fal/rest/storage/upload/initiate-multipart": (WRITE, {}),
    "POST /fal/cdn/files/upload": (WRITE, None),
    "POST /fal/cdn/files/upload/multipart": (WRITE, None),
    "GET /fal/cdn/files/{file_id}/{name}": (READ, None),
    "PUT /fal/cdn/files/{file_id}/{name}/multipart/{upload_id}/{number}": (WRITE, None),
    "POST /fal/cdn/files/{file_id}/{name}/multipart/{upload_id}/complete": (WRITE, None),
}
# No scope opens these: public pages, what a signature opens, and the administrator's.
NO_SCOPE = (
    "/",
    "/docs",
    "/openapi.json",
    "/fal/openapi.json",
    "/livez",
    "/readyz",
    "/metrics",
    "/static/",
    "/problems/",
    "/.well-known/",
    "/fal/rest/.well-known/",
    "/fal/hooks/",
    "/fal/proxy",
    "/fal/cdn/uploads/",
    "/v1/admin/",
)
MODEL_ID = MODEL


def has_scope(route: str) -> bool:
    """True for a route that a key's scopes open. HEAD is what GET is."""
    method, path = route.split(" ")
    public = any(path == prefix or (prefix != "/" and path.startswith(prefix)) for prefix in NO_SCOPE)
    return method != "HEAD" and not public
