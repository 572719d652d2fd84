"""What only an emulator has: the ledger, every request seen, the clock, and a sample image."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.emulator.emulator import Emulator, PlatformFault
from app.emulator.generation import Generation
from app.emulator.scenarios import SCENARIOS
from app.emulator.web import json_reply

OK, BAD_REQUEST, FORBIDDEN = 200, 400, 403


def routes(emulator: Emulator) -> list[Route]:
    """Needs no key: this is a tool on one's own machine."""
    control = Control(emulator)
    return [
        Route("/emulator/ledger", control.ledger, methods=["GET"]),
        Route("/emulator/requests", control.requests, methods=["GET"]),
        Route("/emulator/pause", control.pause, methods=["POST"]),
        Route("/emulator/resume", control.resume, methods=["POST"]),
        Route("/emulator/clock", control.clock, methods=["POST"]),
        Route("/emulator/platform", control.platform, methods=["POST"]),
        Route("/emulator/rotate-key", control.rotate_key, methods=["POST"]),
        Route("/emulator/media_403/output.mp4", control.forbidden_media, methods=["GET"]),
        Route("/emulator/media_html/output.mp4", control.media_page, methods=["GET"]),
        Route("/emulator/", control.about, methods=["GET"]),
        Route("/emulator", control.about, methods=["GET"]),
        Route("/", control.about, methods=["GET"]),
        Route("/sample.jpg", control.sample, methods=["GET"]),
        Route("/.well-known/jwks.json", control.jwks, methods=["GET"]),
    ]


class Control:
    """The emulator's own routes."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def ledger(self, _request: Request) -> Response:
        """Every charge, and their sum in micro-dollars."""
        charges = self._emulator.account.charges
        total = sum(charge["cost_micro"] for charge in charges)
        return json_reply(OK, {"charges": charges, "total_micro": total})

    async def requests(self, _request: Request) -> Response:
        """Every accepted submit, oldest first, and the refused ones."""
        account = self._emulator.account
        accepted = [_ground_truth(generation) for generation in account.requests.values()]
        return json_reply(OK, {"requests": accepted, "refused": account.refused})

    async def pause(self, _request: Request) -> Response:
        """Emulated time stands still."""
        self._emulator.clock.pause()
        return self._clock_state()

    async def resume(self, _request: Request) -> Response:
        """Emulated time passes again."""
        self._emulator.clock.resume()
        return self._clock_state()

    async def clock(self, request: Request) -> Response:
        """`{"speed": x}`: emulated time passes x times as fast from now on."""
        speed = (await _json_object(request)).get("speed")
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < float("inf"):
            return json_reply(BAD_REQUEST, {"detail": 'Say {"speed": x} with a positive number.'})
        self._emulator.clock.set_speed(float(speed))
        return self._clock_state()

    async def platform(self, request: Request) -> Response:
        """What is wrong with `/v1` from now on, by the members of PlatformFault; `{}` ends it."""
        asked = await _json_object(request)
        try:
            fault = PlatformFault(**asked)
            self._emulator.platform_fault = PlatformFault(
                int(fault.status),
                float(fault.lag_seconds),
                bool(fault.same_cursor),
                str(fault.body),
                float(fault.delay_seconds),
                int(fault.page_rows),
            )
        except (TypeError, ValueError) as error:
            return json_reply(BAD_REQUEST, {"detail": str(error)})
        return json_reply(OK, asked)

    async def rotate_key(self, _request: Request) -> Response:
        """Webhooks are signed with a new key from now on; the old ones stay published."""
        self._emulator.keys.rotate()
        return json_reply(OK, self._emulator.keys.jwks())

    async def forbidden_media(self, _request: Request) -> Response:
        """Where scenario `media_403` says the clip is."""
        return PlainTextResponse("Forbidden", FORBIDDEN)

    async def media_page(self, _request: Request) -> Response:
        """Where scenario `media_html` says the clip is."""
        return HTMLResponse("<html><body>Sign in to see this file.</body></html>")

    async def about(self, _request: Request) -> Response:
        """What this is, what it does not imitate, and the scenarios."""
        lines = ["A local fal for tests and demonstrations.", "", "Not imitated:"]
        lines += [f"  - {line}" for line in self._emulator.not_imitated()]
        lines += ["", "Scenarios, as [emu:NAME] in the prompt or as the header X-Emulator-Scenario:"]
        lines += [f"  {name:<24} {scenario.about}" for name, scenario in SCENARIOS.items()]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def sample(self, _request: Request) -> Response:
        """A picture to begin with: a lake at dusk."""
        return Response(self._emulator.sample_image, media_type="image/jpeg")

    async def jwks(self, _request: Request) -> Response:
        """The keys that webhooks are signed with."""
        return json_reply(OK, self._emulator.keys.jwks())

    def _clock_state(self) -> Response:
        clock = self._emulator.clock
        return json_reply(OK, {"speed": clock.speed, "paused": clock.paused})


def _ground_truth(generation: Generation) -> dict[str, Any]:
    return {
        "request_id": generation.id,
        "endpoint": generation.endpoint,
        "payload": generation.payload,
        "prompt": generation.prompt,
        "headers": generation.headers,
        "tags": generation.tags,
        "store_io": generation.store_io,
        "webhook": generation.webhook,
        "received_at": generation.received_at,
        "started_at": generation.started_at,
        "completed_at": generation.completed_at,
        "status": generation.status,
        "result_status": generation.reply.status if generation.reply else None,
        "cancelled": generation.cancelled,
        "charged_micro": generation.charged_micro,
        "polls": generation.polls,
        "webhook_attempts": generation.webhook_attempts,
    }


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
