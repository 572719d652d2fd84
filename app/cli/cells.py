"""Values as text for people: times that say how long ago, short ids, colours of states."""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rich.cells import cell_len

ID = re.compile(r"(?:ep|file|job|key|msg|team|tok|user)_[0-9a-f]{32}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]+)?Z")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
SHORT_DIGITS = 8
MODELS, USUAL_KIND = "fal-ai/kling-video/", "/image-to-video"  # how nearly all models begin, and many end
SPANS = ((86_400, "d"), (3600, "h"), (60, "min"))
DATE_AFTER_S = 45 * 86_400  # a time that is farther away is shown as its day
STYLES = {
    "green": ("succeeded", "delivered", "active", "ok", "resolved", "closed"),
    "red": ("failed", "dead", "fault", "revoked", "disabled", "critical", "open", "raised"),
    "yellow": ("held", "paused", "due", "warning", "expired", "half open"),
    "cyan": ("queued", "submitting", "running", "finalizing"),
    "bright_black": ("canceled", "info"),
}
STYLE_OF = {state: style for style, states in STYLES.items() for state in states}


def printable(text: str) -> str:
    """Text on one line, without control characters for the terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def readable(value: Any) -> str:
    """A value as plain text: empty for None, lists with commas, limits as they are written."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(readable, value))
        case {"unit": unit, "window": window, "amount": amount}:
            return f"{unit}/{window}={amount}{_raise(value)}"
        case dict():
            return printable(json.dumps(value, ensure_ascii=False))
    return printable(str(value))


def relative(text: str, now: float) -> str:
    """How long ago a time is, or when it will be: `just now`, `5 min ago`, `in 3 h`, `2026-11-02`.

    `now` is in seconds since 1970.
    """
    away = now - datetime.fromisoformat(text).timestamp()
    seconds = abs(away)
    if seconds > DATE_AFTER_S:
        return text[:10]
    for length, unit in SPANS:
        if seconds >= length:
            span = f"{int(seconds // length)} {unit}"
            return f"{span} ago" if away > 0 else f"in {span}"
    return "just now" if away > -1 else f"in {int(seconds)} s"


def shortened(texts: Iterable[str]) -> dict[str, str]:
    """The ids among these texts, and models, each with a shorter form that is different for each."""
    found = set(texts)
    ids = {text for text in found if ID.fullmatch(text)}
    digits = SHORT_DIGITS
    while len({cut_id(text, digits) for text in ids}) < len(ids):
        digits += 4
    models = {text: text.removeprefix(MODELS).removesuffix(USUAL_KIND) for text in found if text.startswith(MODELS)}
    return {text: cut_id(text, digits) for text in ids} | models


def state_style(state: str) -> str:
    """The colour of a state; empty for one without."""
    return STYLE_OF.get(state.partition(" ")[0], "")


def cell_length(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return cell_len(text)


def cut_id(text: str, digits: int = SHORT_DIGITS) -> str:
    """The beginning of an id."""
    kind, _, rest = text.partition("_")
    return f"{kind}_{rest[:digits]}"


def _raise(limit: dict[str, Any]) -> str:
    if limit.get("raised_to") is None:
        return ""
    return f" (raised to {limit['raised_to']} until {limit['raised_until']})"
