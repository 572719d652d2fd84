"""Money: whole micro-dollars inside, decimal strings outside."""

from decimal import Decimal, InvalidOperation

MICRO = 1_000_000
LIMIT_MICRO = 9_000_000_000 * MICRO  # Lua's doubles are exact up to 2^53 micro-dollars, about $9.007 bn


def parse_usd(text: str) -> int:
    """Micro-dollars of a decimal string such as `"1.40"`; ValueError when it is no whole number of them."""
    try:
        amount = Decimal(text) * MICRO
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount of dollars") from None
    if not amount.is_finite() or amount != amount.to_integral_value() or not 0 <= amount <= LIMIT_MICRO:
        raise ValueError(f"{text!r} is not between 0 and 9 billion dollars with at most six decimal places")
    return int(amount)


def format_usd(micro: int) -> str:
    """`"1.40"` for 1_400_000: at least two decimal places, at most six."""
    sign = "-" if micro < 0 else ""
    dollars, rest = divmod(abs(micro), MICRO)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{dollars}.{places}"
