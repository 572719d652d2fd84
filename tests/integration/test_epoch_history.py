"""After the store went back in time, fal's history and webhooks show what was bought."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.jobs import Status
from tests.integration.restored_store import restarted, restored_store
from tests.support.redis_server import RedisServer
from workers.recovery import recover_epoch

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A store that a test restores from an older copy."""
    with RedisServer() as made:
        yield made


async def test_history_gives_the_jobs_in_line_their_requests(server: RedisServer, tmp_path: Path) -> None:
    """Bought after the copy, in line in the copy: adopted, not bought twice, and buying continues by itself."""
    async with restored_store(server, tmp_path, bought=2) as (pipeline, jobs, ids):
        async with restarted(pipeline.stack) as gateway:
            posts = await pipeline.posts()
            assert (await gateway.epoch.state()).stopped is not None
            assert await recover_epoch(gateway)
            assert (await gateway.epoch.state()).stopped is None
            newest = await gateway.stores.alarms.newest(5)
            (over,) = [row.message for row in newest if (row.kind, row.state) == ("epoch_stopped", "resolved")]
            assert "has 2 requests with our marker" in over
            assert "without a marker" not in over  # that of the ended job, which is known
            assert await gateway.stores.alarms.active() == []
            await gateway.stores.slots.grant()
        assert [(await pipeline.submit(job_id)).upstream_request_id for job_id in jobs] == ids
        assert await pipeline.posts() == posts


async def test_a_marker_gives_a_job_in_line_its_request(server: RedisServer, tmp_path: Path) -> None:
    """Fal's webhook about a claim that the store lost: its marker adopts the job while buying is stopped."""
    async with restored_store(server, tmp_path, bought=1) as (pipeline, jobs, ids):
        async with restarted(pipeline.stack) as gateway:
            job = await pipeline.job(jobs[0])
            assert job.status is Status.QUEUED
            assert await gateway.adoption.adopt(job, "a" * 32, ids[0])
            await gateway.epoch.accept(actor="olga")
            assert len(await gateway.stores.slots.grant()) == 0
        await pipeline.completed(jobs[0])
        assert (await pipeline.finalized(jobs[0])).status is Status.SUCCEEDED


async def test_a_request_of_a_lost_job_is_an_alarm(server: RedisServer, tmp_path: Path) -> None:
    """It was admitted and bought after the copy, and is gone: an alarm; one for all that show no marker."""
    async with restored_store(server, tmp_path, bought=1, lost=1, elsewhere=2) as (pipeline, jobs, ids):
        async with restarted(pipeline.stack) as gateway:
            assert await recover_epoch(gateway)
            newest = await gateway.stores.alarms.newest(9)
        unmarked, marked = [alarm for alarm in newest if alarm.kind == "epoch_unknown"]
        assert (marked.job, marked.upstream_request_id) == (jobs[1], ids[1])
        assert unmarked.message.startswith(
            "fal has 2 requests since then without our marker, which no job here has: "
        )
        assert f"The first: {ids[2]}, {ids[3]}." in unmarked.message
        (over,) = [row.message for row in newest if (row.kind, row.state) == ("epoch_stopped", "resolved")]
        assert over.endswith("; 2 without a marker have no job here.")


async def test_a_job_that_may_have_been_bought_keeps_buying_stopped(server: RedisServer, tmp_path: Path) -> None:
    """It is not in fal's history, which proves nothing: a person decides."""
    async with restored_store(server, tmp_path, bought=1) as (pipeline, _, _):
        await pipeline.stack.emulator.trouble_platform(lag_seconds=600)
        async with restarted(pipeline.stack) as gateway:
            assert not await recover_epoch(gateway)
            assert not await recover_epoch(gateway)
            assert (await gateway.epoch.state()).stopped is not None
            kinds = [alarm.kind for alarm in await gateway.stores.alarms.newest(9)]
            assert kinds.count("epoch_undecided") == 1


async def test_without_a_whole_listing_nothing_is_decided(server: RedisServer, tmp_path: Path) -> None:
    """Half an answer of fal's does not count."""
    async with restored_store(server, tmp_path, bought=1) as (pipeline, jobs, _):
        await pipeline.stack.emulator.trouble_platform(status=503)
        async with restarted(pipeline.stack) as gateway:
            assert not await recover_epoch(gateway)
            assert (await gateway.epoch.state()).stopped is not None
        assert (await pipeline.job(jobs[0])).status is Status.QUEUED
