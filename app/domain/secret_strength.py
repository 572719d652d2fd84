"""How hard a secret is to guess: a lower bound in bits, for secrets that an operator makes up.

A character counts the bits of its alphabet, unless it can be predicted: it continues a row (of the alphabet, the
digits, a keyboard), repeats the character before it, or completes a repeated run of three. Every common word counts
as one character. A random secret loses little by these rules.
"""

import math
import re
from itertools import pairwise

MIN_BITS = 32.0
ROWS = (
    "01234567890", "abcdefghijklmnopqrstuvwxyz", "0123456789abcdef",
    "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "yxcvbnm", "zxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "!@#$%^&*()",
)  # fmt: skip
WORDS = re.compile(
    "filmgate|password|passwort|changeme|letmein|welcome|administrator|admin|secret|master|default|example|"
    "monkey|dragon|login|token|test|user|root|hook|key|fal",
)
WORD = "\x00"  # replaces each of them
RUN = 3  # characters
ALPHABETS = (("[0-9]+", 10), ("[0-9a-f]+|[0-9A-F]+", 16), ("[a-z]+|[A-Z]+", 26), ("[0-9a-z]+|[0-9A-Z]+", 36))
ALPHANUMERIC, PRINTABLE = 62, 94
_NEIGHBOURS = frozenset(pair for row in ROWS for line in (row, row[::-1]) for pair in pairwise(line))


def bits_of(secret: str) -> float:
    """The lower bound for this secret."""
    plain = WORDS.sub(WORD, secret.lower())
    unpredictable = sum(not _predictable(plain, at) for at in range(len(plain)))
    return unpredictable * math.log2(_alphabet(secret))


def _predictable(text: str, at: int) -> bool:
    if at == 0:
        return False
    before, here = text[at - 1], text[at]
    return (
        before == here
        or (here == WORD and WORD in text[:at])
        or (before, here) in _NEIGHBOURS
        or (at >= RUN and text[at - RUN + 1 : at + 1] in text[:at])
    )


def _alphabet(secret: str) -> int:
    for form, size in ALPHABETS:
        if re.fullmatch(form, secret, re.ASCII):
            return size
    return ALPHANUMERIC if re.fullmatch("[0-9a-zA-Z]+", secret, re.ASCII) else PRINTABLE
