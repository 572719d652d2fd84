"""The emulator's own routes: ledger, requests, clock, faults, a sample image. They need no key."""

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.emulator.emulator import Emulator, PlatformFault
from app.emulator.generation import Generation
from app.emulator.scenarios import SCENARIOS
from app.emulator.web import json_object, json_reply

OK, BAD_REQUEST, FORBIDDEN = 200, 400, 403
SHOWN = (
    "endpoint", "payload", "prompt", "headers", "tags", "store_io", "webhook", "received_at", "started_at",
    "completed_at", "status", "cancelled", "charged_micro", "polls", "webhook_attempts",
)  # fmt: skip  # one list, not fifteen lines


def routes(emulator: Emulator) -> list[Route]:
    """The routes under `/emulator`, the sample image and the public keys."""
    control = Control(emulator)
    return [
        Route("/emulator/ledger", control.ledger, methods=["GET"]),
        Route("/emulator/requests", control.requests, methods=["GET"]),
        Route("/emulator/requests/count", control.count, methods=["GET"]),
        Route("/emulator/pause", control.pause, methods=["POST"]),
        Route("/emulator/resume", control.resume, methods=["POST"]),
        Route("/emulator/clock", control.clock, methods=["POST"]),
        Route("/emulator/platform", control.platform, methods=["POST"]),
        Route("/emulator/models", control.models, methods=["POST"]),
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
    """Handlers of the emulator's own routes."""

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

    async def count(self, _request: Request) -> Response:
        """How many submits were accepted, and how many refused."""
        account = self._emulator.account
        return json_reply(OK, {"requests": len(account.requests), "refused": len(account.refused)})

    async def pause(self, _request: Request) -> Response:
        """Stops emulated time."""
        self._emulator.clock.pause()
        return self._clock_state()

    async def resume(self, _request: Request) -> Response:
        """Resumes emulated time."""
        self._emulator.clock.resume()
        return self._clock_state()

    async def clock(self, request: Request) -> Response:
        """`{"speed": x}`: emulated seconds in a real second."""
        speed = (await json_object(request)).get("speed")
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < float("inf"):
            return json_reply(BAD_REQUEST, {"detail": 'Say {"speed": x} with a positive number.'})
        self._emulator.clock.set_speed(float(speed))
        return self._clock_state()

    async def platform(self, request: Request) -> Response:
        """A fault of `/v1` by the members of PlatformFault; `{}` ends it."""
        asked = await json_object(request)
        try:
            fault = PlatformFault(**asked)
            self._emulator.platform_fault = PlatformFault(
                int(fault.status),
                float(fault.lag_seconds),
                bool(fault.same_cursor),
                str(fault.body),
                float(fault.delay_seconds),
                int(fault.page_rows),
                float(fault.retry_after),
                None if fault.times is None else int(fault.times),
            )
        except (TypeError, ValueError) as error:
            return json_reply(BAD_REQUEST, {"detail": str(error)})
        return json_reply(OK, asked)

    async def models(self, request: Request) -> Response:
        """Changes of models, `{id: members of ModelChange}`, in place of those before; `{}` ends them."""
        asked = await json_object(request)
        try:
            self._emulator.models.change(asked)
        except (TypeError, ValueError) as error:
            return json_reply(BAD_REQUEST, {"detail": str(error)})
        return json_reply(OK, asked)

    async def rotate_key(self, _request: Request) -> Response:
        """A new key signs webhooks; the old ones stay published."""
        self._emulator.keys.rotate()
        return json_reply(OK, self._emulator.keys.jwks())

    async def forbidden_media(self, _request: Request) -> Response:
        """The clip's URL in scenario `media_403`."""
        return PlainTextResponse("Forbidden", FORBIDDEN)

    async def media_page(self, _request: Request) -> Response:
        """The clip's URL in scenario `media_html`."""
        return HTMLResponse("<html><body>Sign in to see this file.</body></html>")

    async def about(self, _request: Request) -> Response:
        """A description, the differences from fal, and the scenarios."""
        lines = ["A local fal for tests and demonstrations.", "", "Not imitated:"]
        lines += [f"  - {line}" for line in self._emulator.not_imitated()]
        lines += ["", "Scenarios, as [emu:NAME] in the prompt or as the header X-Emulator-Scenario:"]
        lines += [f"  {name:<24} {scenario.about}" for name, scenario in SCENARIOS.items()]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def sample(self, _request: Request) -> Response:
        """A picture for the first submit: a lake at dusk."""
        return Response(self._emulator.sample_image, media_type="image/jpeg")

    async def jwks(self, _request: Request) -> Response:
        """The public keys of webhook signatures."""
        return json_reply(OK, self._emulator.keys.jwks())

    def _clock_state(self) -> Response:
        clock = self._emulator.clock
        return json_reply(OK, {"speed": clock.speed, "paused": clock.paused})


def _ground_truth(generation: Generation) -> dict[str, Any]:
    view = {name: getattr(generation, name) for name in SHOWN}
    result_status = generation.reply.status if generation.reply else None
    return {"request_id": generation.id, **view, "result_status": result_status}
