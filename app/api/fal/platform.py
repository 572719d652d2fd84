"""`/fal/api/…` is what `https://api.fal.ai/…` is at fal: the models and their prices, from the registry.

For programs that test a key, list models or show prices there; generation never asks for it. fal's own document
describes these routes, so ours does not. Unlike at fal, a list of models needs a key too.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.deps import CurrentCaller, TheGateway
from app.api.fal.hosts import terms_of
from app.api.fal_errors import fal_reply
from app.domain.access import allows_model
from app.domain.accounts import Caller
from app.domain.errors import Malformed
from app.registry.catalog import Catalog, Model
from app.views.fal_platform import FalModels, FalPrices, fal_model, fal_price, fal_status

MAX_IDS = 50  # as at fal
DEFAULT_LIMIT, MAX_LIMIT = 50, 100
MAX_CURSOR = 16  # characters
OPENAPI = "openapi-3.0"
STATUSES = ("active", "deprecated")

router = APIRouter(prefix="/fal/api/v1", include_in_schema=False)


@router.get("/models", summary="Models")
async def models(request: Request, caller: CurrentCaller, gateway: TheGateway) -> Response:
    """Models by id, or by search those that the caller can use, page by page."""
    asked = request.query_params
    ids = _ids(request)
    found: Iterable[Model] = _named(gateway.catalog, ids) if ids else _usable(gateway.catalog, caller)
    words = asked.get("q", "").lower().split()
    matching = [
        model
        for model in found
        if asked.get("category") in {None, "", model.entry.kind}
        and _status(asked.get("status")) in {None, fal_status(model)}
        and all(word in f"{model.id} {model.entry.title} {model.entry.kind}".lower() for word in words)
    ]
    page, cursor = _page(matching, asked.get("limit"), asked.get("cursor"))
    base_url, strict = gateway.settings.base_url, gateway.settings.strict_schema
    terms = terms_of(request)
    openapi = OPENAPI in _values(request, "expand")
    listed: FalModels = {
        "models": [
            fal_model(model, base_url=base_url, terms=terms, openapi=openapi, strict_schema=strict)
            for model in page
        ],
        "next_cursor": cursor,
        "has_more": cursor is not None,
    }
    return fal_reply(listed)


@router.get("/models/pricing", summary="Prices")
async def pricing(request: Request, _: CurrentCaller, gateway: TheGateway) -> Response:
    """Prices by id; a model without a price is left out, one that is unknown refuses the request, as at fal."""
    ids = _ids(request)
    if not ids:
        raise Malformed("endpoint_id is required: 1 to 50 ids of models.")
    prices = [fal_price(model) for model in _named(gateway.catalog, ids)]
    body: FalPrices = {
        "prices": [price for price in prices if price is not None],
        "next_cursor": None,
        "has_more": False,
    }
    return fal_reply(body)


def _values(request: Request, name: str) -> list[str]:
    """The values of a parameter, repeated or separated by commas."""
    given = request.query_params.getlist(name)
    return [part.strip() for value in given for part in value.split(",") if part.strip()]


def _ids(request: Request) -> list[str]:
    """The ids that are asked for, each once."""
    ids = list(dict.fromkeys(_values(request, "endpoint_id")))
    if len(ids) > MAX_IDS:
        raise Malformed(f"endpoint_id may be given for at most {MAX_IDS} models.")
    return ids


def _usable(catalog: Catalog, caller: Caller) -> Iterable[Model]:
    """The models that have a price, and that the key may use."""
    return (model for model in catalog if model.tariff is not None and allows_model(caller, model.id))


def _named(catalog: Catalog, ids: Sequence[str]) -> list[Model]:
    """The models with these ids; one unknown id refuses all of them, as at fal, and the sentence names it."""
    return [catalog.get(model_id) for model_id in ids]


def _status(given: str | None) -> str | None:
    if given and given not in STATUSES:
        raise Malformed("status must be active or deprecated.")
    return given or None


def _page(models: Sequence[Model], limit: str | None, cursor: str | None) -> tuple[Sequence[Model], str | None]:
    """One page and the cursor of the next; a cursor is the page's number, in base64, as at fal."""
    size = DEFAULT_LIMIT
    if limit:
        if not limit.isascii() or not limit.isdecimal() or len(limit) > MAX_CURSOR or int(limit) < 1:
            raise Malformed("limit must be a whole number from 1.")
        size = min(int(limit), MAX_LIMIT)
    number = _page_number(cursor)
    end = number * size
    following = base64.b64encode(str(number + 1).encode()).decode() if end < len(models) else None
    return models[end - size : end], following


def _page_number(cursor: str | None) -> int:
    try:
        number = int(base64.b64decode(cursor, validate=True)) if cursor and len(cursor) <= MAX_CURSOR else 1
    except (binascii.Error, ValueError):
        number = 0
    if number < 1 or (cursor and len(cursor) > MAX_CURSOR):
        raise Malformed("cursor was not made here.")
    return number
