"""Webhook endpoints and the secrets that sign: what a team's administrators do with them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.domain.access import require_key, require_scope, require_team_sight
from app.domain.accounts import NO_TEAM, Caller, Scope, Team
from app.domain.deliveries import Health
from app.domain.endpoints import DEFAULT_EVENTS, NO_ENDPOINT, Endpoint, Secret, rotate
from app.domain.errors import Code, Conflict, NotFound
from app.domain.events import ENDPOINT_DISABLED
from app.domain.ids import new_id, split_ref
from app.egress import EgressPolicy, check_url
from app.registry.catalog import Catalog
from app.services.administration import SYSTEM
from app.services.delivery_log import consume_rate
from app.store.accounts import AccountStore
from app.store.administration import AdministrationStore
from app.store.alarms import AlarmStore
from app.store.clock import StoreClock
from app.store.delivery_log import DeliveryLogStore
from app.store.endpoints import EndpointChanged, EndpointStore, StoredEndpoint
from app.store.secrets import SecretStore
from app.webhooks.signing import new_secret, public_text

TEST_EVENTS_PER_MINUTE = 10  # test events of a team
TRIES = 10  # times somebody else may have changed the endpoint in between

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """What an endpoint is to be; `events` and `models` None for the usual ones and for all."""

    url: str
    events: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    description: str = ""
    asymmetric: bool = False


class Endpoints:
    """Endpoints and secrets. `team:admin` acts, `team:read` sees; every act is a line in the audit log."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        endpoints: EndpointStore,
        accounts: AccountStore,
        clock: StoreClock,
        administration: AdministrationStore,
        alarms: AlarmStore,
        secrets: SecretStore,
        deliveries: DeliveryLogStore,
        egress: EgressPolicy,
    ) -> None:
        self._catalog = catalog
        self._endpoints = endpoints
        self._accounts = accounts
        self._clock = clock
        self._administration = administration
        self._alarms = alarms
        self._secrets = secrets
        self._deliveries = deliveries
        self._egress = egress

    # --- endpoints -----------------------------------------------------------------------------------------------

    async def add(self, caller: Caller, asked: EndpointRequest) -> Endpoint:
        """A new endpoint with its secret.

        Raises:
            Unprocessable: the address is not one that may be called.
            Conflict: the team has too many.
        """
        _require_admin(caller)
        self._check(asked.url, asked.models)
        endpoint = Endpoint(
            id=new_id("ep"),
            team=caller.team,
            url=asked.url,
            events=asked.events or DEFAULT_EVENTS,
            secrets=(Secret(new_secret()),),
            created_ms=await self._clock.now_ms(),
            models=asked.models,
            description=asked.description,
            asymmetric=asked.asymmetric,
        )
        await self._endpoints.add(caller.user, endpoint)
        return endpoint

    async def of_team(self, caller: Caller) -> list[Endpoint]:
        """The team's endpoints, the oldest first."""
        require_team_sight(caller)
        return await self._endpoints.of_team(caller.team)

    async def health(self, endpoints: Sequence[Endpoint]) -> list[Health]:
        """How the attempts at each of these go; for who saw them already."""
        return await self._deliveries.health([endpoint.destination for endpoint in endpoints])

    async def get(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """One of the team's endpoints."""
        require_team_sight(caller)
        return (await self._found(caller.team, endpoint_id)).endpoint

    async def change(
        self, caller: Caller, endpoint_id: str, changes: dict[str, Any], *, paused: bool | None = None
    ) -> Endpoint:
        """Change what is given: `url`, `events`, `models` (None for all), `description`, `asymmetric`.

        `paused` lets its deliveries wait; False lets them go, also where the endpoint was disabled.
        """
        await self.control(caller, endpoint_id)
        self._check(changes.get("url"), changes.get("models"))
        if "events" in changes:
            changes = {**changes, "events": changes["events"] or DEFAULT_EVENTS}
        now_ms = await self._clock.now_ms()
        if paused is False:
            changes = {**changes, "paused_ms": None, "disabled_ms": None, "disabled_reason": None}
        elif paused:
            changes = {**changes, "paused_ms": now_ms}

        async def attempt() -> Endpoint:
            found = await self._found(caller.team, endpoint_id)
            after = replace(found.endpoint, **changes)
            await self._endpoints.change(caller.user, "endpoint.change", found, after)
            return after

        return await _retry_on_conflict(attempt)

    async def remove(self, caller: Caller, endpoint_id: str) -> None:
        """Delete an endpoint; what waits for it is not sent any more."""
        await self.control(caller, endpoint_id)

        async def attempt() -> None:
            await self._endpoints.remove(caller.user, await self._found(caller.team, endpoint_id))

        await _retry_on_conflict(attempt)

    async def test(self, caller: Caller, endpoint_id: str) -> str:
        """Send `endpoint.test` to it now, on the way of every delivery; the delivery's id.

        Raises:
            NotFound, Forbidden: as for `control`.
            Conflict: nothing is sent to it just now.
            OverLimit: too many tests in a minute.
        """
        endpoint = await self.control(caller, endpoint_id)
        if endpoint.status != "active":
            raise Conflict(f"The endpoint is {endpoint.status}; let it go on first.", code=Code.ENDPOINT_NOT_ACTIVE)
        await consume_rate(self._deliveries, caller.team, "tests", TEST_EVENTS_PER_MINUTE)
        return await self._endpoints.write_test(caller.user, endpoint)

    async def rotate(self, caller: Caller, endpoint_id: str, *, overlap_ms: int) -> Endpoint:
        """A new secret, the first of the endpoint's; the one before signs on for the overlap."""
        await self.control(caller, endpoint_id)
        now_ms = await self._clock.now_ms()

        async def attempt() -> Endpoint:
            found = await self._found(caller.team, endpoint_id)
            secrets = rotate(found.endpoint.secrets, new_secret(), now_ms=now_ms, overlap_ms=overlap_ms)
            after = replace(found.endpoint, secrets=secrets)
            details = {"overlap_ms": overlap_ms}
            await self._endpoints.change(caller.user, "endpoint.rotate_secret", found, after, details=details)
            return after

        return await _retry_on_conflict(attempt)

    async def control(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """The endpoint, for who may act on it; the team's others see it and are refused."""
        require_team_sight(caller)
        found = await self._found(caller.team, endpoint_id)
        require_scope(caller, Scope.TEAM_ADMIN)
        return found.endpoint

    async def public_key(self) -> str:
        """The key, `whpk_…`, that verifies the `v1a` signatures of this installation."""
        return public_text(await self._secrets.of_webhooks())

    # --- the workers' part ---------------------------------------------------------------------------------------

    async def by_destination(self, destination: str) -> Endpoint | None:
        """The endpoint that a delivery goes to; None when it was deleted."""
        found = await self._endpoints.get(*split_ref(destination))
        return None if found is None else found.endpoint

    async def disable(self, destination: str, reason: str) -> bool:
        """Send nothing to an endpoint any more, tell the team and ring an alarm; False when it was so already.

        One act: the record, the audit log's line, the event in the feed, and its deliveries to other endpoints.
        """
        team, endpoint_id = split_ref(destination)

        async def attempt() -> bool:
            found = await self._endpoints.get(team, endpoint_id)
            if found is None or found.endpoint.disabled_ms is not None:
                return False
            after = replace(found.endpoint, disabled_ms=await self._clock.now_ms(), disabled_reason=reason)
            details, tell = {"reason": reason}, ENDPOINT_DISABLED
            await self._endpoints.change(SYSTEM, "endpoint.disable", found, after, event=tell, details=details)
            return True

        done = await _retry_on_conflict(attempt)
        if done:
            sentence = f"The webhook endpoint {endpoint_id} of team {team} was disabled. {reason}"
            await self._alarms.raise_alarm("endpoint_disabled", sentence)
        return done

    # --- the team's secret ---------------------------------------------------------------------------------------

    async def team_secrets(self, caller: Caller) -> tuple[Secret, ...]:
        """What signs the webhooks that the team's jobs name themselves, the newest first.

        Who has it can make messages that the team's consumers believe, so it is for the team's administrators.
        """
        _require_admin(caller)
        return (await self._team(caller)).secrets

    async def rotate_team_secret(self, caller: Caller, *, overlap_ms: int) -> tuple[Secret, ...]:
        """A new secret for the team, the first; the one before signs on for the overlap."""
        _require_admin(caller)
        team = await self._team(caller)
        now_ms = await self._clock.now_ms()
        secrets = rotate(team.secrets, new_secret(), now_ms=now_ms, overlap_ms=overlap_ms)
        await self._administration.rotate_team_secret(caller.user, team, secrets, overlap_ms=overlap_ms)
        return secrets

    async def _team(self, caller: Caller) -> Team:
        team = await self._accounts.team(caller.team)
        if team is None:
            raise NotFound(NO_TEAM)
        return team

    async def _found(self, team: str, endpoint_id: str) -> StoredEndpoint:
        found = await self._endpoints.get(team, endpoint_id)
        if found is None:
            raise NotFound(NO_ENDPOINT)
        return found

    def _check(self, url: str | None, models: tuple[str, ...] | None) -> None:
        if url is not None:
            check_url(url, self._egress)
        for model in models or ():
            self._catalog.get(model)


async def _retry_on_conflict(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again when somebody else was faster."""
    for _ in range(TRIES):
        try:
            return await attempt()
        except EndpointChanged:
            continue
    raise Conflict("The endpoint is changed by many at once; send it again.")


def _require_admin(caller: Caller) -> None:
    require_key(caller)
    require_scope(caller, Scope.TEAM_ADMIN)
