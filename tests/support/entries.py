"""The ledger's entries as the tests read them: apart from the program, each with a field for every word."""

from collections.abc import Mapping, Sequence

Row = Mapping[str, str]
WORDS = ("type", "amount", "at", "job", "user", "key", "token", "model", "seconds", "price_version")


def whole(rows: Sequence[tuple[str, Row]]) -> list[tuple[str, dict[str, str]]]:
    """A whole ledger in the long form, oldest first; what ends a reservation says whose it was."""
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
    starts = [str(int(named["at"]) - int(word)) for word in words[len(WORDS) :]]
    periods = " ".join(starts if len(starts) == 8 else starts + starts)
    return {**named, "admitted": named["at"], "periods": periods, "reason": ""}
