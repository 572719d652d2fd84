"""An older checkout and this one side by side on one store: `python -m tests.e2e.side_by_side CHECKOUT [SECONDS]`.

CHECKOUT is a checkout of an older version with its `.venv`. An API of each and workers of the older one serve; then
this version's workers join, and migrate the store. Jobs go to both APIs in turn, and each is repeated at the other.
At the end both must show every job as it is, fal must have sold each once, and both must find the ledger in order.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support.emulator import Emulator, running_emulator
from tests.support.processes import Process, clean_environment, free_port
from tests.support.redis_server import RedisServer
from tests.support.repo import ROOT
from tests.support.stack import environment
from tests.support.waiting import wait_until

ENDS = {"succeeded", "failed", "canceled", "held"}
PAUSE_S = 2.0  # between two jobs


class Version:
    """One checkout: its API, its workers and its command on the common store."""

    def __init__(self, checkout: Path, settings: dict[str, str], folder: Path) -> None:
        self._checkout, self._folder = checkout, folder
        self._python = str(checkout / ".venv/bin/python")
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._settings = clean_environment(**settings, FILMGATE_PORT=str(port))

    def start(self, role: str) -> Process:
        """Start `filmgate ROLE`; its output goes to a file in the folder."""
        own = {**self._settings, "FILMGATE_DATA_DIR": tempfile.mkdtemp(dir=self._folder)}
        log = self._folder / f"{self._checkout.name}-{role}.log"
        return Process([self._python, "-m", "app.cli", role], own, log=log, cwd=self._checkout).start()

    def command(self, *words: str) -> Any:
        """The JSON of a command that succeeds."""
        own = {**self._settings, "FILMGATE_DATA_DIR": tempfile.mkdtemp(dir=self._folder)}
        argv = [self._python, "-m", "app.cli", *words, "--json"]
        ended = subprocess.run(argv, cwd=self._checkout, env=own, capture_output=True, text=True, check=False)  # noqa: S603
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


async def submit(web: httpx.AsyncClient, old: Version, new: Version, fal: Emulator, seconds: float) -> list[str]:
    """Jobs at both in turn, each repeated at the other; this version's workers join after a tenth of the time."""
    ids: list[str] = []
    began, joined = time.monotonic(), False
    while time.monotonic() - began < seconds:
        if not joined and time.monotonic() - began > seconds / 10:
            new.start("worker")
            joined = True
        number = len(ids)
        body = {"input": {"prompt": f"side {number}", "image_url": fal.sample_image}}
        found = []
        for version in (old, new)[:: 1 if number % 2 else -1]:
            reply = await web.post(
                f"{version.address}/v1/jobs", json=body, headers={"Idempotency-Key": f"side-{number}"}
            )
            assert reply.status_code == 202, reply.text
            found.append(reply.json()["id"])
        assert len(set(found)) == 1, "the repeat is another job"
        ids.append(found[0])
        await asyncio.sleep(PAUSE_S)
    return ids


async def run(checkout: Path, seconds: float) -> None:
    """Run it, and print what was found."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="filmgate-side-")))
        fal = await stack.enter_async_context(running_emulator("--queue-seconds", "0.5", "--run-seconds", "2"))
        store = stack.enter_context(RedisServer())
        shared = {name: text for name, text in environment(store, fal).items() if name != "FILMGATE_PUBLIC_URL"}
        old, new = Version(checkout, shared, folder), Version(ROOT, shared, folder)
        key = old.command("keys", "create", "me")["key"]
        processes = [old.start("serve"), old.start("worker"), new.start("serve")]
        for process in processes:
            stack.callback(process.stop)
        headers = {"Authorization": f"Bearer {key}"}
        web = await stack.enter_async_context(httpx.AsyncClient(headers=headers, timeout=30, trust_env=False))

        async def ready() -> bool:
            with suppress(httpx.TransportError):
                replies = [await web.get(f"{one.address}/readyz") for one in (old, new)]
                return {reply.status_code for reply in replies} == {200}
            return False

        await wait_until(ready, "both are ready", timeout=90, interval=0.3)
        ids = await submit(web, old, new, fal, seconds)

        async def statuses(version: Version) -> Counter[str]:
            jobs = [(await web.get(f"{version.address}/v1/jobs/{one}")).json() for one in ids]
            return Counter(job["status"] for job in jobs)

        async def ended() -> bool:
            return set(await statuses(new)) <= ENDS

        await wait_until(ended, "every job has ended", timeout=180, interval=1)
        shown = [await statuses(version) for version in (old, new)]
        assert shown[0] == shown[1] == Counter({"succeeded": len(ids)}), shown
        sold = Counter(request["prompt"] for request in await fal.requests())
        assert (len(sold), set(sold.values())) == (len(ids), {1}), sold
        verified = [version.command("ledger", "verify") for version in (old, new)]
        assert [one["differences"] for one in verified] == [[], []]
        number = new.command("migrate")["format"]
        sys.stdout.write(f"{len(ids)} jobs, each sold once; data format {number}; both ledgers in order\n")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]).resolve(), float(sys.argv[2]) if len(sys.argv) > 2 else 600))
