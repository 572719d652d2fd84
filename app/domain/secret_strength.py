"""How hard a secret is to guess: a lower bound in bits, for secrets that an operator makes up.

Each character counts for what its alphabet is worth, unless it follows from what stands before it: it goes on with
a row (of the alphabet, of the digits, of a keyboard), is the same again, or repeats a run of three that was there.
All words that everybody tries count as one character. A secret out of a random generator loses little by this.
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
WORD = "\x00"  # stands for any of them
RUN = 3
ALPHABETS = (("[0-9]+", 10), ("[0-9a-f]+|[0-9A-F]+", 16), ("[a-z]+|[A-Z]+", 26), ("[0-9a-z]+|[0-9A-Z]+", 36))
LARGE, LARGER = 62, 94
_NEXT = frozenset(pair for row in ROWS for one in (row, row[::-1]) for pair in pairwise(one))


def bits_of(secret: str) -> float:
    """At least so many bits, as far as this can tell."""
    plain = WORDS.sub(WORD, secret.lower())
    surprises = sum(not _follows(plain, at) for at in range(len(plain)))
    return surprises * math.log2(_alphabet(secret))


def _follows(text: str, at: int) -> bool:
    if at == 0:
        return False
    before, here = text[at - 1], text[at]
    return (
        before == here
        or (here == WORD and WORD in text[:at])
        or (before, here) in _NEXT
        or (at >= RUN and text[at - RUN + 1 : at + 1] in text[:at])
    )


def _alphabet(secret: str) -> int:
    for form, size in ALPHABETS:
        if re.fullmatch(form, secret, re.ASCII):
            return size
    return LARGE if re.fullmatch("[0-9a-zA-Z]+", secret, re.ASCII) else LARGER
