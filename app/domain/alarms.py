"""Alarms for administrators: the table of their kinds, and an alarm.

A kind is a row of KINDS and a section of docs/runbook.md with its name as the heading.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

# page: wake somebody now. ticket: somebody looks at it today. note: nothing to do but know it.
Severity: TypeAlias = Literal["page", "ticket", "note"]
AlarmState: TypeAlias = Literal["raised", "resolved"]


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """A kind of alarm: a stable word, how urgent it is, its title, and what ends it.

    With `ends` an alarm of this kind has a state: it is active until that happens. With "" it tells of one event.
    """

    kind: str
    severity: Severity
    title: str
    ends: str = ""

    @property
    def runbook(self) -> str:
        """What to do: the section of the runbook."""
        return f"docs/runbook.md#{self.kind}"


KINDS: dict[str, AlarmKind] = {
    row.kind: row
    for row in (
        # Buying
        AlarmKind("held", "page", "Jobs are held: the outcome of their submission is unknown", "no job is held"),
        AlarmKind("not_buying", "page", "Nothing is bought although jobs wait", "jobs are bought, or none waits"),
        AlarmKind("breaker_opened", "page", "Buying is stopped: fal refuses or fails", "the breaker is closed"),
        AlarmKind(
            "epoch_stopped", "page", "Buying is stopped: the store has gone back in time", "buying is resumed"
        ),
        AlarmKind("epoch_undecided", "page", "Jobs from before the store went back may have been bought"),
        AlarmKind("epoch_unknown", "ticket", "fal has a request of a job that the store does not know"),
        AlarmKind("epoch_other", "ticket", "fal has a request of an attempt that the store does not know"),
        # Workers
        AlarmKind("workers_silent", "page", "A kind of worker is missing", "every kind of worker is at work"),
        AlarmKind("quarantined", "page", "A step is set aside", "nothing is set aside"),
        AlarmKind("foreign_task", "ticket", "Another program enqueues tasks in the store"),
        AlarmKind("host_gone", "page", "A host is gone", "it is back, another began, or a day has passed"),
        AlarmKind("settings_differ", "ticket", "Two hosts have different settings", "all hosts have the same"),
        AlarmKind("clock_off", "ticket", "A host's clock is wrong", "it agrees with the store's within 10 s"),
        # The store
        AlarmKind(
            "store_not_durable", "page", "The store may lose what it has acknowledged", "it is durable again"
        ),
        AlarmKind("store_memory", "page", "The store's memory is nearly full", "it uses less than three quarters"),
        AlarmKind("backup_failed", "ticket", "The store is not backed up as planned", "a backup is written"),
        AlarmKind("disk_low", "page", "The disk of the store is nearly full", "it has room again"),
        # The storage
        AlarmKind("clips_uncopied", "ticket", "Clips cannot be copied to the storage", "every clip is copied"),
        AlarmKind("clip_lost", "ticket", "A clip was not copied before fal's copy expired"),
        AlarmKind("storage_away", "page", "The storage of clips and files cannot be used", "a trial goes well"),
        # The API
        AlarmKind(
            "certificate_expires", "ticket", "The API's certificate ends soon", "a certificate that lasts is shown"
        ),
        # fal and money
        AlarmKind("ledger_differs", "page", "Sums of money differ from the ledger", "they are the same again"),
        AlarmKind("bill_differs", "ticket", "fal bills another price than was charged"),
        AlarmKind("budget_threshold", "ticket", "The gateway's budget is half or four fifths used"),
        AlarmKind("budget_used_up", "page", "The gateway's budget is used up"),
        AlarmKind("orphan", "ticket", "fal has a request that no job owns"),
        AlarmKind("shared_request", "ticket", "Two jobs have one request of fal's"),
        AlarmKind("resubmitted", "note", "A held job was submitted again"),
        AlarmKind("given_up", "ticket", "fal never said how a job ended"),
        AlarmKind("bad_upstream_result", "ticket", "A paid result cannot be shown"),
        AlarmKind("webhook_differs", "note", "fal's webhook says failed, its result is a clip"),
        AlarmKind("odd_urls", "ticket", "fal's reply names URLs on another host"),
        # Customers
        AlarmKind("endpoint_disabled", "ticket", "A webhook endpoint was disabled"),
    )
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm as it was raised or resolved: its kind, a sentence, and its job and request of fal's, or "".

    `about` distinguishes alarms of one kind that are active at once, such as a host's name.
    """

    at_ms: int
    kind: str
    message: str
    job: str = ""
    upstream_request_id: str = ""
    about: str = ""
    state: AlarmState = "raised"


def severity_of(kind: str) -> Severity:
    """How urgent it is; a `note` for a kind of another version."""
    row = KINDS.get(kind)
    return "note" if row is None else row.severity
