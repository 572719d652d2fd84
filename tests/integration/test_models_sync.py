"""`filmgate models sync` against the emulated fal: clean, drifted, with an unknown id; waits, keys, files."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.registry.catalog import Catalog
from app.registry.files import read_directory
from tests.support.command import Ended, command_on
from tests.support.emulator import Emulator
from tests.support.receiver import Receiver, Reply
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.anyio

V3 = "fal-ai/kling-video/v3/pro/image-to-video"
MASTER = "fal-ai/kling-video/v2.1/master/image-to-video"
OLD = "fal-ai/kling-video/v2/master/text-to-video"
SILENT = "fal-ai/kling-video/v2.1/pro/image-to-video"
NEW = "kling/v9/text-to-video"
KEY = "the-fal-key-of-these-tests"
Sync = Callable[..., Awaitable[Ended]]


@pytest.fixture
async def sync(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    redis_server: RedisServer,
    emulator: Emulator,
) -> AsyncIterator[Sync]:
    """Runs `filmgate models sync …` with fal's key; `models`: the operator's directory."""
    command = command_on(monkeypatch, capsys, redis_server)
    monkeypatch.setenv("FILMGATE_FAL_API_URL", emulator.url)
    monkeypatch.setenv("FAL_KEY", KEY)

    async def run(*words: str, models: Path | None = None) -> Ended:
        if models is not None:
            monkeypatch.setenv("FILMGATE_MODELS", str(models))
        return await asyncio.to_thread(command, "models", "sync", *words)

    yield run
    await emulator.drift({})
    await emulator.trouble_platform()


async def changes(sync: Sync, models: Path) -> dict[str, dict[str, Any]]:
    """What differs, by model."""
    ended = await sync("--json", models=models)
    return {drift["id"]: drift for drift in json.loads(ended.out)["drifts"]}


async def test_drafts_make_it_clean_and_a_drifted_fal_is_told_line_by_line(
    sync: Sync, emulator: Emulator, tmp_path: Path
) -> None:
    """Drafts of all that is new can be used as they are; then --check is clean until fal changes."""
    drafts = tmp_path / "drafts"
    assert (await sync("--write", str(drafts))).code == 0
    written = {entry.id: entry for entry in read_directory(drafts)}
    clean = await sync("--check", models=drafts)
    assert (clean.code, clean.out.splitlines()[-1]) == (0, "Nothing differs.")
    assert all(entry.price is not None or entry.price_note for entry in written.values())

    durations = {"type": "string", "enum": [str(number) for number in range(3, 21)], "default": "6"}
    await emulator.drift(
        {
            NEW: {"like": "kling/v4/text-to-video"},
            MASTER: {"status": "deprecated"},
            OLD: {"absent": True},
            V3: {
                "fields": {"duration": durations, "seed": {"type": "integer"}, "shot_type": None},
                "price_text": "For every second of video you generated, you will be charged $0.2 (audio off) "
                "or $0.3 (audio on), if voice control is used while generating audio you will be charged $0.4.",
            },
            SILENT: {"price_text": "Ask our sales team.", "unit_price": 7.5},
        }
    )
    drifted = await sync("--check", models=drafts)
    assert drifted.code == 1
    found = await changes(sync, drafts)
    assert {model_id: drift["change"] for model_id, drift in found.items()} == {
        NEW: "new", MASTER: "deprecated", OLD: "not at fal", V3: "different", SILENT: "different",
    }  # fmt: skip
    lines = found[V3]["lines"]
    assert lines[0].startswith("~ duration: 3, 4, 5, ")
    assert lines[1:4] == ["~ duration: default 5 → 6", "+ seed: integer", lines[3]]
    assert lines[3].startswith("- shot_type: customize, intelligent")
    assert lines[4].endswith(
        " → $0.20/s when generate_audio is false, else $0.40/s when elements has voice_id, else $0.30/s"
    )
    assert lines[5].startswith("  fal says: For every second of video")
    draft = found[V3]["draft"]
    assert draft["input"]["properties"]["duration"]["enum"][-1] == "20"
    assert draft["price"]["variants"][-1] == {"per_second_usd": "0.30"}
    assert found[MASTER]["draft"]["status"] == "deprecated"
    for line in ("~ price: ", "+ seed: integer", NEW, MASTER, OLD):
        assert line in drifted.out
    # A sentence that is not understood leaves the price, whatever the unit price says.
    assert "not one that a program understands" in found[SILENT]["lines"][0]
    assert found[SILENT]["draft"]["price"]["each_further_second_usd"] == "0.098"


async def test_without_a_key_schemas_are_compared_and_unit_prices_are_not(
    sync: Sync, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A draft whose price only a key could see has none, and says why; it is never written over another file."""
    monkeypatch.delenv("FAL_KEY")
    await emulator.drift({NEW: {"like": "fal-ai/kling-video/o1/image-to-video"}})
    ended = await sync("--write", str(tmp_path))
    assert ended.code == 0
    assert "set FAL_KEY to compare them" in ended.out
    (draft,) = [entry for entry in read_directory(tmp_path) if entry.id == NEW]
    assert (draft.price, draft.price_note) == (None, "fal shows its unit price to a key")
    mine = tmp_path / "kling-v9-text-to-video.json"
    mine.write_text("mine", "utf-8")
    again = await sync("--write", str(tmp_path))
    assert (again.code, mine.read_text("utf-8")) == (1, "mine")
    assert f"kept: {mine} (--overwrite replaces it)" in again.out
    assert "drafts were not written, because other files are there" in again.err
    assert (await sync("--overwrite")).code == 2


async def test_a_wait_that_fal_asks_for_is_kept_and_said(sync: Sync, emulator: Emulator) -> None:
    """Two answers 429 with `Retry-After: 1`, then the comparison; an hour is not waited for."""
    await emulator.trouble_platform(status=429, retry_after=1, times=2)
    ended = await sync("--json", "--schemas-only")
    assert ended.code == 0
    await emulator.trouble_platform(status=429, retry_after=3600)
    refused = await sync()
    assert refused.refused(1) == "fal asks to wait 3600 s; run the command again after that."
    await emulator.trouble_platform(status=403)
    assert "is FAL_KEY a key of its account?" in (await sync()).err


async def test_the_key_is_sent_for_unit_prices_alone(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with lists of models, not to the site, and to no other host."""
    plain = {"id": V3, "title": "x", "pricingInfoOverride": None}
    async with Receiver() as api, Receiver() as site:
        empty = Reply(body=json.dumps({"models": [], "has_more": False}).encode(), headers={"Connection": "close"})
        listed = {"models": [{"endpoint_id": V3, "metadata": {"status": "active"}}], "has_more": False}
        model = Reply(body=json.dumps(listed).encode(), headers={"Connection": "close"})
        batches = -(-len(Catalog.load()) // 50)
        api.answers([empty, *[model] * batches, Reply(401, {"Connection": "close"})])
        site.answers([Reply(body=json.dumps({"items": [plain]}).encode(), headers={"Connection": "close"})])
        monkeypatch.setenv("FILMGATE_FAL_API_URL", api.url)
        monkeypatch.setenv("FILMGATE_FAL_SITE_URL", site.url)
        ended = await sync()
        assert "fal refuses the request (HTTP 401)" in ended.err
        sent = [(one.target.partition("?")[0], one.headers.get("authorization")) for one in api.requests]
        assert sent == [*[("/v1/models", None)] * (1 + batches), ("/v1/models/pricing", f"Key {KEY}")]
        assert [one.headers.get("authorization") for one in site.requests] == [None]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'{"models": 3}',
        b'{"models": [null, {"endpoint_id": 3}, {"endpoint_id": "../../etc/x"}, {"endpoint_id": "a/requests/b"}]}',
        b'{"models": [], "next_cursor": "again", "has_more": true}',
    ],
)
async def test_an_odd_answer_is_a_sentence_and_writes_nothing(
    sync: Sync, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: bytes
) -> None:
    """Ids that are no ids never become addresses or file names."""
    async with Receiver() as api:
        api.answers([Reply(body=body, headers={"Connection": "close"})] * 200)
        monkeypatch.setenv("FILMGATE_FAL_API_URL", api.url)
        ended = await sync("--check", "--write", str(tmp_path / "drafts"))
        assert ended.code == 1
        assert "Traceback" not in ended.err
        assert not (tmp_path / "drafts").exists()
        assert all("etc" not in one.target for one in api.requests)
