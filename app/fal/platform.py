"""fal's platform API and model pages, as far as they say what is offered: lists, schemas, unit prices, sentences.

Sources: https://fal.ai/docs/platform-apis/v1/models and …/models/pricing (2026-10), and what is observed beside
them: one unknown id makes a whole batch 404, and 429 comes soon. `https://fal.ai/api/models` is undocumented, and
the only place where the sentences about prices can be read by a program.

fal's key is sent to the platform's host alone, and only for unit prices. Answers are bounded, and ids in them are
checked before they become part of an address.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from app.domain.errors import UpstreamUnavailable
from app.domain.model_ids import model_id_fault
from app.domain.times import until_http_date
from app.fal.errors import cause_of, unreachable
from app.fal.protocol import parse_json
from app.fal.web import FalAnswerTooLarge, OutboundRoute, plain_transport, read_answer

BATCH = 50  # ids a call, which is fal's most
PAGE = 100  # rows a page of the site
MAX_PAGES = 50
ANSWER_BYTES = 16_000_000  # fifty documents have two
CALL_SECONDS = 60
ATTEMPTS = 6
LONGEST_WAIT_S = 120.0  # for one Retry-After; a longer one ends the reading
FIRST_WAIT_S = 1.0  # without a Retry-After, and then twice as long each time
OK, NOT_FOUND, TOO_MANY, SERVER_ERROR = 200, 404, 429, 500
REFUSED = (401, 403)
LONGEST_TEXT = 2000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model as fal lists it; `openapi` is None when it was not asked for, or fal could not make it."""

    id: str
    title: str
    category: str
    deprecated: bool
    openapi: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """The price of a unit in dollars, and fal's word for the unit."""

    usd: float
    unit: str


class _UnknownError(Exception):
    """404: at least one id of the batch is unknown."""


class _UnreadableError(Exception):
    """The answer is too large, or no JSON object; half of the batch may be readable."""


class FalPlatform:
    """Reads what fal offers. `report` gets a sentence when something takes long."""

    def __init__(
        self,
        *,
        api_url: str,
        site_url: str,
        key: str | None,
        route: OutboundRoute | None = None,
        report: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._api_url = api_url
        self._site_url = site_url
        self._key = key
        self._report = report
        self._web = httpx.AsyncClient(
            transport=plain_transport(route or OutboundRoute()),
            timeout=httpx.Timeout(CALL_SECONDS, connect=10),
            follow_redirects=False,
            trust_env=False,
        )
        self.odd_ids = 0  # ids in answers that are no ids

    @property
    def has_key(self) -> bool:
        """True when unit prices can be read."""
        return self._key is not None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._web.aclose()

    async def models(self, ids: Sequence[str]) -> dict[str, OfferedModel]:
        """The models of these ids with their OpenAPI documents; fal does not know those that are missing."""

        async def read(batch: Sequence[str]) -> dict[str, OfferedModel]:
            pairs = [*(("endpoint_id", one) for one in batch), ("expand", "openapi-3.0"), ("limit", str(BATCH))]
            found = await self._pages(f"{self._api_url}/v1/models", pairs, "models", _model)
            return {model.id: model for model in found if model.id in batch}

        return await self._in_batches("models", ids, read)

    async def search(self, words: str) -> list[OfferedModel]:
        """The models that a search finds, without documents."""
        self._report(f"Searching fal's models for {words!r} …")
        pairs = [("q", words), ("limit", str(BATCH))]
        with _one_answer():
            return await self._pages(f"{self._api_url}/v1/models", pairs, "models", _model)

    async def unit_prices(self, ids: Sequence[str]) -> dict[str, UnitPrice]:
        """The unit prices of these ids, as fal's key sees them: discounts of the account are in them."""
        headers = {"Authorization": f"Key {self._key}"}

        async def read(batch: Sequence[str]) -> dict[str, UnitPrice]:
            pairs = [("endpoint_id", one) for one in batch]
            url = f"{self._api_url}/v1/models/pricing"
            found = await self._pages(url, pairs, "prices", _unit_price, headers=headers)
            return {model_id: price for model_id, price in found if model_id in batch}

        return await self._in_batches("unit prices", ids, read)

    async def sentences(self, words: str) -> dict[str, str]:
        """The sentences about prices by model id, empty where the page prints the unit price."""
        found: dict[str, str] = {}
        for number in range(1, MAX_PAGES + 1):
            self._report(f"Reading price sentences (page {number}) …")
            pairs = [("page", str(number)), ("total", str(PAGE)), ("keywords", words)]
            with _one_answer():
                reply = await self._get(f"{self._site_url}/api/models?{urlencode(pairs)}", {})
            rows = self._rows(reply, "items", _sentence)
            new = {model_id: text for model_id, text in rows if model_id not in found}
            found |= new
            if not new or len(reply["items"]) < PAGE:
                return found
        raise UpstreamUnavailable(f"fal's model list has more than {MAX_PAGES} pages.")

    async def _in_batches(
        self, what: str, ids: Sequence[str], read: Callable[[Sequence[str]], Awaitable[dict[str, Row]]]
    ) -> dict[str, Row]:
        """All that can be read, fifty ids at a time; a batch that fal refuses is halved until one id is left."""
        known = [one for one in dict.fromkeys(ids) if model_id_fault(one) is None]
        left = [known[start : start + BATCH] for start in range(0, len(known), BATCH)]
        found: dict[str, Row] = {}
        done = 0
        while left:
            batch = left.pop(0)
            self._report(f"Reading {what} ({done} of {len(known)}) …")
            try:
                found |= await read(batch)
            except (_UnknownError, _UnreadableError) as error:
                half = len(batch) // 2
                if half:
                    left[:0] = [batch[:half], batch[half:]]
                    continue
                if isinstance(error, _UnreadableError):
                    raise UpstreamUnavailable(f"fal's answer about {batch[0]} cannot be read.") from None
            done += len(batch)
        return found

    async def _pages(
        self,
        url: str,
        pairs: Sequence[tuple[str, str]],
        name: str,
        read: Callable[[dict[str, Any]], Row | None],
        *,
        headers: dict[str, str] | None = None,
    ) -> list[Row]:
        """The rows of all pages."""
        rows: list[Row] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            query = urlencode([*pairs, *([("cursor", cursor)] if cursor else [])])
            reply = await self._get(f"{url}?{query}", headers or {})
            rows += self._rows(reply, name, read)
            following = reply.get("next_cursor")
            if (
                not isinstance(following, str)
                or not following
                or following == cursor
                or len(following) > LONGEST_TEXT
            ):
                return rows
            cursor = following
        raise UpstreamUnavailable(f"fal's platform API answers with more than {MAX_PAGES} pages.")

    def _rows(self, reply: dict[str, Any], name: str, read: Callable[[dict[str, Any]], Row | None]) -> list[Row]:
        rows = reply.get(name)
        if not isinstance(rows, list):
            raise UpstreamUnavailable("fal's answer has another form than documented; nothing was compared.")
        found = [read(row) if isinstance(row, dict) else None for row in rows]
        self.odd_ids += found.count(None)
        return [row for row in found if row is not None]

    async def _get(self, url: str, headers: dict[str, str]) -> dict[str, Any]:
        """One answer as JSON.

        1. 429 and 5xx: wait as long as fal says, and ask again, a few times
        2. no connection: the same
        3. 404, or an answer that is too large: the caller may ask for less

        Raises:
            _UnknownError, _UnreadableError: see 3.
            UpstreamUnavailable: what is wrong, in a sentence.
        """
        plain = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        why = ""
        for attempt in range(ATTEMPTS):
            wait = FIRST_WAIT_S * 2**attempt
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    status, body, answer = await read_answer(
                        self._web, "GET", url, headers=plain, limit=ANSWER_BYTES
                    )
            except FalAnswerTooLarge as error:
                raise _UnreadableError from error
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError) as error:
                why = unreachable(cause_of(error)).rstrip(".")
            else:
                if status == OK:
                    return _object(body)
                _refuse_final(status)
                given = retry_after(answer.get("retry-after"))
                wait, why = wait if given is None else given, f"fal answers with HTTP {status}"
            if wait > LONGEST_WAIT_S:
                raise UpstreamUnavailable(f"fal asks to wait {wait:.0f} s; run the command again after that.")
            if attempt < ATTEMPTS - 1:
                self._report(f"{why}; asking again in {wait:.0f} s …")
                await asyncio.sleep(wait)
        raise UpstreamUnavailable(f"{why}, also after {ATTEMPTS} attempts.")


def _object(body: bytes) -> dict[str, Any]:
    reply = parse_json(body)
    if not isinstance(reply, dict):
        raise _UnreadableError
    return reply


def _refuse_final(status: int) -> None:
    """Raises for a status after which asking again does not help."""
    if status == NOT_FOUND:
        raise _UnknownError
    if status in REFUSED:
        raise UpstreamUnavailable(f"fal refuses the request (HTTP {status}); is FAL_KEY a key of its account?")
    if status != TOO_MANY and status < SERVER_ERROR:
        raise UpstreamUnavailable(f"fal's platform API answers with HTTP {status}.")


@contextmanager
def _one_answer() -> Iterator[None]:
    """For calls that cannot ask for less."""
    try:
        yield
    except _UnknownError:
        raise UpstreamUnavailable("fal answers with HTTP 404; the address may have changed.") from None
    except _UnreadableError:
        raise UpstreamUnavailable("fal's answer is too large, or no JSON.") from None


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None without a usable one."""
    if value is None:
        return None
    if value.isascii() and value.strip().isdecimal() and len(value) < 10:  # noqa: PLR2004  seconds
        return float(value)
    return until_http_date(value, datetime.fromtimestamp(time.time(), UTC))


def _model(row: dict[str, Any]) -> OfferedModel | None:
    model_id, metadata, openapi = row.get("endpoint_id"), row.get("metadata"), row.get("openapi")
    if not isinstance(model_id, str) or model_id_fault(model_id) is not None:
        return None
    about = metadata if isinstance(metadata, dict) else {}
    document = openapi if isinstance(openapi, dict) and "error" not in openapi else None
    title, category = _text(about.get("display_name")), _text(about.get("category"))
    return OfferedModel(model_id, title, category, about.get("status") == "deprecated", document)


def _unit_price(row: dict[str, Any]) -> tuple[str, UnitPrice] | None:
    model_id, price, unit = row.get("endpoint_id"), row.get("unit_price"), row.get("unit")
    if not isinstance(model_id, str) or model_id_fault(model_id) is not None:
        return None
    if type(price) not in {int, float} or row.get("currency") != "USD":
        return None
    return model_id, UnitPrice(float(price or 0), _text(unit))


def _sentence(row: dict[str, Any]) -> tuple[str, str] | None:
    model_id = row.get("id")
    if not isinstance(model_id, str) or model_id_fault(model_id) is not None:
        return None
    return model_id, _text(row.get("pricingInfoOverride"))


def _text(value: Any) -> str:
    return " ".join(value[:LONGEST_TEXT].split()) if isinstance(value, str) else ""
