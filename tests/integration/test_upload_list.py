"""The list of uploaded files."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.refusals import assert_problem
from tests.integration.uploads import initiated, picture, without_key
from tests.support.callers import calling, colleague
from tests.support.clips import clip
from tests.support.emulator import Emulator
from tests.support.endpoints import team_admin
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.storage_deletion import delete_due

pytestmark = pytest.mark.anyio


async def all_files(api: httpx.AsyncClient, *, limit: int) -> list[dict[str, Any]]:
    """Every file of the list, by pages of this size."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        reply = await api.get("/v1/files", params={"limit": str(limit), **cursor})
        assert reply.status_code == 200, reply.text
        page = reply.json()
        assert len(page["data"]) <= limit
        found += page["data"]
        if not page["has_more"]:
            assert page["next_cursor"] is None
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_a_user_lists_its_own_uploads_and_the_team_all(
    store: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """Through every door, the newest first, until they are deleted; other users' only with `team:read`."""
    place = {"FILMGATE_STORAGE": f"local:{tmp_path}/kept"}
    async with (
        open_stack(store, emulator, **place) as keeper,
        without_key(keeper) as web,
        team_admin(keeper) as chief,
    ):
        first = await keeper.api.post("/v1/files", files={"file": ("a.mp4", clip("mp4"))})
        target = await initiated(keeper.api)
        assert (await web.put(target["upload_url"], content=picture())).status_code == 200
        third = await keeper.api.post("/v1/files", files={"file": ("a.png", picture(colour=9))})
        async with calling(keeper, (await colleague(keeper)).key) as other:
            foreign = (await other.post("/v1/files", files={"file": ("a.png", picture(colour=3))})).json()
            assert [file["url"] for file in await all_files(other, limit=50)] == [foreign["url"]]
        for limit in (1, 2, 50):
            files = await all_files(keeper.api, limit=limit)
            assert [file["type"] for file in files] == ["image/png", "image/png", "video/mp4"]
        assert (files[0]["url"], files[2]["url"]) == (third.json()["url"], first.json()["url"])
        assert {"kept": True, "user": keeper.account.user.id, "width": 128, "seconds": 3.0}.items() <= files[
            2
        ].items()
        assert (files[2]["created_at"] < files[2]["expires_at"], files[2]["size"]) == (True, len(clip("mp4")))
        assert {file["url"] for file in await all_files(chief, limit=3)} == {
            foreign["url"],
            *(f["url"] for f in files),
        }
        assert (await chief.delete("/v1/files", params={"url": files[0]["url"]})).status_code == 204
        video = next((tmp_path / "kept").rglob("*.mp4"))
        await keeper.gateway.stores.kept_files.drop([f"files/{keeper.account.team.id}/{video.name}"])
        await delete_due(keeper.gateway)
        assert [(file["type"], file["kept"]) for file in await all_files(keeper.api, limit=50)] == [
            ("image/png", True),
            ("video/mp4", False),
        ]
        assert len(await all_files(chief, limit=50)) == 3
        assert_problem(await keeper.api.get("/v1/files?cursor=x"), 400, "invalid_cursor")
