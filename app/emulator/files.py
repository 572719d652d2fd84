"""The emulated CDN: uploads and clips in a folder, public under their URLs."""

import hashlib
import hmac
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
UPLOAD_LIFETIME = 900  # seconds that an upload_url is valid


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file: its id, name and type, and the path of its bytes."""

    id: str
    name: str
    content_type: str
    body: Path

    @property
    def path(self) -> str:
        """The path of its public URL."""
        return f"/files/{self.id}/{self.name}"

    @property
    def complete(self) -> bool:
        """True once its bytes are there."""
        return self.body.exists()


class Files:
    """A folder with a sub-folder for each file; it can be read after a restart."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._secret = os.urandom(32)
        self._cache: dict[str, StoredFile] = {}

    def reserve(self, name: str, content_type: str) -> StoredFile:
        """A file whose bytes will be written later."""
        file_id = uuid.uuid4().hex
        folder = self.root / file_id
        folder.mkdir(parents=True)
        clean = UNSAFE.sub("_", name).strip("._")[-80:] or "file"
        (folder / "about.json").write_text(json.dumps({"name": clean, "content_type": content_type}))
        return StoredFile(file_id, clean, content_type, folder / "body")

    async def write_body(self, file: StoredFile, chunks: AsyncIterator[bytes]) -> None:
        """Writes the bytes of a reserved file as they come, and shows it when it is whole."""
        arriving = file.body.with_name("arriving")
        with arriving.open("wb") as target:
            async for chunk in chunks:
                target.write(chunk)
        arriving.replace(file.body)

    def adopt(self, source: Path, name: str, content_type: str) -> StoredFile:
        """A new file with the bytes of `source`, linked where possible."""
        file = self.reserve(name, content_type)
        try:
            os.link(source, file.body)
        except OSError:
            shutil.copyfile(source, file.body)
        return file

    def find(self, file_id: str) -> StoredFile | None:
        """The file with this id, complete or not; None if there is none."""
        if file_id in self._cache:
            return self._cache[file_id]
        folder = self.root / file_id
        if not file_id.isalnum() or not (folder / "about.json").exists():
            return None
        about = json.loads((folder / "about.json").read_text())
        file = StoredFile(file_id, about["name"], about["content_type"], folder / "body")
        self._cache[file_id] = file
        return file

    def put_part(self, file: StoredFile, number: int, content: bytes) -> str:
        """Stores one part of a large file; its ETag."""
        (file.body.parent / f"part-{number}").write_bytes(content)
        return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'

    def join_parts(self, file: StoredFile, numbers: list[int]) -> None:
        """Joins the parts in the order of their numbers; KeyError with the number of a missing one."""
        parts = [(number, file.body.parent / f"part-{number}") for number in sorted(numbers)]
        missing = [number for number, part in parts if not part.exists()]
        if missing or not parts:
            raise KeyError(missing[0] if missing else 1)
        arriving = file.body.with_name("arriving")
        with arriving.open("wb") as target:
            for _, part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, target)
        arriving.replace(file.body)
        for _, part in parts:
            part.unlink()

    def signed_query(self, purpose: str) -> str:
        """A query that allows `purpose` for a while without a key."""
        expires = int(time.time()) + UPLOAD_LIFETIME
        proof = self.sign(f"{purpose}\n{expires}")
        return f"expires={expires}&signature={proof}"

    def is_signed(self, purpose: str, expires: str, signature: str) -> bool:
        """True for a query that `signed_query` made and that has not expired."""
        if not expires.isdecimal() or int(expires) < time.time():
            return False
        return self.is_own_signature(f"{purpose}\n{expires}", signature)

    def sign(self, text: str) -> str:
        """An HMAC of the text with this process's secret."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def is_own_signature(self, text: str, proof: str) -> bool:
        """True for the HMAC that `sign` makes of the text."""
        return hmac.compare_digest(self.sign(text).encode(), proof.encode())
