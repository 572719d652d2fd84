"""Command-line values are read as people mean them, or refused with a correct example."""

import os
import pty
import re
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.parse import (
    SPEC_HELP,
    actor,
    duration,
    parse_credit,
    parse_id,
    parse_limit,
    parse_name,
    parse_reason,
    parse_signed_usd,
)
from app.cli.tables import print_table, print_view
from app.domain.limits import UNITS, Limit, Unit, Window, format_amount

DAY_S = 86_400
ten_days = duration(0, 10 * DAY_S)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("10d", 10 * DAY_S), ("007", 7)],
)
def test_a_duration_is_seconds(text: str, seconds: int) -> None:
    """A number alone is seconds; a letter is its unit."""
    assert ten_days(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1.5h", "1 h", " 1", "1h30m", "2w", "1H", "٣", "11d", "240h1", "9999999999d", "1\n"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The sentence has both bounds and correct examples; a digit of another script is refused."""
    with pytest.raises(ValueError, match=r"between 0 and 10d, such as 90, 90s, 15m, 12h or 30d\.$"):
        ten_days(text)


def test_the_bounds_of_a_duration_are_its_own() -> None:
    """The bounds are allowed, values beyond them refused, and each is shown in its largest unit."""
    read = duration(60, 90_000)
    assert [read("60"), read("1m"), read("25h")] == [60, 60, 90_000]
    for text in ("59", "90001"):
        with pytest.raises(ValueError, match="between 1m and 25h,"):
            read(text)


@given(st.sampled_from(Window), st.data())
def test_every_limit_is_read_as_it_is_shown(window: Window, data: st.DataObject) -> None:
    """UNIT/WINDOW=AMOUNT for every valid pair, and every amount."""
    unit = data.draw(st.sampled_from(sorted(UNITS[window])))
    limit = Limit(unit, window, data.draw(st.integers(0, 10**9)))
    assert parse_limit(f"{limit.name}={format_amount(unit, limit.amount)}") == limit


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the units are jobs, usd, video_seconds, submits"),
        ("eur/day=5", "the units are"),
        ("USD/day=5", "the units are"),
        ("usd=5", "the windows are minute, hour, day"),
        ("usd/fortnight=5", "the windows are"),
        ("usd/day/x=5", "the windows are"),
        ("usd/day", "the amount is missing"),
        ("usd/day=-5", "an amount is"),
        ("usd/day=9000000000.01", "an amount is"),
        ("usd/day=1.0000001", "an amount is"),
        ("usd/day=5=6", "an amount is"),
        ("jobs/day=1.5", "the amount is a whole number"),
        ("jobs/day=-1", "the amount is a whole number"),
        ("jobs/day=", "the amount is missing"),
        ("jobs/day=٣", "the amount is a whole number"),
        ("jobs/day=1000000001", "an amount of jobs is between 0 and 1000000000"),
        ("usd/concurrent=5", "the window concurrent counts jobs, not usd"),
        ("submits/day=5", "the window day counts jobs, usd, video_seconds, not submits"),
    ],
)
def test_a_wrong_limit_is_refused_with_a_right_one(text: str, why: str) -> None:
    """The sentence says what is wrong, and ends with correct examples."""
    with pytest.raises(ValueError, match=re.escape(why)) as refused:
        parse_limit(text)
    assert str(refused.value).endswith("such as usd/day=50.00, jobs/concurrent=4 or submits/minute=30.")


@given(st.text())
def test_a_refusal_is_short_and_moves_no_cursor(text: str) -> None:
    """Whatever the input: one printable line."""
    with pytest.raises(ValueError, match="is no limit") as refused:
        parse_limit(f"{text}\x1b[2J")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000


def test_amounts_of_money_are_whole_micro_dollars() -> None:
    """A correction may be negative, a credit may not, and neither may be zero."""
    read = [parse_signed_usd(text) for text in ("12.50", "+12.5", "-0.000001")]
    assert read == [12_500_000, 12_500_000, -1]
    assert parse_credit("0.000001") == 1
    for text in ("0", "-0", "--1", "+-1", "-", "", "1e3", "1,50"):
        for parse in (parse_signed_usd, parse_credit):
            with pytest.raises(ValueError, match=r"^An amount "):
                parse(text)
    with pytest.raises(ValueError, match=r"^An amount "):
        parse_credit("-1")


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\x1b[31m", "\udcff", "x" * 501])
def test_names_and_reasons_are_one_printable_line(text: str) -> None:
    """Nothing empty, no control characters, no invalid Unicode, nothing overlong."""
    for parse in (parse_name, parse_reason, parse_id):
        with pytest.raises(ValueError, match=r"\.$"):
            parse(text)


def test_names_may_be_of_any_script() -> None:
    """Surrounding blanks are removed."""
    assert parse_name(" Łódź 映画 ") == "Łódź 映画"


def test_the_actor_is_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cli:` and the name; `unknown` when there is none, or when it is not valid text."""
    for name, expected in (("ada", "cli:ada"), ("a\x1bb", "cli:unknown"), ("\udcff", "cli:unknown")):
        monkeypatch.setenv("LOGNAME", name)
        assert actor() == expected


def test_without_a_login_name_the_actor_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable has it, and the user id has no entry, as in many containers."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)
    assert actor() == "cli:unknown"


def test_a_narrow_terminal_shows_days_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 40 columns a spare column is left out, and no day is folded."""
    monkeypatch.setenv("COLUMNS", "40")
    screen, theirs = pty.openpty()
    row = ["Film", "2026-11-30", 2, 10, "2.80"]
    with os.fdopen(theirs, "w") as terminal, redirect_stdout(terminal):
        print_table(["team", "day", "jobs", "video seconds", "spent usd"], [row], spare=("video seconds",))
        terminal.flush()
        shown = os.read(screen, 4096).decode()
    os.close(screen)
    assert re.search(r"Film +2026-11-30 +2 +2\.80", shown)


def test_a_table_shows_foreign_text_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Markup, control characters and missing values do not break a table."""
    print_table(["id", "name", "x"], [["team_1", "[/red][bold]", None], ["team_2", "\x1b[2Jgone", ("a", "b")]])
    out = capsys.readouterr().out
    assert "[/red][bold]" in out
    assert "\x1b" not in out
    assert "a, b" in out


def test_a_limit_in_a_table_reads_as_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With its raise next to it."""
    limit = {"unit": "usd", "window": "day", "amount": "5.00", "raised_to": "9.00", "raised_until": "soon"}
    print_view({"limits": [limit], "details": {"why": "ä"}}, as_json=False)
    out = capsys.readouterr().out
    assert "usd/day=5.00 (raised to 9.00 until soon)" in out
    assert '{"why": "ä"}' in out


def test_the_help_names_every_unit_and_window() -> None:
    """So that `--help` is enough to write a limit."""
    assert all(word in SPEC_HELP for word in (*Unit, *Window))
