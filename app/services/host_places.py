"""Which process came in whose place, of those that report."""

from collections.abc import Mapping, Sequence

from app.store.hosts import HostRecord


def replacements(silent: Sequence[HostRecord], records: Sequence[HostRecord]) -> Mapping[str, HostRecord]:
    """Who came in the place of each of the silent, by the name of the silent one; who is missed is not in it.

    One comes for each: one of this role that began after it went. Who was there before replaces nobody, also on the
    same host: of two API processes, one may stay away. Who began on the same host is taken for the restarted one;
    the rest replace those of other hosts. The last to go has the fewest to choose from and chooses first. A later
    one that is silent itself is missed in its turn.
    """
    later = list(records)
    found: dict[str, HostRecord] = {}
    for same_host in (True, False):
        for gone in sorted(silent, key=lambda one: -one.at_ms):
            if gone.name in found:
                continue
            for other in later:
                same = other.role == gone.role and (other.host == gone.host or not same_host)
                if same and other.began_ms > gone.at_ms:
                    later.remove(other)
                    found[gone.name] = other
                    break
    return found


def without_place(records: Sequence[HostRecord], now_ms: int, *, after_ms: int) -> list[HostRecord]:
    """Those that have been silent for so long, and whose place nobody had who has stopped in order since."""
    return [one for one in records if now_ms - one.at_ms > after_ms and not one.replaced_by]
