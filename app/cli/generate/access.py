"""The gateway of a client, and its key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.cli.exits import Failure

HOW_TO_GET_A_KEY = (
    "Give --url and --key, or set FILMGATE_URL and FILMGATE_KEY; `filmgate up` makes a key for this machine "
    "and keeps it in {file}; for another gateway, ask whoever runs it."
)


@dataclass(frozen=True, slots=True)
class Access:
    """A URL without a trailing slash, a key, and where the key was found."""

    url: str
    key: str = field(repr=False)
    source: str


def find_access(url: str | None, key: str | None, environ: Mapping[str, str]) -> Access:
    """Options first, then FILMGATE_URL and FILMGATE_KEY, then the file that `filmgate up` writes.

    The file's key is used for the file's URL only. Failure when URL or key is missing.
    """
    file = Path(environ.get("FILMGATE_DATA_DIR") or ".filmgate") / "client.json"
    kept_url, kept_key = _read_kept(file)
    address = url or environ.get("FILMGATE_URL") or kept_url
    if not address:
        raise Failure(f"There is no gateway to speak to. {HOW_TO_GET_A_KEY.format(file=file)}")
    checked = _checked_url(address)
    if key:
        return Access(checked, _checked_key(key), "--key")
    if environ.get("FILMGATE_KEY"):
        return Access(checked, _checked_key(environ["FILMGATE_KEY"]), "FILMGATE_KEY")
    if kept_key and kept_url and origin(httpx.URL(_checked_url(kept_url))) == origin(httpx.URL(checked)):
        return Access(checked, _checked_key(kept_key), str(file))
    raise Failure(f"There is no key for {checked}. {HOW_TO_GET_A_KEY.format(file=file)}")


def access_with(url: str, key: str, source: str) -> Access:
    """The gateway at this address with this key, both checked; Failure for one that cannot be."""
    return Access(
        _checked_url(url),
        _checked_key(key, f"The key in {source} has characters that no key has."),
        source,
    )


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port; a key is sent to its own origin only."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, port


def _read_kept(file: Path) -> tuple[str | None, str | None]:
    """The URL and the key in the file; None without a file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return str(found["url"]), str(found["key"])
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, KeyError, TypeError):
        raise Failure(f"{file} cannot be read, or is not what `filmgate up` writes.") from None


def _checked_url(address: str) -> str:
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise Failure("The gateway's URL must look like http://127.0.0.1:8000.")
    return str(url).rstrip("/")


def _checked_key(key: str, why_not: str = "The key is not a Filmgate key; one looks like fg_live_….") -> str:
    """The key without surrounding white space; Failure for one that no header can hold."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise Failure(why_not)
    return key
