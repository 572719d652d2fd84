"""The ledger's entries as the tests read them: with separate code, and a field for every word."""

import re
from collections.abc import Mapping, Sequence

Row = Mapping[str, str]
UNNAMED = ("minute", "hour", "day", "month")
WORDS = ("type", "amount", "at", "job", "user", "key", "token", "model", "seconds", "price_version")


def whole(rows: Sequence[tuple[str, Row]]) -> list[tuple[str, dict[str, str]]]:
    """A whole ledger in the long form, oldest first; the end of a reservation has its owner too."""
    found: dict[str, dict[str, str]] = {}
    for entry_id, row in rows:
        words = row.get("entry", "").split(" ")
        if "entry" not in row:
            found[entry_id] = dict(row)
        elif words[0] == "reserve":
            found[entry_id] = _reserve(words)
        else:
            kind, amount, at, reserved = words
            found[entry_id] = {**found[reserved], "type": kind, "amount": amount, "at": at}
    return list(found.items())


def _reserve(words: Sequence[str]) -> dict[str, str]:
    named = {name: "" if word == "-" else word for name, word in zip(WORDS, words, strict=False)}
    before = " ".join(words[len(WORDS) :])
    text = re.sub(r"\b\d+", lambda number: str(int(named["at"]) - int(number[0])), before)
    return {**named, "admitted": named["at"], "starts": text, "reason": ""}


def starts_in(row: Row) -> tuple[dict[str, str], dict[str, str]]:
    """The beginnings (ms) of the periods that an entry counts in, by window: the team's, and the gateway's."""
    text = row["starts"] if "starts" in row else row["periods"]
    if text and "=" not in text:  # an older version's: unnamed numbers, the team's and then the gateway's
        numbers = text.split()
        return dict(zip(UNNAMED, numbers[:4], strict=True)), dict(zip(UNNAMED, numbers[-4:], strict=True))
    words = [word.partition("=")[::2] for word in text.split()]
    return {window: text.split("/")[0] for window, text in words}, {
        window: text.split("/")[-1] for window, text in words
    }
