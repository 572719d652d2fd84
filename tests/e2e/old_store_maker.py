"""Makes the store of `tests/e2e/test_upgrade.py`: `python -m tests.e2e.old_store_maker CHECKOUT FILE`.

CHECKOUT is a checkout of an older version with its `.venv`. Its `filmgate up` is brought to a point at which jobs,
money, limits, users, webhooks and uploads are in every stored state; then everything is written to FILE.
"""

import asyncio
import base64
import gzip
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from tests.support.receiver import Receiver, Reply
from tests.support.up import Up
from tests.support.waiting import wait_until

ADMIN_KEY = "the-administrators-key-of-the-old-store"
ZONE = "Europe/Berlin"
LONG = "[emu:run:3000]"
ROLES = {"keeper", "lanes", "work", "deliveries"}
CALENDAR = ("minute", "hour", "day", "month")
EVERY_EVENT = ["job.queued", "job.submitting", "job.running", "job.finalizing", "job.held", "job.succeeded"]
PLACES_S = 2.5  # a job's position in line is cached for this long
FILES = ("client.json", "emulator.jsonl", "emulator.jsonl.key", "epoch.json")  # in the data directory
SETTINGS = {
    "FILMGATE_ADMIN_KEY": ADMIN_KEY,
    "FILMGATE_EGRESS_ALLOW": "127.0.0.1",
    "FILMGATE_UPSTREAM_CONCURRENCY": "6",
    "FILMGATE_POLL_INTERVAL": "0.2",
    "FILMGATE_WORKERS": "1",
}
READ = {  # requests before the end, by key; the upgraded version must answer the same
    "ada": ("me", "usage", "usage?group_by=model", "jobs?limit=100", "events?limit=100"),
    "lead": (
        "me", "usage?group_by=user", "usage?group_by=key", "jobs?limit=100", "events?limit=100",
        "webhook-endpoints", "deliveries?limit=100", "deliveries?status=dead", "webhook-secret",
    ),
    "admin": (
        "admin/teams", "admin/users", "admin/keys", "admin/limits", "admin/teams/{team}/limits",
        "admin/users/{ada}/limits", "admin/ledger?team={team}&limit=100", "admin/audit?limit=100",
        "admin/audit/verify", "admin/jobs?limit=100", "admin/status",
    ),
}  # fmt: skip


@dataclass
class Maker:
    """The old gateway, and its keys and ids so far."""

    up: Up
    web: httpx.AsyncClient
    redis: Any
    keys: dict[str, str] = field(default_factory=lambda: {"admin": ADMIN_KEY})
    ids: dict[str, str] = field(default_factory=dict)

    async def call(self, who: str, method: str, path: str, **body: Any) -> Any:
        """The document of a call, which must succeed."""
        headers = {"Authorization": f"Bearer {self.keys[who]}", **body.pop("headers", {})}
        reply = await self.web.request(method, f"/v1/{path}", headers=headers, **body)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    async def admin(self, path: str, _method: str = "POST", **body: Any) -> Any:
        """The same as the administrator."""
        return await self.call("admin", _method, f"admin/{path}", json=body)

    async def job(self, name: str, prompt: str, *statuses: str, who: str = "ada", **more: Any) -> str:
        """Submit a job under this name, and wait until it has one of these statuses."""
        headers = more.pop("headers", {})
        image = more.pop("image", f"http://127.0.0.1:{self.up.port + 1}/sample.jpg")
        body = {"input": {"prompt": prompt, "image_url": image}, **more}
        made = await self.call(who, "POST", "jobs", json=body, headers=headers)
        self.ids[name] = made["id"]
        if statuses:
            await self.reached(name, *statuses)
        return str(made["id"])

    async def reached(self, name: str, *statuses: str, who: str = "lead") -> None:
        """Wait until the job has one of these statuses."""

        async def there() -> bool:
            return (await self.call(who, "GET", f"jobs/{self.ids[name]}"))["status"] in statuses

        await wait_until(there, f"{name} is {statuses}", timeout=60)

    def signal(self, number: signal.Signals, *roles: str) -> None:
        """Send a signal to the workers of these roles; "" is the supervisor."""
        for pid, words in self.up.descendants().items():
            if "workers" in words and any(role in words if role else not ROLES & set(words) for role in roles):
                os.kill(pid, number)


def limit(unit: str, window: str, amount: float | str) -> dict[str, Any]:
    """A limit in a body's format."""
    return {"unit": unit, "window": window, "amount": amount}


async def make_people(maker: Maker) -> None:
    """Two teams, three users, keys of every kind, limits in every window with raises, credits."""
    admin = maker.admin
    team = (await admin("teams", name="Films", time_zone=ZONE, weight=3))["id"]
    other = (await admin("teams", name="Shop"))["id"]
    ada = (await admin("users", team=team, name="Ada"))["id"]
    bob = (await admin("users", team=team, name="Bob"))["id"]
    eve = (await admin("users", team=other, name="Eve"))["id"]
    maker.ids |= {"team": team, "other": other, "ada": ada, "bob": bob, "eve": eve}
    keys: dict[str, dict[str, Any]] = {
        "ada": {"user": ada},
        "lead": {"user": bob, "scopes": ["jobs:write", "jobs:read", "team:read", "team:admin"]},
        "eve": {"user": eve},
        "old": {"user": ada, "models": ["fal-ai/kling-video/v2/master/image-to-video"]},
        "revoked": {"user": ada, "origins": ["https://app.example.com"]},
    }
    for name, body in keys.items():
        made = await admin("keys", name=name, **body)
        maker.keys[name], maker.ids[f"key_{name}"] = made["key"], made["id"]
    maker.keys["rotated"] = (await admin(f"keys/{maker.ids['key_old']}/rotate", overlap=7 * 86_400))["key"]
    await admin(f"keys/{maker.ids['key_revoked']}", "DELETE")
    money = [limit("usd", window, "500.00") for window in (*CALENDAR, "total")]
    count = [limit("jobs", window, 1000) for window in (*CALENDAR, "total", "concurrent", "queued")]
    video = [limit("video_seconds", window, 5000) for window in CALENDAR]
    rates = [limit("submits", window, 5000) for window in ("minute", "hour")]
    await maker.call("admin", "PUT", f"admin/teams/{team}/limits", json=[*money, *count, *video, *rates])
    await maker.call("admin", "PUT", f"admin/users/{ada}/limits", json=[*money, *count, *rates])
    await maker.call("admin", "PUT", "admin/limits", json=[*money, *count])
    await admin("raises", **limit("usd", "day", "600.00"), expires_in=86_400)
    await admin(f"teams/{team}/raises", **limit("usd", "month", "900.00"), expires_in=30 * 86_400)
    await admin(f"teams/{team}/credits", amount_usd="25.00", reason="spring campaign")
    await admin(f"teams/{team}/credits", correction_usd="3.10", reason="invoice of October")


async def add_endpoint(maker: Maker, name: str, receiver: Receiver, **more: Any) -> str:
    """A webhook endpoint of the team."""
    asked = {"url": f"{receiver.url}/{name}", "description": name, **more}
    made = await maker.call("lead", "POST", "webhook-endpoints", json=asked)
    maker.ids[f"ep_{name}"] = made["id"]
    maker.keys[f"secret_{name}"] = made["secret"]
    return str(made["id"])


async def make_ended(maker: Maker, tickets: Path) -> None:
    """Jobs that ended in every way, and one in quarantine."""
    picture = (await maker.web.get(f"http://127.0.0.1:{maker.up.port + 1}/sample.jpg")).content
    file = await maker.call("ada", "POST", "files", files={"file": ("lake.jpg", picture, "image/jpeg")})
    maker.ids["file"] = file["url"]
    await maker.job("succeeded", "a lake", "succeeded", image=file["url"], metadata={"shot": "12"})
    await maker.job("corrected", "a boat", "succeeded", who="lead")
    await maker.admin(
        f"teams/{maker.ids['team']}/credits", job=maker.ids["corrected"], actual_usd="0.70", reason="half back"
    )
    await maker.job("eves", "a shop", who="eve")
    await maker.reached("eves", "succeeded", who="eve")
    await maker.job("released", "a storm [emu:500_downstream]", "failed")
    await maker.job("disputed", "a crowd [emu:422_content_policy]", "failed")
    await maker.job("canceled_running", f"a walk {LONG}", "running")
    await maker.call("ada", "POST", f"jobs/{maker.ids['canceled_running']}/cancel")
    await maker.reached("canceled_running", "canceled")
    await maker.job("erased", "a secret", "succeeded")
    await maker.call("ada", "DELETE", f"jobs/{maker.ids['erased']}")
    await maker.admin("pause", reason="a look at the prices")
    await maker.job(
        "canceled", "a road", headers={"Idempotency-Key": "once-1"}, image="https://images.example/road.jpg"
    )
    await maker.call("ada", "POST", f"jobs/{maker.ids['canceled']}/cancel")
    await maker.admin("resume")
    ticket = tickets / "finalize.read.0"
    ticket.write_text("9 0", "ascii")
    await maker.job("aside", "a fog", "finalizing")

    async def is_quarantined() -> bool:
        if not ticket.exists():
            ticket.write_text("9 0", "ascii")
        return bool((await maker.call("admin", "GET", "admin/status"))["aside"]["count"])

    await wait_until(is_quarantined, "the job is in quarantine", timeout=90, interval=0.1)
    ticket.unlink(missing_ok=True)


async def make_live(maker: Maker, failing: Receiver, well: Receiver) -> None:
    """Jobs in every live state, and waiting deliveries; workers stop one after the other."""
    await maker.job("running", f"a river {LONG}", "running", webhook_url=f"{well.url}/job")
    await maker.job("running_lead", f"a bridge {LONG}", "running", who="lead")
    await maker.job("held", f"a hill {LONG}[emu:drop_after_accept]", "held")
    await maker.job("held_unknown", "a cave [emu:drop_before_accept]", "held")
    await maker.job("finalizing", "a tower [emu:run:6]", "running", "submitting")
    await add_endpoint(maker, "failing", failing, events=["job.succeeded"])
    await maker.job("last", "a gate", "succeeded")
    await failing.wait_for(1)
    await maker.job("submitting", f"a park {LONG}[emu:submit_hang]", "submitting")
    maker.signal(signal.SIGSTOP, "deliveries", "work")
    await maker.reached("finalizing", "finalizing")
    await maker.job("granted", "a garden")
    ref = f"{maker.ids['team']}/{maker.ids['granted']}".encode()

    async def has_slot() -> bool:
        members: Any = maker.redis.zrange("fg:slots", 0, -1)
        return ref in members

    await wait_until(has_slot, "a job has a slot and no claim", timeout=30)
    asked = {"expires_in": 3600, "max_jobs": 5, "max_usd": "20.00"}
    maker.keys["token"] = (await maker.call("lead", "POST", "tokens", json=asked))["token"]
    await maker.job("queued_high", "a cat", priority="high", start_deadline=3000)
    await maker.job("queued_low", "a dog", priority="low", metadata={"shot": "13"})
    await maker.job("queued_token", "a bird", who="token")
    await maker.job("queued_once", "a fish", headers={"Idempotency-Key": "once-2"})
    maker.signal(signal.SIGSTOP, "lanes", "keeper", "")


async def read_all(maker: Maker) -> dict[str, Any]:
    """The old version's replies: "who path" to the reply."""
    read = {f"{who} {path}": (who, path) for who, paths in READ.items() for path in paths}
    jobs = {
        f"lead jobs/{{{name}}}": ("lead", f"jobs/{job}") for name, job in maker.ids.items() if job[:4] == "job_"
    }
    return {
        name: await maker.call(who, "GET", path.format(**maker.ids))
        for name, (who, path) in {**read, **jobs}.items()
        if name != "lead jobs/{eves}"
    }


def dumped(redis: Any) -> dict[str, list[Any]]:
    """Every key: type, milliseconds left or None, and its value. Bytes that are no text become surrogates."""

    def text(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        if isinstance(value, dict):
            return {text(name): text(item) for name, item in value.items()}
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        return [text(item) for item in value]

    read: dict[str, Callable[[bytes], Any]] = {
        "string": redis.get,
        "hash": redis.hgetall,
        "list": lambda name: redis.lrange(name, 0, -1),
        "set": lambda name: sorted(redis.smembers(name)),
        "zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
        "stream": redis.xrange,
    }
    found = {}
    for name in sorted(redis.keys("*")):
        kind, left_ms = redis.type(name).decode(), redis.pttl(name)
        found[text(name)] = [kind, left_ms if left_ms >= 0 else None, text(read[kind](name))]
    return found


def in_one_hour() -> None:
    """All windows must stay the same until the end, and no two may begin together."""
    now = datetime.fromtimestamp(time.time(), UTC)
    if not 1 <= now.minute <= 54 or now.hour >= 21 or now.hour < 1 or now.day == 1:
        raise SystemExit("Try again when it is 1 to 54 minutes past an hour, by day, and not the first of a month.")


def write(maker: Maker, replies: dict[str, Any], addresses: dict[str, str], file: Path) -> None:
    """Write the store, the files of the data directory and the old version's replies. No clips."""
    seconds, micro = maker.redis.time()
    data = maker.up.data_dir
    content = {
        "at_ms": seconds * 1000 + micro // 1000,
        "addresses": addresses,
        "zone": ZONE,
        "keys": maker.keys,
        "ids": maker.ids,
        "replies": replies,
        "store": dumped(maker.redis),
        "files": {name: base64.b64encode((data / name).read_bytes()).decode() for name in FILES},
    }
    file.write_bytes(gzip.compress(json.dumps(content).encode(), 9, mtime=0))
    sys.stdout.write(f"{file}: {file.stat().st_size} bytes\n")


async def make(checkout: Path, file: Path, folder: Path) -> None:
    """Bring the old version to that point, and write the file."""
    tickets = folder / "tickets"
    tickets.mkdir()
    async with AsyncExitStack() as stack:
        well, aborting, gone, failing = [await stack.enter_async_context(Receiver()) for _ in range(4)]
        aborting.answers([Reply(500, {"webhook-delivery": "abort-message"})] * 1000)
        gone.answers([410] * 1000)
        failing.answers([500] * 1000)
        up = Up(folder / "data", checkout=checkout, FILMGATE_CRASH=str(tickets))
        fal = f"http://127.0.0.1:{up.port + 1}"
        up.environment |= SETTINGS | {
            "FILMGATE_FAL_QUEUE_URL": fal,
            "FILMGATE_FAL_REST_URL": fal,
        }  # for crash points
        stack.push_async_callback(up.clean_up)
        printed = await up.start().ready()
        web = await stack.enter_async_context(httpx.AsyncClient(base_url=printed.address, timeout=30))
        maker = Maker(up, web, Redis(unix_socket_path=str(up.data_dir / "redis.sock")))
        maker.keys["me"] = printed.key
        await make_people(maker)
        await add_endpoint(maker, "well", well, events=EVERY_EVENT, asymmetric=True)
        await maker.call("lead", "POST", f"webhook-endpoints/{maker.ids['ep_well']}/rotate-secret", json={})
        await add_endpoint(maker, "aborting", aborting)
        await add_endpoint(maker, "gone", gone)
        paused = await add_endpoint(maker, "paused", well)
        await maker.call("lead", "PATCH", f"webhook-endpoints/{paused}", json={"paused": True})
        await make_ended(maker, tickets)
        await make_live(maker, failing, well)
        await asyncio.sleep(PLACES_S)
        receivers = {f"receiver{number}": one.url for number, one in enumerate((well, aborting, gone, failing))}
        write(maker, await read_all(maker), {"gateway": printed.address, "fal": fal, **receivers}, file)
        for pid in up.left():
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    in_one_hour()
    with tempfile.TemporaryDirectory(prefix="filmgate-old-") as temporary:
        asyncio.run(make(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), Path(temporary)))
