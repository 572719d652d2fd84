"""Rules of webhook endpoints: which secrets sign, how an attempt counts, when an endpoint is disabled."""

import pytest

from app.domain.deliveries import DISABLE_AFTER_FAILURES, DISABLE_AFTER_MS, SLOW_ANSWER_MS, verdict, why_disabled
from app.domain.endpoints import Secret, active_secrets, rotate
from app.domain.errors import Conflict

NOW = 1_000_000


def test_the_secret_before_signs_until_its_overlap_ends() -> None:
    """And not a millisecond longer; the newest signs without a limit."""
    secrets = rotate([Secret("a")], "b", now_ms=NOW, overlap_ms=500)
    assert secrets == (Secret("b"), Secret("a", NOW + 500))
    assert active_secrets(secrets, NOW + 499) == ["b", "a"]
    assert active_secrets(secrets, NOW + 500) == ["b"]


def test_a_second_rotation_lengthens_no_older_secrets_time() -> None:
    """Each ends at its original time."""
    first = rotate([Secret("a")], "b", now_ms=NOW, overlap_ms=500)
    second = rotate(first, "c", now_ms=NOW + 100, overlap_ms=10_000)
    assert second == (Secret("c"), Secret("b", NOW + 10_100), Secret("a", NOW + 500))
    with pytest.raises(Conflict) as refused:
        rotate(second, "d", now_ms=NOW + 499, overlap_ms=1)
    assert refused.value.code == "too_many_secrets"
    third = rotate(second, "d", now_ms=NOW + 500, overlap_ms=1)
    assert [secret.text for secret in third] == ["d", "c", "b"]


def test_no_overlap_ends_every_older_secret_at_once() -> None:
    """Even when three sign: this is the remedy for a leak."""
    three = (Secret("c"), Secret("b", NOW + 1), Secret("a", NOW + 1))
    assert rotate(three, "d", now_ms=NOW, overlap_ms=0) == (Secret("d"),)


@pytest.mark.parametrize(
    ("outcome", "status", "duration_ms", "of_endpoint", "of_host"),
    [
        ("delivered", 200, 10, "good", "good"),
        ("delivered", 204, SLOW_ANSWER_MS + 1, "slow", "slow"),
        ("retry", 500, 10, "failed", "good"),
        ("retry", None, 15_000, "failed", "failed"),
        ("refused", None, 1, "failed", "failed"),
        ("gone", 410, 10, "failed", "good"),
        ("gone", 500, 10, "", "good"),
    ],
)
def test_what_an_attempt_says_of_its_destination(
    outcome: str, status: int | None, duration_ms: int, of_endpoint: str, of_host: str
) -> None:
    """An endpoint fails with anything but 2xx; a host only without an answer."""
    verdicts = [
        verdict(is_endpoint=is_endpoint, outcome=outcome, status=status, duration_ms=duration_ms)
        for is_endpoint in (True, False)
    ]
    assert verdicts == [of_endpoint, of_host]


@pytest.mark.parametrize(
    ("failures", "failing_ms", "ends"),
    [
        (DISABLE_AFTER_FAILURES, DISABLE_AFTER_MS, True),
        (DISABLE_AFTER_FAILURES - 1, DISABLE_AFTER_MS * 2, False),
        (DISABLE_AFTER_FAILURES * 9, DISABLE_AFTER_MS - 1, False),
    ],
)
def test_an_endpoint_ends_after_so_long_and_so_many(failures: int, failing_ms: int, *, ends: bool) -> None:
    """Both, not either; 410 disables it at once."""
    why = why_disabled(status=500, failures=failures, since_ms=NOW, now_ms=NOW + failing_ms)
    assert (why is not None) == ends
    assert why_disabled(status=410, failures=1, since_ms=NOW, now_ms=NOW) is not None
