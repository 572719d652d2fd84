"""The text that `filmgate up` prints when everything is ready."""

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

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


def command_line(settings: Settings, *words: str) -> str:
    """`filmgate WORDS` as it works in every folder and every shell of this machine."""
    return f"FILMGATE_DATA_DIR={shlex.quote(str(settings.data_dir.absolute()))} {shlex.join([*_program(), *words])}"


def _program() -> list[str]:
    """The command of this environment: its name where a shell finds it, else its path."""
    own = Path(sys.executable).with_name("filmgate")
    if not own.exists():
        return [sys.executable, "-m", "app.cli"]
    return ["filmgate"] if shutil.which("filmgate") == str(own) else [str(own)]


def _example(facts: BannerFacts) -> list[str]:
    """With the emulator a clip of its own picture; with fal, where it would cost money, how to make one."""
    if not facts.emulated:
        return ["generate", "--help"]
    image = f"{facts.settings.fal_queue_url}/sample.jpg"
    return ["generate", "--image", image, "--prompt", PROMPT, "--out", "clip.mp4"]


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
        "Make a clip:" if facts.emulated else "Ask who you are, and how to make a clip (which costs money):",
        "",
        f"  {curl_lines(facts)}",
        "",
        f"  {command_line(facts.settings, *_example(facts))}",
        "",
        "See what happens:",
        "",
        f"  {command_line(facts.settings, 'logs', '--follow')}",
        "",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
