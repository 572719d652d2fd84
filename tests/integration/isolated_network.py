"""A process in its own network, which owns every address: each connection that is made is seen.

`python -m tests.integration.isolated_network` reads `{"hosts": […], "names": {name: [answers]}}`, makes an attempt
at each host with the production sender (the system's resolver, no address allowed), and prints one line of
JSON for each: the attempt, and the addresses at which port 443 was reached.
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
from tests.integration.name_server import name_server
from tests.support.catch_all import CatchAll
from tests.support.processes import piped

SECONDS = 60
HUNG = 40  # names whose server does not answer, resolved concurrently
PROGRAM = """
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
mount --bind "$1" /etc/resolv.conf
mount --bind "$2" /etc/nsswitch.conf
shift 2
exec "$@"
"""
ISOLATED = ("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec", PROGRAM, "sh")


def is_supported() -> bool:
    """True where the kernel allows it: Linux, with user namespaces, and iproute2 installed."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    command = [*ISOLATED, "/etc/resolv.conf", "/etc/nsswitch.conf", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603  our own words


async def attempts(
    folder: Path, hosts: Sequence[str], names: Mapping[str, list[Sequence[str] | None]]
) -> list[dict[str, Any]]:
    """The lines that it prints about these hosts."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n", "utf-8")
    (folder / "nsswitch.conf").write_text("hosts: files dns\n", "utf-8")
    files = (str(folder / "resolv.conf"), str(folder / "nsswitch.conf"))
    command = (*ISOLATED, *files, sys.executable, "-m", "tests.integration.isolated_network")
    async with piped(*command) as program, asyncio.timeout(SECONDS):
        output, errors = await program.process.communicate(json.dumps({"hosts": hosts, "names": names}).encode())
    assert program.process.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]


async def _attempts(hosts: Sequence[str], names: dict[str, list[Sequence[str] | None]]) -> None:
    """One attempt for each host, in turn; `hung` hosts are resolved concurrently, without waiting for them."""
    hung: list[asyncio.Task[Any]] = []
    sender = Sender(EgressPolicy(), total_timeout=4)
    async with name_server(port=53) as server, CatchAll(443) as catch_all:
        server.names = names
        for host in hosts:
            if host == "hung":
                silent = [f"n{number}.hung.example" for number in range(HUNG)]
                server.names |= {name: [None] for name in silent}
                hung += [asyncio.create_task(_attempt(sender, name)) for name in silent]
                await asyncio.sleep(0.1)
                continue
            before = len(catch_all.reached)
            made = await _attempt(sender, host)
            await asyncio.sleep(0.01)  # the server records it
            sys.stdout.write(json.dumps({"host": host, **made, "heard": catch_all.reached[before:]}) + "\n")
        sys.stdout.flush()
    os._exit(0)  # the system still waits for name servers in threads


async def _attempt(sender: Sender, host: str) -> dict[str, Any]:
    now = datetime.fromtimestamp(time.time(), UTC)
    return asdict(await sender.send(f"https://{host}/hook", body=b"{}", signature={}, now=now))


if __name__ == "__main__":
    asyncio.run(_attempts(**json.load(sys.stdin)))
