"""The list of all metrics. docs/metrics.md is made from it.

What processes count is an object here, and one line counts it: `SUBMISSIONS.add("v1", "admitted")`,
`ADMISSION.observe(seconds)`. Each process counts for itself, and Prometheus adds up. What is read when somebody
asks is made in `app/services/metrics.py`.

No label has a value that a caller chose: lists are closed, and what is not on one counts as `other`.
"""

from app.domain.heartbeats import STORAGE_ROLES
from app.domain.jobs import Status
from app.domain.limits import UNITS, Owner, Window
from app.metrics.kinds import Counter, Histogram, Label, Metric

MOST_TEAMS = 50  # that have series of their own; the others are added up as `other`
MOST_MODELS = 120
SECONDS_OF_STORE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SECONDS_OF_CALL = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)
SECONDS_OF_WAIT = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0)
SECONDS_OF_MAKING = (
    5.0,
    10.0,
    20.0,
    30.0,
    45.0,
    60.0,
    90.0,
    120.0,
    180.0,
    240.0,
    300.0,
    420.0,
    600.0,
    900.0,
    1800.0,
)
SECONDS_OF_NOTICE = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 60.0)
SECONDS_OF_DELIVERY = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 36_000.0, 86_400.0)

OUTCOMES = (
    "admitted", "repeated", "over_budget", "over_limit", "invalid", "key_reused", "forbidden", "unavailable",
    "overloaded", "error",
)  # fmt: skip
PURCHASES = ("accepted", "rejected", "busy", "account", "failed", "unknown")
CALLS = ("submit", "status", "result", "cancel", "upload", "bill", "history")
FAULTS = (
    "dns", "refused", "certificate", "tls", "timeout", "proxy", "network", "too_large", "http_401", "http_403",
    "http_404", "http_429", "http_4xx", "http_5xx",
)  # fmt: skip
ENDS = (
    "none", "canceled", "start_timeout", "deadline_exceeded", "upstream_error", "upstream_rejected",
    "upstream_rejected_input", "result_unavailable", "bad_upstream_result", "unknown_outcome", "internal_error",
)  # fmt: skip
HOLDS = ("worker_lost", "no_answer_in_time", "connection_lost", "unreadable_answer")
STEPS = ("submit", "poll", "finalize", "deliver", "expire", "dispute", "billing", "resolve", "keep")
COPIES_END = ("kept", "not_copied", "refused", "storage_away", "lost", "unwanted")
STOPS = ("breaker", "held", "epoch", "paused", "silent")
LIMITS = tuple(f"{unit}/{window}" for window in Window for unit in sorted(UNITS[window]))

MODEL = Label("model", room=MOST_MODELS)  # given by the registry when workers start
TEAM = Label("team", bound=f"the {MOST_TEAMS} teams with the longest queues, then the highest spending; `other`")
PROCESS = Label("process", bound="processes of one host, by what they do: `api`, `keeper`, `lanes-1`, `work-2`")
ROLE = Label("role", values=STORAGE_ROLES)

# --- counted by each process -------------------------------------------------------------------------------------

SUBMISSIONS = Counter(
    "filmgate_submissions_total",
    "Submissions by the API that took them (v1: ours; queue, run: fal's), and what became of each. "
    "`repeated` found the job of an earlier one.",
    Label("surface", ("v1", "queue", "run")),
    Label("outcome", OUTCOMES),
)
REFUSALS = Counter(
    "filmgate_limit_refusals_total",
    "Submissions refused by a limit; one that exceeds several limits counts for each.",
    Label("owner", tuple(Owner)),
    Label("limit", LIMITS),
)
OVERLOADS = Counter(
    "filmgate_overload_refusals_total",
    "Requests refused because too much was asked, by their class (`first`: a job's status and end).",
    Label("class", ("first", "read", "write")),
)
RESPONSES = Counter(
    "filmgate_http_responses_total",
    "Replies of the API by their status, without probes.",
    Label("status", ("1xx", "2xx", "3xx", "4xx", "5xx")),
)
ADMITTED_USD = Counter("filmgate_admitted_usd_total", "Dollars put aside for admitted jobs.", unit="usd")
ADMISSION = Histogram(
    "filmgate_admission_seconds",
    "From a submission that was read until its job was written: checks, price, images that are stored, the store.",
    bounds=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0),
)
QUEUE_WAIT = Histogram(
    "filmgate_queue_wait_seconds",
    "From a job's admission until its first submission to fal.",
    bounds=SECONDS_OF_WAIT,
)
SUBMISSION = Histogram(
    "filmgate_submission_seconds",
    "One submission to fal: from the claim of the job until the answer, or the lack of one, was stored.",
    bounds=SECONDS_OF_CALL,
)
PURCHASED = Counter(
    "filmgate_upstream_submissions_total",
    "Submissions to fal by their outcome. `unknown`: the job is held. `account`: fal refuses our key or account.",
    Label("outcome", PURCHASES),
)
GENERATION = Histogram(
    "filmgate_generation_seconds",
    "From fal's acceptance until we saw that the generation had ended.",
    MODEL,
    bounds=SECONDS_OF_MAKING,
)
DETECTION_LAG = Histogram(
    "filmgate_detection_lag_seconds",
    "By how much, at most, an end at fal was noticed late: the time since the poll before, or the acceptance.",
    bounds=SECONDS_OF_NOTICE,
)
ENDED = Counter(
    "filmgate_jobs_ended_total",
    "Jobs that ended, by status and error code (`none` for a success).",
    Label("status", (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)),
    Label("reason", ENDS),
)
HELD = Counter(
    "filmgate_jobs_held_total",
    "Jobs that were held because the outcome of their submission is unknown, and why.",
    Label("reason", HOLDS),
)
DELIVERY = Histogram(
    "filmgate_delivery_seconds",
    "From an event until its webhook was delivered, all attempts included.",
    bounds=SECONDS_OF_DELIVERY,
)
ATTEMPTS = Counter(
    "filmgate_webhook_attempts_total",
    "Attempts to deliver a webhook. `retry`: it failed and may be tried again. `gone`: the receiver wants no more. "
    "`refused`: its address is not allowed.",
    Label("outcome", ("delivered", "retry", "gone", "refused")),
)
FAL_CALL = Histogram(
    "filmgate_upstream_call_seconds",
    "Calls to fal, answered or not.",
    Label("call", CALLS),
    bounds=SECONDS_OF_CALL,
)
FAL_ERRORS = Counter(
    "filmgate_upstream_errors_total",
    "Calls to fal without an answer, by the cause, and those answered with an error, by its status.",
    Label("call", CALLS),
    Label("kind", FAULTS),
)
COPIES = Counter(
    "filmgate_clip_copies_total",
    "Attempts to copy a job's files to the storage. `refused`: fal gave something else. `not_copied`: fal or the "
    "disk failed. `lost`: fal's week is over. `unwanted`: the job was erased meanwhile.",
    Label("outcome", COPIES_END),
)
COPIED_BYTES = Counter("filmgate_clip_copied_bytes_total", "Bytes of files that were copied.", unit="bytes")
STEP_FAULTS = Counter(
    "filmgate_step_faults_total",
    "Steps of a job that ended with an unexpected error, which is in the log; the job becomes due again.",
    Label("step", STEPS),
)
STORE_CALL = Histogram(
    "filmgate_store_call_seconds",
    "Calls to the store over the shared connection, from the call to the reply.",
    bounds=SECONDS_OF_STORE,
)
STORE_ERRORS = Counter(
    "filmgate_store_errors_total",
    "Calls to the store that failed: no reply, a late one, or it takes no writes.",
)
STARTS = Counter(
    "filmgate_process_starts_total",
    "Starts of worker processes of this host; the first ones count too.",
    Label("role", (*STORAGE_ROLES, "keeper")),
)
COUNTED = (
    SUBMISSIONS, REFUSALS, OVERLOADS, RESPONSES, ADMITTED_USD, ADMISSION, QUEUE_WAIT, SUBMISSION, PURCHASED,
    GENERATION, DETECTION_LAG, ENDED, HELD, DELIVERY, ATTEMPTS, FAL_CALL, FAL_ERRORS, COPIES, COPIED_BYTES,
    STEP_FAULTS, STORE_CALL,
    STORE_ERRORS, STARTS,
)  # fmt: skip


# --- read when somebody asks -------------------------------------------------------------------------------------


def _of_host(name: str, unit: str, meaning: str, *labels: Label, counter: bool = False) -> Metric:
    return Metric(
        name=name, type="counter" if counter else "gauge", unit=unit, meaning=meaning, source="host", labels=labels
    )


def _of_all(name: str, unit: str, meaning: str, *labels: Label, counter: bool = False) -> Metric:
    return Metric(
        name=name,
        type="counter" if counter else "gauge",
        unit=unit,
        meaning=meaning,
        source="installation",
        labels=labels,
    )


HOST = (
    _of_host("filmgate_build_info", "", "1; the version that runs.", Label("version", bound="one")),
    _of_host("filmgate_store_up", "", "1 when the store answered while this page was made."),
    _of_host(
        "filmgate_answers_for_installation",
        "",
        "1 for the one process whose page has the metrics of the whole installation.",
    ),
    _of_host("filmgate_process_resident_memory_bytes", "bytes", "Memory of a process.", PROCESS),
    _of_host(
        "filmgate_process_cpu_seconds_total", "seconds", "Processor time of a process.", PROCESS, counter=True
    ),
    _of_host("filmgate_process_open_fds", "", "Open files and connections of a process.", PROCESS),
)
INSTALLATION = (
    _of_all("filmgate_queue_jobs", "", "Jobs that wait to be bought.", TEAM),
    _of_all(
        "filmgate_queue_oldest_seconds",
        "seconds",
        "Age of the oldest job that is next in a user's line; 0 without one.",
        TEAM,
    ),
    _of_all("filmgate_team_reserved_usd", "usd", "Dollars put aside for jobs that have not ended.", TEAM),
    _of_all(
        "filmgate_team_spent_usd", "usd", "Dollars spent since the beginning. A correction may lower it.", TEAM
    ),
    _of_all(
        "filmgate_team_info",
        "",
        "1; the name that administrators gave the team.",
        TEAM,
        Label("name", bound="one for each team shown"),
    ),
    _of_all("filmgate_reserved_usd", "usd", "Dollars put aside for jobs that have not ended, of all teams."),
    _of_all(
        "filmgate_spent_usd",
        "usd",
        "Dollars spent since the beginning, of all teams. A gauge, because a correction may lower it: use `delta`.",
    ),
    _of_all(
        "filmgate_ledger_drift_usd",
        "usd",
        "Difference between the gateway's sums and those of its teams added up; anything but 0 is a fault.",
    ),
    _of_all("filmgate_in_flight_jobs", "", "Jobs that have a slot: at fal, or on their way."),
    _of_all("filmgate_slots", "", "How many may be at fal at once now; fal's 429s lower it for a while."),
    _of_all("filmgate_slots_configured", "", "The lowest FILMGATE_UPSTREAM_CONCURRENCY of all hosts."),
    _of_all(
        "filmgate_breaker",
        "",
        "1 for the state of the breaker of submissions.",
        Label("state", ("closed", "half_open", "open")),
    ),
    _of_all("filmgate_breaker_failures", "", "Failed submissions in a row."),
    _of_all(
        "filmgate_buying_stopped",
        "",
        "1 while nothing is bought for any team for this reason: the breaker, too many jobs held, a store that "
        "went back in time (epoch), an administrator's pause, no lane at work (silent).",
        Label("reason", STOPS),
    ),
    _of_all("filmgate_paused_teams", "", "Teams for which an administrator has paused buying."),
    _of_all("filmgate_held_jobs", "", "Jobs that are held: the outcome of their submission is unknown."),
    _of_all("filmgate_held_oldest_seconds", "seconds", "How long the first of them is held; 0 without one."),
    _of_all("filmgate_quarantined_steps", "", "Steps that crashed their worker or failed too often."),
    _of_all(
        "filmgate_quarantined_oldest_seconds", "seconds", "How long the first of them is there; 0 without one."
    ),
    _of_all(
        "filmgate_due", "", "Refs in a step, due now or later (in deliver: destinations).", Label("step", STEPS)
    ),
    _of_all(
        "filmgate_due_late_seconds",
        "seconds",
        "By how much the first of a step is overdue; 0 when none is.",
        Label("step", STEPS),
    ),
    _of_all(
        "filmgate_alarms_active",
        "",
        "Alarms that are active; docs/runbook.md has a section for each kind.",
        Label("kind", bound="those with an end in `app/domain/alarms.py`"),
        Label("severity", ("page", "ticket", "note")),
    ),
    _of_all("filmgate_workers", "", "Worker processes that are alive.", ROLE),
    _of_all("filmgate_worker_hosts", "", "Hosts with a worker process that is alive."),
    _of_all(
        "filmgate_worker_heartbeat_seconds",
        "seconds",
        "Age of the newest heartbeat of a role.",
        ROLE,
    ),
    _of_all("filmgate_lane_heartbeat_seconds", "seconds", "Since a lane last ran; no series where none ever did."),
    _of_all("filmgate_kept_bytes", "bytes", "Bytes of clips and files in the storage, of all teams."),
    _of_all(
        "filmgate_backup_age_seconds", "seconds", "Age of the newest backup in the storage; absent without one."
    ),
    _of_all("filmgate_data_format", "", "The number of the store's data format; it changes with a migration."),
    _of_all("filmgate_store_memory_bytes", "bytes", "Memory of the store that counts against its limit."),
    _of_all("filmgate_store_memory_limit_bytes", "bytes", "Its maxmemory; 0 without a limit."),
    _of_all("filmgate_store_clients", "", "Connections to the store."),
    _of_all("filmgate_store_replicas", "", "Replicas that are connected to the store."),
    _of_all("filmgate_store_keys", "", "Keys in the store."),
    _of_all("filmgate_store_save_ok", "", "1 while the store could write its file the last time."),
    _of_all("filmgate_store_commands_total", "", "Commands that the store has run.", counter=True),
)
METRICS = (*(one.metric for one in COUNTED), *HOST, *INSTALLATION)
