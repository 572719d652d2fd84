"""What a caller asks for: checked against its model, priced, its images stored, before it is written down."""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from app.crash import crash_point
from app.domain.access import require_model
from app.domain.accounts import Caller
from app.domain.errors import Code, OverBudget, Unprocessable, Violation
from app.domain.jobs import Priority
from app.egress import EgressPolicy, check_url
from app.media.images import EmbeddedImage, ImageFacts, read_data_uri
from app.registry.catalog import Catalog, Model
from app.registry.pricing import Quote
from app.services.fal_uploads import FalUploads
from app.services.uploads import Uploads, about_field

FINGERPRINT_VERSION = "v1"  # changes with the meaning of a request, so that old idempotency keys stay valid
PENDING_IMAGE = "https://v3.fal.media/files/pending"  # stands in for a data URI until everything else is checked


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
class RequestRules:
    """What this installation has decided.

    `strict_schema` refuses fields that only a model's prose names; `private_images` lets images stand on private
    addresses, for the emulator; `deadline_s` is a job's default.
    """

    strict_schema: bool
    private_images: bool
    deadline_s: int


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that its model would take, and its price.

    `input` has every default. An image given as data is in `embedded`, by field, and not yet stored.
    """

    request: JobRequest
    model: Model
    input: dict[str, Any]
    quote: Quote
    embedded: dict[str, EmbeddedImage]
    deadline_s: int

    def fingerprint(self) -> str:
        """SHA-256 of the request after defaults: white space and the order of members do not matter."""
        images = {name: image.sha256 for name, image in self.embedded.items()}
        what = {
            "version": FINGERPRINT_VERSION,
            "model": self.model.id,
            "input": self.input | images,
            "webhook_url": self.request.webhook_url,
            "metadata": self.request.metadata,
            "priority": self.request.priority.value,
            "deadline": self.request.deadline_s,
            "start_deadline": self.request.start_deadline_s,
            "max_usd": self.request.max_usd_micro,
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class Requests:
    """Checks what is asked for. Whatever is refused here has cost nothing and changed nothing."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        uploads: Uploads,
        fal_uploads: FalUploads,
        egress: EgressPolicy,
        rules: RequestRules,
    ) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._fal_uploads = fal_uploads
        self._egress = egress
        self._rules = rules

    async def check(self, caller: Caller, request: JobRequest) -> CheckedRequest:
        """The model, the checked input and its price; an error names what has to be changed."""
        model = self._catalog.default if request.model is None else self._catalog.get(request.model)
        require_model(caller, model.id)
        resolved = await self._fal_uploads.resolve_input(caller, request.input, model.url_fields)
        request = replace(request, input=resolved)
        given, embedded = await _embedded(model, request.input)
        clean = model.validate(
            given, strict_schema=self._rules.strict_schema, private_images=self._rules.private_images
        )
        quote = model.price(clean)
        if request.max_usd_micro is not None and quote.micro > request.max_usd_micro:
            raise OverBudget("The job costs more than its `max_usd`.", code=Code.OVER_MAX_USD)
        if request.webhook_url is not None:
            check_url(request.webhook_url, self._egress)
        deadline_s = request.deadline_s or self._rules.deadline_s
        if request.start_deadline_s is not None and request.start_deadline_s > deadline_s:
            sentence = "The start deadline lies behind the deadline."
            raise Unprocessable(sentence, violations=(Violation("/start_deadline", "out_of_range", sentence),))
        return CheckedRequest(request, model, clean, quote, embedded, deadline_s)

    async def store_images(
        self, caller: Caller, checked: CheckedRequest
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """The input with stored URLs in the place of images given as data, and what the job shows of uploads."""
        facts: dict[str, ImageFacts] = {}
        for name, image in checked.embedded.items():  # all are checked before the first is stored
            with about_field(name):
                _refuse_large(checked.model, len(image.content))
                facts[name] = await self._uploads.check(image.content, sha256=image.sha256)
        clean, shown = dict(checked.input), dict[str, dict[str, Any]]()
        for name in checked.model.image_fields:
            if name in checked.embedded:
                stored = await self._uploads.keep(caller, checked.embedded[name].content, facts[name])
                crash_point("upload.stored")
                clean[name] = stored.url
                shown[name] = stored.view()
            elif isinstance(clean.get(name), str):
                known = await self._uploads.known(caller, clean[name])
                if known is not None:
                    with about_field(name):
                        _refuse_large(checked.model, known["size"])
                    shown[name] = known
        return clean, shown


async def _embedded(model: Model, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, EmbeddedImage]]:
    """The input without the images that are given as data, and those, by field."""
    embedded: dict[str, EmbeddedImage] = {}
    for name in model.image_fields:
        value = given.get(name)
        if isinstance(value, str) and value[:5].lower() == "data:":
            with about_field(name):
                embedded[name] = await asyncio.to_thread(read_data_uri, value)
    return given | dict.fromkeys(embedded, PENDING_IMAGE), embedded


def _refuse_large(model: Model, size: int) -> None:
    """An upload may be larger than this model reads; fal would refuse it after it was bought."""
    limit = model.image_limits.max_bytes
    if size > limit:
        raise Unprocessable(
            f"The image has {size} bytes; {model.id} reads at most {limit}.", code=Code.IMAGE_TOO_LARGE
        )
