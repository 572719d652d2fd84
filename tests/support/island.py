"""A process with a network of its own, where every address there is leads to itself: nothing can leave unheard.

`python -m tests.support.island` makes the attempts that it reads from its input, `{"hosts": […], "names": {name:
[answers]}}`, with the sender as it is in production: the system's resolver, no address allowed. A line of JSON for
each: what came of the attempt, and the addresses at which a connection was heard on port 443.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.egress import EgressPolicy
from app.webhooks.sender import Sender
from tests.support.listener import listening
from tests.support.resolver import name_server
from tests.support.tree import ROOT

SECONDS = 60
HUNG = 40  # names whose server says nothing, asked for at once
PROGRAM = """
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
mount --bind "$1" /etc/resolv.conf
mount --bind "$2" /etc/nsswitch.conf
shift 2
exec "$@"
"""
ISLAND = ("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec", PROGRAM, "island")


def may_be_made() -> bool:
    """True where the kernel lets us: Linux, with namespaces for users, and iproute2 installed."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    command = [*ISLAND, "/etc/resolv.conf", "/etc/nsswitch.conf", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603  our own words


async def visit(
    folder: Path, hosts: Sequence[str], names: Mapping[str, list[Sequence[str] | None]]
) -> list[dict[str, Any]]:
    """The lines that the island says about these hosts."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n", "utf-8")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n", "utf-8")
    files = (str(folder / "resolv.conf"), str(folder / "nsswitch.conf"))
    process = await asyncio.create_subprocess_exec(
        *ISLAND,
        *files,
        *(sys.executable, "-m", "tests.support.island"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, complaint = await process.communicate(json.dumps({"hosts": hosts, "names": names}).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaint.decode()
    return [json.loads(line) for line in said.splitlines()]


async def _attempts(hosts: Sequence[str], names: dict[str, list[Sequence[str] | None]]) -> None:
    """One attempt for each host, one after the other; `hung` stands for many at once, not waited for."""
    hung: list[asyncio.Task[Any]] = []
    sender = Sender(EgressPolicy(), total_timeout=4)
    async with name_server(port=53) as server, listening(443) as listener:
        server.names = names
        for host in hosts:
            if host == "hung":
                silent = [f"n{number}.hung.example" for number in range(HUNG)]
                server.names |= {name: [None] for name in silent}
                hung += [asyncio.create_task(_attempt(sender, name)) for name in silent]
                await asyncio.sleep(0.1)
                continue
            before = len(listener.reached)
            made = await _attempt(sender, host)
            await asyncio.sleep(0)  # the listener's turn
            sys.stdout.write(json.dumps({"host": host, **made, "heard": listener.reached[before:]}) + "\n")
        sys.stdout.flush()
    os._exit(0)  # the system still waits for name servers in threads


async def _attempt(sender: Sender, host: str) -> dict[str, Any]:
    now = datetime.fromtimestamp(time.time(), UTC)
    return asdict(await sender.send(f"https://{host}/hook", body=b"{}", signature={}, now=now))


if __name__ == "__main__":
    asyncio.run(_attempts(**json.load(sys.stdin)))
