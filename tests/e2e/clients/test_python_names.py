"""fal's client for Python where names decide: versions before 0.11, and fal's own host names led to Filmgate."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.customers import FAL_NAMES, OLD_HOST, OLD_NAMES, Customers, Ended, picture
from tests.support.name_proxy import NameProxy

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

SCRIPT = Path(__file__).parent / "py" / "whole.py"
BEFORE_0_11 = ["fal-client-0.5", "fal-client-0.10"]
EVERY = [*BEFORE_0_11, "fal-client-0", ""]  # the newest is in this environment


async def whole(customers: Customers, client: str, proxy: str, *, env: dict[str, str], **options: Any) -> Ended:
    """The program to its end, with this version of the client."""
    wrong = customers.input(customers.prompt(), duration="7")
    given = json.dumps({"wrong": wrong, **options})
    path = {"PYTHONPATH": customers.earlier(client)} if client else {}
    async with customers.by_name(SCRIPT, given, proxy=proxy, **env, **path) as program:
        return await program.ended()


async def assert_whole(customers: Customers, prompt: str, ended: Ended) -> None:
    """One clip was bought and has arrived, by way of the queue; the wrong input was 422."""
    assert ended.outcome["updates"][-1] == "Completed", ended.outcome
    assert ended.outcome["wrong"]["status"] == 422, ended.outcome
    await customers.assert_one_purchase(prompt, ended.result)


async def test_versions_before_0_11_work_with_the_documented_lines(customers: Customers, tmp_path: Path) -> None:
    """Upload, clip and error, of 0.5.9 and 0.10: nothing is asked of fal's hosts."""
    file = tmp_path / "first frame.jpg"
    file.write_bytes(picture())

    async def one(client: str) -> None:
        prompt = customers.prompt()
        more = {"gateway": customers.installation.serve.url, "file": str(file), "input": customers.input(prompt)}
        ended = await whole(customers, client, proxy.url, env={"NO_PROXY": "127.0.0.1"}, **more)
        await assert_whole(customers, prompt, ended)
        assert ended.outcome["url"].startswith(customers.installation.emulator.url)

    async with NameProxy(customers.installation.serve.port, []) as proxy:
        await asyncio.gather(*map(one, BEFORE_0_11))
        assert proxy.asked == set()


async def test_versions_before_0_11_find_the_queue_under_its_name(customers: Customers) -> None:
    """With FAL_RUN_HOST alone they ask `queue.…/fal/run` and get an id; `run` waits under the other name."""

    async def one(client: str) -> None:
        prompt, second = customers.prompt(), customers.prompt()
        env = {"FAL_RUN_HOST": f"{OLD_HOST}/fal/run", "NO_PROXY": "127.0.0.1"}
        more = {"input": customers.input(prompt), "run": customers.input(second)}
        ended = await whole(customers, client, proxy.url, env=env, **more)
        await assert_whole(customers, prompt, ended)
        await customers.assert_one_purchase(second, ended.outcome["ran"])

    async with NameProxy(customers.installation.serve.port, OLD_NAMES) as proxy:
        await asyncio.gather(*map(one, BEFORE_0_11))
        assert proxy.asked == set(OLD_NAMES)


async def test_where_fals_names_lead_here_nothing_but_the_key_is_changed(
    customers: Customers, tmp_path: Path
) -> None:
    """Four versions with no address of ours anywhere: upload, run, clip and error, all under fal's hosts."""
    file = tmp_path / "first frame.jpg"
    file.write_bytes(picture())

    async def one(client: str) -> None:
        prompt, second = customers.prompt(), customers.prompt()
        more = {"file": str(file), "input": customers.input(prompt), "run": customers.input(second)}
        ended = await whole(customers, client, proxy.url, env={}, **more)
        await assert_whole(customers, prompt, ended)
        await customers.assert_one_purchase(second, ended.outcome["ran"])
        assert ended.outcome["url"].startswith(customers.installation.emulator.url)

    async with NameProxy(customers.installation.serve.port, FAL_NAMES) as proxy:
        await asyncio.gather(*map(one, EVERY))
        assert proxy.asked == {"queue.fal.run", "fal.run", "rest.fal.ai", "rest.alpha.fal.ai", "v3.fal.media"}
