"""The options of an emulator process."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line as values. Durations are emulated seconds; `speed` divides them."""

    concurrency: int = 10
    queue_seconds: float = 1.0
    run_seconds: float = 2.0
    speed: float = 1.0
    keys: frozenset[str] = frozenset()
    admin_keys: frozenset[str] = frozenset()
    webhook_user: str = "user_emulator"
    state_file: Path | None = None
    public_url: str = ""
    strict_urls: bool = False
    plain_clips: bool = False
    no_clips: bool = False
