"""Status, stream, result and cancel of a submitted request."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.emulator.emulator import Emulator
from app.emulator.generation import COMPLETED, IN_PROGRESS, IN_QUEUE, Generation
from app.emulator.renderer import result_reply
from app.emulator.submit import SubmitRoutes, application_of, require_key, urls_of
from app.emulator.web import NginxPage, RefusedRequest, json_reply

NOT_FOUND = {"status": "NOT_FOUND"}
PING_SECONDS = 10
HUGE_MEGABYTES = 200
CHECK_SECONDS = 1  # how often a stream checks for new log lines and positions
TRUE_WORDS = frozenset({"1", "true"})


def routes(emulator: Emulator) -> list[Route]:
    """The routes of `queue.fal.run` and `fal.run`.

    Status comes first because it is called most; the submit takes any path, so it comes last.
    """
    watch, incoming, one = StatusRoutes(emulator), SubmitRoutes(emulator), "/{app:path}/requests/{request_id}"
    return [
        Route(f"{one}/status", watch.status, methods=["GET"]),
        Route(f"{one}/status/stream", watch.stream, methods=["GET"]),
        Route(f"{one}/cancel", watch.cancel, methods=["PUT"]),
        Route(f"{one}/response", watch.result, methods=["GET"]),
        Route(one, watch.result, methods=["GET"]),
        Route("/run/{endpoint:path}", incoming.run, methods=["POST"]),
        Route("/{endpoint:path}", incoming.submit, methods=["POST"]),
    ]


class StatusRoutes:
    """The routes of one accepted request."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def status(self, request: Request) -> Response:
        """`GET …/status`: 202 until it is complete, then 200."""
        generation = self._find(request, NOT_FOUND)
        generation.polls += 1
        if generation.polls <= generation.plan.html_polls:
            return NginxPage(503, "Service Temporarily Unavailable")
        if generation.polls <= generation.plan.missing_polls:
            return json_reply(404, NOT_FOUND)
        body = self._status(request, generation)
        body["logs"] = self._log_lines(generation) if _wants_logs(request) else None
        code = 200 if body["status"] == COMPLETED else 202
        if generation.plan.drips:
            return StreamingResponse(_drip(json.dumps(body)), code, media_type="application/json")
        return json_reply(code, body, generation.id)

    async def stream(self, request: Request) -> Response:
        """`GET …/status/stream`: the same object at each change, until it is complete."""
        generation = self._find(request, NOT_FOUND)
        headers = {"x-fal-request-id": generation.id, "Cache-Control": "no-store"}
        frames = self._frames(request, generation)
        return StreamingResponse(frames, media_type="text/event-stream", headers=headers)

    async def result(self, request: Request) -> Response:
        """`GET …/requests/{id}`: the model's output, or its error, with its own status code."""
        generation = self._find(request, {"detail": "Request not found"})
        if generation.status != COMPLETED or generation.reply is None:
            return json_reply(400, {"detail": "Request is still in progress"}, generation.id)
        if generation.plan.result == "huge":
            return StreamingResponse(_huge(), media_type="application/json")
        reply = result_reply(generation, generation.reply)
        return json_reply(reply.status, reply.body, generation.id, reply.headers)

    async def cancel(self, request: Request) -> Response:
        """`PUT …/cancel`: 202 while it is queued or runs, 400 afterwards. No body is read."""
        generation = self._find(request, NOT_FOUND)
        word = self._emulator.account.cancel(generation)
        return json_reply(400 if word == "ALREADY_COMPLETED" else 202, {"status": word}, generation.id)

    def _find(self, request: Request, missing: dict[str, str]) -> Generation:
        """The request of this URL; RefusedRequest without a known key, and 404 with `missing`."""
        require_key(self._emulator, request)
        path = request.path_params["app"]
        app = application_of(path)
        if app != path and self._emulator.options.strict_urls:
            raise RefusedRequest(json_reply(405, {"detail": "Method Not Allowed"}, headers={"Allow": "POST"}))
        generation = self._emulator.account.find(app or "", request.path_params["request_id"])
        if generation is None:
            raise RefusedRequest(json_reply(404, missing))
        return generation

    def _status(self, request: Request, generation: Generation) -> dict[str, Any]:
        body: dict[str, Any] = {
            "status": self._word(generation),
            "request_id": generation.id,
            **urls_of(generation, self._emulator.base(request)),
            "logs": None,
            "metrics": {},
        }
        if body["status"] == IN_QUEUE:
            body["queue_position"] = self._emulator.account.position(generation)
        if generation.status == COMPLETED:
            if generation.started_at is not None and generation.completed_at is not None:
                body["metrics"] = {"inference_time": round(generation.completed_at - generation.started_at, 3)}
            reply = generation.reply
            if reply is not None and reply.error is not None:
                body |= {"error": reply.error, "error_type": reply.error_type}
        return body

    @staticmethod
    def _word(generation: Generation) -> str:
        if generation.status == IN_PROGRESS:
            if generation.plan.goes_backwards and generation.polls % 2 == 0:
                return IN_QUEUE
            return generation.plan.status_word or IN_PROGRESS
        return generation.status

    def _log_lines(self, generation: Generation) -> list[dict[str, Any]]:
        return generation.log_entries(self._emulator.clock.now())

    async def _frames(self, request: Request, generation: Generation) -> AsyncIterator[str]:
        """Server-sent events; each has only the log lines that were not sent before."""
        line_count, last_status, last_frame = 0, "", 0.0
        while not self._emulator.closing:
            body = self._status(request, generation)
            status, new_lines = json.dumps(body), []
            if _wants_logs(request):
                new_lines = self._log_lines(generation)[line_count:]
                line_count += len(new_lines)
                body["logs"] = new_lines
            if new_lines or status != last_status:
                yield f"data: {json.dumps(body, separators=(',', ':'))}\n\n"
                last_status, last_frame = status, time.monotonic()
            elif time.monotonic() - last_frame >= PING_SECONDS:
                yield ": ping\n\n"
                last_frame = time.monotonic()
            if body["status"] == COMPLETED:
                return
            await generation.next_change(CHECK_SECONDS)


async def _drip(text: str) -> AsyncIterator[str]:
    for letter in text:
        yield letter
        await asyncio.sleep(1)


async def _huge() -> AsyncIterator[bytes]:
    yield b'{"padding":"'
    for _ in range(HUGE_MEGABYTES):
        yield b"x" * 2**20
    yield b'"}'


def _wants_logs(request: Request) -> bool:
    return request.query_params.get("logs", "") in TRUE_WORDS
