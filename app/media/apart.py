"""Runs the program that decodes what others send, in a process of its own (`picture_process.py`).

Decoders are large programs in C that read hostile bytes. The process has limits on memory and time, no environment
(fal's key is not in it) and nothing but the file. It costs some tenths of a second more than a thread would.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import Process
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from app.tasks import cancel_and_wait

PROGRAM: Final = Path(__file__).with_name("picture_process.py")
NICE = 10
READ_BYTES = 64 * 1024
MOST_BYTES = 128 * 1024 * 1024  # of its output: the largest PNG has half of it
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")  # what an interpreter may need to start


async def run_apart(given: bytes | BinaryIO, limits: dict[str, Any]) -> tuple[int, bytes]:
    """The exit status and the output of a process that reads `given`: these bytes, or a file from its beginning.

    It is killed with its task. OSError when it cannot be started.
    """
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    if not isinstance(given, bytes):
        given.seek(0)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",  # nothing from the environment or the working directory
        str(PROGRAM),
        json.dumps({**limits, "nice": NICE}),
        stdin=asyncio.subprocess.PIPE if isinstance(given, bytes) else given,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment | {"MALLOC_ARENA_MAX": "1"},
    )
    feeding = asyncio.create_task(_feed(process, given if isinstance(given, bytes) else b""))
    try:
        answer = await _answer(process)
        if answer:
            await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
        await cancel_and_wait(feeding)
    return process.returncode or 0, answer


async def _feed(process: Process, given: bytes) -> None:
    """Write the input, as far as the process reads it."""
    if process.stdin is not None:
        with suppress(ConnectionError):
            process.stdin.write(given)
            await process.stdin.drain()
        process.stdin.close()


async def _answer(process: Process) -> bytes:
    """The output to its end; nothing when there is more than any picture has."""
    assert process.stdout is not None  # noqa: S101  it is a pipe
    answer = bytearray()
    while chunk := await process.stdout.read(READ_BYTES):
        answer += chunk
        if len(answer) > MOST_BYTES:
            return b""
    return bytes(answer)
