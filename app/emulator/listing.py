"""What fal says of its models: the platform API's list and prices, the site's own list, OpenAPI documents."""

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.emulator.emulator import Emulator
from app.emulator.paging import OK, bad_query, check_platform, page, platform_error
from app.emulator.web import json_reply

if TYPE_CHECKING:
    from app.emulator.kling.models import KlingModel

MOST_IDS, MOST_ROWS = 50, 100
EXPANSIONS = frozenset({"openapi-3.0", "enterprise_status"})
SINCE = "2026-11-01T00:00:00Z"


def routes(emulator: Emulator) -> list[Route]:
    """The routes of `api.fal.ai/v1/models…`, and two of `fal.ai/api`."""
    listing = Listing(emulator)
    return [
        Route("/v1/models", listing.models, methods=["GET"]),
        Route("/v1/models/pricing", listing.pricing, methods=["GET"]),
        Route("/api/models", listing.site, methods=["GET"]),
        Route("/api/openapi/queue/openapi.json", listing.openapi, methods=["GET"]),
    ]


class Listing:
    """Lists of models. One unknown id makes a whole answer 404, as at fal."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: by `endpoint_id`, `q`, `category`, `status`; `expand=openapi-3.0`. It needs no key."""
        await check_platform(self._emulator, request, "none")
        query = request.query_params
        expand = set(query.getlist("expand"))
        if not expand <= EXPANSIONS:
            raise bad_query(f"expand must be one of {', '.join(sorted(EXPANSIONS))}")
        if query.get("status", "active") not in {"active", "deprecated"}:
            raise bad_query("status must be active or deprecated")
        found = [
            model
            for model in self._asked(request) or self._emulator.models.all()
            if query.get("category", model.category) == model.category
            and query.get("status", _status(model)) == _status(model)
            and all(word in f"{model.id} {model.title}".lower() for word in query.get("q", "").lower().split())
        ]
        rows = [self._row(model, with_openapi="openapi-3.0" in expand) for model in found]
        return page(self._emulator, request, rows, "models", MOST_ROWS)

    async def pricing(self, request: Request) -> Response:
        """`GET /v1/models/pricing?endpoint_id=…`: unit prices. A model without one is unknown here."""
        await check_platform(self._emulator, request, "any key")
        models = self._asked(request)
        if not models:
            raise bad_query("endpoint_id is required")
        rows = []
        for model in models:
            price = self._emulator.models.unit_price(model)
            if price is None:
                raise _unknown(model.id)
            micro, unit = price
            row = {"endpoint_id": model.id, "unit_price": micro / 1e6, "unit": unit, "currency": "USD"}
            rows.append(row)
        return page(self._emulator, request, rows, "prices", MOST_ROWS)

    async def site(self, request: Request) -> Response:
        """`GET /api/models?page=&total=&keywords=`: the site's own list, the only place of price sentences."""
        query = request.query_params
        number, size = query.get("page", "1"), query.get("total", "40")
        if not number.isdecimal() or not size.isdecimal() or not int(number) or not 0 < int(size) <= MOST_ROWS:
            raise bad_query(f"page must be from 1, total from 1 to {MOST_ROWS}")
        words = query.get("keywords", "").lower().split()
        found = [
            model
            for model in self._emulator.models.all()
            if all(word in f"{model.id} {model.title}".lower() for word in words)
        ]
        begin = (int(number) - 1) * int(size)
        items = [self._item(model) for model in found[begin : begin + int(size)]]
        pages = -(-len(found) // int(size))
        return json_reply(OK, {"items": items, "total": len(found), "page": int(number), "pages": pages})

    async def openapi(self, request: Request) -> Response:
        """`GET /api/openapi/queue/openapi.json?endpoint_id=…`: one model's document."""
        endpoint = request.query_params.get("endpoint_id", "")
        model = self._emulator.models.find(endpoint)
        if model is None:
            return json_reply(404, {"detail": f"Endpoint {endpoint} not found"})
        return json_reply(OK, self._emulator.models.openapi(model))

    def _asked(self, request: Request) -> "list[KlingModel]":
        """The models that `endpoint_id` names, repeated; with a comma in it, it is an unknown id."""
        wanted = request.query_params.getlist("endpoint_id")
        if len(wanted) > MOST_IDS:
            raise bad_query(f"at most {MOST_IDS} endpoint_ids")
        models = []
        for endpoint in wanted:
            model = self._emulator.models.find(endpoint)
            if model is None:
                raise _unknown(endpoint)
            models.append(model)
        return models

    def _row(self, model: "KlingModel", *, with_openapi: bool) -> dict[str, Any]:
        page_url = f"https://fal.ai/models/{model.id}"
        metadata: dict[str, Any] = {
            "display_name": model.title,
            "category": model.category,
            "description": f"{model.title} at the emulated fal.",
            "status": _status(model),
            "tags": [],
            "updated_at": SINCE,
            "is_favorited": None,
            "thumbnail_url": f"{page_url}/thumbnail.jpg",
            "model_url": f"https://fal.run/{model.id}",
            "date": SINCE,
            "highlighted": False,
            "pinned": False,
            "license_type": "commercial",
            "group": {"key": "kling-video", "label": model.title},
            "kind": "inference",
            "duration_estimate": 3.5,
        }
        row: dict[str, Any] = {"endpoint_id": model.id, "metadata": metadata}
        return {**row, "openapi": self._emulator.models.openapi(model)} if with_openapi else row

    def _item(self, model: "KlingModel") -> dict[str, Any]:
        return {
            "id": model.id,
            "title": model.title,
            "category": model.category,
            "shortDescription": f"{model.title} at the emulated fal.",
            "tags": [],
            "status": "public",
            "deprecated": model.deprecated,
            "removed": False,
            "publishedAt": SINCE,
            "date": SINCE,
            "modelFamily": "Kling",
            "modelLab": "Kling",
            "pricingInfoOverride": self._emulator.models.price_text(model) or None,
        }


def _status(model: "KlingModel") -> str:
    return "deprecated" if model.deprecated else "active"


def _unknown(endpoint: str) -> Exception:
    return platform_error(404, "not_found", f"Endpoint {endpoint} was not found")
