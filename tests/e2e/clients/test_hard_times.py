"""Fal's own clients with outages, timeouts, cancellations and unknown outcomes; and the webhooks of their requests.

All of them at once: Python's, newest and 0.13, in both styles, and JavaScript's in Node, polling with a middleware
and streaming through `/fal/proxy`.
"""

import asyncio
import hashlib
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.e2e.clients.customers import WATCHED, Customers, Ended, Program
from tests.support.installation import open_installation
from tests.support.receiver import Received, Receiver
from tests.support.redis_server import RedisServer
from tests.support.tls import issue_certificates
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

SCRIPT = Path(__file__).parent / "py" / "cases.py"
QUICK = ("--queue-seconds", "0.2", "--run-seconds", "0.5")
LEAVING_SECONDS = 4.0  # from a client's outcome to its program's exit
HEARING_SECONDS = 8.0  # from a cancel to a client's outcome, on a busy machine
OUTAGE_SECONDS = 10.0
START_SECONDS = 2
DEADLINE_SECONDS = 10  # the shortest allowed
LEEWAY_SECONDS = 300  # of a webhook's timestamp, as fal documents it
RUNNING = {"InProgress", "IN_PROGRESS"}  # Python's word and JavaScript's


class Kind(NamedTuple):
    """A client: JavaScript's has a connection and a mode, Python's a version and a style."""

    name: str
    javascript: bool
    way: str
    more: dict[str, Any]
    old: bool = False


KINDS = [
    *(
        Kind(f"Python, {'0.13' if old else 'newest'}, {style}", javascript=False, way=style, more={}, old=old)
        for old in (False, True)
        for style in ("sync", "async")
    ),
    Kind("JavaScript, polling", javascript=True, way="middleware", more={"pollInterval": 100}),
    Kind("JavaScript, streaming", javascript=True, way="proxy", more={"mode": "streaming"}),
]


class Customer(NamedTuple):
    """One client's program, and its parameters."""

    kind: Kind
    prompt: str
    program: Program

    async def progress(self) -> None:
        """The client has seen its request running."""
        while (await self.program.until("update"))["update"]["status"] not in RUNNING:
            pass

    async def refused(self, status: int, error_type: str) -> Ended:
        """The outcome is an error of the client's own type, and the program exits soon after."""
        ended = await self.program.ended()
        error = ended.outcome["error"]
        kind, found = "FalClientHTTPError", error.get("error_type")
        if self.kind.javascript:
            kind, found = "ApiError", error["body"]["error_type"]
        assert (error["kind"], error["status"], found) == (kind, status, error_type), self.kind.name
        assert error["message"], self.kind.name
        assert ended.lasted < LEAVING_SECONDS, self.kind.name
        return ended


@asynccontextmanager
async def everybody(
    customers: Customers,
    case: str,
    *scenarios: str,
    start_timeout: int | None = None,
    after_each: Callable[[Customer], Awaitable[None]] | None = None,
    **options: Any,
) -> AsyncIterator[list[Customer]]:
    """Each client in its own program with its own prompt: all at once, or the next one `after_each`."""
    async with AsyncExitStack() as stack:
        found = []
        for kind in KINDS:
            prompt, more = customers.prompt(*scenarios), dict(kind.more)
            if start_timeout is not None:
                more["startTimeout" if kind.javascript else "start_timeout"] = start_timeout
            given = json.dumps({"input": customers.input(prompt), "more": more, **options})
            started: AbstractAsyncContextManager[Program] = (
                customers.javascript("node.mjs", case, kind.way, given)
                if kind.javascript
                else customers.python(SCRIPT, case, kind.way, given, old=kind.old)
            )
            found.append(Customer(kind, prompt, await stack.enter_async_context(started)))
            if after_each is not None:
                await after_each(found[-1])
        yield found


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_an_outage_of_the_store_is_survived(customers: Customers, how: str) -> None:
    """The store is down for ten seconds during `subscribe`; each client gets its clip, bought once."""
    redis, refused = customers.installation.redis, customers.answered("/status", 429)
    leave, return_ = (redis.kill, redis.start) if how == "killed" else (redis.freeze, redis.thaw)
    async with everybody(customers, "subscribe", WATCHED) as crowd:
        await asyncio.gather(*(one.progress() for one in crowd))
        leave()
        try:
            async with customers.haste():  # progress has been seen, and the clips are made meanwhile
                await asyncio.sleep(OUTAGE_SECONDS)
        finally:
            return_()
        ends = await asyncio.gather(*(one.program.ended() for one in crowd))
    await customers.installation.ready()
    for one, ended in zip(crowd, ends, strict=True):
        assert "result" in ended.outcome, (one.kind.name, ended.outcome)
        await customers.assert_one_purchase(one.prompt, ended.result)
    assert customers.answered("/status", 429) > refused, "nobody noticed"


async def test_a_request_that_is_cancelled_elsewhere_ends_for_who_waits(customers: Customers) -> None:
    """The result is 499 with its type, soon; no interpreter hangs, and nothing is charged."""
    async with everybody(customers, "subscribe", "slow") as crowd:
        enqueued = await asyncio.gather(*(one.program.until("enqueued") for one in crowd))
        await asyncio.gather(*(one.progress() for one in crowd))
        cancelled = time.monotonic()
        for line in enqueued:
            reply = await customers.web.post(f"/v1/jobs/{line['enqueued']}/cancel")
            assert reply.status_code == 202, reply.text
        await asyncio.gather(*(one.refused(499, "client_cancelled") for one in crowd))
        assert time.monotonic() - cancelled < HEARING_SECONDS + LEAVING_SECONDS
    for one in crowd:
        assert await customers.bought(one.prompt) == (1, 0)


async def test_a_request_that_does_not_start_in_time_ends(customers: Customers) -> None:
    """The result is 504 with the user's own timeout, which no client retries; nothing is charged."""
    async with everybody(customers, "subscribe", "stuck_in_queue", start_timeout=START_SECONDS) as crowd:
        ends = await asyncio.gather(*(one.refused(504, "request_timeout") for one in crowd))
    for one, ended in zip(crowd, ends, strict=True):
        if one.kind.javascript:
            assert ended.outcome["error"]["timeout_type"] == "user"
        assert (await customers.bought(one.prompt))[1] == 0


@pytest.fixture
async def hasty(tmp_path: Path) -> AsyncIterator[Customers]:
    """An installation where every request has ten seconds; at its end nothing was bought twice."""
    certificates, log = issue_certificates(tmp_path), tmp_path / "api.log"
    settings = {"FILMGATE_WORKERS": "1", "FILMGATE_JOB_DEADLINE": str(DEADLINE_SECONDS)}
    many = {"FILMGATE_UPSTREAM_CONCURRENCY": "40"}  # unknown outcomes on half the slots would stop buying
    with RedisServer() as redis:
        async with open_installation(redis, *QUICK, tls=certificates, log=log, **settings, **many) as installation:
            yield Customers(installation, certificates, log)
            assert await installation.bought_twice() == []
            assert await installation.faults() == []


async def test_an_unknown_outcome_ends_at_its_deadline(hasty: Customers) -> None:
    """The waiting client gets 504; on the native API the job is held, because its outcome is unknown."""
    ids: list[str] = []

    async def held(one: Customer) -> None:
        """Its job is held; then another succeeds, as several unknown outcomes in a row would stop buying."""
        ids.append((await one.program.until("enqueued"))["enqueued"])
        await until(ids[-1], {"held"})
        await until((await hasty.installation.submit(hasty.prompt("ok")))["id"], {"succeeded"})

    async def until(job: str, statuses: set[str]) -> None:
        async def reached() -> bool:
            return (await hasty.web.get(f"/v1/jobs/{job}")).json()["status"] in statuses

        await wait_until(reached, f"{job} is {statuses}")

    async with everybody(hasty, "subscribe", "submit_garbage", after_each=held) as crowd:
        await asyncio.gather(*(one.refused(504, "request_timeout") for one in crowd))
    for job in ids:
        await until(job, {"held"})


def is_genuine(delivery: Received, body: bytes, keys: list[dict[str, str]]) -> bool:
    """Fal's documented recipe: four headers and the raw body's digest, signed with one of the published keys."""
    names = ("request-id", "user-id", "timestamp", "signature")
    request_id, user_id, stamp, signature = (delivery.headers[f"x-fal-webhook-{name}"] for name in names)
    assert abs(time.time() - int(stamp)) <= LEEWAY_SECONDS
    message = "\n".join((request_id, user_id, stamp, hashlib.sha256(body).hexdigest())).encode()
    for key in keys:
        assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
        public = Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4)))
        try:
            public.verify(bytes.fromhex(signature), message)
        except InvalidSignature:
            continue
        return True
    return False


async def webhook_bodies(customers: Customers, *scenarios: str) -> list[tuple[Customer, dict[str, Any]]]:
    """Each client's webhook: once, signed, with the request id that the client has."""
    keys = (await customers.web.get("/.well-known/jwks.json")).json()["keys"]
    team = (await customers.web.get("/v1/me")).json()["team"]["id"]
    async with Receiver() as receiver:
        async with everybody(customers, "hook", *scenarios, hook=f"{receiver.url}/hook?a=1&b=%20") as crowd:
            ends = await asyncio.gather(*(one.program.ended() for one in crowd))
        deliveries = await receiver.wait_for(len(crowd), timeout=30)
    found = []
    by_request = {delivery.headers["x-fal-webhook-request-id"]: delivery for delivery in deliveries}
    assert len(by_request) == len(deliveries), "one delivery each"
    for one, ended in zip(crowd, ends, strict=True):
        delivery = by_request[ended.outcome["request_id"]]
        assert (delivery.method, delivery.target) == ("POST", "/hook?a=1&b=%20")
        assert delivery.headers["x-fal-webhook-user-id"] == team
        assert is_genuine(delivery, delivery.body, keys)
        assert not is_genuine(delivery, delivery.body + b" ", keys)
        sent = json.loads(delivery.body)
        assert sent["request_id"] == sent["gateway_request_id"] == ended.outcome["request_id"]
        found.append((one, sent))
    return found


async def test_a_webhook_brings_the_clip_as_fal_would(customers: Customers) -> None:
    """`status` is OK and `payload` the model's output."""
    for one, sent in await webhook_bodies(customers):
        assert (sent["status"], sent.get("error")) == ("OK", None)
        await customers.assert_one_purchase(one.prompt, sent["payload"])


async def test_a_webhook_brings_the_models_refusal_as_fal_would(customers: Customers) -> None:
    """`status` is ERROR, `error` names the HTTP status, and `payload` has the list of errors."""
    for _, sent in await webhook_bodies(customers, "422_image_load"):
        assert (sent["status"], sent["error"]) == ("ERROR", "Invalid status code: 422")
        assert sent["payload"]["detail"][0]["type"] == "image_load_error"
