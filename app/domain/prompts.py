"""The texts of a job's input: what its caller wants to see, or to have said."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NOT_WANTED = "negative_prompt"


def words_of(text: str) -> tuple[str, ...]:
    """The words that a search looks for, in any case."""
    return tuple(text.casefold().split())


def has_words(record: Mapping[str, str], words: Sequence[str]) -> bool:
    """True when every word is part of a prompt in the stored input of a job; false for an erased one."""
    try:
        text = " ".join(prompts_of(json.loads(record.get("input", "null")))).casefold()
    except ValueError:
        return False
    return all(word in text for word in words)


def beginning_of(text: str, chars: int) -> str:
    """The text in one line of at most so many characters, the last of which says that there is more."""
    line = " ".join(text.split())
    return line if len(line) <= chars else f"{line[: chars - 1].rstrip()}…"


def prompts_of(value: Any) -> Iterator[str]:
    """The prompts of an input, of each shot of a storyboard too, and texts to be spoken; no negative prompt."""
    if isinstance(value, list):
        for one in value:
            yield from prompts_of(one)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str):
                if (name.endswith("prompt") or name == "text") and name != NOT_WANTED:
                    yield inner
            else:
                yield from prompts_of(inner)
