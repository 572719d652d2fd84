"""An installation of an earlier version, with jobs and money in every state, is taken over by this one."""

import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from app.domain.data_format import FORMAT, UNNUMBERED
from app.embedded import EmbeddedStore
from app.gateway import Gateway
from app.settings import load_settings
from app.store import keys
from app.store.packing import FORM
from tests.e2e.old_store import DATA, FIXTURE, OldStore
from tests.e2e.old_store_maker import SETTINGS
from tests.support.checks import store_faults
from tests.support.processes import run_command
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.stack import application
from tests.support.up import Up
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(200)]

NOWHERE = {
    "gateway": "http://filmgate.test",
    "fal": "http://127.0.0.1:9",
    **{f"receiver{n}": f"http://127.0.0.1:{n}" for n in range(4)},
}
# Jobs that have ended, that fal has, and that will be bought; the request with the idempotency key once-1.
ENDED = ("succeeded", "corrected", "released", "disputed", "canceled_running", "canceled", "erased", "last")
GOING = ("running", "running_lead", "held", "submitting", "finalizing")
TO_BUY = ("granted", "queued_high", "queued_low", "queued_token", "queued_once")
ONCE = {"input": {"prompt": "a road", "image_url": "https://images.example/road.jpg"}}
# Members that depend on the time of reading: ends of windows and of reports, rates, current workers.
PASSED = re.compile(r"/(upstream_paused|queue_position): ")
BY_THE_CLOCK = (" me", "usage", "limits", "status", "secret")
PASSING = {"resets_at", "workers", "next_cursor", "from", "to", "last_used_at"}


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Every member of the old reply that the new one lacks or has changed; new members are allowed.

    In the previous version a job's position differed between a list and its own view; now they are the same.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        soon_over = old.get("unit") == "submits" or old.get("window") == "minute"
        passing = PASSING | ({"used", "held", "left"} if soon_over else set())
        passing |= {"queue_position"} if path.startswith("/data/") else set()
        for name, value in old.items():
            if name not in passing:
                yield from differences(value, new.get(name, "missing"), f"{path}/{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{path}/{number}")
    elif old != new:
        yield f"{path}: {old!r} is now {new!r}"


@pytest.mark.parametrize("fixture", sorted(DATA.glob("*.json.gz")), ids=lambda path: path.name.split(".")[0])
async def test_an_older_store_is_read_as_the_older_version_read_it(store: RedisServer, fixture: Path) -> None:
    """Every list, figure, limit and job is unchanged, also after the migration; the ledger verifies; keys work."""
    await wait_until(
        lambda: time.time() % 3600 < 3570, "limits by the hour stay as they are meanwhile", timeout=40, interval=0.5
    )
    moved = fixture == FIXTURE
    old = OldStore(NOWHERE, int(time.time() * 1000), fixture) if moved else OldStore(fixture=fixture)
    with BlockingRedis.from_url(store.url) as redis:
        old.put(redis)
    settings = load_settings(
        {
            "FILMGATE_REDIS_URL": store.url,
            **SETTINGS,
            "FILMGATE_PUBLIC_URL": old.addresses["gateway"],
            "FILMGATE_FAL_QUEUE_URL": old.addresses["fal"],
            "FILMGATE_FAL_REST_URL": old.addresses["fal"],
            "FILMGATE_DATA_DIR": str(store.dir / "data"),
            "FAL_KEY": "a-key-of-nobody",
        }
    )
    async with application(settings) as app:
        gateway: Gateway = app.state.gateway
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=NOWHERE["gateway"]) as api:
            assert await changed_replies(api, old, moved=moved) == []
            assert (await gateway.migrator.state()).number == UNNUMBERED
            assert await gateway.migrator.advance(30)
            assert await changed_replies(api, old, moved=moved) == []
            assert (await gateway.ledger.verify()).differences == []
            if moved:
                await keys_open_what_they_opened(api, old)
    with BlockingRedis.from_url(store.url, decode_responses=True, encoding_errors="surrogateescape") as redis:
        records = [redis.hgetall(name) for name in redis.scan_iter(match=keys.JOB_PREFIX + "*")]
    ended = [one for one in records if one.get("money") in {"spent", "released"} and "erased" not in one]
    assert ended
    assert [one for one in ended if not one.get("z0", "").startswith(FORM)] == []


async def changed_replies(api: httpx.AsyncClient, old: OldStore, *, moved: bool) -> list[str]:
    """What the older version answered and this one does not; without what depends on times that were not moved."""
    found = []
    for name, reply in old.replies.items():
        if not moved and any(word in name for word in BY_THE_CLOCK):
            continue
        who, _, path = name.partition(" ")
        answer = await api.get(f"/v1/{path.format(**old.ids)}", headers=bearer(old.keys[who]))
        found += [f"{name}: {answer.status_code}"] if answer.status_code != 200 else []
        lines = differences(reply, answer.json())
        found += [f"{name} {line}" for line in lines if moved or not PASSED.search(line)]
    return found


async def keys_open_what_they_opened(api: httpx.AsyncClient, old: OldStore) -> None:
    """Old, rotated and revoked keys, a browser token, an idempotency key, an uploaded image; the log verifies."""
    opened = {who: (await api.get("/v1/jobs", headers=bearer(key))).status_code for who, key in old.keys.items()}
    secrets = {who: status for who, status in opened.items() if who.startswith("secret_") or who == "admin"}
    assert {who: status for who, status in opened.items() if who not in secrets} == {
        "me": 200, "ada": 200, "lead": 200, "eve": 200, "old": 200, "rotated": 200, "token": 200, "revoked": 401,
    }  # fmt: skip
    once = bearer(old.keys["ada"]) | {"Idempotency-Key": "once-1"}
    repeated = await api.post("/v1/jobs", json=ONCE, headers=once)
    assert (repeated.status_code, repeated.json().get("id")) == (202, old.ids["canceled"])
    other = await api.post("/v1/jobs", json=ONCE | {"priority": "low"}, headers=once)
    assert other.json()["code"] == "idempotency_key_reused"
    quoted = {"input": {"prompt": "a lake", "image_url": old.ids["file"]}}
    assert (await api.post("/v1/quotes", json=quoted, headers=bearer(old.keys["ada"]))).status_code == 200


def bearer(key: str) -> dict[str, str]:
    """The header of a key."""
    return {"Authorization": f"Bearer {key}"}


@dataclass
class Upgraded:
    """This version's `filmgate up` on the older one's data directory, and the consumer of its webhooks.

    `before` is how often fal had accepted each prompt before.
    """

    up: Up
    old: OldStore
    before: Counter[str]
    api: httpx.AsyncClient
    fal: httpx.AsyncClient
    consumer: Receiver

    async def get(self, who: str, path: str) -> Any:
        """The document of a read with this key."""
        reply = await self.api.get(f"/v1/{path}", headers=bearer(self.old.keys[who]))
        assert reply.status_code == 200, f"{path}: {reply.text}"
        return reply.json()

    async def post(self, who: str, path: str, body: Any, method: str = "POST", **headers: str) -> Any:
        """The same for a call that changes something."""
        sent = {**bearer(self.old.keys[who]), **headers}
        reply = await self.api.request(method, f"/v1/{path}", json=body, headers=sent)
        assert reply.is_success, f"{path}: {reply.text}"
        return reply.json()

    async def statuses(self, *names: str) -> dict[str, str]:
        """The status of each of these jobs."""
        return {name: (await self.get("lead", f"jobs/{self.old.ids[name]}"))["status"] for name in names}

    async def bought(self) -> Counter[str]:
        """How often fal accepted each prompt."""
        return Counter(one["prompt"] for one in (await self.fal.get("/emulator/requests")).json()["requests"])

    async def command(self, *words: str) -> str:
        """The output of `filmgate …`, which must succeed."""
        ended = await run_command(*words, environment=self.up.environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


@pytest.fixture
async def upgraded(tmp_path: Path) -> AsyncIterator[Upgraded]:
    """The older installation's directory with its store, and this version started in it."""
    async with Receiver() as consumer:
        up = Up(tmp_path / "data")
        up.environment |= SETTINGS
        here = {"gateway": f"http://127.0.0.1:{up.port}", "fal": f"http://127.0.0.1:{up.port + 1}"}
        old = OldStore({**here, **{f"receiver{n}": consumer.url for n in range(4)}}, int(time.time() * 1000))
        old.put_files(up.data_dir)
        submits = map(json.loads, (up.data_dir / "emulator.jsonl").read_text("utf-8").splitlines())
        before = Counter(one["payload"]["prompt"] for one in submits if one["event"] == "submitted")
        store = EmbeddedStore(up.data_dir)
        with BlockingRedis.from_url(store.start()) as redis:
            old.put(redis)
        store.stop()
        try:
            printed = await up.start().ready()
            assert printed.key == old.keys["me"]
            async with (
                httpx.AsyncClient(base_url=here["gateway"], timeout=30, trust_env=False) as api,
                httpx.AsyncClient(base_url=here["fal"], timeout=30, trust_env=False) as fal,
            ):
                yield Upgraded(up, old, before, api, fal, consumer)
        finally:
            await up.clean_up()


async def test_an_older_installation_continues_completely(upgraded: Upgraded) -> None:
    """Jobs end as they should, bought once, or wait for a person; the ledger is right, due deliveries arrive."""
    repeated = await upgraded.post("ada", "jobs", ONCE, **{"Idempotency-Key": "once-1"})
    assert (repeated["id"], repeated["repeated"]) == (upgraded.old.ids["canceled"], True)
    await upgraded.post("lead", f"webhook-endpoints/{upgraded.old.ids['ep_paused']}", {"paused": False}, "PATCH")
    await upgraded.fal.post("/emulator/clock", json={"speed": 1000})

    async def all_ended() -> bool:
        return set((await upgraded.statuses(*GOING, *TO_BUY)).values()) == {"succeeded"}

    async def details() -> str:
        return str(await upgraded.statuses(*GOING, *TO_BUY))

    await wait_until(all_ended, "every job has succeeded", timeout=90, interval=0.3, details=details)
    assert await upgraded.statuses("held_unknown", "aside") == {"held_unknown": "held", "aside": "finalizing"}
    await arrived(upgraded)

    await upgraded.command("jobs", "release", upgraded.old.ids["aside"])
    resolve = f"admin/jobs/{upgraded.old.ids['held_unknown']}/resolve"
    await upgraded.post("admin", resolve, {"action": "fail", "charged": False})

    async def nothing_left() -> bool:
        return await upgraded.statuses("held_unknown", "aside") == {"held_unknown": "failed", "aside": "succeeded"}

    await wait_until(nothing_left, "the job that was set aside goes on", timeout=30, interval=0.3)
    new = Counter(upgraded.old.replies[f"lead jobs/{{{name}}}"]["input"]["prompt"] for name in TO_BUY)
    assert await upgraded.bought() == upgraded.before + new
    assert set((upgraded.before + new).values()) == {1}
    ended = {name: upgraded.old.replies[f"lead jobs/{{{name}}}"]["status"] for name in ENDED}
    assert await upgraded.statuses(*ENDED) == ended
    assert json.loads(await upgraded.command("ledger", "verify", "--json"))["differences"] == []
    migrated = json.loads(await upgraded.command("migrate", "--json"))
    assert (migrated["before"], migrated["format"]) == (FORMAT, FORMAT), "the workers have done it meanwhile"
    address = f"unix://{upgraded.up.data_dir}/redis.sock"
    async with Redis.from_url(address, decode_responses=True, encoding_errors="surrogateescape") as redis:
        assert await store_faults(redis) == []


async def arrived(upgraded: Upgraded) -> None:
    """Every due delivery arrives, except those whose next attempt is minutes away."""
    waiting = [
        one["id"] for one in upgraded.old.replies["lead deliveries?limit=100"]["data"] if one["status"] == "due"
    ]
    assert waiting

    async def all_there() -> bool:
        there = {one.headers["webhook-id"] for one in upgraded.consumer.requests}
        return set(waiting) <= there

    async def details() -> str:
        there = {one.headers["webhook-id"] for one in upgraded.consumer.requests}
        return str([await upgraded.get("lead", f"deliveries/{one}") for one in waiting if one not in there])

    await wait_until(all_there, "what was due has arrived", timeout=60, interval=0.3, details=details)
