"""Values as people read them in a terminal's table."""

import pytest

from app.cli.cells import readable, relative, shortened, state_style

NOW = 1_764_504_000.0  # 2025-11-30T12:00:00Z


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2025-11-30T11:59:59.500Z", "just now"),
        ("2025-11-30T11:59:01Z", "just now"),
        ("2025-11-30T11:54:30.000Z", "5 min ago"),
        ("2025-11-30T09:00:00.000Z", "3 h ago"),
        ("2025-11-28T11:00:00.000Z", "2 d ago"),
        ("2025-11-30T12:00:40.000Z", "in 40 s"),
        ("2025-11-30T15:30:00.000Z", "in 3 h"),
        ("2024-11-30T12:00:00.000Z", "2024-11-30"),
    ],
)
def test_a_time_says_how_long_ago_it_is(time: str, words: str) -> None:
    """In one unit, rounded down; the day when it is far away."""
    assert relative(time, NOW) == words


def test_ids_are_cut_where_they_still_differ() -> None:
    """Eight digits, or more when two begin with the same eight."""
    one, two = "job_" + "a" * 32, "user_" + "b" * 32
    assert shortened([one, two, "job", "Ada"]) == {one: "job_aaaaaaaa", two: "user_bbbbbbbb"}
    near = "job_" + "a" * 10 + "b" * 22
    assert set(shortened([one, near]).values()) == {"job_" + "a" * 12, "job_" + "a" * 10 + "bb"}
    assert shortened(["fal-ai/kling-video/v2/master/image-to-video"]) == {
        "fal-ai/kling-video/v2/master/image-to-video": "v2/master"
    }


def test_values_are_one_line_of_words() -> None:
    """No brackets, no `None`, no control characters."""
    limit = {"unit": "usd", "window": "day", "amount": "5.00"}
    raised = {**limit, "raised_to": "9.00", "raised_until": "2025-12-01T00:00:00Z"}
    assert readable(None) == ""
    assert readable([True, False]) == "yes, no"
    assert readable([limit, raised]) == "usd/day=5.00, usd/day=5.00 (raised to 9.00 until 2025-12-01T00:00:00Z)"
    assert readable("a\x1b[2Jb\n") == "a [2Jb"


def test_a_state_has_a_colour() -> None:
    """Done, wrong, waiting for a person, on its way; other words have none."""
    assert [state_style(state) for state in ("succeeded", "failed", "held", "running", "Ada")] == [
        *("green", "red", "yellow", "cyan", ""),
    ]
