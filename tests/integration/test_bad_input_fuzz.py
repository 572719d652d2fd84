"""Whatever is sent, no answer is a 5xx."""

import asyncio
import json
import string
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.integration.refusals import LONGEST_PROBLEM
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.stack import ADMIN_KEY, Stack, open_stack

pytestmark = pytest.mark.anyio

QUICK = settings(
    max_examples=settings().max_examples // 2,  # 50, and 150 with --full
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
EACH_ROUTE = 10  # examples


@pytest.fixture(scope="module")
async def stack(redis_server: RedisServer, emulator: Emulator) -> AsyncIterator[Stack]:
    """One gateway for all examples."""
    redis_server.flush()
    async with open_stack(redis_server, emulator) as made:
        yield made


def assert_sane(reply: httpx.Response) -> None:
    """No 5xx; a refusal is a short problem document."""
    assert reply.status_code < 500, reply.text[:500]
    if reply.status_code >= 400:
        assert reply.headers["content-type"] == "application/problem+json"
        assert len(reply.content) <= LONGEST_PROBLEM
        assert reply.json()["status"] == reply.status_code


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["\ud800", "\x00", "NaN", "1e400", "data:", "data:image/png;base64,AAAA", "https://[", "//", "5"]
    )
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
NAMES = ["model", "input", "webhook_url", "metadata", "priority", "deadline", "start_deadline", "max_usd"]
FIELDS = ["prompt", "image_url", "duration", "negative_prompt", "cfg_scale", "special_fx", "input_image_urls"]
almost = st.fixed_dictionaries(
    {"input": st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, values)) | values},
    optional=dict.fromkeys([*NAMES[:1], *NAMES[2:], "x"], values),
)


@given(body=st.binary() | st.text(alphabet=string.printable).map(str.encode))
@QUICK
async def test_no_bytes_are_an_error_of_ours(stack: Stack, body: bytes) -> None:
    """Random bytes as a body."""
    for path in ("/v1/jobs", "/v1/quotes"):
        assert_sane(await stack.api.post(path, content=body, headers={"Content-Type": "application/json"}))


@given(body=values | almost)
@QUICK
async def test_no_json_is_an_error_of_ours(stack: Stack, body: Any) -> None:
    """Random JSON as a body, mostly close to a submission."""
    content = json.dumps(body).encode()
    for path in ("/v1/jobs", "/v1/quotes"):
        assert_sane(await stack.api.post(path, content=content, headers={"Content-Type": "application/json"}))


@given(field=st.sampled_from(FIELDS), value=values)
@QUICK
async def test_no_value_of_a_field_is_an_error_of_ours(stack: Stack, field: str, value: Any) -> None:
    """A valid submission with one field replaced."""
    body = stack.body()
    body["input"][field] = value
    content = json.dumps(body).encode()
    assert_sane(await stack.api.post("/v1/quotes", content=content, headers={"Content-Type": "application/json"}))


@given(name=st.sampled_from(NAMES), value=values)
@QUICK
async def test_no_value_next_to_the_input_is_an_error_of_ours(stack: Stack, name: str, value: Any) -> None:
    """A valid submission with one member replaced."""
    content = json.dumps(stack.body(**{name: value}) if name != "input" else {"input": value}).encode()
    assert_sane(await stack.api.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"}))


latin = st.binary(min_size=0, max_size=80).filter(lambda value: b"\n" not in value and b"\r" not in value)
HEADERS = [
    "Idempotency-Key",
    "Prefer",
    "Last-Event-ID",
    "X-Request-ID",
    "Content-Type",
    "Authorization",
    "Accept",
    "Host",
]


@given(name=st.sampled_from(HEADERS), value=latin)
@QUICK
async def test_no_header_is_an_error_of_ours(stack: Stack, name: str, value: bytes) -> None:
    """A valid submission and a list with one header of random bytes."""
    assert_sane(await stack.api.post("/v1/jobs", json=stack.body(), headers={name.encode(): value}))
    assert_sane(await stack.api.get("/v1/jobs?limit=1", headers={name.encode(): value}))


PARAMETERS = ["status", "model", "limit", "cursor", "metadata.a", "metadata.", "x"]


@given(query=st.dictionaries(st.sampled_from(PARAMETERS), st.text()))
@QUICK
async def test_no_query_is_an_error_of_ours(stack: Stack, query: dict[str, str]) -> None:
    """A list with random parameters."""
    params = {name: value.encode("utf-8", "surrogatepass") for name, value in query.items()}
    assert_sane(await stack.api.get("/v1/jobs", params=params))


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


def probe_all(url: str, key: str, *, administration: bool) -> tuple[int, int]:
    """Call the routes that need a key: how many there were, and how many were also called without the key."""
    headers = {"Authorization": f"Bearer {key}"}
    probed = without_key = 0
    for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path.startswith("/v1/admin/") is not administration or operation.path == "/readyz":
            continue  # without workers it is not ready, and answers so
        probed += 1
        without_key += probe(operation, url, headers)
    return probed, without_key


def probe(operation: APIOperation[Any, Any, Any, Any], url: str, headers: dict[str, str]) -> bool:
    """Call one operation with examples from its description; True when it was also called without the key.

    The first successful call is repeated without a key and with wrong ones, which must be refused. Only once,
    because wrong keys are throttled.
    """
    checks = [*CHECKS, ignored_auth]

    @given(case=operation.as_strategy())
    @settings(QUICK, max_examples=EACH_ROUTE)
    def call(case: schemathesis.Case[Any]) -> None:
        reply = case.call(base_url=url, headers=headers, timeout=10)  # instead of the document's public address
        case.validate_response(reply, checks=checks, headers=headers)
        if reply.status_code < 300 and ignored_auth in checks and list(operation.security.iter_parameters()):
            checks.remove(ignored_auth)

    call()
    return ignored_auth not in checks


@pytest.mark.timeout(300)  # on a busy machine
async def test_every_route_answers_as_it_is_described(server: Server, stack: Stack) -> None:
    """Examples from the OpenAPI document: only documented answers, and none without a key where one is required."""
    user, administrator = stack.account.key, ADMIN_KEY
    for key, administration in ((user, False), (administrator, True)):
        probed, without_key = await asyncio.to_thread(probe_all, server.url, key, administration=administration)
        assert probed >= 25
        assert without_key >= 5
