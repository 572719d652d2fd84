"""Uploads in parts: how many are allowed, and which host has them."""

import os
from pathlib import Path

import pytest

from app.store.uploads import MAX_UNFINISHED, MAX_UNFINISHED_PER_TEAM
from tests.integration.uploads import (
    IN_PARTS,
    assert_refused,
    completed,
    cut,
    initiated,
    picture,
    put_parts,
    without_key,
)
from tests.support.callers import another_key, calling, stranger
from tests.support.stack import Stack, open_stack

pytestmark = pytest.mark.anyio


async def first_part(stack: Stack, address: str, status: int, *words: str) -> None:
    """Send one byte as the first part; the answer is as expected."""
    path, _, query = address.partition("?")
    async with without_key(stack) as web:
        reply = await web.put(f"{path}/1?{query}", content=b"x")
    if status == 200:
        assert reply.status_code == status, reply.text
    else:
        assert_refused(reply, status, *words)


async def test_a_team_may_have_so_many_uploads_in_parts(stack: Stack) -> None:
    """One more is refused, whichever key asks; parts of an open one are accepted, and complete makes room."""
    uploads = [await initiated(stack.api, where=IN_PARTS) for _ in range(MAX_UNFINISHED_PER_TEAM)]
    for upload in uploads:
        await first_part(stack, upload["upload_url"], 200)
    async with calling(stack, (await another_key(stack)).key) as other:
        further = await initiated(other, where=IN_PARTS)
    await first_part(stack, further["upload_url"], 403, "unfinished")
    async with calling(stack, await stranger(stack)) as theirs:
        await first_part(stack, (await initiated(theirs, where=IN_PARTS))["upload_url"], 200)
    async with without_key(stack) as web:
        named = await put_parts(web, uploads[0]["upload_url"], cut(picture(), 2))
        assert (await completed(web, uploads[0]["upload_url"], named)).status_code == 200
    await first_part(stack, further["upload_url"], 200)


async def test_all_teams_share_one_bound(stack: Stack) -> None:
    """All teams share the disk: 503 with a time at the limit, and room again an hour later."""
    for _ in range(MAX_UNFINISHED // MAX_UNFINISHED_PER_TEAM):
        async with calling(stack, await stranger(stack)) as theirs:
            for _ in range(MAX_UNFINISHED_PER_TEAM):
                await first_part(stack, (await initiated(theirs, where=IN_PARTS))["upload_url"], 200)
    mine = await initiated(stack.api, where=IN_PARTS)
    await first_part(stack, mine["upload_url"], 503, "in one go")


async def test_another_host_refuses_parts_that_it_does_not_have(stack: Stack, tmp_path: Path) -> None:
    """A host with another folder refuses parts and the complete call with a remedy; the first host continues."""
    upload = await initiated(stack.api, where=IN_PARTS)
    parts = cut(picture(), 2)
    async with without_key(stack) as web:
        named = await put_parts(web, upload["upload_url"], parts)
    async with (
        open_stack(stack.redis, stack.emulator, FILMGATE_DATA_DIR=str(tmp_path)) as other,
        without_key(other) as elsewhere,
    ):
        path, _, query = upload["upload_url"].partition("?")
        again = await elsewhere.put(f"{path}/2?{query}", content=parts[2])
        assert_refused(again, 400, "Another host", "one host")
        assert_refused(await completed(elsewhere, upload["upload_url"], named), 400, "Another host")
    async with without_key(stack) as web:
        assert (await completed(web, upload["upload_url"], named)).status_code == 200


async def test_hosts_may_share_one_folder(stack: Stack) -> None:
    """A second host on the same data directory accepts the other parts and the complete call."""
    upload = await initiated(stack.api, where=IN_PARTS)
    parts = cut(picture(), 2)
    async with without_key(stack) as web:
        named = await put_parts(web, upload["upload_url"], {1: parts[1]})
    shared = str(stack.settings.data_dir)
    async with (
        open_stack(stack.redis, stack.emulator, FILMGATE_DATA_DIR=shared) as other,
        without_key(other) as web,
    ):
        named += await put_parts(web, upload["upload_url"], {2: parts[2]})
        assert (await completed(web, upload["upload_url"], named)).status_code == 200


async def test_a_host_that_cannot_store_parts_is_503(stack: Stack, tmp_path: Path) -> None:
    """503 with what to do instead."""
    (tmp_path / "uploads").write_text("no folder")
    async with open_stack(stack.redis, stack.emulator, FILMGATE_DATA_DIR=os.fspath(tmp_path)) as broken:
        await first_part(broken, (await initiated(broken.api, where=IN_PARTS))["upload_url"], 503, "in one go")
