"""Changing a team's time zone, so that what was used in the present calendar windows goes with it."""

from dataclasses import dataclass

from app.domain.accounts import Team
from app.domain.errors import Conflict
from app.domain.limits import periods
from app.domain.zones import looks_back_to, share, stretched
from app.store import keys
from app.store.accounts import AccountStore
from app.store.audit import Command, Require
from app.store.clock import StoreClock
from app.store.zones import ZoneStore, put_shares, put_stretches, unchanged


class Turned(Conflict):
    """A window turned, or somebody changed the team, while the change was made ready; make it ready again."""


@dataclass(frozen=True, slots=True)
class Carry:
    """What a change of zone writes beside the zone, and what must still hold then."""

    writes: list[Command]
    require: list[Require]


class Zones:
    """Makes a change of a team's time zone ready; the act that changes the team does it, all or nothing."""

    def __init__(self, *, zones: ZoneStore, accounts: AccountStore, clock: StoreClock) -> None:
        self._zones = zones
        self._accounts = accounts
        self._clock = clock

    async def carry(self, team: Team, zone: str) -> Carry:
        """What has to be written with the new zone.

        1. read the calendar as it is, and the windows of both zones by the store's clock
        2. say which windows have begun: they count until they would have ended
        3. add up, from the ledger, what else counts in the new windows, for the team and each of its users
        4. all of it holds while no window turns, the calendar stays, and no user is added
        """
        fields = await self._zones.fields(team.id)
        now_ms = await self._clock.now_ms()
        old, new = periods(now_ms, fields.zone or "UTC"), periods(now_ms, zone)
        stretches = stretched(fields.stretches, old, new, now_ms)
        users = await self._accounts.users(team.id, deleted=True)
        bought = await self._zones.bought(team.id, since_ms=looks_back_to(stretches, new))
        other = [window for window in old if old[window].start_ms != new[window].start_ms]
        writes = [put_stretches(team.id, stretches)]
        for owner in (team.id, *(user.id for user in users if user.deleted_ms is None)):
            shares = {
                window: share(window, stretches.get(window, {}), new, bought.get(owner, [])) for window in other
            }
            writes += put_shares(owner, new, shares)
        turned = Turned("A calendar window turned in this moment; send it again.")
        require = unchanged(team.id, fields, turned)
        ends = [period.end_ms for calendar in (old, new) for period in calendar.values()]
        require.append(Require(("before", min(ends)), turned))
        require.append(Require(("size", keys.team_users(team.id), len(users)), turned))
        return Carry(writes, require)
