"""docs/runbook.md and the table of alarms agree, and every alarm in the code is in both."""

import re

from app.domain.alarms import KINDS
from tests.support.repo import ROOT

PAGE = (ROOT / "docs" / "runbook.md").read_text("utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.MULTILINE))
PROSE = {"How alarms reach you"}
PARTS = ("**You see:**", "**It means:**", "**Look at:**", "**Do:**", "**Over when:**")
SOURCES = [path for room in ("app", "workers") for end in ("py", "lua") for path in (ROOT / room).rglob(f"*.{end}")]
CODE = "".join(path.read_text("utf-8") for path in SOURCES)
CALL = re.compile(r"\b(raise_alarm|raise_once|resolve_alarm|Finding)\(\s*\"(\w+)\"")
IN_LUA = re.compile(r"kind = '(\w+)', about|resolve_state\([\w.]+, [\w.]+, [\w.]+, '(\w+)'")


def test_every_kind_has_its_section_and_every_section_its_kind() -> None:
    """Headings of one word are kinds; faults that are no alarm have headings of several words."""
    assert sorted(heading for heading in SECTIONS if " " not in heading) == sorted(KINDS)


def test_a_section_says_how_urgent_it_is_and_when_it_is_over() -> None:
    """The line below the heading is made from the table."""
    for kind, row in KINDS.items():
        ends = f"ends when {row.ends}" if row.ends else "one event"
        assert SECTIONS[kind].startswith(f"\n`{row.severity}` · {ends}\n"), kind


def test_a_section_has_its_five_parts_in_order() -> None:
    """What you see, what it means, what to look at, what to do, how to know that it is over."""
    for kind, text in SECTIONS.items():
        if kind in PROSE:
            continue
        found = [text.find(part) for part in PARTS]
        assert -1 not in found, (kind, PARTS[found.index(-1)])
        assert found == sorted(found), kind


def test_every_alarm_in_the_code_is_in_the_table() -> None:
    """Each kind is raised somewhere; one with a state is resolved somewhere, and one without is not."""
    calls = CALL.findall(CODE)
    in_lua = {kind for pair in IN_LUA.findall(CODE) for kind in pair if kind}
    raised = {kind for call, kind in calls if call != "resolve_alarm"} | in_lua
    resolved = {kind for call, kind in calls if call in {"resolve_alarm", "Finding"}} | in_lua
    assert raised == set(KINDS)
    assert resolved <= {kind for kind, row in KINDS.items() if row.ends}
