"""A client of Filmgate's HTTP API that retries, and describes failures in sentences.

The key is a header of one HTTP client, which calls only the gateway's origin and follows no redirect; the target of
a redirect is fetched by another client without the key.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, Self, TypeAlias

import httpx

from app import __version__
from app.cli.exits import Failure
from app.cli.generate.access import Access, origin

JobReply: TypeAlias = dict[str, Any]  # as GET /v1/jobs/{job_id} shows it
Send: TypeAlias = Callable[[], dict[str, Any]]  # httpx's arguments of one attempt

CONNECT_S = 10.0
ANSWER_S = 60.0  # the gateway sends an upload to fal before it replies
STREAM_READ_S = 30.0  # three pings of an event stream
FIRST_CONTACT_S = 10.0  # for an address that never answered
RETRY_FOR_S = 60.0  # for a gateway that answered before: it may restart
MAX_PAUSE_S = 8.0
MAX_REDIRECTS = 5
AWAY_STATUSES = frozenset({502, 503, 504})
LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")


class GatewayAway(Failure):
    """The gateway does not answer; `unsure` when a request may have arrived."""

    def __init__(self, sentence: str, *, unsure: bool = False) -> None:
        super().__init__(sentence)
        self.unsure = unsure


class ApiClient:
    """A client of one gateway. `notice` gets a sentence at each retry, and None after a success."""

    def __init__(self, access: Access, notice: Callable[[str | None], None]) -> None:
        self.access = access
        self.contacted: float | None = None  # time.monotonic() of the last answer
        self._notice = notice
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": f"filmgate/{__version__}"}
        key = {"Authorization": f"Bearer {self.access.key}"}
        self._gateway = await self._stack.enter_async_context(_web({**headers, **key}, base_url=self.access.url))
        self._elsewhere = await self._stack.enter_async_context(_web(headers))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def model(self, model_id: str) -> dict[str, Any]:
        """`GET /v1/models/{id}`, with the input schema."""
        return self._object(await self._call("GET", f"/v1/models/{model_id}"), "id", "input")

    async def upload(self, send: Send) -> dict[str, Any]:
        """The uploaded file, with its `url`; `send` makes a new multipart form for each attempt."""
        return self._object(await self._call("POST", "/v1/files", send), "url")

    async def submit(self, body: dict[str, Any], *, idempotency_key: str) -> JobReply:
        """The new job; retries with the same idempotency key until there is a reply."""
        content = json.dumps(body).encode()
        headers = {"Idempotency-Key": idempotency_key, "Content-Type": "application/json"}
        reply = await self._call("POST", "/v1/jobs", lambda: {"content": content, "headers": headers})
        return self._job(reply)

    async def job(self, job_id: str, *, wait_s: int = 0) -> JobReply:
        """The job; with `wait_s`, at its end or after so many seconds."""
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return self._job(await self._call("GET", f"/v1/jobs/{job_id}", lambda: {"headers": headers}))

    async def job_now(self, job_id: str) -> JobReply | None:
        """The job, without retries; None when the gateway is away."""
        try:
            reply = await self._gateway.get(f"/v1/jobs/{job_id}")
        except httpx.TransportError:
            return None
        self.note_contact()
        if reply.status_code in AWAY_STATUSES:
            return None
        await self._refuse(reply)
        return self._job(reply)

    async def cancel(self, job_id: str) -> JobReply | None:
        """The job after the cancel request; None when it had ended already."""
        reply = await self._call("POST", f"/v1/jobs/{job_id}/cancel", also=HTTPStatus.CONFLICT)
        return None if reply.status_code == HTTPStatus.CONFLICT else self._job(reply)

    async def ask(self, method: str, path: str, send: Send = dict) -> dict[str, Any]:
        """The JSON object of a reply."""
        return self._object(await self._call(method, path, send))

    async def ask_unless_conflict(self, method: str, path: str) -> dict[str, Any] | None:
        """The JSON object of a reply; None for 409."""
        reply = await self._call(method, path, also=HTTPStatus.CONFLICT)
        return None if reply.status_code == HTTPStatus.CONFLICT else self._object(reply)

    async def text(self, method: str, path: str, send: Send = dict) -> str:
        """The text of a reply; empty for one without a body."""
        return (await self._call(method, path, send)).text

    @asynccontextmanager
    async def events(self, path: str, *, after: str | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of the event stream at `path`, after the event with id `after`.

        Raises GatewayAway and httpx.TransportError.
        """
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        timeout = httpx.Timeout(CONNECT_S, read=STREAM_READ_S)
        async with self._gateway.stream("GET", path, headers=headers, timeout=timeout) as reply:
            self.note_contact()
            await self._refuse(reply)
            yield reply.aiter_bytes()

    @asynccontextmanager
    async def clip(self, path: str) -> AsyncIterator[httpx.Response]:
        """The clip at a path of the gateway, or a sound at its URL, not read yet. Raises as `events`.

        Only the gateway's own origin sees the key.
        """
        url = httpx.URL(f"{self.access.url}{path}" if path.startswith("/") else path)
        for _ in range(MAX_REDIRECTS):
            own = origin(url) == origin(httpx.URL(self.access.url))
            async with (self._gateway if own else self._elsewhere).stream("GET", url) as reply:
                if reply.has_redirect_location:
                    url = _target(url, reply)
                    continue
                await (self._refuse(reply) if own else _refuse_clip(reply))
                yield reply
                return
        raise Failure("The clip's address redirects again and again.")

    def note_contact(self) -> None:
        """Record that the gateway has just answered."""
        self.contacted = time.monotonic()

    async def _call(
        self, method: str, path: str, send: Send = dict, *, also: HTTPStatus | None = None
    ) -> httpx.Response:
        """The successful reply, or one with the status `also`; retries while the gateway is away."""
        began, pause, unsure = time.monotonic(), 0.5, False
        while True:
            wait, trouble = (
                pause,
                GatewayAway(f"No gateway answers at {self.access.url}; is it up, and is this its URL?"),
            )
            try:
                reply = await self._gateway.request(method, path, **send())
            except httpx.TransportError as error:
                _refuse_certificate(error)
                unsure = unsure or not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
            else:
                self.note_contact()
                if reply.status_code not in AWAY_STATUSES:
                    self._notice(None)
                    if reply.status_code != also:
                        await self._refuse(reply)
                    return reply
                unsure = True  # the request may have been processed before this reply
                wait, trouble = max(wait, _retry_after(reply)), GatewayAway(_sentence(reply))
            patience = FIRST_CONTACT_S if self.contacted is None else RETRY_FOR_S
            if time.monotonic() + wait - began > patience:
                trouble.unsure = unsure
                raise trouble
            self._notice("The gateway does not answer; trying again …")
            await asyncio.sleep(wait * random.uniform(1, 1.25))  # noqa: S311  spreads retries, guards nothing
            pause = min(pause * 2, MAX_PAUSE_S)

    async def _refuse(self, reply: httpx.Response) -> None:
        """Failure with the gateway's sentence, unless the reply is a success."""
        if reply.is_success:
            return
        await reply.aread()
        if reply.status_code in AWAY_STATUSES:
            raise GatewayAway(_sentence(reply))
        hint = f" The key came from {self.access.source}." if reply.status_code == HTTPStatus.UNAUTHORIZED else ""
        raise Failure(_sentence(reply) + hint)

    def _job(self, reply: httpx.Response) -> JobReply:
        return self._object(reply, "id", "status", "error", "quoted_usd", "charged_usd", "created_at")

    def _object(self, reply: httpx.Response, *members: str) -> dict[str, Any]:
        """The JSON object of a reply; Failure unless it has these members."""
        try:
            found = reply.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or not set(members) <= found.keys():
            raise Failure(f"What answers at {self.access.url} is not a Filmgate gateway.")
        return found


def _web(headers: Mapping[str, str], *, base_url: str = "") -> httpx.AsyncClient:
    """An HTTP client that uses the proxies of the environment, except for this machine."""
    try:
        return httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            mounts=dict.fromkeys(LOOPBACK),
            follow_redirects=False,
        )
    except (httpx.InvalidURL, ImportError, OSError, ValueError):
        raise Failure("The proxy or the certificates that the environment names cannot be used.") from None


def _target(url: httpx.URL, reply: httpx.Response) -> httpx.URL:
    """The URL of a redirect; Failure unless it is http or https."""
    try:
        target = url.join(reply.headers["location"])
    except httpx.InvalidURL:
        target = httpx.URL()
    if target.scheme not in {"http", "https"} or not target.host:
        raise Failure("The clip's address redirects to something that is no web address.")
    return target


async def _refuse_clip(reply: httpx.Response) -> None:
    """Failure when another host does not send the clip."""
    host = reply.request.url.host
    if reply.status_code in AWAY_STATUSES:
        raise GatewayAway(f"{host}, where the clip is, answers {reply.status_code}.")
    if not reply.is_success:
        raise Failure(f"{host}, where the clip is, answers {reply.status_code}; it may have expired.")


def _retry_after(reply: httpx.Response) -> float:
    """Seconds of `Retry-After`; 0 without one, or when it is a date."""
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _sentence(reply: httpx.Response) -> str:
    """A problem document (RFC 9457) as a sentence: its `detail` and each error's message."""
    if reply.has_redirect_location:
        return f"The gateway's URL redirects to {reply.headers['location']}; use the gateway's own URL."
    try:
        problem = json.loads(reply.content)
        parts = [str(problem["detail"]), *(str(error["message"]) for error in problem.get("errors") or ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"The gateway answers {reply.status_code} {reply.reason_phrase}.".replace(" .", ".")
    wait = _retry_after(reply)
    if wait:
        parts.append(f"Try again in {wait:.0f} s.")
    return " ".join(dict.fromkeys(parts))


def _refuse_certificate(error: httpx.TransportError) -> None:
    """Failure for an untrusted certificate, because a retry cannot help."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        raise Failure("The gateway's certificate is not trusted here; SSL_CERT_FILE can name one that is.")
