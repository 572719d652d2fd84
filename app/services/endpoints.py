"""A team's webhook endpoints and signing secrets."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from app.domain.access import require_key, require_scope, require_team_sight
from app.domain.accounts import Caller, Scope
from app.domain.deliveries import Health
from app.domain.endpoints import DEFAULT_EVENTS, NO_ENDPOINT, Endpoint, Secret, rotate
from app.domain.errors import Code, Conflict, NotFound, blamed_on
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

TEST_EVENTS_PER_MINUTE = 10  # of a team
MAX_TRIES = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """A new endpoint; without `events` it gets the usual ones, without `models` those of all models."""

    url: str
    events: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    description: str = ""
    asymmetric: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Endpoints and secrets: `team:read` reads, `team:admin` changes; every change is a line in the audit log."""

    catalog: Catalog
    endpoints: EndpointStore
    accounts: AccountStore
    clock: StoreClock
    administration: AdministrationStore
    alarms: AlarmStore
    secrets: SecretStore
    deliveries: DeliveryLogStore
    egress: EgressPolicy

    # --- endpoints -----------------------------------------------------------------------------------------------

    async def add(self, caller: Caller, request: EndpointRequest) -> Endpoint:
        """Add an endpoint with a new secret.

        Raises:
            Unprocessable: webhooks may not be sent to this URL.
            Conflict: the team has too many.
        """
        _require_admin(caller)
        self._check(request.url, request.models)
        endpoint = Endpoint(
            id=new_id("ep"),
            team=caller.team,
            url=request.url,
            events=request.events or DEFAULT_EVENTS,
            secrets=(Secret(new_secret()),),
            created_ms=await self.clock.now_ms(),
            models=request.models,
            description=request.description,
            asymmetric=request.asymmetric,
        )
        await self.endpoints.add(caller.user, endpoint)
        return endpoint

    async def of_team(self, caller: Caller) -> list[Endpoint]:
        """The team's endpoints, the oldest first."""
        require_team_sight(caller)
        return await self.endpoints.of_team(caller.team)

    async def health(self, endpoints: Sequence[Endpoint]) -> list[Health]:
        """The delivery health of each of these, which the caller may see."""
        return await self.deliveries.health([endpoint.destination for endpoint in endpoints])

    async def get(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """One of the team's endpoints; NotFound."""
        require_team_sight(caller)
        return (await self._get(caller.team, endpoint_id)).endpoint

    async def change(
        self, caller: Caller, endpoint_id: str, changes: dict[str, Any], *, paused: bool | None = None
    ) -> Endpoint:
        """Change the given members: `url`, `events`, `models` (None for all), `description`, `asymmetric`.

        `paused` stops its deliveries, which wait; False resumes them, also when the endpoint was disabled.
        """
        await self.control(caller, endpoint_id)
        self._check(changes.get("url"), changes.get("models"))
        if "events" in changes:
            changes = {**changes, "events": changes["events"] or DEFAULT_EVENTS}
        now_ms = await self.clock.now_ms()
        if paused is False:
            changes = {**changes, "paused_ms": None, "disabled_ms": None, "disabled_reason": None}

        async def attempt() -> Endpoint:
            stored = await self._get(caller.team, endpoint_id)
            after = replace(stored.endpoint, **changes)
            if paused:
                after = replace(after, paused_ms=after.paused_ms or now_ms)
            await self.endpoints.change(caller.user, "endpoint.change", stored, after)
            return after

        return await _retry_on_conflict(attempt)

    async def remove(self, caller: Caller, endpoint_id: str) -> None:
        """Delete an endpoint; its waiting deliveries are not sent any more."""
        await self.control(caller, endpoint_id)

        async def attempt() -> None:
            await self.endpoints.remove(caller.user, await self._get(caller.team, endpoint_id))

        await _retry_on_conflict(attempt)

    async def test(self, caller: Caller, endpoint_id: str) -> str:
        """Send `endpoint.test` to it now, as any delivery; the delivery's id.

        Raises:
            NotFound, Forbidden: as for `control`.
            Conflict: the endpoint is not active.
            OverLimit: too many tests in a minute.
        """
        endpoint = await self.control(caller, endpoint_id)
        if endpoint.status != "active":
            raise Conflict(f"The endpoint is {endpoint.status}; resume it first.", code=Code.ENDPOINT_NOT_ACTIVE)
        await consume_rate(self.deliveries, caller.team, "tests", TEST_EVENTS_PER_MINUTE)
        return await self.endpoints.write_test(caller.user, endpoint)

    async def rotate(self, caller: Caller, endpoint_id: str, *, overlap_ms: int) -> Endpoint:
        """Add a new secret, the endpoint's first; the old one also signs during the overlap."""
        await self.control(caller, endpoint_id)
        now_ms = await self.clock.now_ms()

        async def attempt() -> Endpoint:
            stored = await self._get(caller.team, endpoint_id)
            secrets = rotate(stored.endpoint.secrets, new_secret(), now_ms=now_ms, overlap_ms=overlap_ms)
            after = replace(stored.endpoint, secrets=secrets)
            details = {"overlap_ms": overlap_ms}
            await self.endpoints.change(caller.user, "endpoint.rotate_secret", stored, after, details=details)
            return after

        return await _retry_on_conflict(attempt)

    async def control(self, caller: Caller, endpoint_id: str) -> Endpoint:
        """The endpoint, if the caller may change it; NotFound, or Forbidden without `team:admin`."""
        endpoint = await self.get(caller, endpoint_id)
        require_scope(caller, Scope.TEAM_ADMIN)
        return endpoint

    async def public_key(self) -> str:
        """The key, `whpk_…`, that verifies the `v1a` signatures of this installation."""
        return public_text(await self.secrets.of_webhooks())

    # --- for workers ---------------------------------------------------------------------------------------------

    async def by_destination(self, destination: str) -> Endpoint | None:
        """The endpoint that a delivery goes to; None when it was deleted."""
        stored = await self.endpoints.get(*split_ref(destination))
        return None if stored is None else stored.endpoint

    async def disable(self, destination: str, reason: str) -> bool:
        """Disable an endpoint, notify its team and raise an alarm; False when it was disabled already.

        One script writes the record, the audit log's line, the notice in the feed, and the notice's deliveries.
        """
        team, endpoint_id = split_ref(destination)

        async def attempt() -> bool:
            stored = await self.endpoints.get(team, endpoint_id)
            if stored is None or stored.endpoint.disabled_ms is not None:
                return False
            after = replace(stored.endpoint, disabled_ms=await self.clock.now_ms(), disabled_reason=reason)
            await self.endpoints.change(
                SYSTEM, "endpoint.disable", stored, after, event=ENDPOINT_DISABLED, details={"reason": reason}
            )
            return True

        disabled = await _retry_on_conflict(attempt)
        if disabled:
            sentence = f"The webhook endpoint {endpoint_id} of team {team} was disabled. {reason}"
            await self.alarms.raise_alarm("endpoint_disabled", sentence)
        return disabled

    # --- the team's secret ---------------------------------------------------------------------------------------

    async def team_secrets(self, caller: Caller) -> tuple[Secret, ...]:
        """The secrets that sign webhooks to a job's own URL, the newest first; for the team's administrators."""
        _require_admin(caller)
        return (await self.accounts.require_team(caller.team)).secrets

    async def rotate_team_secret(self, caller: Caller, *, overlap_ms: int) -> tuple[Secret, ...]:
        """Add a new secret, the team's first; the old one also signs during the overlap."""
        _require_admin(caller)
        team = await self.accounts.require_team(caller.team)
        now_ms = await self.clock.now_ms()
        secrets = rotate(team.secrets, new_secret(), now_ms=now_ms, overlap_ms=overlap_ms)
        await self.administration.rotate_team_secret(caller.user, team, secrets, overlap_ms=overlap_ms)
        return secrets

    async def _get(self, team: str, endpoint_id: str) -> StoredEndpoint:
        stored = await self.endpoints.get(team, endpoint_id)
        if stored is None:
            raise NotFound(NO_ENDPOINT)
        return stored

    def _check(self, url: str | None, models: tuple[str, ...] | None) -> None:
        if url is not None:
            with blamed_on("/url"):
                check_url(url, self.egress)
        for index, model in enumerate(models or ()):
            with blamed_on(f"/models/{index}"):
                self.catalog.get(model)


async def _retry_on_conflict(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again when the endpoint was changed meanwhile; Conflict after MAX_TRIES."""
    for _ in range(MAX_TRIES):
        with suppress(EndpointChanged):
            return await attempt()
    raise Conflict("The endpoint is changed by many at once; send it again.")


def _require_admin(caller: Caller) -> None:
    require_key(caller)
    require_scope(caller, Scope.TEAM_ADMIN)
