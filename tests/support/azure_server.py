"""A real server of Azure's blob storage for tests: Azurite, Microsoft's own, from the npm registry.

It is installed once, without what it needs for statistics and for other databases. It checks keys, signed addresses
and ranges as Azure does.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import subprocess
import time
from email.utils import formatdate
from pathlib import Path
from typing import Self

import httpx

from app.children import die_with_parent
from tests.support.node import find_node, install_packages
from tests.support.own_server import OwnServer
from tests.support.repo import ROOT

PACKAGES = Path(__file__).with_name("azurite")
INSTALLED = ROOT / ".bootstrap" / "azurite"
PROGRAM = INSTALLED / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
START_SECONDS = 30.0
ACCOUNT, CONTAINER = "filmgate", "kept"
SECRET = base64.b64encode(b"secret-of-the-test-container").decode()
WRONG_SECRET = base64.b64encode(b"another-secret").decode()
VERSION = "2024-11-04"  # of the protocol


class AzureServer(OwnServer):
    """One server process with one account and one container; it starts in about a second."""

    def __init__(self) -> None:
        super().__init__("azure")

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:PORT/ACCOUNT`."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @staticmethod
    def install() -> None:
        """Fetch its packages, once for all processes; not where an event loop runs."""
        asyncio.run(install_packages(PACKAGES, INSTALLED))

    def settings(self, prefix: str) -> dict[str, str]:
        """All settings of a gateway that keeps its files here, below a prefix of its own."""
        return {
            "FILMGATE_STORAGE": f"az://{CONTAINER}/{prefix}?endpoint={self.endpoint}",
            "FILMGATE_STORAGE_KEY_ID": ACCOUNT,
            "FILMGATE_STORAGE_SECRET": SECRET,
        }

    def start(self) -> Self:
        """Start the server on its objects, with its container."""
        assert self._process is None, "the server is running"
        with (self.dir / "azure.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  a program of the tests
                [
                    *(find_node().path, PROGRAM, "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
                    *("--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", self.dir),
                ],
                env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{SECRET}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  two system calls
            )
        end = time.monotonic() + START_SECONDS
        while not self._has_container():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise AssertionError(f"Azurite did not start: {(self.dir / 'azure.log').read_text()[-2000:]}")
            time.sleep(0.05)  # noqa: TID251  synchronous, as the store's server is
        return self

    def restore(self) -> None:
        """Start it if it was killed."""
        if self._process is None:
            self.start()

    def _has_container(self) -> bool:
        """Make the container; True when it is there."""
        date, target = formatdate(usegmt=True), f"/{ACCOUNT}/{CONTAINER}"
        said = "PUT" + "\n" * 12
        said += f"x-ms-date:{date}\nx-ms-version:{VERSION}\n/{ACCOUNT}{target}\nrestype:container"
        mac = base64.b64encode(hmac.digest(base64.b64decode(SECRET), said.encode(), hashlib.sha256)).decode()
        headers = {"x-ms-date": date, "x-ms-version": VERSION, "Authorization": f"SharedKey {ACCOUNT}:{mac}"}
        url = f"http://127.0.0.1:{self.port}{target}?restype=container"
        try:
            return httpx.put(url, headers=headers, trust_env=False).status_code in {201, 409}
        except httpx.TransportError:
            return False
