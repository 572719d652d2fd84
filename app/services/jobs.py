"""Jobs: submit, quote, read, cancel, delete, resolve."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Literal

import structlog

from app.crash import crash_point
from app.domain.access import mark_of_own, require_control, require_model, require_scope, sees
from app.domain.accounts import Caller, Scope
from app.domain.errors import (
    Conflict,
    KeyReused,
    NotFound,
    OverBudget,
    Unauthenticated,
    Unprocessable,
    Violation,
)
from app.domain.ids import join_ref
from app.domain.jobs import Job, JobError, Priority, Status
from app.domain.limits import LimitState
from app.egress import EgressPolicy, check_url
from app.fal.protocol import REQUEST_ID
from app.media.images import ImageFacts, parse_data_uri
from app.registry.catalog import Catalog, Model
from app.registry.pricing import Quote
from app.services.fal_uploads import FalUploads
from app.services.refusals import refusal
from app.services.uploads import Uploads, about_field
from app.services.watch import Frames, Watch
from app.store import keys
from app.store.admission import AdmissionStore, Admitted, Answer, Gone, KeyReusedFor, NewJob, Refused
from app.store.dispatch import DispatchStore
from app.store.jobs import LIVE, NOW, Charge, JobStore
from app.store.limits import LimitStore
from app.store.line import LineStore

FINGERPRINT_VERSION = "v1"  # changes with the meaning of a request, so that old idempotency keys stay valid
PENDING_IMAGE = "https://v3.fal.media/files/pending"  # stands in for a data URI until everything else is checked
UNKNOWN_DURATION_MS = 360_000  # Kling takes about six minutes where we have not measured any

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a caller asks for. Seconds count from admission; `max_usd_micro` is the most it may cost.

    `webhook_style` is `fal` where the webhook is told in fal's own shape.
    """

    input: dict[str, Any]
    model: str | None = None
    webhook_url: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    deadline_s: int | None = None
    start_deadline_s: float | None = None
    webhook_style: str | None = None
    max_usd_micro: int | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job, new or found again by its idempotency key; `position` counts from 0; every limit as it stands now."""

    job: Job
    position: int | None
    repeated: bool
    limits: tuple[LimitState, ...]


@dataclass(frozen=True, slots=True)
class JobQuote:
    """What a submission would cost, which limits it would touch, and how long it would wait, now."""

    model: str
    quote: Quote
    limits: tuple[LimitState, ...]
    position: int
    estimated_wait_s: int


@dataclass(frozen=True, slots=True)
class JobRules:
    """What this installation has decided.

    `strict_schema` refuses fields that only a model's prose names; `private_images` lets images stand on private
    addresses, for the emulator; `deadline_s` is a job's default; `concurrency` is what fal runs at once.
    """

    strict_schema: bool
    private_images: bool
    deadline_s: int
    concurrency: int


class Jobs:
    """What one can ask about jobs; every door calls these."""

    def __init__(  # noqa: PLR0913  one for each part it is made of; they are named in the one place that builds it
        self,
        *,
        catalog: Catalog,
        admission: AdmissionStore,
        jobs: JobStore,
        dispatch: DispatchStore,
        limits: LimitStore,
        line: LineStore,
        watch: Watch,
        uploads: Uploads,
        fal_uploads: FalUploads,
        egress: EgressPolicy,
        rules: JobRules,
    ) -> None:
        self._catalog = catalog
        self._admission = admission
        self._jobs = jobs
        self._dispatch = dispatch
        self._limits = limits
        self._line = line
        self._watch = watch
        self._uploads = uploads
        self._fal_uploads = fal_uploads
        self._egress = egress
        self._rules = rules

    async def submit(
        self,
        caller: Caller,
        request: JobRequest,
        *,
        idempotency_key: str | None,
        trace_id: str | None,
        repost_ms: int | None = None,
    ) -> Submitted:
        """Check, price and write down a job; an idempotency key seen before gives the first job again.

        `repost_ms` says that the key was derived from the request, and how long it is remembered.
        """
        require_scope(caller, Scope.JOBS_WRITE)
        request = replace(request, input=await self._fal_uploads.resolve_input(caller, request.input))
        model, clean, quote, embedded = self._check(caller, request)
        fingerprint = self._fingerprint(model, clean, embedded, request)
        if embedded and idempotency_key is not None:
            known = await self._admission.peek(caller.team, caller.user, idempotency_key)
            if known is not None:  # the image was stored the first time
                limits = await self._limits.standing(caller)
                return await self._repeat(caller, known[0], limits, same=known[1] == fingerprint)
        images = await self._store_images(caller, model, clean, embedded)
        crash_point("admit.before")
        answer = await self._admission.admit(
            NewJob(
                team=caller.team,
                user=caller.user,
                key=caller.key,
                token=caller.token,
                credential=keys.token(caller.digest) if caller.token else keys.key(caller.digest),
                zone=caller.zone,
                model=model.id,
                input=clean,
                quoted_micro=quote.micro,
                seconds=quote.seconds,
                price_version=quote.price_version,
                deadline_ms=(request.deadline_s or self._rules.deadline_s) * 1000,
                start_ms=None if request.start_deadline_s is None else round(request.start_deadline_s * 1000),
                priority=request.priority,
                metadata=request.metadata,
                images=images,
                webhook_url=request.webhook_url,
                webhook_style=request.webhook_style,
                repost_ms=repost_ms,
                trace_id=trace_id,
                idempotency_key=idempotency_key,
                fingerprint=fingerprint,
            )
        )
        crash_point("admit.after")
        return await self._answer(caller, answer, quote)

    async def _answer(self, caller: Caller, answer: Answer, quote: Quote) -> Submitted:
        """What the store's answer means for the caller."""
        if isinstance(answer, Gone):
            raise Unauthenticated("The key was revoked.")
        if isinstance(answer, Refused):
            raise refusal(answer.limits, quote)
        if isinstance(answer, Admitted):
            if answer.alarms:
                log.warning("budget.threshold", owner="gateway", limits=answer.alarms)
            place = await self._line.position_at(
                caller.team, caller.user, answer.rank, micro=answer.job.quoted_micro
            )
            return Submitted(answer.job, place, repeated=False, limits=answer.limits)
        if isinstance(answer, KeyReusedFor):
            return await self._repeat(caller, answer.job_id, (), same=False)
        return await self._repeat(caller, answer.job_id, answer.limits, same=True)

    async def quote(self, caller: Caller, request: JobRequest) -> JobQuote:
        """What this submission would cost, and how long it would wait. Nothing changes."""
        require_scope(caller, Scope.JOBS_READ)
        request = replace(request, input=await self._fal_uploads.resolve_input(caller, request.input))
        model, _, quote, _ = self._check(caller, request)
        waiting = await self._line.position_of_next(caller.team, caller.user, micro=quote.micro)
        durations = await self._dispatch.durations(model.id)
        typical_ms = median(durations) if durations else UNKNOWN_DURATION_MS
        rounds = waiting // self._rules.concurrency
        limits = await self._limits.standing(caller, micro=quote.micro, seconds=quote.seconds)
        return JobQuote(model.id, quote, limits, waiting, round(rounds * typical_ms / 1000))

    async def get(self, caller: Caller, job_id: str) -> Job:
        """The caller's job; NotFound for another's, as for none."""
        require_scope(caller, Scope.JOBS_READ)
        job = await self._jobs.get_seen(join_ref(caller.team, job_id), mark_of_own(caller))
        if job is None:
            raise NotFound("There is no job with this id.")
        return job

    async def position(self, job: Job) -> int | None:
        """The job's place in line, 0 for the first; None when it is not waiting."""
        return await self._line.position(job) if job.status is Status.QUEUED else None

    async def positions(self, jobs: Sequence[Job]) -> list[int | None]:
        """The places in line of several jobs."""
        return await self._line.positions(jobs)

    async def wait(self, job: Job, *, seconds: float) -> Job:
        """The job at its end, or after `seconds`."""
        return job if job.status.ended else await self._watch.until_end(job, seconds=seconds)

    def follow(self, job: Job, *, after: str | None) -> Frames:
        """The job's events, live, until its end; `after` is the id of the last event seen."""
        return self._watch.follow(job, after=after)

    async def cancel(self, caller: Caller, job: Job) -> Job:
        """Stop a job where that is still possible.

        1. queued: it ends at once and costs nothing
        2. otherwise the wish is written down; the next step acts on it, and fal's truth decides
        3. someone changed the state meanwhile: look again
        """
        require_control(caller, job)
        await self._known(caller, job)
        while not job.status.ended:
            if job.status is Status.QUEUED:
                await self._jobs.cancel_queued(job)
            elif job.cancel_requested_ms is not None:
                return job
            else:
                await self._jobs.note(job, LIVE, due_step="poll", delay_ms=0, cancel_requested_ms=NOW)
            changed = await self._jobs.get(join_ref(job.team, job.id))
            if changed is None:
                break
            was_queued, job = job.status is Status.QUEUED, changed
            if job.status is Status.CANCELED and was_queued:
                return job
        raise Conflict("The job has already ended.", code="already_ended")

    async def delete(self, caller: Caller, job: Job) -> None:
        """Erase an ended job's prompt, image and clip; the ledger stays."""
        require_control(caller, job)
        await self._known(caller, job)
        if not await self._jobs.erase(job):
            raise Conflict("The job has not ended; cancel it first.", code="not_ended")

    async def _known(self, caller: Caller, job: Job) -> None:
        if caller.user == job.user:
            await self._admission.known_elsewhere(job)

    async def resolve(
        self,
        job_id: str,
        action: Literal["adopt", "resubmit", "fail"],
        *,
        upstream_request_id: str | None = None,
        charged: bool | None = None,
    ) -> Job:
        """End a held job's uncertainty, on an operator's word.

        `adopt` names fal's request id; `resubmit` says that fal has nothing; `fail` says whether fal charged.
        """
        job = await self._jobs.find(job_id)
        if job is None:
            raise NotFound("There is no job with this id.")
        if job.status is not Status.HELD or job.nonce is None:
            raise Conflict(f"The job is {job.status.value}, not held.", code="not_held")
        match action, upstream_request_id, charged:
            case "adopt", str(request_id), None:
                if not REQUEST_ID.fullmatch(request_id):
                    raise Unprocessable("That is not a request id of fal's.")
                done = await self._jobs.adopt(job, nonce=job.nonce, upstream_request_id=request_id, poll_ms=0)
            case "resubmit", None, None:
                done = await self._jobs.requeue(job, nonce=job.nonce, wait_ms=0)
            case "fail", None, bool(paid):
                error = JobError(
                    "unknown_outcome", "The submission's outcome stayed unknown; an operator ended it."
                )
                charge = Charge.SPEND if paid else Charge.RELEASE
                done = await self._jobs.end(
                    job, (Status.HELD,), Status.FAILED, charge=charge, nonce=job.nonce, error=error
                )
            case _:
                raise Unprocessable("adopt needs fal's request id; fail needs to know whether fal charged.")
        if not done:
            raise Conflict("The job changed in this moment; look at it again.", code="not_held")
        return await self._jobs.find(job_id) or job

    def _check(self, caller: Caller, request: JobRequest) -> tuple[Model, dict[str, Any], Quote, dict[str, bytes]]:
        """The model, the checked input, its price, and the images given as data, by field."""
        model = self._catalog.default if request.model is None else self._catalog.get(request.model)
        require_model(caller, model.id)
        given = dict(request.input)
        embedded: dict[str, bytes] = {}
        for name in model.image_fields:
            value = given.get(name)
            if isinstance(value, str) and value[:5].lower() == "data:":
                with about_field(name):
                    embedded[name] = parse_data_uri(value)
                given[name] = PENDING_IMAGE
        clean = model.validate(
            given, strict_schema=self._rules.strict_schema, private_images=self._rules.private_images
        )
        quote = model.price(clean)
        if request.max_usd_micro is not None and quote.micro > request.max_usd_micro:
            raise OverBudget("The job costs more than its `max_usd`.", code="over_max_usd")
        if request.webhook_url is not None:
            check_url(request.webhook_url, self._egress)
        deadline = request.deadline_s or self._rules.deadline_s
        if request.start_deadline_s is not None and request.start_deadline_s > deadline:
            sentence = "The start deadline lies behind the deadline."
            raise Unprocessable(sentence, violations=(Violation("/start_deadline", "out_of_range", sentence),))
        return model, clean, quote, embedded

    @staticmethod
    def _fingerprint(model: Model, clean: dict[str, Any], embedded: dict[str, bytes], request: JobRequest) -> str:
        """SHA-256 of the request after defaults: white space and the order of members do not matter."""
        images = {name: hashlib.sha256(content).hexdigest() for name, content in embedded.items()}
        what = {
            "version": FINGERPRINT_VERSION,
            "model": model.id,
            "input": clean | images,
            "webhook_url": request.webhook_url,
            "metadata": request.metadata,
            "priority": request.priority.value,
            "deadline": request.deadline_s,
            "start_deadline": request.start_deadline_s,
            "max_usd": request.max_usd_micro,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    async def _store_images(
        self, caller: Caller, model: Model, clean: dict[str, Any], embedded: dict[str, bytes]
    ) -> dict[str, dict[str, Any]]:
        """Put stored URLs in the place of images given as data; what the job shows of uploaded images."""
        facts: dict[str, ImageFacts] = {}
        for name, content in embedded.items():  # all are checked before the first is stored
            with about_field(name):
                _refuse_large(model, len(content))
                facts[name] = await self._uploads.check(content)
        shown: dict[str, dict[str, Any]] = {}
        for name in model.image_fields:
            if name in embedded:
                stored = await self._uploads.keep(caller, embedded[name], facts[name])
                crash_point("upload.stored")
                clean[name] = stored.url
                shown[name] = stored.view()
            elif isinstance(clean.get(name), str):
                known = await self._uploads.known(caller, clean[name])
                if known is not None:
                    with about_field(name):
                        _refuse_large(model, known["size"])
                    shown[name] = known
        return shown

    async def _repeat(
        self, caller: Caller, job_id: str, limits: tuple[LimitState, ...], *, same: bool
    ) -> Submitted:
        if not same:
            raise KeyReused("This idempotency key was used before, with another body; use a new key.")
        job = await self._jobs.get(join_ref(caller.team, job_id))
        if job is None:
            raise NotFound("The job of this idempotency key has expired; use a new key.")
        if not sees(caller, job):  # a browser token sees the jobs it made, and none of its user's others
            raise KeyReused("This idempotency key was used before, for another token's job; use a new key.")
        return Submitted(job, await self.position(job), repeated=True, limits=limits)


def _refuse_large(model: Model, size: int) -> None:
    """An upload may be larger than this model reads; fal would refuse it after it was bought."""
    limit = model.image_limits.max_bytes
    if size > limit:
        raise Unprocessable(
            f"The image has {size} bytes; {model.id} reads at most {limit}.", code="image_too_large"
        )
