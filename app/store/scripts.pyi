"""What lua/*.lua take and return; `python -m tests.guards.script_stub` writes it from their headers."""

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from app.store.client import Client

async def acknowledge(
    redis: Client, *, job: str, idempotency: str, idempotency_before: str, id: str, answered: bool, polled: bool
) -> None:
    """Records that the caller got the answer, or polled the job by its id."""

async def acquire_step(
    redis: Client,
    *,
    due: str,
    open_leases: str,
    delivery: str,
    ref: str,
    field: str,
    max_crashes: int,
    remembered_ms: int,
    handed_out_ms: int,
    hidden_ms: int,
    dead_ms: int,
) -> int:
    """Acquires one ref that was handed out, for as long as its step may take."""

AdmitReply: TypeAlias = (
    tuple[Literal["admitted"], int, list[str], int | None, list[str], list[str]]
    | tuple[Literal["refused"], int, list[str]]
    | tuple[Literal["repeated"], int, list[str], str]
    | tuple[Literal["reused"], int, str]
    | tuple[Literal["answering"], int]
    | tuple[Literal["gone"], int]
    | tuple[Literal["clock"], int, str]
)

async def admit(
    redis: Client,
    *,
    idempotency: str,
    idempotency_before: str,
    answers: str,
    credential: str,
    team: str,
    job: str,
    team_jobs: str,
    user_jobs: str,
    reservations: str,
    ledger: str,
    events: str,
    ref: str,
    id: str,
    team_id: str,
    user_id: str,
    token_id: str | None,
    zone: str,
    starts: str,
    ends: str,
    idempotent: bool,
    fingerprint: str,
    tag: str,
    idempotency_ms: int,
    answer: str | None,
    equal: str,
    amount: int,
    seconds: int,
    deadline_ms: int,
    start_ms: int | None,
    priority_ms: int,
    retention_ms: int,
    kept: str,
    meta_count: int,
    rest: Iterable[str],
) -> tuple[AdmitReply, bool]:
    """Admits one job: idempotency, limits, money, record, place in line, event."""

async def advance(
    redis: Client,
    *,
    job: str,
    reservations: str,
    ledger: str,
    events: str,
    durations: str,
    ref: str,
    from_states: str,
    nonce: str,
    status: str,
    charge: str,
    until_ms: int | None,
    delay_ms: int,
    give_up_ms: int,
    billing_ms: int | None,
    keep_ms: int | None,
    retention_ms: int,
    delivery_id: str,
    cancel_error: str,
    notify: bool,
    reason: str,
    packed: bytes,
    packed_names: str,
    packed_facts: str,
    rest: Iterable[str],
) -> str | None:
    """Moves one job to its next state: status, money, slot, due times, event and outbox change together."""

async def agree_concurrency(redis: Client, *, host: str, number: int, alive_ms: int) -> tuple[int, str]:
    """Agrees on how many jobs may be at fal: the smallest number that a live host was given."""

async def cas_lane(redis: Client, *, lane: str, expected: str, new_token: str, lease_ms: int) -> bool:
    """Gives a lane to another token, if the expected one has it; a slice that runs is recorded as activity."""

async def check_workers(
    redis: Client, *, expected: bool, alive_ms: int, grace_ms: int, forget_ms: int, kept: int, rest: Iterable[str]
) -> tuple[Literal["silent", "back", ""], str]:
    """Raises an alarm when a kind of worker is missing although there is work; resolves it when all are back."""

async def check_writable(redis: Client) -> int | None:
    """Asks how much memory the store has left, as a script that may write."""

async def close_epoch(redis: Client, *, id: str) -> bool:
    """Ends the stop of an epoch, once it is known what was bought before the epoch began."""

CommitAdminReply: TypeAlias = tuple[Literal["done"]] | tuple[Literal["moved"]] | tuple[Literal["unmet"], int]

async def commit_admin(
    redis: Client,
    *,
    previous: str,
    number: int,
    hash: str,
    entry: str,
    conditions: str,
    writes: str,
    notice: str | None,
) -> tuple[CommitAdminReply, bool]:
    """Commits one administrative act: its conditions, its writes and its line in the audit log, all or nothing."""

async def compare_epoch(
    redis: Client,
    *,
    id: str,
    claim_number: int,
    claim_nonce: str,
    admission_number: int,
    admission_job: str,
    seen_ms: int,
    given_cause: str,
    new_id: str,
    sentence: str,
    keep_earlier: int,
    seen_every_ms: int,
) -> tuple[tuple[Literal["empty", "other", "forgotten", "restored", ""], str, int, int, int, str, int, str], bool]:
    """Compares the store with what a witness outside remembers; a store that has gone back in time may not buy."""

async def consume_rate(redis: Client, *, rate: str, step_ms: int, burst: int) -> int:
    """Consumes one turn of a rate (GCRA): `burst` at once, then one every `step_ms`."""

async def correct_charge(
    redis: Client,
    *,
    job: str,
    reservations: str,
    ledger: str,
    ref: str,
    actual: int,
    reason: str,
    by: str,
    rest: Iterable[str],
) -> tuple[Literal["gone", "open", "below", "same", "decided", "corrected"], int]:
    """Corrects an ended job's charge to what it really cost."""

async def count_ends(redis: Client, *, ends: str, most: int, kept_ms: int, rest: Iterable[int]) -> list[str]:
    """Counts the ages at which generations of one model and length ended."""

async def count_failure(
    redis: Client,
    *,
    job: str,
    due: str,
    failures: str,
    ref: str,
    field: str,
    status: str,
    max_failures: int,
    remembered_ms: int,
    pause_ms: int,
) -> bool:
    """Counts an unexpected failure of a step on a job."""

async def count_outstanding(redis: Client, *, outstanding: str, member: str, lifetime_ms: int, max: int) -> int:
    """Counts one more browser token or promised upload of a key, until it is used or expires."""

async def decide_dispute(redis: Client, *, job: str, reservations: str, ledger: str, ref: str, verb: str) -> bool:
    """Ends a dispute: the reservation of a job whose charge could not be proven is spent or released."""

async def discount_files(redis: Client, *, rest: Iterable[str]) -> int:
    """Counts files on their way with no bytes: what they are joined to is counted instead."""

async def drop_files(redis: Client, *, rest: Iterable[str]) -> int:
    """Makes files due for deletion: their bytes count no longer."""

async def erase_job(
    redis: Client,
    *,
    job: str,
    deliveries: str,
    team: str,
    personal_fields: str,
    error: str,
    files: str,
    rest: Iterable[str],
) -> bool:
    """Erases the caller's data of an ended job: prompt, images, clip, logs, deliveries."""

FindIdempotentReply: TypeAlias = tuple[str, int] | tuple[()]

async def find_idempotent(
    redis: Client, *, idempotency: str, idempotency_before: str, fingerprint: str, tag: str
) -> FindIdempotentReply:
    """Finds the job of an idempotency key."""

async def find_revoked(redis: Client, *, rest: Iterable[str]) -> list[int]:
    """Finds which of these keys and browser tokens are revoked or have expired, in one round trip."""

async def find_usage_behind(redis: Client) -> list[str]:
    """Finds the teams whose ledger has entries that usage reports do not count yet."""

FinishUploadReply: TypeAlias = tuple[str, str] | tuple[()]

async def finish_upload(
    redis: Client, *, upload: str, team_parts: str, ref: str, url: str, sha256: str, lifetime_ms: int, kept: bool
) -> FinishUploadReply:
    """Records where an upload's bytes are stored; the second of two processes gets what the first recorded."""

async def fold_usage(redis: Client, *, ledger: str, days: str, team: str, entries: int, hours_ms: int) -> int:
    """Adds the next entries of a team's ledger to the sums of usage reports, and remembers how far it came."""

async def forget_files(redis: Client, *, rest: Iterable[str]) -> int:
    """Forgets files that were deleted from the storage; one that is on its way there again stays."""

async def grant_slots(
    redis: Client, *, own_concurrency: int, grant_ms: int, quiet_ms: int, limit: int
) -> list[list[str | None]]:
    """Grants free slots at fal to the team, and in it the user, that was granted the least for its weight."""

async def hold_file(
    redis: Client, *, team: str, file: str, team_id: str, size: int, lifetime_ms: int, only_ask: bool
) -> tuple[Literal["held", "over"], str, str, str | None]:
    """Counts a file before it is written to the storage: there is no object that the store does not know."""

async def keep_file(redis: Client, *, file: str, team_id: str, size: int, retention_ms: int, longer_ms: int) -> int:
    """Records that a file is in the storage, and keeps it for its team's retention."""

async def note_program(redis: Client, *, program: str, alive_ms: int) -> str:
    """Records that a process is alive, with its version and its data format; and forgets those that are gone."""

async def note_sent(redis: Client, *, kind: str, about: str, id: str, level: int) -> bool:
    """Records that an active alarm was told to the receiver."""

async def raise_alarm(
    redis: Client,
    *,
    raised: str,
    kind: str,
    about: str,
    message: str,
    job: str,
    request: str,
    has_state: bool,
    level: int,
    kept: int,
    quiet_ms: int,
) -> bool:
    """Raises an alarm, even when memory is used up: that may be its subject."""

async def raise_format(redis: Client, *, unnumbered: int, before: int, to: int, version: str) -> bool:
    """Raises the number of the store's data format at the end of a migration, once."""

async def read_credential(
    redis: Client, *, credential: str
) -> tuple[int, list[str], list[str], str | None, str | None]:
    """Reads a key or a browser token, its parent and what is the team's, in one round trip."""

async def read_for_poll(
    redis: Client, *, job: str, ref: str, field: str, value: str
) -> tuple[int, int | None, list[str]]:
    """Reads a job for a poll, if the caller may see it: the record, its rank in its user's line, the time."""

async def read_installation(redis: Client) -> tuple[int, str, str, *tuple[list[Any], ...]]:
    """Reads what metrics show of money and the line: the gateway's sums, and those of each team with its queue."""

ReadLimitStatesReply: TypeAlias = tuple[Literal["states"], int, list[str]] | tuple[Literal["clock"], int, str]

async def read_limit_states(
    redis: Client,
    *,
    team: str,
    team_id: str,
    user_id: str,
    token_id: str | None,
    zone: str,
    starts: str,
    ends: str,
    amount: int,
    seconds: int,
) -> ReadLimitStatesReply:
    """Reads every limit of a caller with what is used of it, and whether a job of this size is over it."""

async def read_queue_state(redis: Client) -> tuple[int, *tuple[list[Any], ...]]:
    """Reads the line's teams and users, from which a job's position is computed."""

ReadUserLimitsReply: TypeAlias = tuple[Literal["states"], int, list[list[str]]] | tuple[Literal["clock"], int, str]

async def read_user_limits(
    redis: Client, *, team: str, zone: str, starts: str, ends: str, rest: Iterable[str]
) -> ReadUserLimitsReply:
    """Reads every limit of some users of one team, with what is used of it."""

async def read_visible(redis: Client, *, record: str, field: str, value: str) -> list[str]:
    """Reads a job or an upload, if the caller may see it."""

async def record_answer(redis: Client, *, answers: str, answer: str, job: str, state: str, kept_ms: int) -> bool:
    """Records what became of the answer to a submission of fal's clients."""

async def record_attempt(
    redis: Client,
    *,
    delivery: str,
    ref: str,
    status: str,
    delay_ms: int,
    attempt: str,
    health: str,
    failures: int,
    pause_ms: int,
    endpoint_memory_ms: int,
    address_memory_ms: int,
    dead_ms: int,
) -> tuple[int, int, int, int]:
    """Records one attempt to deliver a webhook, when the next is due, and the health of its destination."""

async def record_copies(
    redis: Client,
    *,
    job: str,
    ref: str,
    output: str,
    expires_ms: int | None,
    packed: bytes,
    packed_names: str,
    packed_facts: str,
    rest: Iterable[str],
) -> bool:
    """Records that the files of a job were copied, or that they will not be."""

async def record_heartbeats(redis: Client, *, only_known: bool, alive_ms: int, rest: Iterable[str]) -> list[str]:
    """Records heartbeats of worker processes, and forgets those without one for too long."""

async def record_host(redis: Client, *, name: str, wall_ms: int, settings: str, kept_ms: int) -> int:
    """Records that a process of a host is alive, its settings, and how far its clock is from the store's."""

async def record_outcome(
    redis: Client, *, outcome: str, reason: str, own_concurrency: int, max_weight: int, open_ms: int
) -> Literal["opened", "closed", ""]:
    """Records the outcome of a submission for the breaker and the number of slots."""

async def register_part(
    redis: Client,
    *,
    upload: str,
    team_parts: str,
    ref: str,
    number: int,
    etag: str,
    size: int,
    folder: str,
    max_bytes: int,
    team_max: int,
    all_max: int,
) -> Literal["taken", "too_large", "finished", "missing", "elsewhere", "too_many", "full"]:
    """Registers one part of an upload before it is written to disk."""

async def repack_record(redis: Client, *, job: str, digest: str, packed: bytes, rest: Iterable[str]) -> bool:
    """Writes the record of an ended job in the present form, if it is still as it was read."""

async def replay_deliveries(
    redis: Client,
    *,
    dead: str,
    team: str,
    user: str,
    spacing_ms: int,
    retention_ms: int,
    attempts_kept: int,
    replays_kept: int,
    rest: Iterable[str],
) -> list[str]:
    """Makes deliveries due again: the same messages under the same ids, with the schedule from its beginning."""

async def reschedule_hidden(redis: Client, *, due: str, rest: Iterable[str]) -> int:
    """Sets when taken refs, which are hidden, are due next."""

async def resend_upload(redis: Client, *, upload: str, url: str) -> bool:
    """Records where fal reads a file that was sent to it once more."""

async def resolve_alarm(redis: Client, *, kind: str, about: str, message: str, kept: int) -> bool:
    """Resolves an active alarm."""

async def scan_jobs(
    redis: Client,
    *,
    index: str,
    team: str,
    before_ms: int | None,
    before_id: str,
    limit: int,
    rows: int,
    from_ms: int | None,
    rest: Iterable[str],
) -> tuple[int, list[str], list[str], list[list[str]]]:
    """Reads the jobs of an index whose records have the wanted fields, newest first."""

async def stop_host(redis: Client, *, name: str, gone: str, at_ms: int) -> bool:
    """Forgets a process that stops in order; the one that it replaced, if still gone, stays replaced."""

async def sweep_slots(redis: Client, *, give_up_ms: int, far_ms: int) -> tuple[list[str], list[str], list[str]]:
    """Compares the slots with the jobs' states, and repairs what does not fit."""

async def take_deliveries(
    redis: Client,
    *,
    limit: int,
    destinations: int,
    per_destination: int,
    per_host: int,
    per_team: int,
    retry_ms: int,
    failures: int,
    probe_ms: int,
    visibility_ms: int,
    attempt_ms: int,
    quick: bool,
    dead_ms: int,
    rest: Iterable[str],
) -> list[str]:
    """Takes due deliveries, a few of each destination and team, so that slow receivers delay nobody else."""

async def take_due(redis: Client, *, due: str, limit: int, visibility_ms: int) -> tuple[int, *tuple[str, ...]]:
    """Takes what is due in one step, and hides it for the visibility timeout."""

async def take_files(redis: Client, *, limit: int, hidden_ms: int, live_ms: int) -> list[str]:
    """Takes files whose time is over, for deletion; what is not confirmed as deleted is taken again later."""

async def take_lease(redis: Client, *, lease: str, token: str, lease_ms: int) -> bool:
    """Gives a lease to this process, or takes it back, unless another one has it."""

async def take_polls(
    redis: Client, *, limit: int, visibility_ms: int, rest: Iterable[str]
) -> tuple[int, int | None, list[list[str | None]]]:
    """Takes running jobs that are due for a poll, with what a poll reads of each."""

async def update_job(
    redis: Client, *, job: str, due: str, ref: str, from_states: str, delay_ms: int | None, rest: Iterable[str]
) -> bool:
    """Writes fields of a job without a change of state, and may move the due time of one step."""
