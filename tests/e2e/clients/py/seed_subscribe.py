"""fal's own example for Python, with our prompt and image: nothing in it is specific to Filmgate."""

import json
import sys
from typing import Any

import fal_client


def on_queue_update(update: Any) -> None:
    """Print the log."""
    if isinstance(update, fal_client.InProgress):
        for log in update.logs or []:
            print(log["message"])  # noqa: T201  as in fal's example


result = fal_client.subscribe(
    "fal-ai/kling-video/v2/master/image-to-video",
    arguments={"prompt": sys.argv[1], "image_url": sys.argv[2]},
    with_logs=True,
    on_queue_update=on_queue_update,
)
print(json.dumps({"outcome": result}))  # noqa: T201  for the test
