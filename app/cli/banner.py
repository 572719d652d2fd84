"""The text that `filmgate up` prints when everything is ready."""

import json
from dataclasses import dataclass

from rich.console import Console

from app.settings import Settings

PROMPT = "The sun rises, slow zoom"


@dataclass(frozen=True, slots=True)
class BannerFacts:
    """The values in the text."""

    settings: Settings
    key: str
    code: str
    store: str
    emulated: bool


def curl_lines(facts: BannerFacts) -> str:
    """A command to paste: with the emulator it makes a clip, with fal it only shows the key's user."""
    url = facts.settings.base_url
    key = f"-H 'Authorization: Bearer {facts.key}'"
    if not facts.emulated:
        return f"curl -s {url}/v1/me {key}"
    body = json.dumps({"input": {"prompt": PROMPT, "image_url": f"{facts.settings.fal_queue_url}/sample.jpg"}})
    return f"curl -s {url}/v1/jobs {key} -H 'Content-Type: application/json' -H 'Prefer: wait=60' -d '{body}'"


def print_banner(console: Console, facts: BannerFacts) -> None:
    """Print it without wrapping, so that lines can be pasted."""
    url = facts.settings.base_url
    fal = facts.settings.fal_queue_url
    if facts.emulated:
        fal = f"the emulator at {fal}: no FAL_KEY is set, so nothing costs money"
    lines = [
        "",
        "Filmgate is up. Ctrl-C stops all of it.",
        "",
        f"  address    {url}",
        f"  key        {facts.key}",
        f"  dashboard  {url}/",
        f"  sign in    {url}/enter#{facts.code}  (once, within 15 minutes)",
        *([f"  API        {url}/docs"] if facts.settings.docs else []),
        f"  store      {facts.store}",
        f"  fal        {fal}",
        f"  logs       {facts.settings.data_dir / 'logs'}",
        "",
        "Make a clip:" if facts.emulated else "Ask who you are (a clip would cost money, see `filmgate generate`):",
        "",
        f"  {curl_lines(facts)}",
        "",
        '  filmgate generate --image photo.jpg --prompt "…" -o clip.mp4',
        "",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
