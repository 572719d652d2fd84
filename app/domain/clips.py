"""A job's files as callers see them: at an address of ours, when the gateway keeps clips, and at fal's otherwise.

Such a job has a secret of its own from its end on, which signs the addresses of its files: whoever has one reads
the file without a key until it expires, as at fal. An address leads to fal until the file has been copied, and to
our copy afterwards: it is the same in every reply and message, however late the copy comes. It ends with the job.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from app.domain.jobs import Job

FileName = Literal["video", "audio", "poster"]
FILES: tuple[FileName, ...] = ("video", "audio")  # of an output; a poster is made from its video
ENDINGS = {
    "video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm", "video/x-matroska": "mkv",
    "audio/mpeg": "mp3", "audio/wav": "wav", "audio/x-wav": "wav", "audio/mp4": "m4a", "audio/aac": "aac",
    "audio/ogg": "ogg", "audio/flac": "flac",
}  # fmt: skip
USUAL_ENDING: dict[FileName, str] = {"video": "mp4", "audio": "mp3", "poster": "jpg"}
SIGNATURE_CHARS = 22  # 132 bits
KEPT = "kept"  # the member of a file in a stored output
KEPT_POSTER = "kept_poster"  # the same of the poster of that file; not in `kept`, which older versions read whole


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """Our copy of a file: what it is by its own bytes. Seconds and pixels are None where its header does not say.

    `sha256` is in hex, `seconds` a decimal number; `at_ms` is when it was published.
    """

    size: int
    sha256: str
    content_type: str
    at_ms: int
    seconds: str | None = None
    width: int | None = None
    height: int | None = None

    def stored(self) -> dict[str, Any]:
        """As a member of the stored output."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def of(cls, file: dict[str, Any]) -> Self | None:
        """The copy of this file of an output, or None."""
        kept = file.get(KEPT)
        return cls(**kept) if isinstance(kept, dict) else None


def new_secret() -> str:
    """A secret for the addresses of one job's files."""
    return secrets.token_urlsafe(16)


def files_of(output: dict[str, Any] | None) -> Iterator[tuple[FileName, dict[str, Any]]]:
    """The files of an output, by name."""
    for name in FILES:
        file = (output or {}).get(name)
        if isinstance(file, dict):
            yield name, file


def is_kept(output: dict[str, Any] | None) -> bool:
    """True when every file of the output has been copied."""
    return all(KEPT in file for _, file in files_of(output))


def storage_key(job: Job, name: FileName) -> str:
    """Where the copy of a file is."""
    return f"clips/{job.team}/{job.id}/{name}"


def storage_keys(job: Job, output: dict[str, Any] | None) -> list[str]:
    """Where the copies of all files of this output of the job are, and their posters."""
    files = list(files_of(output))
    names: list[FileName] = [name for name, _ in files]
    posters: list[FileName] = ["poster" for _, file in files if KEPT_POSTER in file]
    return [storage_key(job, name) for name in names + posters]


def file_title(name: FileName, file: dict[str, Any]) -> str:
    """`video.mp4`: the last part of a file's address, from what fal said of it; it never changes."""
    ending = urlsplit(str(file.get("url"))).path.rpartition(".")[2].lower()
    if ending not in ENDINGS.values():
        ending = ENDINGS.get(str(file.get("content_type")), USUAL_ENDING[name])
    return f"{name}.{ending}"


def sign(job: Job, name: FileName, until_s: int | str) -> str:
    """The signature of an address that ends at this time (Unix seconds), as it is written in the address."""
    mac = hmac.digest(str(job.clip_secret).encode(), f"{job.id}/{name}/{until_s}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac)[:SIGNATURE_CHARS].decode()


def is_signed(job: Job, name: FileName, until_s: str, signature: str) -> bool:
    """True when this job has signed such an address, with the time in this spelling."""
    if job.clip_secret is None or not signature.isascii():
        return False
    return hmac.compare_digest(sign(job, name, until_s), signature)


def signed_address(job: Job, name: FileName, file: dict[str, Any], *, base_url: str, until_s: int) -> str:
    """An address of a file that needs no key until then."""
    signature = sign(job, name, until_s)
    path = f"/v1/clips/{job.team}/{job.id}/{file_title(name, file)}"
    return f"{base_url}{path}?expires={until_s}&signature={signature}"


def signed_addresses(
    job: Job, name: FileName, file: dict[str, Any], *, base_url: str, until_s: int
) -> dict[str, str]:
    """`url`, and `poster` where there is one: the addresses of a file that need no key until then."""
    found = {"url": signed_address(job, name, file, base_url=base_url, until_s=until_s)}
    if KEPT_POSTER in file:
        found["poster"] = signed_address(job, "poster", {}, base_url=base_url, until_s=until_s)
    return found


def shown_output(job: Job, *, base_url: str) -> dict[str, Any] | None:
    """The output with the addresses that callers get, and without what is ours."""
    if job.output is None:
        return None
    shown = dict(job.output)
    for name, file in files_of(job.output):
        shown[name] = _shown_file(job, name, file, base_url)
    return shown


def _shown_file(job: Job, name: FileName, file: dict[str, Any], base_url: str) -> dict[str, Any]:
    shown = {member: value for member, value in file.items() if member not in {KEPT, KEPT_POSTER}}
    if job.clip_secret is not None and job.clip_until_ms is not None:
        shown |= signed_addresses(job, name, file, base_url=base_url, until_s=job.clip_until_ms // 1000)
    kept = KeptFile.of(file)
    if kept is not None:
        shown |= {"content_type": kept.content_type, "file_size": kept.size, "sha256": kept.sha256}
        measured = {"duration": None if kept.seconds is None else float(kept.seconds)}
        measured |= {"width": kept.width, "height": kept.height}
        shown |= {member: value for member, value in measured.items() if value is not None}
    return shown


def name_of(title: str) -> FileName | None:
    """The file that an address names by `video.mp4`, or None."""
    names: tuple[FileName, ...] = (*FILES, "poster")
    return next((name for name in names if name == title.partition(".")[0]), None)
