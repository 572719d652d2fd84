"""The OpenAPI document is valid, complete, and committed."""

from collections.abc import Iterator
from typing import Any, get_args

from openapi_spec_validator import validate

from app.api.document import fal_document, native_document
from app.domain.events import BUDGET_THRESHOLD, EVENT_TYPES
from app.main import CORS, create_app
from app.settings import load_settings
from app.views.events import EndpointEventType, JobEventType
from tests.guards.openapi_document import COMMITTED, drawn, written

Operation = dict[str, Any]
OPEN = {
    *("/livez", "/readyz", "/problems/{slug}", "/v1/about", "/v1/clips/{team}/{job_id}/{title}"),
    *("/v1/session", "/v1/invitations/read", "/v1/invitations/accept"),  # a key or a code is in the body
    *("/v1/sign-in/oidc", "/v1/sign-in/oidc/return", "/v1/sign-in/proxy"),  # somebody else says who it is
}
APP = create_app(load_settings({}))
NATIVE = drawn()
FAL = fal_document(APP, base_url="http://127.0.0.1:8000")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    """Every operation with its name."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_document_is_the_one_that_is_served() -> None:
    """A change of a route or a reply is visible in the diff."""
    assert COMMITTED.read_text("utf-8") == written(NATIVE), (
        "`.venv/bin/python -m tests.guards.openapi_document` writes it anew"
    )


def test_both_documents_are_what_they_say_they_are() -> None:
    """Valid as OpenAPI 3.1."""
    for document in (NATIVE, FAL):
        assert document["openapi"] == "3.1.0"
        validate(document)


def test_every_reply_has_a_type() -> None:
    """Each status with a body has a schema with content; every refusal has the same one."""
    bare, other = [], []
    for document, shape in ((NATIVE, "application/problem+json"), (FAL, "application/json")):
        for name, operation in operations(document):
            for status, reply in operation["responses"].items():
                if "$ref" in reply:
                    reply = document["components"]["responses"][reply["$ref"].rpartition("/")[2]]  # noqa: PLW2901
                    if list(reply["content"]) != [shape]:
                        other.append(f"{name} {status}")
                elif status not in {"204", "304", "307"}:
                    content = reply.get("content", {})
                    plain = [kind for kind, media in content.items() if not media["schema"].keys() - {"title"}]
                    if plain or (not content and document is NATIVE):
                        bare.append(f"{name} {status}")
    assert (bare, other) == ([], [])


def test_every_body_and_every_place_in_a_path_has_an_example() -> None:
    """What "Try it out" fills in can be sent unchanged."""
    missing = []
    for document in (NATIVE, FAL):
        for name, operation in operations(document):
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                if kind == "application/json" and "example" not in media:
                    missing.append(f"{name}: its body")
            missing += [
                f"{name}: {parameter['name']}"
                for parameter in operation["parameters"]
                if parameter.get("required") and "example" not in parameter
            ]
    assert missing == []


def test_a_key_is_asked_for_where_one_is_needed() -> None:
    """`security` is empty for operations without a key, and for no others."""
    free = {name.split()[1] for name, operation in operations(NATIVE) if operation.get("security") == []}
    assert free == OPEN
    assert all("401" in one["responses"] for name, one in operations(NATIVE) if name.split()[1] not in OPEN)


def test_every_tag_says_what_it_is_about() -> None:
    """And every operation has one."""
    for document in (NATIVE, FAL):
        described = {tag["name"] for tag in document["tags"] if tag["description"]}
        used = {tag for _, operation in operations(document) for tag in operation["tags"]}
        assert used == described


def test_headers_that_are_read_are_parameters() -> None:
    """So generated clients can send them."""
    found = {
        parameter["name"]: name
        for name, operation in operations(NATIVE)
        for parameter in operation["parameters"]
        if parameter.get("in") == "header"
    }
    assert found.keys() == {"Idempotency-Key", "Prefer", "Last-Event-ID"}
    submit = {one.get("name") for one in NATIVE["paths"]["/v1/jobs"]["post"]["parameters"]}
    assert {"Idempotency-Key", "Prefer"} <= submit
    assert "metadata.NAME" in {one.get("name") for one in NATIVE["paths"]["/v1/jobs"]["get"]["parameters"]}
    x_request_id = {"$ref": "#/components/parameters/X-Request-ID"}
    assert all(x_request_id in operation["parameters"] for _, operation in operations(NATIVE))


def test_every_event_has_its_webhook() -> None:
    """The body of each has the event's type."""
    assert NATIVE["webhooks"].keys() == set(EVENT_TYPES)
    named = {*get_args(JobEventType), *get_args(EndpointEventType), BUDGET_THRESHOLD}
    assert named == set(EVENT_TYPES)
    body = NATIVE["webhooks"]["job.succeeded"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/JobEvent"}


def test_the_server_is_the_public_address() -> None:
    """Also with a path, as behind a proxy."""
    for address in ("https://videos.example.com", "https://example.com/films"):
        base_url = load_settings({"FILMGATE_PUBLIC_URL": address}).base_url
        assert native_document(APP, base_url=base_url)["servers"] == [{"url": address}]


def test_a_web_page_may_send_every_header_that_is_read() -> None:
    """A browser first asks which headers it may send; one that is missing in `CORS` never arrives."""
    parameters = [
        parameter
        for document in (NATIVE, FAL)
        for _, operation in operations(document)
        for parameter in operation.get("parameters", ())
    ]
    named = {parameter["name"].lower() for parameter in parameters if parameter.get("in") == "header"}
    assert len(named) > 5
    assert named - {name.lower() for name in CORS["allow_headers"]} == set()
