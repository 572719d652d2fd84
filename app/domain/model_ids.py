"""Ids of fal's endpoints, `owner/alias/path`: they become parts of URLs, keys and file names."""

import re

PATTERN = r"^[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)+$"
LONGEST = 200
RESERVED = "requests"  # in fal's URLs it stands between an endpoint and a request's id
_ID = re.compile(PATTERN.strip("^$"), re.ASCII)


def model_id_fault(text: str) -> str | None:
    """What keeps a text from being an endpoint's id, without a full stop; None for an id."""
    if not _ID.fullmatch(text):
        return "id must be owner/alias/path, of small letters, digits, dots and hyphens"
    if len(text) > LONGEST:
        return f"id has more than {LONGEST} characters"
    if RESERVED in text.split("/"):
        return f"id has a part {RESERVED!r}, which begins a request's path at fal"
    return None
