"""The OpenAPI document of one model, in the form of `fal.ai/api/openapi/queue/openapi.json`."""

import re
from typing import Any

from app.emulator.kling.models import KlingModel

REFERENCE = "#/components/schemas/{model}"
REQUEST_ID = {
    "name": "request_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "description": "Request ID"},
}


def document(model: KlingModel) -> dict[str, Any]:
    """The document: the submit's body refers to the input, the result to the output."""
    name = _type_name(model.id)
    schemas = {"QueueStatus": QUEUE_STATUS}
    for title, described in ((f"{name}Input", model.input), (f"{name}Output", model.output)):
        schema = described.model_json_schema(ref_template=REFERENCE)
        schemas |= {part: _ordered(one) for part, one in schema.pop("$defs", {}).items()}
        schemas[title] = {**_ordered(schema), "title": title}
    return {
        "openapi": "3.0.4",
        "info": {
            "title": f"Queue OpenAPI for {model.id}",
            "version": "1.0.0",
            "description": f"The OpenAPI schema for the {model.id} queue.",
            "x-fal-metadata": {"endpointId": model.id, "category": model.category},
        },
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}},
            "schemas": schemas,
        },
        "paths": _paths(model.id, name),
        "servers": [{"url": "https://queue.fal.run"}],
        "security": [{"apiKeyAuth": []}],
    }


def input_schema(described: dict[str, Any]) -> dict[str, Any]:
    """The schema of the input in a document."""
    endpoint = described["info"]["x-fal-metadata"]["endpointId"]
    found: dict[str, Any] = described["components"]["schemas"][f"{_type_name(endpoint)}Input"]
    return found


def _type_name(endpoint: str) -> str:
    """`KlingVideoV3ProImageToVideo` of `fal-ai/kling-video/v3/pro/image-to-video`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[/.-]", endpoint.removeprefix("fal-ai/")))


def _ordered(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with the order of its members, and without `"default": null`, as fal has it."""
    members = {name: _without_null(one) for name, one in schema.get("properties", {}).items()}
    return {**schema, "properties": members, "x-fal-order-properties": list(members)}


def _without_null(member: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in member.items() if name != "default" or one is not None}


def _paths(endpoint: str, name: str) -> dict[str, Any]:
    def answers(schema: str, description: str) -> dict[str, Any]:
        content = {"application/json": {"schema": {"$ref": REFERENCE.format(model=schema)}}}
        return {"200": {"description": description, "content": content}}

    body = {"application/json": {"schema": {"$ref": REFERENCE.format(model=f"{name}Input")}}}
    one = f"/{endpoint}/requests/{{request_id}}"
    return {
        f"{one}/status": {
            "get": {"parameters": [REQUEST_ID], "responses": answers("QueueStatus", "The request status.")}
        },
        f"{one}/cancel": {
            "put": {
                "parameters": [REQUEST_ID],
                "responses": {"200": {"description": "The request was cancelled."}},
            }
        },
        f"/{endpoint}": {
            "post": {
                "requestBody": {"required": True, "content": body},
                "responses": answers("QueueStatus", "The request status."),
            }
        },
        one: {"get": {"parameters": [REQUEST_ID], "responses": answers(f"{name}Output", "Result of the request.")}},
    }


QUEUE_STATUS = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]},
        "request_id": {"type": "string", "description": "The request id."},
        "response_url": {"type": "string", "description": "The response url."},
        "status_url": {"type": "string", "description": "The status url."},
        "cancel_url": {"type": "string", "description": "The cancel url."},
        "logs": {"type": "object", "description": "The logs.", "additionalProperties": True},
        "metrics": {"type": "object", "description": "The metrics.", "additionalProperties": True},
        "queue_position": {"type": "integer", "description": "The queue position."},
    },
    "required": ["status", "request_id"],
}
