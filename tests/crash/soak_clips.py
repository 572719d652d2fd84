"""The clips of a soak: every one that was made is in the storage, whole, and nothing else is."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx

from tests.support.repo import ROOT
from tests.support.waiting import wait_until

SAMPLE = hashlib.sha256((ROOT / "app/emulator/sample.mp4").read_bytes()).hexdigest()  # all of the emulator's clips
KEPT_S = 240.0  # after the last end: a storage that was away is tried again every 30 s
READERS = 8


async def clip_faults(lab: Any, folder: Path, *, label: str) -> tuple[int, list[str]]:
    """How many clips were read back whole from this folder's storage, and what is wrong with the others."""
    succeeded: list[dict[str, Any]] = []

    async def all_kept() -> bool:
        succeeded[:] = [job for job in await lab.jobs(round=label) if job["status"] == "succeeded"]
        return all("sha256" in job["output"]["video"] for job in succeeded)

    wrong: list[str] = []
    try:
        await wait_until(all_kept, "every clip is kept", timeout=KEPT_S, interval=2)
    except AssertionError:
        left = [job["id"] for job in succeeded if "sha256" not in job["output"]["video"]]
        wrong.append(f"{len(left)} clips are not kept: {left[:5]}")
    room = asyncio.Semaphore(READERS)

    async def digest(job: dict[str, Any]) -> str:
        async with room:
            try:
                reply = await lab.api.get(f"/v1/jobs/{job['id']}/video")
            except httpx.TransportError as error:
                return type(error).__name__
        return hashlib.sha256(reply.content).hexdigest() if reply.status_code == httpx.codes.OK else reply.text[:80]

    kept = [job for job in succeeded if "sha256" in job["output"]["video"]]
    digests = await asyncio.gather(*(digest(job) for job in kept))
    broken = [f"{job['id']}: {found}" for job, found in zip(kept, digests, strict=True) if found != SAMPLE]
    if broken:
        wrong.append(f"{len(broken)} kept clips have other bytes than fal's: {broken[:5]}")
    stray = await asyncio.to_thread(_stray, folder, {job["id"] for job in succeeded})
    if stray:
        wrong.append(f"{len(stray)} files in the storage belong to no clip: {stray[:5]}")
    return len(kept) - len(broken), wrong


def _stray(folder: Path, known: set[str]) -> list[str]:
    files = folder.glob("clips/*/*/*")
    return [str(path) for path in files if path.parent.name not in known or path.name != "video"]
