"""Webhook deliveries: one at the end of each request, retried with growing pauses."""

import asyncio
import json
import time
import uuid
from functools import cached_property
from typing import Any

import httpx

from app.emulator.clock import Clock
from app.emulator.generation import Generation
from app.emulator.replies import Reply
from app.emulator.signature import SigningKeys, can_sign

FIRST_TIMEOUT, LATER_TIMEOUT = 15, 120  # real seconds, as fal's documentation says
MAX_ATTEMPTS = 32
FIRST_RETRY_PAUSE, LONGEST_PAUSE = 2.0, 300.0  # emulated seconds; fal's own are not documented
LIFETIME = 3600.0  # emulated seconds after the end


class WebhookSender:
    """Signs and sends. A redirect ends the delivery and is not followed."""

    def __init__(self, *, clock: Clock, keys: SigningKeys, user_id: str) -> None:
        self._clock = clock
        self._keys = keys
        self._user_id = user_id
        self._tasks: set[asyncio.Task[None]] = set()

    @cached_property
    def _web(self) -> httpx.AsyncClient:
        """Made with the first webhook: it reads the trusted certificates."""
        return httpx.AsyncClient(follow_redirects=False, trust_env=False)

    async def close(self) -> None:
        """Stops all deliveries."""
        for task in self._tasks:
            task.cancel()
        if "_web" in vars(self):
            await self._web.aclose()

    def announce(self, generation: Generation) -> None:
        """Delivers the end of a request whose submit named a webhook."""
        if not generation.webhook or generation.reply is None:
            return
        body = json.dumps(_message(generation, generation.reply), separators=(",", ":")).encode()
        delay = generation.plan.webhook_delay
        until = self._clock.now() + delay + LIFETIME
        for _ in range(max(1, int(generation.plan.webhook_copies))):
            self._clock.after(delay, lambda: self._begin(generation, body, 1, until))

    def _begin(self, generation: Generation, body: bytes, attempt: int, until: float) -> None:
        task = asyncio.ensure_future(self._deliver(generation, body, attempt, until))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, generation: Generation, body: bytes, attempt: int, until: float) -> None:
        outcome = await self._post(generation, body, attempt)
        generation.webhook_attempts.append({"attempt": attempt, "at": time.time(), "outcome": outcome})
        pause = min(FIRST_RETRY_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        delivered = isinstance(outcome, int) and 200 <= outcome < 400  # noqa: PLR2004  # 3xx is final too
        if not delivered and attempt < MAX_ATTEMPTS and self._clock.now() + pause < until:
            self._clock.after(pause, lambda: self._begin(generation, body, attempt + 1, until))

    async def _post(self, generation: Generation, body: bytes, attempt: int) -> int | str:
        """One attempt: the status, or the name of the error."""
        timeout = FIRST_TIMEOUT if attempt == 1 else LATER_TIMEOUT
        try:
            async with asyncio.timeout(timeout):
                answer = await self._web.post(
                    generation.webhook,
                    content=body,
                    headers=self._headers(generation, body),
                    timeout=timeout,
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            return type(error).__name__
        return answer.status_code

    def _headers(self, generation: Generation, body: bytes) -> dict[str, str]:
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "fal-emulator",
            "X-Fal-Webhook-Request-Id": generation.id,
            "X-Fal-Webhook-User-Id": self._user_id,
            "X-Fal-Webhook-Timestamp": str(timestamp),
        }
        if can_sign:
            signed = b"another body" if generation.plan.webhook == "bad_signature" else body
            headers["X-Fal-Webhook-Signature"] = self._keys.sign(
                request_id=generation.id, user_id=self._user_id, timestamp=timestamp, body=signed
            )
        return headers


def _message(generation: Generation, reply: Reply) -> dict[str, Any]:
    """The body of a delivery in fal's shape, OK or ERROR."""
    message: dict[str, Any] = {"request_id": generation.id, "gateway_request_id": str(uuid.uuid4())}
    if generation.plan.webhook == "error":
        failure = {"error": "Invalid status code: 500", "payload": {"detail": "Internal"}}
        return {**message, "status": "ERROR", **failure}
    if reply.status == 200:  # noqa: PLR2004  # HTTP OK
        return {**message, "status": "OK", "payload": reply.body}
    return {**message, "status": "ERROR", "error": f"Invalid status code: {reply.status}", "payload": reply.body}
