"""A real S3 server for tests, that can be killed, frozen and restarted: OpenStack Swift with its S3 API.

`./dev test` installs it into `.bootstrap/swift`. It is a production server from a registry of packages, and checks
signatures, ranges and `If-None-Match` as S3 does. The same bucket can be reached as one of Google's
(`google_door.py`).
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import obstore
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from obstore.store import S3Store

from app.children import die_with_parent
from app.media.storage import MARK
from tests.support.own_server import OwnServer
from tests.support.repo import ROOT

PACKAGES = ROOT / ".bootstrap" / "swift"
PROGRAM = Path(__file__).with_name("s3_process.py")
START_SECONDS = 30.0
BUCKET, PREFIX, REGION = "kept", "filmgate", "us-east-1"
OWNER, STRANGER = "filmgate:owner", "filmgate:stranger"
SECRET = "secret-of-the-test-bucket"


class S3Server(OwnServer):
    """One server process with one bucket; it starts in about a second."""

    def __init__(self) -> None:
        super().__init__("s3")
        self._secret = SECRET

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def setting(self) -> str:
        """The value of FILMGATE_STORAGE."""
        return f"s3://{BUCKET}/{PREFIX}?endpoint={self.endpoint}&region={REGION}"

    @property
    def settings(self) -> dict[str, str]:
        """All settings of a gateway that keeps its files here."""
        return self._settings(OWNER)

    @property
    def strangers_settings(self) -> dict[str, str]:
        """The same with a key that is right and has no rights."""
        return self._settings(STRANGER)

    def _settings(self, user: str) -> dict[str, str]:
        return {
            "FILMGATE_STORAGE": self.setting,
            "FILMGATE_STORAGE_KEY_ID": user,
            "FILMGATE_STORAGE_SECRET": SECRET,
        }

    def google_settings(self, user: str = OWNER) -> dict[str, str]:
        """All settings of a gateway for which this is a bucket of Google's; the server does not know "nobody"."""
        return {
            "FILMGATE_STORAGE": f"gs://{BUCKET}/{PREFIX}?endpoint={self.endpoint}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.dir / f"{user.replace(':', '-')}.json"),
        }

    def _write_accounts(self) -> None:
        """Keys of Google's: of the owner, of the stranger, and of somebody whom the server does not know."""
        key = generate_private_key(65537, 2048)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for user in (OWNER, STRANGER, "nobody"):
            account = {
                "type": "service_account",
                "client_email": user,
                "private_key_id": "1",
                "private_key": private,
            }
            (self.dir / f"{user.replace(':', '-')}.json").write_text(json.dumps(account))
        known = {user: (public, user, SECRET) for user in (OWNER, STRANGER)}
        (self.dir / "google.json").write_text(json.dumps(known))

    def start(self, *, secret: str = SECRET) -> Self:
        """Start the server on its objects and wait for its bucket; with another secret, Filmgate's is wrong."""
        assert self._process is None, "the server is running"
        self._secret = secret
        if not (self.dir / "google.json").exists():
            self._write_accounts()
        assert PACKAGES.is_dir(), "There is no S3 server here: run ./dev test, which installs one."
        with (self.dir / "s3.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own program
                [
                    *(sys.executable, str(PROGRAM), str(self.dir), str(self.port), BUCKET),
                    *(f"owner:{secret}", f"stranger:{secret}"),
                ],
                env={**os.environ, "PYTHONPATH": str(PACKAGES)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  two system calls
            )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        end, said = time.monotonic() + START_SECONDS, b""
        while not said.endswith(b"\n"):
            said += self._process.stdout.read() or b""
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise AssertionError(f"the S3 server did not start: {(self.dir / 's3.log').read_text()[-2000:]}")
            time.sleep(0.01)  # noqa: TID251  synchronous, as the store's server is
        assert json.loads(said) == {"ready": True}, said
        return self

    def restore(self) -> None:
        """Start it if it was killed, and with Filmgate's own secret if it has another."""
        if self._process is None or self._secret != SECRET:
            self.kill()
            self.start()

    def objects(self) -> list[str]:
        """The names of all objects below the prefix, in order, without the storage's mark."""
        pages = obstore.list(self._bucket())
        return sorted(found["path"] for page in pages for found in page if found["path"] != MARK)

    def content(self, name: str) -> bytes:
        """An object's bytes."""
        return bytes(obstore.get(self._bucket(), name).bytes())

    def _bucket(self) -> S3Store:
        return S3Store(
            BUCKET,
            prefix=PREFIX,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=OWNER,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def empty(self) -> None:
        """Delete every object but the mark: an empty store takes it over."""
        obstore.delete(self._bucket(), self.objects())
