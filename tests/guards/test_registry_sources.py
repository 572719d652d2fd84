"""Every file of the registry has the sources of its facts, and docs/models.md agrees."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from app.registry.catalog import Catalog, Model
from tests.support.repo import ROOT

FILES = sorted((ROOT / "app" / "registry" / "models").glob("*.json"))
CATALOG = Catalog.load()
FIRST_READING = date(2026, 10, 1)
LONGEST_PROMPT = 26_000  # of Kling 4.0: 104,000 bytes at most, which a job's record can bear


def written(file: Path) -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def texts(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """All string fields of a schema, nested ones too."""
    found = [schema] if schema.get("type") == "string" else []
    for field in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        found += texts(field)
    return found


def price_in_words(price: dict[str, Any] | None) -> str:
    """A price as docs/models.md shows it."""
    match price:
        case None:
            return "none: refused until an operator sets one"
        case {"variants": variants}:
            return ", ".join(price_in_words(variant) for variant in variants)
        case {"unknown": True}:
            return "not known" + when_in_words(price)
        case {"flat_usd": flat}:
            return f"${flat} each" + when_in_words(price)
        case {"per_second_usd": rate}:
            return f"${rate}/s" + counted_in_words(price) + when_in_words(price)
        case _:
            further = price["each_further_second_usd"]
            return f"${price['first_usd']} for {price['first_seconds']} s, then ${further}/s"


def counted_in_words(rate: dict[str, Any]) -> str:
    """The seconds that a rate counts, where they are not those of the output."""
    words = {
        "output": "",
        "input": " of input",
        "input_and_output": " of input and output, at least twice the output",
    }
    step, least = rate.get("in_steps_of"), rate.get("at_least_seconds")
    return (
        words[rate.get("of", "output")]
        + (f", rounded up to a multiple of {step} s" if step else "")
        + (f", at least {least} s" if least else "")
    )


def when_in_words(rate: dict[str, Any]) -> str:
    """The conditions of a rate."""
    return "".join(f" when {field} {condition_in_words(asked)}" for field, asked in rate.get("when", {}).items())


def condition_in_words(condition: Any) -> str:
    """The end of a sentence that begins with a field's name."""
    if isinstance(condition, dict):
        return f"has a {condition['contains']}" if "contains" in condition else "is given"
    return f"is {json.dumps(condition)}"


def row(model: Model) -> str:
    """The model's line in docs/models.md."""
    entry = model.entry
    marks = [*(["default"] if entry.default else []), *(mark for mark in model.marks if mark != "price_unknown")]
    name = f"`{entry.id}`" + (f" ({', '.join(marks)})" if marks else "")
    return f"| {name} | {price_in_words(entry.price)} | {entry.price_source} | {entry.price_date} |"


PRICE_PAGES = ("fal.ai/models/", "fal.ai/learn/", "api.fal.ai/v1/models/pricing")


def has_sources(content: dict[str, Any]) -> bool:
    """Price and schema have a page each, the price a date, and a missing price a reason."""
    return (
        any(page in content["price_source"] for page in PRICE_PAGES)
        and "fal.ai/models/" in content["schema_source"]
        and date.fromisoformat(content["price_date"]) >= FIRST_READING
        and (content["price"] is not None or "no" in content["price_note"].lower())
    )


def test_a_file_is_named_after_its_endpoint() -> None:
    """`fal-ai/kling-video/v2/master/x` is in `v2-master-x.json`, and `kling/v4/x` in `kling-v4-x.json`."""
    names = {file.stem: written(file)["id"].removeprefix("fal-ai/kling-video/").replace("/", "-") for file in FILES}
    assert {stem: name for stem, name in names.items() if stem != name} == {}


def test_a_file_is_in_canonical_form() -> None:
    """Two spaces and a final newline, so that a diff has only real changes."""
    canonical = {file: json.dumps(written(file), indent=2, ensure_ascii=False) + "\n" for file in FILES}
    assert [file.name for file, text in canonical.items() if file.read_text(encoding="utf-8") != text] == []


def test_a_file_names_its_sources() -> None:
    """Price and schema have a page each, the price a date, and a missing price a reason."""
    assert [file.name for file in FILES if not has_sources(written(file))] == []


def test_a_text_is_bounded() -> None:
    """No field takes more than the longest prompt of all models."""
    longest = {file.name: [f.get("maxLength", 0) for f in texts(written(file)["input"])] for file in FILES}
    assert {name: lengths for name, lengths in longest.items() if max(lengths) > LONGEST_PROMPT} == {}


def test_ids_are_unique_and_one_model_is_the_default() -> None:
    """A file that repeats an id would silently replace another."""
    assert len({written(file)["id"] for file in FILES}) == len(FILES) == len(CATALOG)
    assert [written(file)["id"] for file in FILES if written(file).get("default")] == [CATALOG.default.id]


def test_the_documentation_lists_every_model() -> None:
    """The table in docs/models.md is the registry's, line by line."""
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    listed = [line for line in page.splitlines() if line.startswith(("| `fal-ai/", "| `kling/"))]
    assert listed == [row(model) for model in CATALOG]
