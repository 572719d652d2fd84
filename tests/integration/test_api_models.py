"""The registry over HTTP, and what the strict schema rejects."""

import pytest

from tests.integration.refusals import assert_problem, nothing_changes
from tests.support.callers import calling, token
from tests.support.emulator import Emulator
from tests.support.redis_server import RedisServer
from tests.support.stack import ADMIN_KEY, Stack, open_stack

pytestmark = pytest.mark.anyio

KLING = "fal-ai/kling-video/v2/master/image-to-video"
PICTURE = "https://example.com/a.png"
PROSE: dict[str, str | list[str]] = {
    "aspect_ratio": "16:9",
    "special_fx": "hug",
    "static_mask_url": PICTURE,
    "input_image_urls": [PICTURE],
}


async def test_the_list_has_every_model_in_full(stack: Stack) -> None:
    """Each entry equals its own page: schema, price, the price's source and date."""
    reply = await stack.api.get("/v1/models")
    assert reply.status_code == 200
    models = reply.json()["data"]
    assert len(models) == len(stack.gateway.catalog) >= 20
    assert [model["id"] for model in models if model["default"]] == [KLING]
    for model in models:
        assert (await stack.api.get(f"/v1/models/{model['id']}")).json() == model
        assert model["price_source"].startswith("https://") or model["price"] is None
        assert model["input"]["additionalProperties"] is False
    async with calling(stack, ADMIN_KEY) as admin:
        assert (await admin.get("/v1/models")).json()["data"] == models, "the administrator names jobs by them"
        assert (await admin.get(f"/v1/models/{KLING}")).status_code == 200
        assert_problem(await admin.get("/v1/models?page=2"), 422, "invalid_input")
    async with calling(stack, (await token(stack.api, job=(await stack.submit())["id"]))["token"]) as one_job:
        assert_problem(await one_job.get("/v1/models"), 403, "forbidden")


async def test_a_field_says_where_it_is_documented(stack: Stack) -> None:
    """Five fields of the default model are in fal's schema; the others are only in its prose documentation."""
    fields = (await stack.api.get(f"/v1/models/{KLING}")).json()["input"]["properties"]
    prose = {name for name, field in fields.items() if field["documented"] == "prose"}
    assert prose == {"aspect_ratio", "static_mask_url", "dynamic_mask_url", "special_fx", "input_image_urls"}
    assert fields.keys() - prose == {"prompt", "image_url", "duration", "negative_prompt", "cfg_scale"}


async def test_prose_fields_pass_unless_the_schema_is_strict(stack: Stack) -> None:
    """Fields that only the prose documents reach the job's input."""
    body = stack.body()
    body["input"] |= PROSE
    reply = await stack.api.post("/v1/jobs", json=body)
    assert reply.status_code == 202
    assert reply.json()["input"] | PROSE == reply.json()["input"]


async def test_the_strict_schema_refuses_prose_fields(store: RedisServer, emulator: Emulator) -> None:
    """With FILMGATE_STRICT_SCHEMA=1 they are neither shown nor accepted."""
    async with open_stack(store, emulator, FILMGATE_STRICT_SCHEMA="1") as strict:
        fields = (await strict.api.get(f"/v1/models/{KLING}")).json()["input"]["properties"]
        assert {field["documented"] for field in fields.values()} == {"schema"}
        for name, value in PROSE.items():
            body = strict.body()
            body["input"][name] = value
            async with nothing_changes(strict):
                problem = assert_problem(await strict.api.post("/v1/jobs", json=body), 422, "unknown_field")
            assert problem["errors"][0]["pointer"] == f"/input/{name}"
        assert (await strict.submit())["status"] == "queued"
