"""A store whose ended jobs are in older forms, and a look at what a migration makes of them."""

import json
from collections.abc import Iterator
from typing import Any

from app.store import keys
from app.store.packing import unpacked
from tests.support.redis_server import RedisServer

TEAMS = ("team_a", "team_b", "team_empty")
DAY_MS = 86_400_000
NEWEST_MS = 1_795_000_000_000


def older_record(team: str, number: int) -> dict[str, str]:
    """An ended job's record as the first version wrote it: every member in a field."""
    return {
        "id": f"job_{number:032x}", "team": team, "user": "user_a", "key": "key_a", "status": "succeeded",
        "model": "fal-ai/kling-video/v2/master/image-to-video", "quoted_micro": "1400000", "seconds": "5",
        "price_version": "p", "created_ms": str(NEWEST_MS - number), "deadline_ms": str(NEWEST_MS + DAY_MS),
        "input": json.dumps({"prompt": f"a lake {number}", "image_url": "https://images.example/lake.jpg"}),
        "output": json.dumps({"video": {"url": f"https://v3.fal.media/files/{number}.mp4"}}), "attempt": "1",
        "money": "spent", "charged_micro": "1400000", "nonce": "n", "sequence": "5", "priority": "normal",
        "line_score": "1", "periods": "1795000000000 " * 8, "upstream_request_id": f"req-{number}", "misses": "0",
    }  # fmt: skip


def fill(store: RedisServer, count: int) -> None:
    """Write so many ended jobs of the first version, of two teams; a third has none."""
    with store.blocking() as redis:
        pipe = redis.pipeline(transaction=False)
        pipe.sadd(keys.TEAMS, *TEAMS)
        for number in range(count):
            team = TEAMS[number % 2]
            record = older_record(team, number)
            name = keys.job(f"{team}/{record['id']}")
            pipe.hset(name, mapping=record)
            pipe.pexpire(name, 30 * DAY_MS + number)
            # Twenty jobs in a row have the same time, so pages end between equal ones.
            pipe.zadd(keys.team_jobs(team), {record["id"]: NEWEST_MS - number // 20})
        pipe.execute()


def records(store: RedisServer) -> dict[str, tuple[dict[str, str], int]]:
    """Every job's record as it is stored, and its milliseconds left."""
    with store.blocking() as redis:
        names = sorted(redis.scan_iter(match=keys.JOB_PREFIX + "*", count=5000))
        pipe = redis.pipeline(transaction=False)
        for name in names:
            pipe.hgetall(name)
            pipe.pttl(name)
        found = pipe.execute()
    return dict(zip(names, zip(found[::2], found[1::2], strict=True), strict=True))


def whole(stored: dict[str, tuple[dict[str, str], int]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every record with its packed members, without those that only a live job needs."""
    for name, (record, _) in stored.items():
        kept = dict(unpacked(record))
        yield name, {field: text for field, text in kept.items() if field not in {"line_score", "misses"}}
