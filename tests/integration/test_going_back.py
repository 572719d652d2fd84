"""Going back to an older version: it starts with a newer version's settings, and still refuses unknown ones."""

import asyncio
import json
from pathlib import Path

import pytest

from app import __version__
from app.domain.store_role import StoreRole
from app.settings import SettingsError, load_settings
from app.starting import require_store
from app.store.connection import connect, disconnect
from app.store.setting_names import SettingNames
from tests.support.processes import clean_environment, run_command
from tests.support.redis_server import RedisServer
from tests.support.server import running_server
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio

NEWER = "9000.1.0"
NAME = "FILMGATE_OF_THE_NEWER_VERSION"


async def test_only_a_newer_versions_list_allows_a_start(stack: Stack, tmp_path: Path) -> None:
    """`serve` and `worker` refuse with 78, also with their own version's list; then all start, with a warning."""
    settings = {**stack.environment, NAME: "1"}
    names = stack.gateway.stores.setting_names
    await names.note(__version__, [NAME])
    await names.note("0.0.9", [NAME])
    ended = await asyncio.gather(
        *(run_command(role, environment=clean_environment(**settings)) for role in ("serve", "worker"))
    )
    sentence = f"filmgate: {NAME} is not a setting; docs/settings.md lists them all.\n"
    assert [(each.returncode, each.stderr) for each in ended] == [(78, sentence)] * 2

    await names.note(NEWER, [NAME, "FILMGATE_PORT"])
    log = tmp_path / "log"
    async with running_server(settings, log=log), stack.workers(**{NAME: "1"}):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [NAME] in [line.get("names") for line in lines if line["level"] == "warning"]
        assert "FILMGATE_HOST" in await names.newer_than("0.0.1")  # what the server wrote for older versions
        assert NAME not in await names.newer_than(NEWER)
    result = await run_command("teams", "list", "--json", environment=clean_environment(**settings))
    assert (result.returncode, len(json.loads(result.stdout))) == (0, 1)
    assert NAME in result.stderr


async def test_a_name_unknown_to_every_version_is_refused_next_to_a_newer_one(store: RedisServer) -> None:
    """The sentence names the wrong one."""
    client = connect(store.url)
    try:
        await SettingNames(client).note(NEWER, [NAME])
        given = {"FILMGATE_REDIS_URL": store.url, NAME: "1", "FILMGATE_PROT": "1"}
        with pytest.raises(SettingsError, match="FILMGATE_PROT is not a setting"):
            await require_store(load_settings(given, keep_unknown=True), client, role=StoreRole.ADMIN, patience=0)
    finally:
        await disconnect(client)


@pytest.mark.parametrize(
    ("version", "is_newer"),
    [
        ("1.10.0", True),
        ("1.9.1", True),
        ("2", True),
        ("1.9.0", False),
        ("1.8.12", False),
        ("1.9.0rc1", False),
        ("x", False),
    ],
)
async def test_versions_are_compared_as_numbers(store: RedisServer, *, version: str, is_newer: bool) -> None:
    """Against 1.9.0; compared as text, 1.10.0 would be older."""
    client = connect(store.url)
    try:
        names = SettingNames(client)
        await names.note(version, [NAME])
        assert (NAME in await names.newer_than("1.9.0")) is is_newer
    finally:
        await disconnect(client)
