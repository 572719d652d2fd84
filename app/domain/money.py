"""Money: whole micro-dollars inside, decimal strings outside."""

import re

AMOUNT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,6}))?")
MICRO = 1_000_000
MAX_MICRO = 9_000_000_000 * MICRO  # Lua's doubles are exact up to 2^53 micro-dollars, about $9.007 bn


def parse_usd(text: str) -> int:
    """Micro-dollars of a decimal string such as `"1.40"`; ValueError when it is no plain amount."""
    parts = AMOUNT.fullmatch(text)
    micro = int(parts[1]) * MICRO + int((parts[2] or "0").ljust(6, "0")) if parts else -1
    if not 0 <= micro <= MAX_MICRO:
        raise ValueError("An amount is between 0 and 9 billion dollars, with at most six decimal places")
    return micro


def format_usd(micro: int) -> str:
    """`"1.40"` for 1_400_000: at least two decimal places, at most six."""
    sign = "-" if micro < 0 else ""
    dollars, rest = divmod(abs(micro), MICRO)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{places}"
