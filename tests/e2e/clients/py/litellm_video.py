"""LiteLLM's video functions, unmodified; prints the outcomes. Argument: [model, prompt, image] for each."""

import json
import os
import sys
import time
from importlib import import_module
from typing import Any

litellm: Any = import_module("litellm")  # not in our environment: the test puts it on the path
LIVE = {"queued", "in_progress"}
ACCESS = {"api_base": f"{os.environ['GATEWAY']}/fal/queue", "api_key": os.environ["FAL_KEY"]}


def make(model: str, prompt: str, image: str) -> dict[str, Any]:
    """Ask for a clip, follow it, and fetch it."""
    try:
        video = litellm.video_generation(
            model=f"fal_ai/{model}", prompt=prompt, seconds="5", input_reference=image, **ACCESS
        )
    except litellm.BadRequestError as error:
        return {"refused": str(error)}
    first = video.status
    while video.status in LIVE:
        time.sleep(0.1)  # noqa: TID251  as a customer would write it
        video = litellm.video_status(video_id=video.id, **ACCESS)
    if video.status != "completed":
        return {"first": first, "status": video.status, "error": video.error}
    content = litellm.video_content(video_id=video.id, **ACCESS)
    return {"first": first, "status": video.status, "mp4": content[4:8] == b"ftyp"}


if __name__ == "__main__":
    print(json.dumps({"outcome": [make(*case) for case in json.loads(sys.argv[1])]}))  # noqa: T201  for the test
