"""The scenarios: faults on request, each with a sentence and its changes.

Requested by tags in the prompt (`[emu:slow]`, `[emu:run:0.2]`) or by the header
`X-Emulator-Scenario: slow, run:0.2`, which overrides the prompt. docs/emulator.md lists them.
"""

import dataclasses
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from app.emulator.replies import (
    BAD_GATEWAY,
    BAD_KEY,
    CONCURRENCY,
    CONTENT_POLICY,
    LOCKED,
    NOT_STARTED_IN_TIME,
    SERVER_ERROR,
    ModelFault,
    Refusal,
    RequestFault,
)

TAG = re.compile(r"\[emu:([^\]\s]+)\]")
NOTE_FIELDS = frozenset({"about", "number"})

SubmitTrick = Literal[
    "", "drop_before", "drop_after", "cut", "hang", "garbage", "bad_gateway", "evil_urls", "redirect"
]
ResultTrick = Literal["", "expired", "no_url", "foreign_url", "unavailable", "huge", "media_403", "media_html"]
WebhookTrick = Literal["", "error", "bad_signature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The differences from a request that succeeds; None and empty mean no difference."""

    about: str = field(default="", kw_only=False)
    number: str = ""  # the field that a number sets: `[emu:429_direct:2]`

    # The submit. `times`: only for the first submits of a prompt; None: for all of them.
    refuse: Refusal | None = None
    submit: SubmitTrick = ""
    times: float | None = None
    cut_after: float = 0

    # Emulated seconds; infinity never ends by itself.
    queue_seconds: float | None = None
    run_seconds: float | None = None
    never_starts: bool = False

    # Polls.
    status_word: str = ""
    html_polls: float = 0
    missing_polls: float = 0
    goes_backwards: bool = False
    drips: bool = False
    log_lines: float = 0
    cancel_ignored: bool = False

    # The end.
    fault: ModelFault | RequestFault | None = None
    error_beside_success: str = ""
    charged: bool | None = None
    bill: float | None = None  # micro-dollars
    bill_split: bool = False
    result: ResultTrick = ""
    strict_fields: bool = False
    webhook: WebhookTrick = ""
    webhook_copies: float = 1
    webhook_delay: float = 0


PLAIN = Scenario("Queue, run, logs, clip, one charge: the same as no scenario at all.")


def _refused(about: str, refusal: Refusal) -> Scenario:
    return Scenario(about, refuse=refusal, number="times")


def _submit(about: str, trick: SubmitTrick) -> Scenario:
    return Scenario(about, submit=trick, number="times")


SCENARIOS: dict[str, Scenario] = {
    "ok": PLAIN,
    "queue": Scenario("`queue:SECONDS` waits so long before it may start.", number="queue_seconds"),
    "run": Scenario("`run:SECONDS` runs so long.", number="run_seconds"),
    "slow": Scenario("Runs for 60 s; `slow:SECONDS` for another time.", run_seconds=60, number="run_seconds"),
    "stuck_in_queue": Scenario("Stays IN_QUEUE for ever.", queue_seconds=math.inf),
    "stuck_in_progress": Scenario("Stays IN_PROGRESS for ever, and keeps its slot.", run_seconds=math.inf),
    # The submit is refused.
    "401": _refused("The submit is refused: 401, bad key.", BAD_KEY),
    "403_locked": _refused("The submit is refused: 403, the account has no balance.", LOCKED),
    "429_direct": _refused("The submit is refused: 429, too many concurrent requests.", CONCURRENCY),
    "submit_500": _refused("The submit is answered 500 with JSON; nothing was accepted.", SERVER_ERROR),
    "submit_502_nginx": _refused(
        "The submit is answered 502 with a load balancer's HTML; nothing was accepted.", BAD_GATEWAY
    ),
    "submit_redirect": _submit("The submit is answered 302 to another host; nothing was accepted.", "redirect"),
    # The submit's outcome cannot be known from its answer.
    "drop_before_accept": _submit(
        "The connection is closed without an answer; nothing was accepted.", "drop_before"
    ),
    "drop_after_accept": _submit(
        "Accepted (and charged), but the connection is closed without an answer.", "drop_after"
    ),
    "submit_cut": Scenario(
        "Accepted, but the connection is closed after 20 bytes of the reply's body; `submit_cut:BYTES`.",
        submit="cut",
        cut_after=20,
        number="cut_after",
    ),
    "submit_hang": _submit("Accepted, but the answer never comes; the caller has to give up.", "hang"),
    "submit_garbage": _submit("Accepted, but the 200 carries text that is not JSON.", "garbage"),
    "submit_502_accepted": _submit("Accepted, but answered 502 with a load balancer's HTML.", "bad_gateway"),
    "evil_status_url": _submit("Accepted, but the three URLs of the reply point to a foreign host.", "evil_urls"),
    # Polls.
    "html_nginx_503": Scenario(
        "The first 3 status polls are answered 503 with a load balancer's HTML; `html_nginx_503:POLLS`.",
        html_polls=3,
        number="html_polls",
    ),
    "status_404_first": Scenario(
        "The first 2 status polls are answered 404; `status_404_first:POLLS`.",
        missing_polls=2,
        number="missing_polls",
    ),
    "unknown_status": Scenario(
        "While it runs the status is a word nobody knows: WARMING_UP.", status_word="WARMING_UP"
    ),
    "status_backwards": Scenario("While it runs every second poll says IN_QUEUE again.", goes_backwards=True),
    "status_drip": Scenario("Status answers arrive one byte a second.", drips=True),
    "logs_burst": Scenario(
        "Writes 500 log lines; `logs_burst:LINES` another number.", log_lines=500, number="log_lines"
    ),
    "cancel_ignored": Scenario(
        "A cancel is answered 202, but it runs on, succeeds and is charged.", cancel_ignored=True
    ),
    # The model refuses: COMPLETED, and the result URL has the error.
    "422_image_load": Scenario(
        "The result is 422 image_load_error.",
        fault=ModelFault(422, "image_load_error", "Image load error", "image_url"),
    ),
    "422_one_of": Scenario(
        "The result is 422 one_of, for the duration.",
        fault=ModelFault(422, "one_of", "Input should be '5' or '10'", "duration", {"expected": ["5", "10"]}),
    ),
    "422_content_policy": Scenario(
        "The result is 422 content_policy_violation, after the runner worked: it is charged.",
        fault=CONTENT_POLICY,
        charged=True,
    ),
    "500_downstream": Scenario(
        "The result is 500 downstream_service_error; not charged.",
        fault=ModelFault(500, "downstream_service_error", "Downstream service error"),
    ),
    "unknown_fields": Scenario(
        "The model refuses fields it does not know (422); usually it ignores them.", strict_fields=True
    ),
    # fal's infrastructure fails: COMPLETED with `error` and `error_type`, and the result URL has the error.
    "503_runner_disconnected": Scenario(
        "The result is 503 runner_disconnected.",
        fault=RequestFault(503, "runner_disconnected", "Runner disconnected"),
    ),
    "504_request_timeout": Scenario(
        "The result is 504 request_timeout.", fault=RequestFault(504, "request_timeout", "Request timed out")
    ),
    "504_user_timeout": Scenario(
        "Ends without having started: 504 with X-Fal-Request-Timeout-Type: user.",
        never_starts=True,
        fault=NOT_STARTED_IN_TIME,
    ),
    "completed_with_error": Scenario(
        "COMPLETED carries an `error`, yet the result is a success and is charged.",
        error_beside_success="runner_server_error",
    ),
    # The bill.
    "bill": Scenario(
        "However it ends, 2 dollars are charged; `bill:MICRO` so many micro-dollars.", bill=2_000_000, number="bill"
    ),
    "bill_split": Scenario("The charge is billed in two events, of one third and the rest.", bill_split=True),
    # The clip was made and charged, and cannot be fetched.
    "result_expired": Scenario("Succeeds and is charged, but the result URL says 404.", result="expired"),
    "result_unavailable": Scenario("Succeeds and is charged, but the result URL says 500.", result="unavailable"),
    "result_no_url": Scenario("Succeeds and is charged, but the result has no video URL.", result="no_url"),
    "result_foreign_url": Scenario(
        "Succeeds and is charged, but the video URL is on a foreign host.", result="foreign_url"
    ),
    "result_huge": Scenario("Succeeds and is charged, but the result has 200 MB.", result="huge"),
    "media_403": Scenario("Succeeds and is charged, but the video URL answers 403.", result="media_403"),
    "media_html": Scenario("Succeeds and is charged, but the video URL is a web page.", result="media_html"),
    # Webhooks.
    "webhook_error": Scenario("The webhook says ERROR although the request succeeded.", webhook="error"),
    "webhook_duplicate": Scenario(
        "The webhook is delivered twice at once; `webhook_duplicate:COPIES`.",
        webhook_copies=2,
        number="webhook_copies",
    ),
    "webhook_late": Scenario(
        "The webhook comes 60 s after the end; `webhook_late:SECONDS`.", webhook_delay=60, number="webhook_delay"
    ),
    "webhook_bad_signature": Scenario("The webhook's signature is wrong.", webhook="bad_signature"),
}


class UnknownScenario(ValueError):
    """A tag or header with an unknown name; the text lists the known ones."""


def plan_for(prompt: str, header: str | None) -> Scenario:
    """The scenario of a submit, `PLAIN` by default. UnknownScenario for an unknown name or wrong number."""
    names = TAG.findall(prompt) if header is None else re.split(r"[,\s]+", header.strip())
    plan = PLAIN
    for name in names:
        if name:
            plan = _combine(plan, _named(name))
    return plan


def _named(text: str) -> Scenario:
    name, _, number = text.partition(":")
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise UnknownScenario(f"Unknown emulator scenario {text!r}. Known: {', '.join(sorted(SCENARIOS))}.")
    if not number:
        return scenario
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not scenario.number or not value >= 0:
        raise UnknownScenario(f"Scenario {name!r} takes no such number: {text!r}.")
    changes: dict[str, Any] = {scenario.number: value}
    return dataclasses.replace(scenario, **changes)


def _combine(first: Scenario, second: Scenario) -> Scenario:
    changes = {
        field.name: getattr(second, field.name)
        for field in dataclasses.fields(second)
        if field.name not in NOTE_FIELDS and getattr(second, field.name) != field.default
    }
    return dataclasses.replace(first, **changes)
