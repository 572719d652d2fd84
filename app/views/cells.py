"""Cells of files that a spreadsheet opens."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # spreadsheets run a cell that begins so (OWASP, CSV injection)


def harmless(text: str) -> str:
    """Text that a spreadsheet shows instead of running it."""
    return f"'{text}" if text.startswith(FORMULA) else text
