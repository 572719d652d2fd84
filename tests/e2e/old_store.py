"""A store that an older `filmgate up` wrote, moved to the current time; `old_store_maker` makes the file."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from redis import Redis

DATA = Path(__file__).parent / "data"
FIXTURE = (
    DATA / "old_store.json.gz"
)  # whole records, entries and events; each worker's heartbeat in a key of its own
WINDOW = re.compile(r"^fg:period:(\w+):(\d{13}):")
MOMENT = re.compile(
    r"(?<![0-9A-Za-z])(?:(?P<micro>1[78]\d{14})|(?P<ms>1[78]\d{11})|(?P<s>1[78]\d{8}(?:\.\d+)?)"
    r"|(?P<iso>20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00))|(?P<day>20\d\d-\d\d-\d\d))(?![0-9A-Za-z])"
)


class OldStore:
    """The fixture's content, with every time moved by its age and every address replaced.

    `addresses` are new ones for "gateway", "fal" and "receiver0" to "receiver3". The fixture's calendar windows
    and days become the current ones, so limits have the same use. `now_ms` is the current time. Without the two,
    everything stays as it was: newer versions pack times and addresses.
    """

    def __init__(
        self, addresses: dict[str, str] | None = None, now_ms: int | None = None, fixture: Path = FIXTURE
    ) -> None:
        content = json.loads(gzip.decompress(fixture.read_bytes()))
        self._at_ms: int = content["at_ms"]
        self._now_ms = self._at_ms if now_ms is None else now_ms
        self.addresses: dict[str, str] = addresses or content["addresses"]
        self._zone = ZoneInfo(content["zone"])
        self._windows = self._moved_windows(content["store"], content["zone"])
        self._texts: dict[str, str] = {}
        for name, old in content["addresses"].items():
            self._texts |= {
                old: self.addresses[name],
                old.removeprefix("http://"): self.addresses[name].removeprefix("http://"),
            }
        self._words = self._pattern()
        file = content["ids"]["file"]  # stored under the digest of its URL
        self._texts |= {_digest(file): _digest(self._text(file))}
        self._words = self._pattern()
        self.keys: dict[str, str] = content["keys"]
        self.ids: dict[str, str] = self._moved(content["ids"])
        self.replies: dict[str, Any] = self._all_moved(content["replies"])
        self._store: dict[str, list[Any]] = self._all_moved(content["store"])
        self._files: dict[str, str] = content["files"]

    def put(self, redis: Redis) -> None:
        """Write every key into an empty store."""
        write: dict[str, Callable[[bytes, Any], object]] = {
            "string": lambda name, value: redis.set(name, _raw(value)),
            "hash": lambda name, value: redis.hset(name, mapping=_raw(value)),
            "list": lambda name, value: redis.rpush(name, *_raw(value)),
            "set": lambda name, value: redis.sadd(name, *_raw(value)),
            "zset": lambda name, value: redis.zadd(name, {_raw(member): score for member, score in value}),
            "stream": lambda name, value: [redis.xadd(name, _raw(row), id=number) for number, row in value],
        }
        for name, (kind, left_ms, value) in self._store.items():
            write[kind](_raw(name), value)
            if left_ms is not None:
                redis.pexpire(_raw(name), left_ms)

    def put_files(self, data_dir: Path) -> None:
        """Write the files of the data directory."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self._files.items():
            path = data_dir / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = base64.b64decode(content)
            if path.suffix in {".json", ".jsonl"}:
                written = self._text(written.decode()).encode()
            path.write_bytes(written)
            path.chmod(0o600)

    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(f"{re.escape(old)}(?![0-9])" for old in self._texts))

    def _all_moved(self, items: dict[str, Any]) -> dict[str, Any]:
        """Everything except the audit log, whose lines are chained by digests of their times."""
        return {self._text(name): item if "audit" in name else self._moved(item) for name, item in items.items()}

    def _moved(self, value: Any) -> Any:
        """The value, moved; names too."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._moved(item) for item in value]
        if isinstance(value, dict):
            return {self._text(name): self._moved(item) for name, item in value.items()}
        return value

    def _text(self, text: str) -> str:
        if self._now_ms == self._at_ms:
            return text
        there = self._words.sub(lambda found: self._texts[found[0]], text)
        return MOMENT.sub(self._new_moment, there)

    def _new_moment(self, found: re.Match[str]) -> str:
        age_ms = self._now_ms - self._at_ms
        text = found[0]
        match found.lastgroup:
            case "micro":
                return str(int(text) + age_ms * 1000)
            case "ms":
                return self._windows.get(text) or str(int(text) + age_ms)
            case "s":
                return f"{float(text) + age_ms / 1000:.6f}" if "." in text else str(int(text) + age_ms // 1000)
            case "day":
                return (date.fromisoformat(text) + (self._day(self._now_ms) - self._day(self._at_ms))).isoformat()
        moment = datetime.fromisoformat(text) + timedelta(milliseconds=age_ms)
        precise = "milliseconds" if "." in text else "seconds"
        return moment.isoformat(timespec=precise).replace("+00:00", "Z" if text.endswith("Z") else "+00:00")

    def _day(self, at_ms: int) -> date:
        return datetime.fromtimestamp(at_ms / 1000, self._zone).date()

    def _moved_windows(self, store: dict[str, Any], zone: str) -> dict[str, str]:
        """The beginning of each calendar window in the store, and the current beginning."""
        found = {}
        for window, text in (match.groups() for match in map(WINDOW.match, store) if match):
            for zone_name in ("UTC", zone):
                then, now = _begins(window, self._at_ms, zone_name), _begins(window, self._now_ms, zone_name)
                if window == "minute" or then == int(text):
                    found[text] = str(int(text) + now - then)
        return found


def _begins(window: str, at_ms: int, zone: str) -> int:
    minute = datetime.fromtimestamp(at_ms // 60_000 * 60, UTC).astimezone(ZoneInfo(zone))
    hour = minute.replace(minute=0)
    day = hour.replace(hour=0)
    week = day - timedelta(days=day.weekday())
    begins = {"minute": minute, "hour": hour, "day": day, "week": week, "month": day.replace(day=1)}
    return int(begins[window].timestamp()) * 1000


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _raw(value: Any) -> Any:
    """As bytes."""
    if isinstance(value, dict):
        return {_raw(name): _raw(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_raw(item) for item in value]
    return str(value).encode("utf-8", "surrogateescape")
