"""The pages have the code's figures for webhook deliveries."""

from app.domain import deliveries as policy
from app.services.endpoints import TEST_EVENTS_PER_MINUTE
from tests.support.repo import ROOT

WORDS = dict(
    enumerate(
        ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
)
HOUR_MS = 3_600_000


def _span(seconds: int) -> str:
    """`5 s`, `30 min` or `2 h`."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


PAUSES = [_span(seconds) for seconds in policy.SCHEDULE_S if seconds]
HOURS = round(sum(policy.SCHEDULE_S) / 3600)
SENTENCES = {
    "docs/events.md": [
        f"Schedule: at once, {', '.join(PAUSES)}.",
        f"dead letters stay {policy.DEAD_LETTERS_MS // policy.DAY_MS} days",
    ],
    "docs/guarantees.md": [f"for up to {HOURS} hours"],
    "docs/webhooks.md": [
        f"within {policy.ATTEMPT_TIMEOUT_S:.0f} seconds",
        f"after {', '.join(PAUSES[:-1])} and {PAUSES[-1]}, each ±{policy.JITTER:.0%}".replace("%", " %"),
        f"{WORDS[len(policy.SCHEDULE_S)]} attempts",
        f"{policy.MAX_BODY_READ_BYTES // 1024} KB are read and {policy.MAX_BODY_KEPT_BYTES // 1024} KB are kept",
        f"up to {WORDS[TEST_EVENTS_PER_MINUTE]} times a minute",
        f"{WORDS[policy.MAX_IN_FLIGHT_PER_HOST]} at once at one host",
        f"one attempt in flight, and {WORDS[policy.MAX_IN_FLIGHT]} once",
        f"within {WORDS[policy.SLOW_ANSWER_MS // 1000]} seconds",
        f"After {WORDS[policy.BREAKER_FAILURES]} failures in a row",
        f"{WORDS[60_000 // policy.BREAKER_PAUSE_MS]} delivery a minute",
        f"After {policy.DISABLE_AFTER_MS // HOUR_MS} hours and {policy.DISABLE_AFTER_FAILURES} failures in a row",
        f"Up to {policy.MAX_REPLAYED_PER_REQUEST:,} a call",
        f"a call, {WORDS[1000 // policy.REPLAY_SPACING_MS]} a second to each address",
        f"kept for {policy.DEAD_LETTERS_MS // policy.DAY_MS} days",
    ],
}


def test_the_pages_name_the_figures_of_the_code() -> None:
    """A changed figure fails here with the sentence that is now wrong."""
    missing = [
        f"{page}: {sentence}"
        for page, sentences in SENTENCES.items()
        for sentence in sentences
        if sentence not in " ".join((ROOT / page).read_text("utf-8").split())
    ]
    assert missing == []


def test_a_team_has_a_quarter_of_a_process() -> None:
    """As docs/webhooks.md says."""
    assert policy.MAX_IN_FLIGHT_PER_PROCESS == 4 * policy.MAX_IN_FLIGHT_PER_TEAM
