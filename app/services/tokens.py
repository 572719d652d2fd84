"""Browser tokens: short-lived keys with caps, for one web page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.access import allows, allows_model, not_from_here, require_model, require_scope
from app.domain.accounts import TOKEN_PREFIX, USER_SCOPES, Caller, Key, Scope, digest, mask_key, new_key
from app.domain.errors import Code, Forbidden, NotFound, OverLimit, blamed_on
from app.domain.fal_states import app_of
from app.domain.ids import join_ref, new_id
from app.domain.limits import Limit, Unit, Window
from app.registry.catalog import Catalog
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.jobs import JobStore
from app.store.limits import limit_fields

MAX_LIFETIME_S = 3600
MIN_LIFETIME_S = 30
DEFAULT_LIFETIME_S = 600
MAX_TOKENS = 1000  # of one key that have not expired: a hundred visitors a minute


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The rights of a token; None for those of its key. With `job` it may only read that job."""

    expires_in_s: int = DEFAULT_LIFETIME_S
    max_jobs: int | None = None
    max_usd_micro: int | None = None
    models: Sequence[str] | None = None
    origin: str | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token, which is shown once, with its record and caps."""

    token: str
    record: Key
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Mints browser tokens, which end with the key that they are made with."""

    catalog: Catalog
    accounts: AccountStore
    jobs: JobStore
    clock: StoreClock

    async def mint_for_apps(self, caller: Caller, apps: Sequence[str], *, expires_in_s: int) -> Minted:
        """A token for the models of these apps, as fal's clients request it; an app is `alias` or `owner/alias`.

        NotFound when no model belongs to one of them; Forbidden when the key may use none of their models.
        """
        found = [model.id for model in self.catalog if {app_of(model.id), _alias(model.id)} & set(apps)]
        if not found:
            raise NotFound("No model of this gateway belongs to these apps.", code=Code.MODEL_NOT_FOUND)
        models = [model_id for model_id in found if allows_model(caller, model_id)]
        if not models:
            raise Forbidden("The key may not use these models.", code=Code.MODEL_NOT_ALLOWED)
        lifetime_s = min(max(expires_in_s, MIN_LIFETIME_S), MAX_LIFETIME_S)
        return await self.mint(caller, TokenRequest(expires_in_s=lifetime_s, models=models))

    async def mint(self, caller: Caller, request: TokenRequest) -> Minted:
        """A token with at most the rights of the caller's key.

        Raises:
            Forbidden: the caller has a browser token, or the key lacks one of these rights.
            NotFound: there is no such model, or no such job that the caller sees.
            OverLimit: the key has too many tokens.
        """
        if caller.token is not None:
            raise Forbidden("A browser token may not make another one.")
        for index, model in enumerate(request.models or ()):
            with blamed_on(f"/models/{index}"):
                require_model(caller, self.catalog.get(model).id)
        if request.origin is not None and caller.origins is not None and request.origin not in caller.origins:
            raise not_from_here(caller.origins)
        scopes = frozenset(scope for scope in USER_SCOPES if allows(caller, scope))
        if request.job is not None:
            require_scope(caller, Scope.JOBS_READ)
            job = await self.jobs.get(join_ref(caller.team, request.job))
            if job is None or not (caller.sees_team or job.user == caller.user):
                raise NotFound("There is no job with this id.")
            scopes = frozenset({Scope.JOBS_READ})
        now_ms = await self.clock.now_ms()
        expires_ms = min(now_ms + request.expires_in_s * 1000, caller.expires_ms or 2**53)
        token = new_key(TOKEN_PREFIX)
        models = caller.models if request.models is None else request.models
        origins = caller.origins if request.origin is None else {request.origin}
        record = Key(
            id=new_id("tok"),
            team=caller.team,
            user=caller.user,
            name="",
            scopes=scopes,
            shown_as=mask_key(token),
            created_ms=now_ms,
            models=None if models is None else tuple(sorted(models)),
            origins=None if origins is None else tuple(sorted(origins)),
            expires_ms=expires_ms,
            parent=caller.digest,
            parent_id=caller.key,
            job=request.job,
        )
        await self._require_room(caller, record.id, lifetime_ms=expires_ms - now_ms)
        caps = {Unit.JOBS: request.max_jobs, Unit.USD: request.max_usd_micro}
        limits = tuple(Limit(unit, Window.TOTAL, cap) for unit, cap in caps.items() if cap is not None)
        await self.accounts.add_token(digest(token), record, limit_fields(limits), expires_ms=expires_ms)
        return Minted(token, record, limits)

    async def _require_room(self, caller: Caller, token: str, *, lifetime_ms: int) -> None:
        wait_ms = await self.accounts.outstanding.add(
            "tokens", caller.key, token, lifetime_ms=lifetime_ms, most=MAX_TOKENS
        )
        if wait_ms is not None:
            sentence = (
                f"The key has {MAX_TOKENS} browser tokens that have not expired; use those, or make shorter ones."
            )
            raise OverLimit(sentence, code=Code.TOO_MANY_TOKENS, retry_after=max(1, math.ceil(wait_ms / 1000)))


def _alias(model_id: str) -> str:
    return app_of(model_id).rpartition("/")[2]
