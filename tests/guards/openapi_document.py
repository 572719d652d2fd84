"""The committed OpenAPI document of the native API; run as a program, this rewrites it."""

import json
from typing import Any

from app.api.document import native_document
from app.main import create_app
from app.settings import load_settings
from tests.support.repo import ROOT

COMMITTED = ROOT / "docs" / "openapi.json"


def drawn() -> dict[str, Any]:
    """The document of an installation without settings."""
    settings = load_settings({})
    return native_document(create_app(settings), base_url=settings.base_url)


def written(document: dict[str, Any]) -> str:
    """The document as a file: a line for each member, so that a diff is readable."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    COMMITTED.write_text(written(drawn()), encoding="utf-8")
