"""The operator's own prices, from their file."""

import json
from pathlib import Path
from typing import Any


def read_prices(path: Path | None) -> dict[str, Any] | None:
    """The operator's price overrides; ValueError, with a sentence, when the file is not JSON."""
    if path is None:
        return None
    try:
        prices = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError("the file cannot be read as JSON.") from None
    if not isinstance(prices, dict):
        raise ValueError("the file must hold a JSON object from model ids to prices.")  # noqa: TRY004  a wrong file
    return prices
