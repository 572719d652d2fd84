"""The fal emulator as a process, and its records."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx

from app.tls import trusted_roots
from tests.support.repo import ROOT
from tests.support.waiting import wait_until

KLING = "fal-ai/kling-video/v2/master/image-to-video"
START_SECONDS = 30


class Emulator:
    """One running `python -m app.emulator`; it ends with the test process, or with `stop`.

    `requests`, `ledger` and the others read the emulator's records over HTTP; no key is needed for them.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, *, speed: float = 1) -> None:
        self.url = url
        self._speed = speed
        self.sample_image = f"{url}/sample.jpg"
        self.port = int(url.rsplit(":", 1)[1])
        self._process = process
        self._web = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=trusted_roots())

    @classmethod
    async def start(cls, *arguments: str) -> "Emulator":
        """Start it on a free port (unless the arguments name one) and wait until it listens.

        Call it from the main thread: the kernel kills the process together with the thread that started it.
        """
        command = [sys.executable, "-m", "app.emulator", "--port", "0", "--die-with-parent", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: S603, ASYNC220  # our own module; returns at once
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = (await asyncio.to_thread(process.stdout.readline)).decode().strip()
        if " listens on " not in line:
            process.kill()
            process.wait()
            process.stdout.close()
            raise AssertionError(f"the emulator did not start: {line!r}")
        speed = float(dict(itertools.pairwise(arguments)).get("--speed", "1"))
        return cls(process, line.rsplit(" ", 1)[1], speed=speed)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def stop(self) -> int:
        """Stop it cleanly; its exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int:
        """Kill it, as a crash would."""
        return await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        await self._web.aclose()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)
        code = await asyncio.to_thread(self._process.wait, START_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    # --- its records -----------------------------------------------------------------------------------------

    async def ledger(self) -> dict[str, Any]:
        """`{"charges": […], "total_micro": …}`."""
        return await self._get("/emulator/ledger")

    async def requests(self) -> list[dict[str, Any]]:
        """Every accepted submit, oldest first."""
        found: list[dict[str, Any]] = (await self._get("/emulator/requests"))["requests"]
        return found

    async def refused(self) -> list[dict[str, Any]]:
        """Every submit that was not accepted."""
        found: list[dict[str, Any]] = (await self._get("/emulator/requests"))["refused"]
        return found

    async def submits(self) -> int:
        """How many submits it has received, accepted or refused."""
        return sum((await self._get("/emulator/requests/count")).values())

    async def request(self, request_id: str) -> dict[str, Any]:
        """One accepted submit."""
        return next(one for one in await self.requests() if one["request_id"] == request_id)

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self._web.get(path)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    # --- its clock and its faults ----------------------------------------------------------------------------

    async def pause(self) -> None:
        """Stop its clock: nothing starts and nothing ends."""
        (await self._web.post("/emulator/pause")).raise_for_status()

    async def resume(self) -> None:
        """Start its clock again."""
        (await self._web.post("/emulator/resume")).raise_for_status()

    async def set_speed(self, speed: float) -> None:
        """From now on emulated time passes `speed` times as fast."""
        (await self._web.post("/emulator/clock", json={"speed": speed})).raise_for_status()

    @contextlib.asynccontextmanager
    async def steered(self) -> AsyncIterator[None]:
        """Inside, its clock may be stopped and sped up; afterwards it runs as at its start."""
        try:
            yield
        finally:
            await self.set_speed(self._speed)
            await self.resume()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Inside, nothing starts and nothing ends; requests are answered."""
        async with self.steered():
            await self.pause()
            yield

    async def trouble_platform(self, **trouble: Any) -> None:
        """Set a fault of the platform API, as docs/emulator.md lists them; it stays until it is changed."""
        (await self._web.post("/emulator/platform", json=trouble)).raise_for_status()

    async def drift(self, changes: dict[str, dict[str, Any]]) -> None:
        """Change what it says of models, as docs/emulator.md lists it; `{}` ends that."""
        (await self._web.post("/emulator/models", json=changes)).raise_for_status()

    async def rotate_key(self) -> None:
        """Sign webhooks with a new key from now on."""
        (await self._web.post("/emulator/rotate-key")).raise_for_status()


@contextlib.asynccontextmanager
async def running_emulator(*arguments: str) -> AsyncIterator[Emulator]:
    """An emulator for an `async with` block; the arguments are its command line."""
    emulator = await Emulator.start(*arguments)
    try:
        yield emulator
    finally:
        await emulator.stop()


class FalCaller:
    """fal's queue as a plain HTTP client sees it: enough to write tests at the level of HTTP."""

    def __init__(self, url: str, key: str = "kid:ksecret") -> None:
        headers = {"Authorization": f"Key {key}"}
        self.web = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=30, trust_env=False, verify=trusted_roots()
        )
        self.picture = f"{url}/sample.jpg"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.web.aclose()

    async def post(self, prompt: str = "a lake", *, model: str = KLING, **options: Any) -> httpx.Response:
        """Submit; `options`: `headers`, `params`, and fields of the input."""
        headers, params = options.pop("headers", {}), options.pop("params", {})
        body = {"prompt": prompt, "image_url": self.picture, **options}
        body = {name: value for name, value in body.items() if value is not None}
        return await self.web.post(f"/{model}", json=body, headers=headers, params=params)

    async def submit(self, prompt: str = "a lake", **options: Any) -> dict[str, Any]:
        """The reply of a submit that must be accepted."""
        answer = await self.post(prompt, **options)
        assert answer.status_code == 200, answer.text
        reply: dict[str, Any] = answer.json()
        return reply

    async def status(self, reply: dict[str, Any]) -> dict[str, Any]:
        """The status object, with logs."""
        answer = await self.web.get(reply["status_url"], params={"logs": "1"})
        found: dict[str, Any] = answer.json()
        return found

    async def until(self, reply: dict[str, Any], word: str) -> dict[str, Any]:
        """The status object once its status is `word`."""

        async def probe() -> dict[str, Any] | None:
            status = await self.status(reply)
            return status if status.get("status") == word else None

        found = await wait_until(probe, f"{reply['request_id']} is {word}")
        assert found is not None
        return found

    async def result(self, reply: dict[str, Any]) -> httpx.Response:
        """The result's answer, once the request is complete."""
        await self.until(reply, "COMPLETED")
        return await self.web.get(reply["response_url"])
