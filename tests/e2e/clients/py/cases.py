"""A customer's program with fal's client for Python, as a separate process: CASE STYLE PARAMETERS.

STYLE is `sync` or `async`: `fal_client.subscribe` or `fal_client.subscribe_async`. PARAMETERS is JSON. It prints
JSON lines: `{"enqueued": …}` and `{"update": …}` for queue updates, `{"outcome": …}` at the end. The client gets
its URLs only from its environment.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fal_client

APP = "fal-ai/kling-video/v2/master/image-to-video"


class Fal:
    """The client's module-level functions in one style; results are awaited where they are awaitable."""

    def __init__(self, style: str) -> None:
        self._ending = "_async" if style == "async" else ""

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """`fal_client.NAME` or `fal_client.NAME_async`."""
        return await settled(getattr(fal_client, name + self._ending)(*arguments, **options))


async def settled(value: Any) -> Any:
    """A coroutine's value, or the value itself."""
    return await value if inspect.isawaitable(value) else value


async def each(events: Any) -> AsyncIterator[Any]:
    """The items of a sync or async iterator."""
    if hasattr(events, "__aiter__"):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event


def as_json(status: Any) -> dict[str, Any]:
    """A status as JSON."""
    return {
        "status": type(status).__name__,
        "position": getattr(status, "position", None),
        "logs": [log["message"] for log in getattr(status, "logs", None) or []],
    }


def say(**line: Any) -> None:
    """Print one line, flushed."""
    print(json.dumps(line), flush=True)  # noqa: T201  that is how the test hears of it


def update(status: Any) -> None:
    """A customer's `on_queue_update`."""
    say(update=as_json(status))


def failure(error: Exception) -> dict[str, Any]:
    """An error that the client raised, as JSON."""
    return {
        "kind": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "message": getattr(error, "message", str(error)),
        "error_type": getattr(error, "error_type", None),
        "request_id": getattr(error, "request_id", None),
    }


async def subscribe(fal: Fal, options: dict[str, Any]) -> Any:
    """Submit, follow with logs, and read the result."""
    enqueued: list[str] = []

    def note(request_id: str) -> None:
        enqueued.append(request_id)
        say(enqueued=request_id)

    result = await fal.call(
        "subscribe",
        APP,
        arguments=options["input"],
        with_logs=True,
        on_enqueue=note,
        on_queue_update=update,
        **options.get("more", {}),
    )
    return {"request_ids": enqueued, "result": result}


async def follow(fal: Fal, options: dict[str, Any]) -> Any:
    """Submit, iterate over the events, and read the result."""
    handle = await fal.call("submit", APP, arguments=options["input"])
    async for event in each(handle.iter_events(with_logs=True)):
        update(event)
    return {"request_id": handle.request_id, "result": await settled(handle.get())}


async def by_id(fal: Fal, options: dict[str, Any]) -> Any:
    """Submit, and do everything else with only the id, as another process would."""
    handle = await fal.call("submit", APP, arguments=options["input"])
    update(await fal.call("status", APP, handle.request_id, with_logs=True))
    result = await fal.call("result", APP, handle.request_id)
    after = await fal.call("status", APP, handle.request_id, with_logs=True)
    return {"result": result, "after": as_json(after)}


async def cancel(fal: Fal, options: dict[str, Any]) -> Any:
    """Submit, cancel, wait for the end; then cancel once more."""
    handle = await fal.call("submit", APP, arguments=options["input"])
    await fal.call("cancel", APP, handle.request_id)
    found: dict[str, Any] = {"status": as_json(await settled(handle.status()))}
    for name, call in (("get", handle.get), ("again", handle.cancel)):
        try:
            found[name] = await settled(call())
        except fal_client.client.FalClientHTTPError as error:
            found[name] = failure(error)
    return found


async def takes(fal: Fal, options: dict[str, Any]) -> Any:
    """The same input again, as soon as the first request's status was read."""
    first = await fal.call("submit", APP, arguments=options["input"])
    await settled(first.status())
    second = await fal.call("submit", APP, arguments=options["input"])
    clips = [(await settled(handle.get()))["video"]["url"] for handle in (first, second)]
    return {"request_ids": [first.request_id, second.request_id], "clips": clips}


async def hook(fal: Fal, options: dict[str, Any]) -> Any:
    """Submit with a webhook, and exit."""
    handle = await fal.call("submit", APP, arguments=options["input"], webhook_url=options["hook"])
    return {"request_id": handle.request_id}


async def run(fal: Fal, options: dict[str, Any]) -> Any:
    """The synchronous call."""
    return {"result": await fal.call("run", APP, arguments=options["input"])}


async def upload(fal: Fal, options: dict[str, Any]) -> Any:
    """The two lines that uploads need, then an uploaded file as the input."""
    fal_client.client.REST_URL = f"{options['gateway']}/fal/rest"
    fal_client.client.CDN_URL = f"{options['gateway']}/fal/cdn"
    url = await fal.call("upload_file", Path(options["file"]))
    found = await subscribe(fal, {"input": {**options["input"], "image_url": url}})
    return {"url": url, **found}


CASES: dict[str, Callable[[Fal, dict[str, Any]], Any]] = {
    case.__name__: case for case in (subscribe, follow, by_id, cancel, takes, hook, run, upload)
}


async def main(name: str, style: str, options: dict[str, Any]) -> None:
    """Run one case and print its outcome; an error of the client's is an outcome too."""
    try:
        say(outcome=await CASES[name](Fal(style), options))
    except (fal_client.client.FalClientHTTPError, fal_client.client.FalClientTimeoutError) as error:
        say(outcome={"error": failure(error)})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
