"""Hosts with their own networks on one machine, for a process that `isolated` has separated.

Each host is a network namespace with one interface in `back`, where the store is, and one in `front`, for callers.
This process is the host `x`, in both. A cut host has lost `back`; hosts that are cut together reach each other.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

CLONE_NEWNET = 0x40000000
FRONT, BACK, APART = "front", "back", "apart"
OWN = 1  # the last byte of this process's addresses
PROGRAM = """
mount -t tmpfs tmpfs /run
ip link set lo up
exec "$@"
"""
WITH_ROOT = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
WITHOUT = (*WITH_ROOT, "--user", "--map-root-user")


def isolated(*command: str) -> list[str]:
    """The command, in its own PID and network namespaces, which end with it."""
    first = WITH_ROOT if os.geteuid() == 0 else WITHOUT
    return [*first, "sh", "-ec", PROGRAM, "sh", *command]


def why_not() -> str | None:
    """Why networks cannot be made here; None where they can."""
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    script = "ip netns add y; ip link add front type bridge; ip link add x type veth peer name eth0 netns y"
    command = isolated("sh", "-ec", script)
    tried = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  our own words
    return None if tried.returncode == 0 else f"namespaces are refused: {tried.stderr.strip()}"


class Network:
    """The hosts by name; the first one's addresses end in 11."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._numbers = {host: number for number, host in enumerate(hosts, 11)}
        for bridge in (FRONT, BACK, APART):
            _ip("link", "add", bridge, "type", "bridge")
            _ip("link", "set", bridge, "up")
        for bridge in (FRONT, BACK):
            _ip("address", "add", f"{_address(bridge, OWN)}/24", "dev", bridge)
        for host, number in self._numbers.items():
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
            for bridge in (FRONT, BACK):
                foot = f"{bridge}-{host}"
                _ip("link", "add", foot, "type", "veth", "peer", "name", bridge, "netns", host)
                _ip("link", "set", foot, "master", bridge, "up")
                _ip("-n", host, "address", "add", f"{_address(bridge, number)}/24", "dev", bridge)
                _ip("-n", host, "link", "set", bridge, "up")

    def back(self, host: str) -> str:
        """The address at which other hosts find this one; `x` is this process."""
        return _address(BACK, self._numbers.get(host, OWN))

    def front(self, host: str) -> str:
        """The address at which callers find this host."""
        return _address(FRONT, self._numbers[host])

    def part(self, *hosts: str) -> None:
        """In `back`, these hosts reach only each other."""
        for host in hosts:
            _ip("link", "set", f"{BACK}-{host}", "master", APART)

    def mend(self, *hosts: str) -> None:
        """Reconnect these hosts."""
        for host in hosts:
            _ip("link", "set", f"{BACK}-{host}", "master", BACK)

    def command(self, host: str, words: Sequence[str]) -> list[str]:
        """The command on this host, with its own host name."""
        named = ("unshare", "--uts", "sh", "-ec", 'hostname "$0"; exec "$@"', host)
        return ["nsenter", f"--net={_namespace(host)}", *named, *words]

    def listen(self, host: str, port: int = 0) -> socket.socket:
        """A socket of this process that listens on the host's own loopback."""
        made: list[socket.socket] = []

        def make() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with _namespace(host).open() as there:
                if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "this thread cannot enter the host")
            made.append(socket.create_server(("127.0.0.1", port)))

        thread = threading.Thread(target=make)  # a namespace belongs to a thread: this one ends with it
        thread.start()
        thread.join()
        return made[0]

    def signal(self, host: str, number: signal.Signals) -> None:
        """Send this signal to every process on the host."""
        for pid in self._processes(host):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _processes(self, host: str) -> Iterator[int]:
        here = _namespace(host).stat()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    there = (entry / "ns" / "net").stat()
                    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                        yield int(entry.name)


def _namespace(host: str) -> Path:
    return Path("/run/netns") / host


def _address(bridge: str, number: int) -> str:
    return f"10.77.{(FRONT, BACK).index(bridge)}.{number}"


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)  # noqa: S603, S607  our own words
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
