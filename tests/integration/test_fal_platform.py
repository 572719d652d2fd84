"""`/fal/api`: models and prices as fal's platform API answers them, for programs that ask it beside the queue."""

from typing import Any

import httpx
import pytest

from tests.support.callers import another_key, calling
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

V3 = "fal-ai/kling-video/v3/pro/image-to-video"
V2 = "fal-ai/kling-video/v2/master/image-to-video"
MODELS, PRICING = "/fal/api/v1/models", "/fal/api/v1/models/pricing"


async def listed(api: httpx.AsyncClient, **query: Any) -> list[str]:
    """The ids of all pages."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        reply = await api.get(MODELS, params={**query, **({"cursor": cursor} if cursor else {})})
        assert reply.status_code == 200, reply.text
        page = reply.json()
        ids += [model["endpoint_id"] for model in page["models"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if cursor is None:
            return ids


async def test_a_credential_test_passes_with_a_key_and_fails_without(stack: Stack) -> None:
    """n8n's: `GET /v1/models?limit=1` with `Authorization: Key …`; a wrong key is fal's authorization_error."""
    reply = await stack.api.get(f"{MODELS}?limit=1", headers={"Authorization": f"Key {stack.account.key}"})
    assert reply.status_code == 200
    assert len(reply.json()["models"]) == 1
    for headers in ({"Authorization": "Key fg_live_wrong"}, {"Authorization": ""}):
        refused = await stack.api.get(f"{MODELS}?limit=1", headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authorization_error"
        assert refused.json()["error"].keys() == {"type", "message", "docs_url", "request_id"}


async def test_pages_and_filters_have_every_model_once(stack: Stack) -> None:
    """Page by page the ids of /v1/models with a price; words, category, status and ids narrow them as at fal."""
    views = [model for model in (await stack.api.get("/v1/models")).json()["data"] if model["priced"]]
    every = [model["id"] for model in views]
    assert await listed(stack.api, limit=9) == every
    assert await listed(stack.api, limit=1000) == every
    assert await listed(stack.api, q="V3 pro") == [one for one in every if "/v3/" in one and "/pro/" in one]
    movies = await listed(stack.api, category="text-to-video")
    assert movies == [model["id"] for model in views if model["kind"] == "text-to-video"]
    active, deprecated = await listed(stack.api, status="active"), await listed(stack.api, status="deprecated")
    assert sorted(active + deprecated) == sorted(every)
    assert V3 in active
    assert await listed(stack.api, endpoint_id=[V3, V2, V3]) == [V3, V2]
    assert await listed(stack.api, endpoint_id=f"{V3},{V2}") == [V3, V2]
    assert await listed(stack.api, q="flux") == []


async def test_a_key_for_some_models_is_shown_no_other(stack: Stack) -> None:
    """A program offers its user what is listed, so that is what the key can use; ids are answered all the same."""
    narrow = await another_key(stack, models=[V2])
    async with calling(stack, narrow.key) as api:
        assert await listed(api) == [V2]
        assert await listed(api, endpoint_id=V3) == [V3]


async def test_a_schema_is_expanded_for_generated_forms(stack: Stack) -> None:
    """What n8n's form reads: the schema that ends with Input, its order, types and choices; and where to post."""
    reply = await stack.api.get(MODELS, params={"endpoint_id": V3, "expand": "openapi-3.0"})
    (model,) = reply.json()["models"]
    document = model["openapi"]
    schemas = document["components"]["schemas"]
    (given,) = (schema for name, schema in schemas.items() if name.endswith("Input"))
    (made,) = (schema for name, schema in schemas.items() if name.endswith("Output"))
    ours = (await stack.api.get(f"/v1/models/{V3}")).json()["input"]
    assert given["x-fal-order-properties"] == list(ours["properties"])
    assert given["required"] == ours["required"]
    assert given["properties"]["duration"]["enum"] == ours["properties"]["duration"]["enum"]
    assert "documented" not in reply.text
    assert "video" in made["properties"]
    assert document["servers"] == [{"url": "http://filmgate.test/fal/queue"}]
    assert f"/{V3}" in document["paths"]
    plain = (await stack.api.get(MODELS, params={"endpoint_id": V3})).json()["models"][0]
    assert "openapi" not in plain
    assert plain["metadata"]["model_url"] == f"http://filmgate.test/fal/run/{V3}"
    assert (plain["metadata"]["category"], plain["metadata"]["status"]) == ("image-to-video", "active")


async def test_behind_the_proxy_the_addresses_are_fals(stack: Stack) -> None:
    """`x-fal-target-url` may name the platform API; the queue of a model is then where the caller knows it."""
    target = {"x-fal-target-url": f"https://api.fal.ai/v1/models?endpoint_id={V3}&expand=openapi-3.0"}
    reply = await stack.api.get("/fal/proxy", headers=target)
    (model,) = reply.json()["models"]
    assert model["openapi"]["servers"] == [{"url": "https://queue.fal.run"}]
    assert model["metadata"]["model_url"] == f"https://fal.run/{V3}"


async def test_a_price_is_that_of_a_second_of_the_default_input(stack: Stack) -> None:
    """$1.40 for 5 s is 0.28 a second; with sound, the default of v3, 0.168; one page in fal's shape."""
    reply = await stack.api.get(PRICING, params={"endpoint_id": [V2, V3]})
    assert reply.json() == {
        "prices": [
            {"endpoint_id": V2, "unit_price": 0.28, "unit": "seconds", "currency": "USD"},
            {"endpoint_id": V3, "unit_price": 0.168, "unit": "seconds", "currency": "USD"},
        ],
        "next_cursor": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    ("address", "status", "kind", "said"),
    [
        (f"{PRICING}?endpoint_id=fal-ai/flux/dev", 404, "not_found", "no such model"),
        (f"{PRICING}?endpoint_id={V2}&endpoint_id=fal-ai/flux/dev", 404, "not_found", "no such model"),
        (PRICING, 400, "validation_error", "endpoint_id is required"),
        (f"{MODELS}?{'&'.join(f'endpoint_id=a/{number}' for number in range(51))}", 400, "validation_error", "50"),
        (f"{MODELS}?limit=0", 400, "validation_error", "limit"),
        (f"{MODELS}?limit=many", 400, "validation_error", "limit"),
        (f"{MODELS}?cursor=!!", 400, "validation_error", "cursor"),
        (f"{MODELS}?cursor={'MQ' * 40}", 400, "validation_error", "cursor"),
        (f"{MODELS}?status=new", 400, "validation_error", "status"),
        ("/fal/api/v1/models/usage", 404, "not_found", "Not Found"),
        ("/fal/api/v1/account/billing", 404, "not_found", "Not Found"),
    ],
)
async def test_what_is_wrong_is_said_in_fals_shape(
    stack: Stack, address: str, status: int, kind: str, said: str
) -> None:
    """One of fal's words for the type, and a sentence that says what is wrong."""
    reply = await stack.api.get(address)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error["type"] == kind
    assert said in error["message"]
    assert error["request_id"] == reply.headers["x-fal-request-id"]


async def test_other_parameters_are_dropped_with_a_warning(stack: Stack) -> None:
    """As on the rest of fal's door."""
    reply = await stack.api.get(f"{MODELS}?limit=1&sort=new&expand=enterprise_status")
    assert reply.status_code == 200
    assert reply.headers["x-filmgate-warning"] == "dropped unknown query parameters: sort"


async def test_the_smallest_key_reads_models_and_prices(stack: Stack) -> None:
    """No scope is needed: what a model costs is no secret among callers."""
    smallest = await another_key(stack, scopes=frozenset())
    async with calling(stack, smallest.key) as api:
        assert (await api.get(MODELS)).status_code == 200
        assert (await api.get(PRICING, params={"endpoint_id": V2})).status_code == 200
