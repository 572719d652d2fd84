"""One run of `filmgate generate`: its steps and its state."""

import os
import shlex
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from app.cli.cells import printable
from app.cli.exits import Failure
from app.cli.generate.access import Access
from app.cli.generate.client import ApiClient, GatewayAway, JobReply
from app.cli.generate.clip import refuse_target, save_clip
from app.cli.generate.events import follow
from app.cli.generate.image import data_uri, duration_value, image_field, read_image, upload
from app.cli.generate.screen import Screen, clock, size

MAX_EMBEDDED_BYTES = 5_500_000  # bytes; in base64 it still fits into a job's body of 8 MB


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """The options of the command. `job_id` continues with a job; otherwise the others make one.

    `image` is a file or an http(s) URL; `out` a file, a folder, or None for a name like the image's.
    """

    image: str | None
    fields: dict[str, Any]
    model: str | None
    out: Path | None
    force: bool
    job_id: str | None
    idempotency_key: str | None

    @property
    def image_is_url(self) -> bool:
        """True when fal fetches the image itself."""
        return self.image is not None and urlsplit(self.image).scheme.lower() in {"http", "https"}


class Run:
    """The steps; `job`, `saved`, `submitting` and `idempotency_key` are its state."""

    def __init__(self, access: Access, options: GenerateOptions) -> None:
        self.access = access
        self.options = options
        self.idempotency_key = options.idempotency_key or str(uuid.uuid4())
        self.uploaded: str | None = None
        self.submitting = False
        self.job: JobReply | None = None
        self.saved: Path | None = None
        self.voice: str | None = None

    async def clip(self) -> None:
        """Make the clip and save it.

        1. check the image and the target, before anything is bought
        2. find the job, or make it: upload, submit
        3. follow it to its end
        4. download the clip, or its sound if the model makes only that; a voice has only its id
        """
        content = self._prepare()
        with Screen() as screen:
            async with ApiClient(self.access, screen.notice) as client:
                if self.options.job_id is not None:
                    self.job = await client.job(self.options.job_id)
                else:
                    self.job = await self._submit(client, content, screen)
                self.job = await follow(client, self.job, self._show_on(screen), screen.notice)
                if self.job["status"] != "succeeded":
                    raise Failure(why_no_clip(self.job))
                self.voice = _voice(self.job)
                if self.voice is not None:
                    screen.done(" · ".join([f"voice {printable(self.voice)}", *_facts(self.job)]))
                    return
                count = await self._save(client, screen)
        screen.done(_summary(self.job, self.saved, count))

    @property
    def resume_command(self) -> str:
        """The command that gets this job's clip later."""
        job_id = "" if self.job is None else self.job["id"]
        return f"filmgate generate --job {job_id} -o {shlex.quote(str(_target(self.options, job_id)))}"

    def _prepare(self) -> bytes | None:
        """The bytes of an image file; Failure when it or the target cannot be used."""
        refuse_target(_target(self.options, "job"), force=self.options.force)
        if self.options.image is None or self.options.image_is_url:
            return None
        content = read_image(Path(self.options.image))
        if self.options.idempotency_key is not None and len(content) > MAX_EMBEDDED_BYTES:
            raise Failure(
                f"With --idempotency-key an image file has at most {size(MAX_EMBEDDED_BYTES)}, because it is sent "
                "inside the job so that it is recognised; give a larger one as a URL."
            )
        return content

    async def _submit(self, client: ApiClient, content: bytes | None, screen: Screen) -> JobReply:
        """Upload the file, then submit. With --idempotency-key the file is sent inside the job.

        Each upload has a different URL; an image inside the job makes a repeated command the same request.
        """
        fields, model = dict(self.options.fields), None
        if self.options.model is not None and (self.options.image is not None or "duration" in fields):
            model = await client.model(self.options.model)
        if model is not None and "duration" in fields:
            fields["duration"] = duration_value(model, fields["duration"])
        if self.options.image is not None:
            field, listed = image_field(model)
            url = self.options.image
            if content is not None:
                url = data_uri(content, self.options.image)
                if self.options.idempotency_key is None:
                    url = self.uploaded = await upload(client, Path(self.options.image), content, screen)
            fields[field] = [url] if listed else url
        body = {"input": fields} if self.options.model is None else {"model": self.options.model, "input": fields}
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

    @property
    def unsure_advice(self) -> str:
        """What to do when the outcome of the submission is unknown."""
        image = f" --image {self.uploaded}" if self.uploaded else ""
        return (
            "The job may have been submitted all the same; the same command with"
            f"{image} --idempotency-key {self.idempotency_key} finds it and pays nothing twice."
        )

    def _show_on(self, screen: Screen) -> Callable[[JobReply], None]:
        def show(job: JobReply) -> None:
            self.job = {**(self.job or {}), **job}
            screen.job(job)

        return show

    async def _save(self, client: ApiClient, screen: Screen) -> int:
        assert self.job is not None  # noqa: S101  it has succeeded
        target, sound = _target(self.options, self.job["id"]), _sound_url(self.job)
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


def _target(options: GenerateOptions, job_id: str) -> Path:
    """The clip's path: the file of -o, or a name like the image's or the job's."""
    if options.out is not None and not os.path.isdir(options.out):  # noqa: PTH112  no error for a name that is too long
        return options.out
    stem = ""
    if options.image is not None:
        path = unquote(urlsplit(options.image).path) if options.image_is_url else options.image
        stem = "".join(char for char in PurePosixPath(path).stem if char.isprintable()).lstrip(".-")
    return (options.out or Path()) / f"{stem[:100] or options.job_id or job_id}.mp4"
