"""Checks and prices a submission and stores its images, before it is admitted."""

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.crash import crash_point
from app.domain.access import require_model
from app.domain.accounts import Caller
from app.domain.addresses import tidied
from app.domain.errors import Code, OverBudget, Unprocessable, Violation, blamed_on, invalid_at
from app.domain.jobs import Job, Submission
from app.domain.money import format_usd
from app.egress import EgressPolicy, check_url
from app.media.data_uris import EmbeddedImage, is_data_uri, read_data_uri
from app.registry.catalog import NO_MEDIA, Catalog, Model
from app.registry.fields import Location
from app.registry.model_file import media_fault
from app.registry.violations import MAX_VIOLATIONS
from app.services.fal_uploads import FalUploads
from app.services.uploads import AcceptedImage, KeptFor, Uploads, about_field

FINGERPRINT_VERSION = "v1"
MAX_EMBEDDED = 64  # data URIs in one input; no model takes so many images
PENDING_IMAGE = "https://v3.fal.media/files/pending"  # replaces a data URI until the input is validated

_to_json = json.JSONEncoder(sort_keys=True).encode  # `json.dumps` would make one for each job

Embedded = dict[Location, EmbeddedImage]  # images given as data URIs, by their place in the input


@dataclass(frozen=True, slots=True)
class SubmissionRules:
    """Settings that apply to every submission.

    `strict_schema` refuses fields that are only in fal's prose, `private_images` allows image URLs with private
    addresses (for the emulator), `deadline_s` is the default deadline.
    """

    strict_schema: bool
    private_images: bool
    deadline_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Submissions:
    """Checks submissions. A refused one has cost nothing and changed nothing."""

    catalog: Catalog
    uploads: Uploads
    fal_uploads: FalUploads
    egress: EgressPolicy
    rules: SubmissionRules

    async def check(self, caller: Caller, given: Submission) -> tuple[Submission, Embedded]:
        """The submission with its complete input, price and owner, and the images that are given as data URIs.

        Raises:
            NotFound: there is no such model.
            Forbidden: the caller may not use the model.
            Unprocessable: the input, a deadline or the webhook's URL is wrong; its violations say where.
            OverBudget: it costs more than its `max_usd`.
        """
        with blamed_on("/model"):
            model = self.catalog.get(given.model)
        require_model(caller, model.id)
        resolved = await self.fal_uploads.resolve_input(caller, given.input, model.schema.url_fields)
        pending, embedded = await _embedded(model, resolved)
        clean = model.validate(
            pending, strict_schema=self.rules.strict_schema, private_images=self.rules.private_images
        )
        measured = await self._measured(caller, model, clean)
        quote = model.price(clean, measured)
        if given.max_usd_micro is not None and quote.micro > given.max_usd_micro:
            raise _over_max_usd(quote.micro, given.max_usd_micro)
        if given.webhook_url is not None:
            webhook_url = tidied(given.webhook_url)
            with blamed_on("/webhook_url"):
                check_url(webhook_url, self.egress)
            if webhook_url != given.webhook_url:
                given = replace(given, webhook_url=webhook_url)
        deadline_s = given.deadline_s or self.rules.deadline_s
        if given.start_deadline_s is not None and given.start_deadline_s > deadline_s:
            raise invalid_at("/start_deadline", "out_of_range", "The start deadline lies behind the deadline.")
        checked = replace(
            given,
            team=caller.team,
            user=caller.user,
            key=caller.key,
            token=caller.token,
            digest=caller.digest,
            zone=caller.zone,
            input=clean,
            quoted_micro=quote.micro,
            seconds=quote.seconds,
            price_version=quote.price_version,
            basis=None if quote.basis == "requested" else quote.basis,
            price_note=quote.note,
            deadline_s=deadline_s,
            fingerprint="" if given.idempotency_key is None else fingerprint_of(given, clean, embedded),
        )
        return checked, embedded

    async def _measured(self, caller: Caller, model: Model, clean: dict[str, Any]) -> Mapping[str, float]:
        """Seconds of the videos and audio that came in here, by address.

        Unprocessable for one that the model would refuse: for its kind, its size or its length.
        """
        if not model.schema.media_fields:
            return NO_MEDIA
        measured: dict[str, float] = {}
        faults: list[Violation] = []
        for found in model.media(clean):
            facts = await self.uploads.measured(caller, found.url)
            if facts is None:
                continue
            if fault := media_fault(found, model.media_limits(found), kind=facts.kind, size=facts.size):
                faults.append(fault)
            elif facts.seconds is not None:
                measured[found.url] = float(facts.seconds)
        if faults:
            raise Unprocessable("The input is not valid.", violations=tuple(faults[:MAX_VIOLATIONS]))
        model.check_media(clean, measured)
        return measured

    async def store_images(
        self, caller: Caller, checked: Submission, embedded: Embedded
    ) -> tuple[Submission, list[KeptFor]]:
        """The submission with URLs of stored images instead of data, and what its job shows of uploads.

        Also what was put into the storage for it: to be dropped (`Uploads.drop`) unless it is admitted.
        """
        kept: list[KeptFor] = []
        try:
            return await self._store_images(caller, checked, embedded, kept), kept
        except BaseException:
            await self.uploads.drop(kept)
            raise

    async def _store_images(
        self, caller: Caller, checked: Submission, embedded: Embedded, kept: list[KeptFor]
    ) -> Submission:
        model = self.catalog.get(checked.model)
        accepted: dict[Location, AcceptedImage] = {}
        for loc, image in embedded.items():  # check all before storing the first
            with about_field(_path(loc)):
                accepted[loc] = await self.uploads.accept(caller, image.content, sha256=image.sha256)
                _refuse_large(model, accepted[loc].facts.size)
        clean, shown = checked.input, dict[str, dict[str, Any]]()
        for loc, checked_image in accepted.items():
            stored = await self.uploads.store_accepted(caller, checked_image)
            crash_point("upload.stored")
            kept += [] if stored.kept is None else [stored.kept]
            clean = _put(clean, loc, stored.url)
            if len(loc) == 1:
                shown[_path(loc)] = stored.view()
        for loc, url in model.schema.image_texts(clean):
            uploaded = None if loc in accepted else await self.uploads.find(caller, url)
            if uploaded is not None:
                with about_field(_path(loc)):
                    _refuse_media(uploaded["type"])
                    _refuse_large(model, uploaded["size"])
                if len(loc) == 1:
                    shown[_path(loc)] = uploaded
        return replace(checked, input=clean, images=shown) if shown or accepted else checked

    async def kept_files(self, job: Job) -> list[str]:
        """The names in the storage of the files that this job's input names."""
        return await self.uploads.kept_names(job.team, _texts(job.input))


def _texts(value: Any) -> Iterator[str]:
    """Every text in an input."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def fingerprint_of(given: Submission, clean: dict[str, Any], embedded: Embedded) -> str:
    """SHA-256 of a request with its complete input, whatever its white space and the order of its members.

    It is kept with idempotency keys: include a new member only when it is given, so that old requests still match.
    """
    for loc, image in embedded.items():
        clean = _put(clean, loc, image.sha256)
    fields = {
        "version": FINGERPRINT_VERSION,
        "model": given.model,
        "input": clean,
        "webhook_url": given.webhook_url,
        "metadata": given.metadata,
        "priority": given.priority.value,
        "deadline": given.deadline_s or None,
        "start_deadline": given.start_deadline_s,
        "max_usd": given.max_usd_micro,
    }
    return hashlib.sha256(_to_json(fields).encode()).hexdigest()


def _over_max_usd(price: int, most: int) -> OverBudget:
    """The refusal of a job that costs more (micro-dollars) than its caller allows."""
    sentence = f"The job costs {format_usd(price)} US dollars, more than its `max_usd` of {format_usd(most)}."
    fault = Violation("/max_usd", Code.OVER_MAX_USD, sentence)
    return OverBudget(sentence, code=Code.OVER_MAX_USD, violations=(fault,))


async def _embedded(model: Model, given: dict[str, Any]) -> tuple[dict[str, Any], Embedded]:
    """The input with a placeholder for each data URI, and their images."""
    embedded: Embedded = {}
    found = [(loc, text) for loc, text in model.schema.image_texts(given) if is_data_uri(text)]
    if len(found) > MAX_EMBEDDED:
        raise Unprocessable(f"The input holds more than {MAX_EMBEDDED} data URIs.")
    for loc, text in found:
        with about_field(_path(loc)):
            embedded[loc] = await asyncio.to_thread(read_data_uri, text)
    for loc in embedded:
        given = _put(given, loc, PENDING_IMAGE)
    return given, embedded


def _put(value: Any, loc: Location, text: str) -> Any:
    """A copy of an input, or of a part of it, with another text at one place."""
    if not loc:
        return text
    step, *rest = loc
    changed = value.copy()
    changed[step] = _put(value[step], tuple(rest), text)
    return changed


def _path(loc: Location) -> str:
    """The place as a JSON pointer writes it: the names are those of a model's schema."""
    return "/".join(map(str, loc))


def _refuse_media(content_type: str) -> None:
    """Refuse a video or sound in a field for a picture."""
    if not content_type.startswith("image/"):
        raise Unprocessable(f"This file is {content_type}; the field takes a picture.", code=Code.NOT_AN_IMAGE)


def _refuse_large(model: Model, size: int) -> None:
    """Refuse an image that is too large for this model: fal would only do so after the job was bought."""
    limit = model.entry.image_limits.max_bytes
    if size > limit:
        raise Unprocessable(
            f"The image has {size} bytes; {model.id} reads at most {limit}.", code=Code.IMAGE_TOO_LARGE
        )
