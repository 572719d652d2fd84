"""A store as an older version of ours wrote it."""

import base64
import json
import zlib
from collections.abc import Mapping

from app.domain.limits import CALENDAR
from app.store import keys
from app.store.admission import key_digest
from app.store.events import with_all_fields
from app.store.packing import FIELDS, unpacked
from tests.support.entries import UNNAMED, starts_in, whole
from tests.support.pipeline import Pipeline


async def rewrite_events(pipeline: Pipeline, job_id: str, **fields: str) -> None:
    """Write the job's events as an older version did: the whole record in each, with these fields at its end."""
    name = keys.events(pipeline.team)
    record = await pipeline.redis.hgetall(keys.job(pipeline.ref(job_id)))
    kept = {field: text for field, text in record.items() if field not in {"input", "nonce"}}
    rows = with_all_fields(await pipeline.redis.xrange(name))
    await pipeline.redis.delete(name)
    for event_id, row in rows:
        written = row
        if row.get("job") == job_id:
            status = row["type"].removeprefix("job.")
            more = fields if status == record["status"] else {}
            snapshot = {**kept, "status": status, "sequence": row["sequence"], **more}
            common = {field: row[field] for field in ("type", "job", "sequence", "at")}
            written = {**common, "record": json.dumps(snapshot)}
        await pipeline.redis.xadd(name, written, id=event_id)
    await pipeline.redis.pexpire(name, 86_400_000)


async def rewrite_ledger(pipeline: Pipeline) -> None:
    """Write the team's entries with a field for each word; no record refers to its reservation's entry."""
    await forget_younger_windows(pipeline)
    name = keys.ledger(pipeline.team)
    rows = whole(await pipeline.redis.xrange(name))
    await pipeline.redis.delete(name)
    for entry_id, row in rows:
        older = {field: text for field, text in row.items() if field != "starts"}
        await pipeline.redis.xadd(name, {**older, "periods": unnamed(row)}, id=entry_id)
        await pipeline.redis.hdel(keys.job(pipeline.ref(row["job"])), "reserve_entry", "starts")


async def rewrite_admission(pipeline: Pipeline, job_id: str) -> None:
    """Write a live job's record and its reservation's entry without windows' names; its entry is short."""
    await forget_younger_windows(pipeline)
    record = await pipeline.redis.hgetall(keys.job(pipeline.ref(job_id)))
    ((_, row),) = await pipeline.redis.xrange(
        keys.ledger(pipeline.team), record["reserve_entry"], record["reserve_entry"]
    )
    words = row["entry"].split(" ")
    numbers = unnamed(record).split()
    own = numbers[:4] if numbers[:4] == numbers[4:] else numbers
    before = [str(int(words[2]) - int(number)) for number in own]
    entry = " ".join([word for word in words if "=" not in word] + before)
    await pipeline.redis.xdel(keys.ledger(pipeline.team), record["reserve_entry"])
    await pipeline.redis.hdel(keys.job(pipeline.ref(job_id)), "starts")
    made = await pipeline.redis.xadd(keys.ledger(pipeline.team), {"entry": entry})
    await pipeline.redis.hset(
        keys.job(pipeline.ref(job_id)), mapping={"periods": " ".join(numbers), "reserve_entry": made}
    )


async def forget_younger_windows(pipeline: Pipeline) -> None:
    """Delete the sums of the windows that older versions did not have."""
    for window in set(CALENDAR) - set(UNNAMED):
        if names := await pipeline.redis.keys(keys.period(window, "*", "*")):
            await pipeline.redis.delete(*names)


def unnamed(row: Mapping[str, str]) -> str:
    """The periods of an entry or a record as unnamed numbers: the team's four, and the gateway's."""
    return " ".join(starts[window] for starts in starts_in(row) for window in UNNAMED)


async def rewrite_idempotency(pipeline: Pipeline, owner: str, key: str, job_id: str, fingerprint: str) -> None:
    """Write the record of an idempotency key as a hash with a long name."""
    digest = key_digest(key)
    assert await pipeline.redis.delete(keys.idempotency(pipeline.team, owner, digest))
    name = keys.idempotency_before(pipeline.team, owner, digest)
    await pipeline.redis.hset(name, mapping={"job": job_id, "fingerprint": fingerprint})
    await pipeline.redis.pexpire(name, 86_400_000)


async def rewrite_record(pipeline: Pipeline, job_id: str) -> None:
    """Write an ended job's record with its facts in fields, and its texts packed in base64."""
    name = keys.job(pipeline.ref(job_id))
    record = dict(unpacked(await pipeline.redis.hgetall(name)))
    texts = {field: record.pop(field) for field in FIELDS if field in record}
    lines = "\n".join(f"{field}\n{text}" for field, text in texts.items())
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = "1" + base64.b64encode(deflate.compress(lines.encode()) + deflate.flush()).decode()
    pieces = {f"z{start // 64}": packed[start : start + 64] for start in range(0, len(packed), 64)}
    await pipeline.redis.delete(name)
    numbers = unnamed({"starts": record.pop("starts")}).split()
    own = {"periods": " ".join(numbers[:4])} | (
        {"gateway_periods": " ".join(numbers[4:])} if numbers[:4] != numbers[4:] else {}
    )
    await pipeline.redis.hset(name, mapping={**record, **own, **pieces})
    await pipeline.redis.pexpire(name, 86_400_000)
