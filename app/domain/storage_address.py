"""The address of the storage: one text, parsed and checked before anything is opened.

    none                                            nothing is kept
    local:DIR                                       a folder of this machine, or one that several machines mount
    s3://bucket[/prefix][?endpoint=URL&region=NAME&virtual_host=1&direct=1]
    gs://bucket[/prefix][?endpoint=URL&direct=1]                   Google
    az://container[/prefix][?account=NAME&endpoint=URL&direct=1]   Azure

`endpoint` is for what speaks S3 elsewhere (MinIO, R2, Garage, Swift), for private or regional endpoints of
Google's, and for Azure in some countries; Azure's has the account in it. `direct=1` sends readers of clips to a
signed address of the bucket, instead of through the gateway. Secrets are no part of it.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

Kind = Literal["local", "s3", "gs", "az"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "s3": ("endpoint", "region", "virtual_host", "direct"),
    "gs": ("endpoint", "direct"),
    "az": ("account", "endpoint", "direct"),
}
FLAGS = {"1": True, "0": False}
FORMS = "local:DIR, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or none"
PARTS = re.compile(r"(s3|gs|az)://([^/?#]*)(/[^?#]*)?(?:\?([^#]*))?")
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,221}", re.ASCII)  # S3's older and Google's longest names
PREFIX = re.compile(r"[A-Za-z0-9!_.*'()=-]+(?:/[A-Za-z0-9!_.*'()=-]+)*", re.ASCII)  # S3's safe characters
WORD = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class StorageAddress:
    """The parts: `place` is a folder, a bucket or a container."""

    kind: Kind
    place: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    virtual_host: bool = False
    direct: bool = False

    def __str__(self) -> str:
        """The address in sentences."""
        if self.kind == "local":
            return f"the folder {self.place}"
        words = {"s3": "the bucket", "gs": "the Google bucket", "az": "the Azure container"}
        at = f" at {self.endpoint}" if self.endpoint else ""
        below = f"/{self.prefix}" if self.prefix else ""
        return f"{words[self.kind]} {self.place}{below}{at}"


def read_storage_address(text: str) -> StorageAddress | None:
    """The parts, None for `none`; ValueError with a sentence that continues the setting's name."""
    if text == "none":
        return None
    if text.startswith("local:"):
        folder = text.removeprefix("local:").removeprefix("//")
        if not folder:
            raise ValueError("must name a folder, as in local:/var/lib/filmgate/storage")
        if not Path(folder).is_absolute():  # it would be another one in another working directory
            raise ValueError("must name its folder from the root on, as in local:/var/lib/filmgate/storage")
        return StorageAddress("local", str(Path(folder)))
    parts = PARTS.fullmatch(text)
    if parts is None:
        raise ValueError(f"must be {FORMS}")
    kind, bucket, path, query = cast("Kind", parts[1]), parts[2], unquote(parts[3] or "").strip("/"), parts[4] or ""
    if not BUCKET.fullmatch(bucket):
        raise ValueError(
            f"must name a bucket by 3 to 63 letters, digits, points and hyphens, as in {kind}://clips/prefix; "
            "its keys are settings or files of their own"
        )
    if path and (not PREFIX.fullmatch(path) or ".." in path.split("/") or "." in path.split("/")):
        raise ValueError("must have a prefix of plain names with / between them")
    options = _options(kind, query)
    if kind == "gs" and "endpoint" in options and _flag("direct", options):
        raise ValueError("cannot have direct=1 with an endpoint: Google's addresses are signed for its usual host")
    return StorageAddress(
        kind,
        bucket,
        prefix=path,
        endpoint=_endpoint(options["endpoint"]) if "endpoint" in options else None,
        region=_word("region", options),
        account=_word("account", options),
        virtual_host=_flag("virtual_host", options),
        direct=_flag("direct", options),
    )


def _options(kind: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS[kind]:
            known = ", ".join(OPTIONS[kind])
            raise ValueError(f"has an option that {kind}:// does not have; it has {known}")
        if name in options:
            raise ValueError(f"gives its option {name} twice")
        options[name] = value
    return options


def _endpoint(text: str) -> str:
    """The base URL of a server."""
    try:
        url = urlsplit(text)
        usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        usable = None
    if not usable or "@" in url.netloc or url.query or url.fragment or not text.isascii() or " " in text:
        raise ValueError("must have an endpoint such as https://minio.example.com:9000, without a user or a query")
    return text.rstrip("/")


def _word(name: str, options: dict[str, str]) -> str | None:
    value = options.get(name)
    if value is not None and not WORD.fullmatch(value):
        raise ValueError(f"must have letters, digits and dashes in its option {name}")
    return value


def _flag(name: str, options: dict[str, str]) -> bool:
    if options.get(name, "0") not in FLAGS:
        raise ValueError(f"must have 0 or 1 in its option {name}")
    return FLAGS[options.get(name, "0")]
