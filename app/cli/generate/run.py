"""One take of `filmgate generate`: its steps and its state."""

import shlex
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.access import Access
from app.cli.generate.client import ApiClient, GatewayAway, JobReply
from app.cli.generate.clip import refuse_target, save_clip
from app.cli.generate.events import follow
from app.cli.generate.options import GenerateOptions
from app.cli.generate.order import ClipOrder
from app.cli.generate.screen import Shows, clock, size


class Run:
    """One take; `job`, `saved`, `submitting` and `idempotency_key` are its state."""

    def __init__(self, access: Access, options: GenerateOptions, order: ClipOrder, take: int = 1) -> None:
        self.access = access
        self.options = options
        self.take = take
        given = options.idempotency_key
        self.idempotency_key = given if given and options.takes == 1 else f"{given or uuid.uuid4()}-{take}"
        self._order = order
        self.submitting = False
        self.job: JobReply | None = None
        self.saved: Path | None = None
        self.voice: str | None = None

    async def clip(self, client: ApiClient, screen: Shows, body: dict[str, Any] | None) -> str:
        """Make the clip and save it; a line about it. `body` is the job's, None to continue with the options' job.

        1. find the job, or submit it
        2. follow it to its end
        3. download the clip, or its sound if the model makes only that; a voice has only its id
        """
        self.job = await self._found(client, screen, body)
        self.job = await follow(client, self.job, self._show_on(screen), screen.notice)
        if self.job["status"] != "succeeded":
            raise Failure(why_no_clip(self.job))
        self.voice = _voice(self.job)
        if self.voice is not None:
            return " · ".join([f"voice {printable(self.voice)}", *_facts(self.job)])
        count = await self._save(client, screen)
        return _summary(self.job, self.saved, count)

    @property
    def target(self) -> Path:
        """Where the clip goes, as far as that is known without the job."""
        return self.options.target("job", self.take)

    @property
    def resume_command(self) -> str:
        """The command that gets this job's clip later."""
        job_id = "" if self.job is None else self.job["id"]
        return f"filmgate generate --job {job_id} -o {shlex.quote(str(self.options.target(job_id, self.take)))}"

    @property
    def unsure_advice(self) -> str:
        """What to do when the outcome of the submission is unknown."""
        if self.options.takes > 1:
            return "Jobs may have been submitted all the same; see the newest ones before you order again."
        url = self._order.uploaded.get(Path(self.options.image or ""))
        image = f" --image {url}" if url else ""
        return (
            "The job may have been submitted all the same; the same command with"
            f"{image} --idempotency-key {self.idempotency_key} finds it and pays nothing twice."
        )

    async def _found(self, client: ApiClient, screen: Shows, body: dict[str, Any] | None) -> JobReply:
        if body is None:
            return await client.job(self.options.job_id or "")
        screen.doing("Submitting")
        self.submitting = True
        try:
            job = await client.submit(body, idempotency_key=self.idempotency_key)
        except GatewayAway as error:
            if error.unsure:
                raise Failure(f"{error} {self.unsure_advice}") from None
            raise
        self.submitting = False
        return job

    def _show_on(self, screen: Shows) -> Callable[[JobReply], None]:
        def show(job: JobReply) -> None:
            self.job = {**(self.job or {}), **job}
            screen.job(job)

        return show

    async def _save(self, client: ApiClient, screen: Shows) -> int:
        assert self.job is not None  # noqa: S101  it has succeeded
        target, sound = self.options.target(self.job["id"], self.take), _sound_url(self.job)
        if sound is not None and target != self.options.out:
            target = target.with_suffix(PurePosixPath(urlsplit(sound).path).suffix or ".mp3")
        path = sound or f"/v1/jobs/{self.job['id']}/video"
        try:
            refuse_target(target, force=self.options.force)
            count = await save_clip(client, path, target, force=self.options.force, screen=screen)
        except Failure as error:
            raise Failure(f"{error} The clip is made; get it with: {self.resume_command}") from None
        self.saved = target
        return count


def why_no_clip(job: JobReply) -> str:
    """A sentence for a job that did not succeed, with its code."""
    if job["status"] == "held":
        return (
            f"Job {job['id']} is held ({job['held_reason']}): nobody knows whether fal accepted it, so it is not "
            "sent again; whoever runs the gateway can end that with `filmgate jobs resolve`."
        )
    error = job["error"] or {"code": job["status"], "message": f"The job is {job['status']}."}
    detail = (error.get("upstream") or {}).get("detail")
    said = f" fal says: {detail}" if isinstance(detail, str) else ""
    cost = "What it costs is not settled yet." if job["charged_usd"] is None else f"It cost ${job['charged_usd']}."
    word = "was cancelled" if job["status"] == "canceled" else "failed"
    return printable(f"Job {job['id']} {word} ({error['code']}): {error['message']}{said} {cost}")


def _voice(job: JobReply) -> str | None:
    """The id of a voice that the job made; None when it made a file."""
    output = job.get("output") or {}
    voice = output.get("voice_id")
    return voice if isinstance(voice, str) and not output.get("video") and not output.get("audio") else None


def _sound_url(job: JobReply) -> str | None:
    """The address of the job's sound, if it made no video."""
    output = job.get("output") or {}
    return None if output.get("video") else (output.get("audio") or {}).get("url")


def _summary(job: JobReply, saved: Path | None, count: int) -> str:
    """`photo.mp4 · 5 s clip · 151 kB · $1.40 · took 7 s`."""
    parts = [str(saved)]
    duration = (job.get("input") or {}).get("duration")
    if duration is not None:
        parts.append(f"{duration} s clip")
    return " · ".join([*parts, size(count), *_facts(job)])


def _facts(job: JobReply) -> list[str]:
    """What it cost, and how long it took."""
    cost = f"${job['quoted_usd']} quoted" if job["charged_usd"] is None else f"${job['charged_usd']}"
    took = datetime.fromisoformat(job["completed_at"]) - datetime.fromisoformat(job["created_at"])
    return [cost, f"took {clock(took.total_seconds())}"]
