"""The pages have everything that others rely on, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from app.domain.errors import Code
from app.domain.remedies import JOB_ERRORS, REMEDIES
from app.metrics.table import ENDS
from app.settings import CLIENT_NAMES, Settings
from app.web.guide import DECISIONS, Guide
from app.web.markdown import slug_of
from tests.guards.made_page import DOCS, Page
from tests.guards.reference_pages import PAGES
from tests.support.repo import ROOT

SETTINGS = {field.alias or "" for field in Settings.model_fields.values()} | CLIENT_NAMES
TEXTS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^( *)(```).*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
SHOWN = re.compile(r'\bsrc(?:set)?="([^"]*)"')
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
MARKS = re.compile(r"[`*]|\]\([^)]*\)|\[")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_of_the_reference_is_todays(page: Page) -> None:
    """It is made from the program: `.venv/bin/python -m tests.guards.reference_pages` writes it."""
    assert page.path.read_text("utf-8") == page.written()


def test_every_setting_is_on_its_page() -> None:
    """An undocumented setting cannot be found."""
    text = (DOCS / "settings.md").read_text("utf-8")
    assert [name for name in sorted(SETTINGS) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_names_no_setting_that_does_not_exist(page: Path) -> None:
    """The other way round; secrets may be files, and `FILMGATE_TEST_…` are for tests."""
    named = set(re.findall(r"`(FILMGATE_(?!TEST_)[A-Z_]+[A-Z])[=`]", page.read_text("utf-8")))
    assert sorted(named - SETTINGS - {f"{name}_FILE" for name in SETTINGS}) == []


def test_every_error_has_a_cause_and_a_remedy() -> None:
    """A problem's code and a failed job's can be looked up, and the page says what to do."""
    assert REMEDIES.keys() == set(Code)
    assert JOB_ERRORS.keys() == set(ENDS) - {"none", "internal_error"}
    for texts in (*REMEDIES.values(), *JOB_ERRORS.values()):
        assert all(text.endswith(".") for text in texts[-2:]), texts


def anchors(path: Path) -> set[str]:
    """The ids of a page's headings."""
    headings = HEADING.findall(FENCE.sub("", path.read_text("utf-8")))
    return {slug_of(MARKS.sub("", heading)) for heading in headings}


@pytest.mark.parametrize("page", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """A page that was moved or a heading that was renamed takes its links along."""
    broken = []
    text = FENCE.sub("", page.read_text("utf-8"))
    for target in (*LINK.findall(text), *SHOWN.findall(text)):
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (heading and heading not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    """docs/README.md lists each, once: it is the navigation of /docs/guide too."""
    guide = Guide(DOCS)
    listed = [address for _, pages in guide.groups for _, address in pages]
    pages = {name for name in guide.sources if name and not name.startswith(f"{DECISIONS}/")}
    assert sorted(listed) == sorted(pages)
