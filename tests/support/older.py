"""A store as an older version of ours wrote it."""

import json

from app.store import keys
from tests.support.hand import Hand


async def rewrite_events(hand: Hand, job_id: str, **fields: str) -> None:
    """Write the job's events as an older version did: its whole record in each, with these fields at its end."""
    name = keys.events(hand.team)
    record = await hand.redis.hgetall(keys.job(hand.ref(job_id)))
    whole = {field: text for field, text in record.items() if field not in {"input", "nonce"}}
    rows = await hand.redis.xrange(name)
    await hand.redis.delete(name)
    for event_id, row in rows:
        written = row
        if row.get("job") == job_id:
            status = row["type"].removeprefix("job.")
            more = fields if status == record["status"] else {}
            snapshot = {**whole, "status": status, "sequence": row["sequence"], **more}
            common = {field: row[field] for field in ("type", "job", "sequence", "at")}
            written = {**common, "record": json.dumps(snapshot)}
        await hand.redis.xadd(name, written, id=event_id)
    await hand.redis.pexpire(name, 86_400_000)
