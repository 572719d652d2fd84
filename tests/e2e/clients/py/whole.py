"""A customer's program with any version of fal's client for Python: PARAMETERS, which is JSON.

It uploads `file` and calls `run` with `run`, if they are there, subscribes with `input`, and sends `wrong`; it
prints one JSON line. With `gateway` it has the lines of docs/fal-clients.md for versions before 0.11; otherwise
nothing in it is specific to Filmgate.
"""

import json
import sys
from pathlib import Path
from typing import Any

import fal_client

APP = "fal-ai/kling-video/v2/master/image-to-video"


def lines(gateway: str) -> None:
    """What docs/fal-clients.md shows."""
    fal_client.client.QUEUE_URL_FORMAT = f"{gateway}/fal/queue/"
    fal_client.client.RUN_URL_FORMAT = f"{gateway}/fal/run/"
    fal_client.client.REST_URL = f"{gateway}/fal/rest"
    fal_client.client.CDN_URL = f"{gateway}/fal/cdn"


def subscribe(arguments: dict[str, Any]) -> dict[str, Any]:
    """A clip, with the kinds of updates on the way; or the status of the error, whose class differs by version."""
    kinds: list[str] = []
    try:
        result = fal_client.subscribe(
            APP,
            arguments=arguments,
            with_logs=True,
            on_queue_update=lambda update: kinds.append(type(update).__name__),
        )
    except Exception as error:  # noqa: BLE001  its class differs by version; httpx's is its cause, or itself
        reply = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
        return {"kind": type(error).__name__, "status": getattr(reply, "status_code", None)}
    return {"result": result, "updates": kinds}


def main(options: dict[str, Any]) -> dict[str, Any]:
    """All of it."""
    if options.get("gateway"):
        lines(options["gateway"])
    given, url = options["input"], None
    if options.get("file"):
        url = fal_client.upload_file(Path(options["file"]))
        given = {**given, "image_url": url}
    ran = fal_client.run(APP, arguments=options["run"]) if options.get("run") else None
    return {"url": url, "ran": ran, **subscribe(given), "wrong": subscribe(options["wrong"])}


if __name__ == "__main__":
    print(json.dumps({"outcome": main(json.loads(sys.argv[1]))}))  # noqa: T201  that is how the test hears of it
