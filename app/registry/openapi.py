"""A model's OpenAPI 3.0 document, as fal publishes one for each endpoint: its input, its output, its queue.

Source of the form: `expand=openapi-3.0` of fal's platform API (2026-10). Programs read the schema whose name ends
with `Input`, and `x-fal-order-properties` for the order of its fields.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.registry.catalog import Model

OPENAPI = "3.0.4"
SCHEMAS = "#/components/schemas/"
_OURS = {"documented", "assumed", "format"}  # keywords of the registry that OpenAPI does not have
_WORD = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_STATUS = "QueueStatus"
_QUEUE_STATUS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]},
        "request_id": {"type": "string"},
        "response_url": {"type": "string"},
        "status_url": {"type": "string"},
        "cancel_url": {"type": "string"},
        "logs": {"type": "array", "items": {"type": "object"}},
        "metrics": {"type": "object"},
        "queue_position": {"type": "integer"},
    },
    "required": ["status", "request_id"],
}


def openapi_of(model: Model, *, queue_url: str, strict_schema: bool) -> dict[str, Any]:
    """The document of one model, whose queue is at `queue_url`; without prose fields when `strict_schema`."""
    stem = "".join(word[0].upper() + word[1:] for word in _WORD.findall(model.id.partition("/")[2]))
    given, made = f"{stem}Input", f"{stem}Output"
    described = model.schema.describe(strict_schema=strict_schema)
    entry = model.entry
    metadata = {"endpointId": model.id, "category": entry.kind}
    return {
        "openapi": OPENAPI,
        "info": {
            "title": f"Queue OpenAPI for {model.id}",
            "version": "1.0.0",
            "description": f"The OpenAPI schema of the queue of {model.id}.",
            "x-fal-metadata": metadata,
        },
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "schemas": {
                _STATUS: dict(_QUEUE_STATUS),
                given: {"title": given, **_input(described)},
                made: {"title": made, **_plain(entry.output)},
            },
        },
        "paths": _paths(model.id, given, made),
        "servers": [{"url": queue_url}],
        "security": [{"apiKeyAuth": []}],
    }


def _input(described: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in their order; that one of two fields is required stands only in fal's prose."""
    schema = _plain(
        {name: value for name, value in described.items() if name not in {"oneOf", "additionalProperties"}}
    )
    return {**schema, "x-fal-order-properties": list(schema["properties"])}


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as a copy, without the registry's own keywords."""
    plain = {name: value for name, value in schema.items() if name not in _OURS}
    if "properties" in schema:
        plain["properties"] = {name: _plain(field) for name, field in schema["properties"].items()}
    if "items" in schema:
        plain["items"] = _plain(schema["items"])
    return plain


def _paths(model_id: str, given: str, made: str) -> dict[str, Any]:
    request = f"/{model_id}/requests/{{request_id}}"
    request_id = {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}
    parameters = [request_id]
    return {
        f"/{model_id}": {
            "post": {"requestBody": {"required": True, **_json(given)}, "responses": {"200": _reply(_STATUS)}}
        },
        request: {"get": {"parameters": parameters, "responses": {"200": _reply(made)}}},
        f"{request}/status": {"get": {"parameters": parameters, "responses": {"200": _reply(_STATUS)}}},
        f"{request}/cancel": {"put": {"parameters": parameters, "responses": {"202": {"description": "Asked"}}}},
    }


def _json(schema: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": SCHEMAS + schema}}}}


def _reply(schema: str) -> dict[str, Any]:
    return {"description": "The request's status" if schema == _STATUS else "The result", **_json(schema)}
