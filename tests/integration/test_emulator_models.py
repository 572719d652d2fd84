"""What the emulator says of its models, as fal does: lists, schemas, prices; and changes on request."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.support.emulator import KLING, Emulator, FalCaller

pytestmark = pytest.mark.anyio
PREFIX = "fal-ai/kling-video/"
O3, V4 = "fal-ai/kling-video/o3/standard/image-to-video", "kling/v4/image-to-video"
EDIT = "kling/v4/video-to-video/edit"
FLASH = "kling/v4/flash/image-to-video"  # its price was not found


@pytest.fixture
async def anyone(fal: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, of an emulator without changes."""
    async with httpx.AsyncClient(base_url=fal.url, trust_env=False) as web:
        yield web
    await fal.drift({})
    await fal.trouble_platform()


async def models(web: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """All pages of `/v1/models`."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await web.get("/v1/models", params={**query, "cursor": cursor})).json()
        rows += page["models"]
        if not page["has_more"]:
            assert page["next_cursor"] is None
            return rows
        cursor = page["next_cursor"]


def input_of(row: dict[str, Any]) -> dict[str, Any]:
    """The input's schema, found as a reader of fal's documents finds it: by the reference of the submit's body."""
    described = row["openapi"]
    body = described["paths"][f"/{row['endpoint_id']}"]["post"]["requestBody"]["content"]["application/json"]
    schema: dict[str, Any] = described["components"]["schemas"][body["schema"]["$ref"].rsplit("/", 1)[1]]
    return schema


async def test_the_list_of_models_needs_no_key_and_has_pages(anyone: httpx.AsyncClient) -> None:
    """Every id once, whatever the size of the pages; by words, by category and by status."""
    everything = [row["endpoint_id"] for row in await models(anyone, limit=100)]
    assert everything == [row["endpoint_id"] for row in await models(anyone, limit=7)]
    assert len(everything) == len(set(everything)) > 70
    assert [row["endpoint_id"] for row in await models(anyone, q="kling 4.0 edit")] == [EDIT]
    old = await models(anyone, status="deprecated")
    assert {row["metadata"]["status"] for row in old} == {"deprecated"}
    assert len(old) + len(await models(anyone, status="active")) == len(everything)
    assert all(
        row["endpoint_id"].endswith("text-to-video") for row in await models(anyone, category="text-to-video")
    )


async def test_a_schema_is_that_of_fals_documents(anyone: httpx.AsyncClient) -> None:
    """Types, defaults, null, order and limits in fal's words; the same document as the site's."""
    (edit, frames) = await models(anyone, endpoint_id=[EDIT, V4], expand="openapi-3.0")
    schema = input_of(frames)
    duration = schema["properties"]["duration"]
    assert duration["anyOf"] == [{"type": "integer", "minimum": 3, "maximum": 30}, {"type": "null"}]
    assert (duration["default"], schema["properties"]["resolution"]["default"]) == (5, "1080p")
    assert schema["required"] == ["start_image_url"]
    assert schema["x-fal-order-properties"] == list(schema["properties"])
    assert "Max file size: 300.0MB, Min width: 700px" in input_of(edit)["properties"]["video_url"]["description"]
    site = await anyone.get("/api/openapi/queue/openapi.json", params={"endpoint_id": V4})
    assert site.json() == frames["openapi"]
    assert (
        await anyone.get("/api/openapi/queue/openapi.json", params={"endpoint_id": "kling/v9"})
    ).status_code == 404


async def test_names_and_long_lists_are_whole(anyone: httpx.AsyncClient) -> None:
    """Titles as fal writes them; 46 voices and 198 effects."""
    lipsync, effects = f"{PREFIX}lipsync/text-to-video", f"{PREFIX}v1.6/pro/effects"
    rows = await models(anyone, endpoint_id=[V4, lipsync, effects], expand="openapi-3.0")
    titles = [row["metadata"]["display_name"] for row in rows]
    assert titles == ["Kling 4.0 Image to Video", "Kling Lipsync Text to Video", "Kling 1.6 Pro Effects"]
    voices = input_of(rows[1])["properties"]["voice_id"]["enum"]
    scenes = input_of(rows[2])["properties"]["effect_scene"]["enum"]
    assert (len(voices), voices[0], len(scenes), scenes[0]) == (46, "genshin_vindi2", 198, "hug")


async def test_one_unknown_id_makes_a_batch_404(anyone: httpx.AsyncClient, caller: FalCaller) -> None:
    """In lists and prices, and the form with commas too; prices need a key."""
    for path in ("/v1/models", "/v1/models/pricing"):
        for wanted in ([KLING, "kling/v9/image-to-video"], f"{KLING},{V4}"):
            answer = await caller.web.get(path, params={"endpoint_id": wanted})
            assert answer.status_code == 404
            assert answer.json()["error"]["type"] == "not_found"
    assert (await anyone.get("/v1/models/pricing", params={"endpoint_id": KLING})).status_code == 401
    assert (await caller.web.get("/v1/models/pricing", params={"endpoint_id": [KLING, FLASH]})).status_code == 404


async def test_a_unit_price_is_only_a_scale_where_there_is_a_sentence(caller: FalCaller) -> None:
    """O3's unit price is the same for both tiers, its sentence has the price; O1 has no sentence."""
    o1 = "fal-ai/kling-video/o1/image-to-video"
    wanted = {"endpoint_id": [KLING, O3, O3.replace("standard", "pro"), o1]}
    prices = (await caller.web.get("/v1/models/pricing", params=wanted)).json()["prices"]
    assert [(row["unit_price"], row["unit"]) for row in prices] == [
        (0.28, "seconds"),
        (0.14, "seconds"),
        (0.14, "seconds"),
        (0.112, "seconds"),
    ]
    items = []
    for number in (1, 2):
        answer = await caller.web.get("/api/models", params={"page": number, "total": 50, "keywords": "kling"})
        items += answer.json()["items"]
    said = {item["id"]: item["pricingInfoOverride"] for item in items}
    assert said[KLING] == (
        "For 5s video your request will cost $1.40. For every aditional second you will be charged $0.28."
    )
    assert said[O3] == (
        "For every second of video you generated, you will be charged $0.084 (audio off) or $0.112 (audio on)."
    )
    assert said[EDIT] == (
        "Video costs **$0.094** per second at **720p** and **$0.141** per second at **1080p**, "
        "billed on the input plus output length (minimum 2\N{MULTIPLICATION SIGN} the output)."
    )
    assert said[o1] is None


async def test_models_change_on_request(fal: Emulator, anyone: httpx.AsyncClient, caller: FalCaller) -> None:
    """One is gone, one deprecated, one new, one has other fields and prices; an empty change ends it all."""
    before = await models(anyone, expand="openapi-3.0")
    new = "kling/v5/image-to-video"
    await fal.drift(
        {
            O3: {"absent": True},
            EDIT: {"status": "deprecated"},
            new: {"like": V4},
            KLING: {
                "fields": {"seed": {"type": "integer"}, "cfg_scale": None},
                "unit_price": 0.3,
                "price_text": "Ask us.",
            },
            FLASH: {"unit_price": 0.094},
            V4: {"openapi_fails": True},
        }
    )
    rows = {row["endpoint_id"]: row for row in await models(anyone, expand="openapi-3.0")}
    assert O3 not in rows
    assert rows[EDIT]["metadata"]["status"] == "deprecated"
    assert input_of(rows[new])["required"] == ["start_image_url"]
    assert input_of(rows[KLING])["properties"].keys() >= {"prompt", "seed"}
    assert "cfg_scale" not in input_of(rows[KLING])["properties"]
    assert rows[V4]["openapi"]["error"]["code"] == "expansion_failed"
    wanted = {"endpoint_id": [KLING, FLASH, new]}
    prices = (await caller.web.get("/v1/models/pricing", params=wanted)).json()["prices"]
    assert [row["unit_price"] for row in prices] == [0.3, 0.094, 0.157]
    items = (await anyone.get("/api/models", params={"total": 100, "keywords": KLING})).json()["items"]
    assert [item["pricingInfoOverride"] for item in items] == ["Ask us."]
    await fal.drift({})
    assert await models(anyone, expand="openapi-3.0") == before


@pytest.mark.parametrize(
    "change", [{"kling/v9": {}}, {KLING: {"colour": 1}}, {KLING: {"unit_price": -1}}, {KLING: {"status": "old"}}]
)
async def test_a_wrong_change_is_refused_and_changes_nothing(
    fal: Emulator, anyone: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    """400 with a sentence; what was asked for before stays."""
    await fal.drift({O3: {"absent": True}})
    answer = await anyone.post("/emulator/models", json=change)
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert (await anyone.get("/v1/models", params={"endpoint_id": O3})).status_code == 404


async def test_too_many_calls_are_refused_as_often_as_asked(fal: Emulator, anyone: httpx.AsyncClient) -> None:
    """The first two answers are 429 with Retry-After, the third is the list."""
    await fal.trouble_platform(status=429, retry_after=2, times=2)
    answers = [await anyone.get("/v1/models", params={"limit": 1}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "2"
    assert answers[0].json()["error"]["type"] == "rate_limited"
