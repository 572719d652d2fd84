"""What a clip cost whose price was a ceiling, because the length of a file was not known when it was bought.

Its charge is disputed at its end, and settled at once where fal's answer says enough; otherwise fal's bill decides,
or the day of a dispute passes (docs/decisions/0040-prices-by-the-length-of-a-file.md).
"""

from collections.abc import Mapping
from typing import Any

import structlog

from app.domain.errors import NotFound
from app.domain.jobs import Charge, Job
from app.domain.ledger import Correction
from app.domain.money import format_usd
from app.fal.protocol import Result
from app.gateway import Gateway
from app.registry.catalog import Catalog, Model

log = structlog.get_logger()


def charge_of(job: Job, charge: Charge) -> Charge:
    """The charge of an end: a ceiling is never simply spent."""
    return Charge.DISPUTE if charge is Charge.SPEND and job.basis == "ceiling" else charge


async def settle_ceiling(gateway: Gateway, job: Job, result: Result, output: Mapping[str, Any] | None) -> None:
    """Settle a job that has just succeeded, if its price was a ceiling and fal's answer says what it cost.

    A crash before this leaves the dispute, which fal's bill or a day decides.
    """
    if job.basis != "ceiling" or output is None:
        return
    actual = actual_micro(gateway.catalog, job, result.billable_units, output)
    if actual is None:
        log.info("ceiling.open", **job.names, quoted=format_usd(job.quoted_micro))
        return
    reason = f"fal's answer says {format_usd(actual)}"
    outcome, _ = await gateway.stores.ledger.correct(job, actual=actual, reason=reason, by="answer")
    if outcome in {Correction.CORRECTED, Correction.DECIDED}:
        log.info("ceiling.settled", **job.names, quoted=format_usd(job.quoted_micro), charged=format_usd(actual))


def actual_micro(catalog: Catalog, job: Job, units: str | None, output: Mapping[str, Any]) -> int | None:
    """Micro-dollars by fal's units, or else by the length that the result names; None when neither says it.

    Only by the price that the job was quoted: the model may be gone, or have another price by now. More than the
    ceiling is not believed: it would be over what the budgets have allowed.
    """
    model = _model(catalog, job)
    if model is None or model.tariff is None:
        return None
    actual = model.tariff.of_units(units)
    length = output.get("duration")
    if actual is None and isinstance(length, int | float) and not isinstance(length, bool) and length > 0:
        actual = model.price_of_length(job.input or {}, float(length))
    return actual if actual is not None and 0 < actual <= job.quoted_micro else None


def _model(catalog: Catalog, job: Job) -> Model | None:
    try:
        model = catalog.get(job.model)
    except NotFound:
        return None
    return model if model.tariff is not None and model.tariff.version == job.price_version else None
