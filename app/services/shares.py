"""Shares: making, listing and ending them, and what their readers see."""

import secrets
from dataclasses import dataclass
from typing import Any

from app.domain.access import require_control, require_key, require_scope
from app.domain.accounts import Caller, Scope, digest, has_form, id_of, new_key
from app.domain.clips import shown_output, signed_addresses
from app.domain.cursors import read_cursor, write_cursor
from app.domain.errors import Conflict, NotFound, Unauthenticated, invalid_at
from app.domain.ids import join_ref
from app.domain.jobs import Job, Status
from app.domain.prompts import prompts_of
from app.domain.shares import MAX_WALL_MS, MOST_OF_JOB, MOST_WALLS, SHARE_PREFIX, Share, all_of_team
from app.registry.catalog import Catalog
from app.services.clips import file_of
from app.services.listing import JobListing
from app.store.accounts import AccountStore
from app.store.clock import StoreClock
from app.store.jobs import JobStore
from app.store.shares import ShareStore

ADDRESS_MS = 3_600_000  # of a clip at a reader: a share that was ended shows nothing for longer
ENDED = "This link has expired, or was ended; ask for a new one."


@dataclass(frozen=True, slots=True)
class SharedClip:
    """A clip as a reader of a share sees it; `video` is the file with an address that needs no key."""

    model: str
    title: str
    prompt: str | None
    created_ms: int
    video: dict[str, Any]
    duration: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Shares of one job by whoever may cancel it, walls with `team:admin`.

    A share ends at its time, when it is removed, when its key is revoked (a rotation does not end it) and when its
    user or team is deleted. A job that is erased or has expired is in none.
    """

    store: ShareStore
    jobs: JobStore
    listing: JobListing
    accounts: AccountStore
    catalog: Catalog
    clock: StoreClock
    base_url: str

    async def of_job(self, caller: Caller, job: Job) -> list[Share]:
        """The shares of a job."""
        require_key(caller)
        return await self.store.of(job.ref, now_ms=await self.clock.now_ms(), most=MOST_OF_JOB)

    async def listed(self, caller: Caller, *, limit: int, cursor: str | None) -> tuple[list[Share], str | None]:
        """Shares that have not ended, those that end last first, and the next cursor.

        All of the team, walls too, for who sees the team; otherwise those that the caller's user made.
        """
        require_key(caller)
        require_scope(caller, Scope.JOBS_READ)
        after = None if cursor is None else read_cursor(cursor, kind="share")
        name = all_of_team(caller.team) if caller.sees_team else join_ref(caller.team, caller.user)
        now_ms = await self.clock.now_ms()
        found, more = await self.store.page(name, now_ms=now_ms, after=after, limit=limit)
        return found, write_cursor((found[-1].expires_ms, found[-1].id)) if more and found else None

    async def share_job(self, caller: Caller, job: Job, *, seconds: int, prompt: bool) -> tuple[Share, str]:
        """A new share of a job that has a clip, and its address; Conflict for any other job, or for too many."""
        require_key(caller)
        require_control(caller, job)
        file_of(job, "video")
        return await self._add(caller, MOST_OF_JOB, seconds=seconds, prompt=prompt, job=job.id)

    async def share_span(
        self, caller: Caller, *, from_ms: int, to_ms: int, seconds: int, prompt: bool, title: str
    ) -> tuple[Share, str]:
        """A new wall of the team's clips of a span, and its address; Unprocessable for a span that cannot be."""
        require_key(caller)
        require_scope(caller, Scope.TEAM_ADMIN)
        if not 0 < to_ms - from_ms <= MAX_WALL_MS:
            raise invalid_at("/from", "out_of_range", "A wall begins before it ends, and covers at most 366 days.")
        span = {"from_ms": from_ms, "to_ms": to_ms, "title": title}
        return await self._add(caller, MOST_WALLS, seconds=seconds, prompt=prompt, **span)

    async def _add(
        self, caller: Caller, most: int, *, seconds: int, prompt: bool, **shared: Any
    ) -> tuple[Share, str]:
        secret, now_ms = new_key(SHARE_PREFIX), await self.clock.now_ms()
        share = Share(
            id=id_of("share", secret),
            team=caller.team,
            user=caller.user,
            key=caller.key,
            digest=digest(secret),
            created_ms=now_ms,
            expires_ms=now_ms + seconds * 1000,
            prompt=prompt,
            **shared,
        )
        if len(await self.store.of(share.subject, now_ms=now_ms, most=most)) >= most:
            raise Conflict(f"There are {most} shares of this; end some that are not needed.")
        await self.store.add(share)
        page = "share" if share.kind == "job" else "wall"
        return share, f"{self.base_url}/{page}#{secret}"  # in the fragment, which no server sees

    async def remove(self, caller: Caller, id_: str) -> None:
        """End a share: of the caller's own job, or with `team:admin` any of the team.

        Without sight of the team every other id is Forbidden, whether there is such a share or not.
        """
        require_key(caller)
        share = await self.store.get(id_)
        if share is not None and share.team != caller.team:
            share = None
        if share is not None and share.job and share.user == caller.user:
            require_scope(caller, Scope.JOBS_WRITE)
        elif share is not None or not caller.sees_team:
            require_scope(caller, Scope.TEAM_ADMIN)
        if share is None:
            raise NotFound("There is no share with this id.")
        await self.store.remove(share)

    async def open(self, secret: str | None) -> Share:
        """The share of this secret; Unauthenticated when it has ended or there was none."""
        if secret is None or not has_form(secret, SHARE_PREFIX):
            raise Unauthenticated(
                "There is no share in the request. Send it as `Authorization: Bearer fg_share_…`."
            )
        share = await self.store.get(id_of("share", secret))
        if share is None or not secrets.compare_digest(share.digest, digest(secret)):
            raise Unauthenticated(ENDED)
        found = await self.accounts.key(share.key)
        team, user = await self.accounts.names(share.team, share.user)
        revoked = found is None or found[1].revoked_ms is not None
        if revoked or team is None or user is None or team.deleted_ms or user.deleted_ms:
            raise Unauthenticated(ENDED)
        return share

    async def clips(self, share: Share, *, limit: int, cursor: str | None) -> tuple[list[SharedClip], str | None]:
        """The clips of a share, the newest first, and the next cursor; NotFound when its one job is gone."""
        now_ms = await self.clock.now_ms()
        if share.job:
            job = await self.jobs.get(share.subject)
            found, more = [] if job is None else [job], None
        else:
            page = await self.listing.succeeded(
                share.team, from_ms=share.from_ms, to_ms=share.to_ms, limit=limit, cursor=cursor
            )
            found, more = page.jobs, page.next_cursor
        shown = [self._clip(share, job, now_ms) for job in found if _has_clip(job)]
        if share.job and not shown:
            raise NotFound("This clip was deleted.")
        return shown, more

    def _clip(self, share: Share, job: Job, now_ms: int) -> SharedClip:
        output = shown_output(job, base_url=self.base_url) or {}
        video = dict(output["video"])
        if job.clip_secret is not None and job.clip_until_ms is not None and job.output is not None:
            until_ms = min(now_ms + ADDRESS_MS, share.expires_ms, job.clip_until_ms)
            file = job.output["video"]
            video |= signed_addresses(job, "video", file, base_url=self.base_url, until_s=until_ms // 1000)
        prompt = next(prompts_of(job.input), None) if share.prompt else None
        duration = output.get("duration", video.get("duration"))
        return SharedClip(job.model, self._title(job.model), prompt, job.created_ms, video, duration)

    def _title(self, model: str) -> str:
        try:
            return self.catalog.get(model).entry.title
        except NotFound:
            return model


def _has_clip(job: Job) -> bool:
    return job.status is Status.SUCCEEDED and not job.erased and "video" in (job.output or {})
