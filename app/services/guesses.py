"""Keys that open nothing, by the address they come from: so many at once, then at an even pace."""

import ipaddress
import math
import time
from collections import OrderedDict

from app.domain.errors import TooManyBadKeys

AT_ONCE = 240  # a client with an old key has shown it that often before somebody looks
PACE_S = 0.5  # afterwards one each
ADDRESSES = 10_000  # that are remembered; the longest quiet goes first
SITE = 64  # bits of an IPv6 address that are one customer's


class Guesses:
    """Counts bad keys in this process. A good key of ours never waits: it is looked up whatever came before it."""

    def __init__(self) -> None:
        self._next: OrderedDict[str, float] = OrderedDict()  # when an address's next would be due at an even pace

    def require_room(self, address: str) -> None:
        """TooManyBadKeys when this address has shown too many; before a key is compared that can be guessed."""
        wait = self._next.get(_site(address), 0.0) - time.monotonic() - AT_ONCE * PACE_S
        if wait > -PACE_S:
            raise TooManyBadKeys(retry_after=max(1, math.ceil(wait + PACE_S)))

    def note(self, address: str) -> None:
        """A key from this address opened nothing; TooManyBadKeys when it was one too many, which is not counted."""
        self.require_room(address)
        site = _site(address)
        self._next[site] = max(self._next.get(site, 0.0), time.monotonic()) + PACE_S
        self._next.move_to_end(site)
        if len(self._next) > ADDRESSES:
            self._next.popitem(last=False)


def _site(address: str) -> str:
    """The address; of IPv6 the network that one customer has."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.IPv6Network((int(parsed), SITE), strict=False))
