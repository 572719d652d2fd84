"""The submit: key, model, input and scenario; and `/run`, which waits for the end."""

import dataclasses
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.emulator.account import deadline_of
from app.emulator.emulator import Emulator
from app.emulator.generation import COMPLETED, Generation, prompt_of
from app.emulator.renderer import result_reply
from app.emulator.replies import CONCURRENCY, Refusal
from app.emulator.scenarios import Scenario, UnknownScenario, plan_for
from app.emulator.web import HangingResponse, NginxPage, RefusedRequest, TruncatedResponse, json_reply

NAMESPACES = frozenset({"workflows", "comfy"})
OWNERS = frozenset({"fal-ai", "kling", *NAMESPACES})
EVIL_BASE = "https://queue.evil.example"
KEPT_HEADERS = re.compile(r"^(x-fal-.*|x-app-fal-.*|x-emulator-scenario|traceparent|user-agent|content-type)$")
TAG = re.compile(r"^([a-z0-9._-]{1,64})=(.{0,256})$")
MAX_TAGS, MAX_TAGS_BYTES = 10, 1024
OK = 200
NO_PRICE = (
    "The emulator knows no price of {0}, and guesses none. "
    'Give it one in dollars: POST /emulator/models {{"{0}": {{"unit_price": 0.1}}}}'
)


@dataclass(frozen=True, slots=True)
class Submit:
    """A submit that was read and is not yet accepted. `asked` is the scenario header."""

    endpoint: str
    app: str
    payload: Any
    plan: Scenario
    asked: str


class SubmitRoutes:
    """The routes that take a new request."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def submit(self, request: Request) -> Response:
        """`POST /{model id}`: 200 with the request's URLs, or a refusal. Model input is not checked."""
        with self._recording_refusal(request):
            submit = await self._read(request)
            self._check_queue_length(request)
            if submit.plan.submit == "redirect":
                raise RefusedRequest(RedirectResponse(f"{EVIL_BASE}/{submit.endpoint}", 302), "submit_redirect")
            if submit.plan.submit == "drop_before":
                raise RefusedRequest(TruncatedResponse(), "drop_before_accept")
        generation = self._generation(request, submit)
        self._emulator.account.submit(generation)
        return self._accepted(generation)

    async def run(self, request: Request) -> Response:
        """`POST /run/{model id}`: waits for the end; never queues, so a full account is 429."""
        with self._recording_refusal(request):
            submit = await self._read(request)
            if self._emulator.account.is_full:
                raise RefusedRequest(_refusal_response(CONCURRENCY), "concurrent_requests_limit")
        generation = self._generation(request, submit)
        if submit.plan.queue_seconds is None:
            generation.queue_seconds = 0
        self._emulator.account.submit(generation)
        while generation.status != COMPLETED or generation.reply is None:
            if self._emulator.closing:
                return json_reply(503, {"detail": "The emulator is ending"}, generation.id)
            await generation.next_change(timeout=60)
        reply = result_reply(generation, generation.reply)
        return json_reply(reply.status, reply.body, generation.id, reply.headers)

    async def _read(self, request: Request) -> Submit:
        """Endpoint, input and scenario. Raises RefusedRequest."""
        require_key(self._emulator, request)
        endpoint = request.path_params["endpoint"]
        app, model = application_of(endpoint), self._emulator.models.find(endpoint)
        if app is None or model is None:
            detail = f'Application "{endpoint}" not found'
            raise RefusedRequest(json_reply(404, {"detail": detail}), "unknown application")
        if model.tariff is None:
            raise RefusedRequest(json_reply(404, {"detail": NO_PRICE.format(endpoint)}), "no price")
        try:
            payload = json.loads(await request.body())
        except ValueError:
            body = {"detail": "The body is not JSON", "error_type": "bad_request"}
            raise RefusedRequest(json_reply(400, body), "bad_request") from None
        header = request.headers.get("x-emulator-scenario")
        try:
            plan = plan_for(prompt_of(payload), header)
        except UnknownScenario as error:
            raise RefusedRequest(json_reply(422, {"detail": str(error)}), "unknown scenario") from None
        plan = self._apply_times(plan, prompt_of(payload) or header or "")
        if plan.refuse is not None:
            raise RefusedRequest(_refusal_response(plan.refuse), "scenario")
        return Submit(endpoint, app, payload, plan, header or "")

    def _apply_times(self, plan: Scenario, prompt: str) -> Scenario:
        """The scenario, without its submit part after `times` submits of this prompt."""
        if plan.times is None:
            return plan
        self._emulator.submits_by_prompt[prompt] += 1
        if self._emulator.submits_by_prompt[prompt] <= plan.times:
            return plan
        return dataclasses.replace(plan, refuse=None, submit="")

    def _check_queue_length(self, request: Request) -> None:
        longest = request.query_params.get("fal_max_queue_length", "")
        if longest.isdecimal() and self._emulator.account.waiting > int(longest):
            body = {"detail": f"Queue is longer than {longest}", "error_type": "queue_length_exceeded"}
            raise RefusedRequest(json_reply(429, body, headers={"X-Fal-Needs-Retry": "1"}), "fal_max_queue_length")

    def _generation(self, request: Request, submit: Submit) -> Generation:
        options, plan, headers = self._emulator.options, submit.plan, request.headers
        kept = {name: value for name, value in headers.items() if KEPT_HEADERS.match(name)}
        return Generation(
            id=str(uuid.uuid4()),
            endpoint=submit.endpoint,
            app=submit.app,
            payload=submit.payload,
            headers=kept,
            tags=parse_tags(headers.get("x-fal-tags", "")),
            store_io=headers.get("x-fal-store-io") != "0",
            webhook=request.query_params.get("fal_webhook", ""),
            base=self._emulator.base(request),
            asked=submit.asked,
            plan=plan,
            queue_seconds=options.queue_seconds if plan.queue_seconds is None else plan.queue_seconds,
            run_seconds=options.run_seconds if plan.run_seconds is None else plan.run_seconds,
            start_deadline=deadline_of(headers.get("x-fal-request-timeout")),
        )

    def _accepted(self, generation: Generation) -> Response:
        """The response to an accepted submit, changed by its scenario."""
        trick = generation.plan.submit
        base = EVIL_BASE if trick == "evil_urls" else generation.base
        body: dict[str, Any] = {
            "status": "IN_QUEUE",
            "request_id": generation.id,
            **urls_of(generation, base),
            "logs": None,
            "metrics": {},
            "queue_position": self._emulator.account.position(generation),
        }
        response = json_reply(OK, body, generation.id)
        if trick == "drop_after":
            return TruncatedResponse()
        if trick == "cut":
            return TruncatedResponse(response, int(generation.plan.cut_after))
        if trick == "hang":
            return HangingResponse()
        if trick == "bad_gateway":
            return NginxPage(502, "Bad Gateway")
        if trick == "garbage":
            return Response("<<<accepted>>>", OK, {"x-fal-request-id": generation.id}, "application/json")
        return response

    @contextmanager
    def _recording_refusal(self, request: Request) -> Iterator[None]:
        try:
            yield
        except RefusedRequest as refused:
            entry = {"at": time.time(), "path": request.url.path, "why": str(refused)}
            self._emulator.account.refused.append({**entry, "status": refused.response.status_code})
            raise


def application_of(endpoint: str) -> str | None:
    """`fal-ai/kling-video` of `fal-ai/kling-video/v2/master/image-to-video`; None for no such application."""
    parts = endpoint.split("/")
    size = 3 if parts[0] in NAMESPACES else 2
    if parts[0] not in OWNERS or len(parts) < size or not all(parts):
        return None
    return "/".join(parts[:size])


def parse_tags(text: str) -> dict[str, str]:
    """The tags of an `X-Fal-Tags: k=v,k=v` header; fal drops invalid ones silently."""
    if len(text.encode()) > MAX_TAGS_BYTES:
        return {}
    matches = [TAG.match(part.strip()) for part in text.split(",")]
    pairs = [(match[1], match[2]) for match in matches if match and not match[1].startswith("fal.")]
    return dict(pairs[:MAX_TAGS])


def urls_of(generation: Generation, base: str) -> dict[str, str]:
    """The three URLs of a request; they contain the application, not the model, as fal's do."""
    one = f"{base}/{generation.app}/requests/{generation.id}"
    return {"response_url": one, "status_url": f"{one}/status", "cancel_url": f"{one}/cancel"}


def require_key(emulator: Emulator, request: Request) -> None:
    """RefusedRequest with fal's 401 for a missing or wrong key."""
    if not emulator.has_known_key(request):
        detail = "Authentication is required to access this application."
        raise RefusedRequest(json_reply(401, {"detail": detail}), "401")


def _refusal_response(refusal: Refusal) -> Response:
    if isinstance(refusal.body, str):
        return NginxPage(refusal.status, "Bad Gateway")
    return json_reply(refusal.status, refusal.body, headers=refusal.headers)
