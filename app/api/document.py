"""The OpenAPI documents: FastAPI generates them from the routes, and what it cannot see is added here.

That is: what dependencies read of the request object (`app/api/reads.py`), the schema of errors, which routes need
no key, examples that can be sent unchanged, and webhooks.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from app import __version__
from app.api.document_examples import BODIES, VALUES
from app.api.reads import FAL_DOCUMENT, Reads, header, read_by
from app.domain.events import EVENT_MEANINGS
from app.views.events import BudgetEvent, EndpointEvent, JobEvent
from app.views.fal import FalError, FalMessage
from app.views.problems import Problem

Document = dict[str, Any]

SCHEMAS = "#/components/schemas/"
SECURITY = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "A Filmgate key: `fg_live_…`"},
    "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SESSION = {
    "Session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "fg_session",
        "description": "From `POST /v1/session`; a request that changes something needs `X-CSRF-Token` too",
    }
}
FAL_SECURITY = {
    "Key": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Key fg_live_…`, as fal's clients write it",
    },
    **SECURITY,
}
TAGS = {
    "jobs": "Ask for clips, follow them, fetch them, cancel them",
    "models": "What can be made, and what it costs",
    "account": "Who asks, what is left, what was used, and keys for web pages",
    "files": "Images in",
    "shares": "Links to clips for people without a key",
    "webhooks": "Where events are sent, the secrets that sign them, and the log of what was sent",
    "events": "What happened, in order",
    "administration": "Teams, users, keys, limits and money, with the administrator's key (`FILMGATE_ADMIN_KEY`)",
    "operations": "For those who run it; no key is needed",
}
FAL_TAGS = {
    "queue": "`https://queue.fal.run/…`",
    "run": "`https://fal.run/…`",
    "storage": "`https://rest.fal.ai/…` and fal's CDN, as far as fal's clients upload files and ask for tokens",
}
REQUEST_ID = header("X-Request-ID", "Your name for the request; it comes back", "my-request-1")
ALWAYS_POSSIBLE = (400, 408, 414, 422, 429, 431, 503)
WITH_KEY = (401, 403)
WITH_BODY = (413, 415)
REFUSALS = {  # by status: name in the document, description
    400: ("BadRequest", "The request cannot be read"),
    401: ("Unauthorized", "There is no key, or it opens nothing"),
    402: ("PaymentRequired", "The money set aside for the caller does not cover it"),
    403: ("Forbidden", "The key may not do this"),
    404: ("NotFound", "There is no such thing, or it is another team's"),
    408: ("RequestTimeout", "The request took too long to arrive"),
    409: ("Conflict", "Not possible in this state"),
    410: ("Gone", "It works once, or until a time, and is over"),
    413: ("ContentTooLarge", "The body is too large"),
    414: ("URITooLong", "The address is too long"),
    415: ("UnsupportedMediaType", "The body is of another type than this route reads"),
    416: ("RangeNotSatisfiable", "The file has no such bytes"),
    422: ("UnprocessableContent", "The request was read, and is wrong"),
    429: ("TooManyRequests", "A limit or a rate is reached; Retry-After says for how long, where that is known"),
    431: ("HeadTooLarge", "The head of the request is too large"),
    499: ("Cancelled", "The request was cancelled"),
    500: ("Failed", "fal could not make it"),
    502: ("BadResult", "fal's answer cannot be used"),
    503: ("Unavailable", "The store or fal is away; nothing has changed, try again after Retry-After"),
    504: ("TimedOut", "It took too long"),
}
MEDIA_TYPES: dict[Any, str] = {Problem: "application/problem+json", FalError: "application/json"}
WEBHOOK_RESPONSES = {"2XX": {"description": "Accepted; after any other response it is sent again"}}
SIGNATURE_HEADERS = [
    header("webhook-id", "The same in every attempt", "msg_1"),
    header("webhook-timestamp", "When this attempt was signed, in seconds", "1764500000"),
    header("webhook-signature", "`v1,…`, as Standard Webhooks 1.0 has it", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9"),
]


def add_documents(app: FastAPI, *, base_url: str) -> None:
    """Serve both documents without a key; each is generated on first use, which takes half a second."""
    documents = {"/openapi.json": native_document, FAL_DOCUMENT: fal_document}
    for path, generate in documents.items():
        app.add_api_route(path, _reader(partial(generate, app, base_url=base_url)), include_in_schema=False)


def _reader(generate: Callable[[], Document]) -> Callable[[], Response]:
    """A plain function, so that FastAPI runs it in a thread."""

    @cache
    def content() -> bytes:
        return json.dumps(generate(), ensure_ascii=False).encode()

    def read() -> Response:
        return Response(content(), media_type="application/json")

    return read


def native_document(app: FastAPI, *, base_url: str) -> Document:
    """The document of the native API, with the bodies of its webhooks."""
    routes = [route for route in iter_route_contexts(app.routes) if not (route.path or "").startswith("/fal/")]
    bodies = {"job": JobEvent, "budget": BudgetEvent, "endpoint": EndpointEvent}
    hooks = APIRouter()
    for kind in EVENT_MEANINGS:
        body = bodies[kind.partition(".")[0]]
        _add_webhook(hooks, kind, body, f"`{kind}`, signed as Standard Webhooks 1.0 says", EVENT_MEANINGS[kind])
    return _generated(
        "Filmgate", routes, hooks, base_url=base_url, tags=TAGS, refusal=Problem, security=SECURITY | SESSION
    )


def fal_document(app: FastAPI, *, base_url: str) -> Document:
    """The document of the routes for fal's own clients."""
    routes = [route for route in iter_route_contexts(app.routes) if (route.path or "").startswith("/fal/")]
    hooks = APIRouter()
    _add_webhook(hooks, "fal_webhook", FalMessage, "A request's end, signed as fal signs", "In fal's own form.")
    title, tags, security = "Filmgate for fal's clients", FAL_TAGS, FAL_SECURITY
    return _generated(title, routes, hooks, base_url=base_url, tags=tags, refusal=FalError, security=security)


def _add_webhook(router: APIRouter, name: str, body: Any, summary: str, description: str) -> None:
    async def deliver(message: Any) -> None: ...

    deliver.__annotations__["message"] = body
    deliver.__doc__ = description
    router.add_api_route(name, deliver, methods=["POST"], name=name, summary=summary, status_code=204)


def _generated(
    title: str,
    routes: Sequence[RouteContext],
    hooks: APIRouter,
    *,
    base_url: str,
    tags: dict[str, str],
    refusal: Any,
    security: dict[str, Any],
) -> Document:
    """A document in which every error has the type `refusal`.

    1. what FastAPI generates
    2. for each operation, what its dependencies read, and its error statuses
    3. the schemas of bodies and errors, without FastAPI's own for a 422
    """
    document = get_openapi(
        title=title,
        version=__version__,
        description="A gateway in front of fal.ai's queue for Kling image-to-video.",
        routes=routes,
        webhooks=hooks.routes,
        tags=[{"name": name, "description": text} for name, text in tags.items()],
        servers=[{"url": base_url}],
        separate_input_output_schemas=False,
    )
    types: list[tuple[Any, JsonSchemaMode]] = [(refusal, "serialization")]
    for route in routes:
        if getattr(route, "include_in_schema", False) and hasattr(route, "dependant"):
            found = list(read_by(route.dependant))
            types += [(one.body, "validation") for one in found if one.body is not None]
            for method in route.methods or ():
                _complete(document["paths"][route.path_format][method.lower()], found, route.param_convertors)
    for path in document["webhooks"].values():
        path["post"] |= {"parameters": SIGNATURE_HEADERS, "security": [], "responses": WEBHOOK_RESPONSES}
    schemas = {**document["components"]["schemas"], **_schemas(types)}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "responses": _refusals(refusal),
        "parameters": {"X-Request-ID": REQUEST_ID},
        "securitySchemes": security,
    }
    document["security"] = [{name: []} for name in security]
    return document


def _complete(operation: Document, found: Sequence[Reads], in_path: Iterable[str]) -> None:
    """Add to an operation what FastAPI cannot see."""
    parameters = operation.setdefault("parameters", [])
    parameters += [parameter for one in found for parameter in one.parameters]
    known = {parameter["name"] for parameter in parameters}
    parameters += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in in_path
        if name not in known
    ]
    for parameter in parameters:
        if parameter["name"] in VALUES:
            parameter["example"] = VALUES[parameter["name"]]
    body = next((one for one in found if one.body is not None), None)
    if body is not None and body.body is not None:
        content = {"schema": {"$ref": SCHEMAS + body.body.__name__}, "example": BODIES[body.body]}
        operation["requestBody"] = {"required": not body.optional, "content": {"application/json": content}}
    with_key = any(one.key for one in found)
    if not with_key:
        operation["security"] = []
    elif any(one.session for one in found):
        operation["security"] = [{name: []} for name in SESSION]
    replies = operation["responses"]
    declared = [int(code) for code, reply in replies.items() if code >= "400" and "content" not in reply]
    named = [HTTPStatus.NOT_FOUND] if any(one["in"] == "path" for one in parameters) else []
    possible = [*(WITH_KEY if with_key else ()), *(WITH_BODY if body else ())]
    for status in {*ALWAYS_POSSIBLE, *declared, *named, *possible}:
        if "content" not in replies.get(str(status), {}) or status == HTTPStatus.UNPROCESSABLE_ENTITY:
            replies[str(status)] = {"$ref": f"#/components/responses/{REFUSALS[status][0]}"}
    operation["responses"] = dict(sorted(replies.items()))
    parameters.append({"$ref": "#/components/parameters/X-Request-ID"})


def _refusals(refusal: Any) -> Document:
    """A response for every error status."""
    content = {MEDIA_TYPES[refusal]: {"schema": {"$ref": SCHEMAS + refusal.__name__}}}
    return {name: {"description": text, "content": content} for name, text in REFUSALS.values()}


def _schemas(types: Sequence[tuple[Any, JsonSchemaMode]]) -> Document:
    """The schemas of types and of the types in them."""
    adapters = [(type_.__name__, mode, TypeAdapter(type_)) for type_, mode in types]
    _, found = TypeAdapter.json_schemas(adapters, ref_template=SCHEMAS + "{model}")
    schemas: Document = found["$defs"]
    return schemas
