"""Uploaded files that a team deletes itself."""

from pathlib import Path

import pytest

from tests.integration.refusals import assert_problem
from tests.integration.uploads import initiated, picture, uploaded, without_key
from tests.support.callers import calling, colleague
from tests.support.emulator import Emulator
from tests.support.endpoints import team_admin
from tests.support.redis_server import RedisServer
from tests.support.stack import open_stack
from workers.storage_deletion import delete_due

pytestmark = pytest.mark.anyio


async def test_an_uploaded_file_is_deleted_by_its_url(
    store: RedisServer, emulator: Emulator, tmp_path: Path
) -> None:
    """Fal's URL or ours: its user and the team's administrator may, nobody else; it counts no longer at once."""
    content, place = picture(), {"FILMGATE_STORAGE": f"local:{tmp_path}/kept"}
    async with (
        open_stack(store, emulator, **place) as keeper,
        without_key(keeper) as web,
        team_admin(keeper) as chief,
    ):
        kept, team = keeper.gateway.stores.kept_files, keeper.account.team.id
        other = (await colleague(keeper)).key
        for deleter in (keeper.api, chief):
            url = await uploaded(keeper.api)
            target = await initiated(keeper.api)
            assert (await web.put(target["upload_url"], content=content)).status_code == 200
            assert (await kept.use(team)).used == 2 * len(content)
            for address in (url, target["file_url"]):
                async with calling(keeper, other) as stranger:
                    refused = await stranger.delete("/v1/files", params={"url": address})
                assert_problem(refused, 404, "not_found")
                assert (await deleter.delete("/v1/files", params={"url": address})).status_code == 204
                assert (await deleter.delete("/v1/files", params={"url": address})).status_code == 404
            assert (await kept.use(team)).used == 0
        await delete_due(keeper.gateway)
        assert_problem(await keeper.api.delete("/v1/files"), 422, "invalid_input")
    assert not list((tmp_path / "kept").rglob("*.png"))
