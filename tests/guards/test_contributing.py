"""docs/contributing.md and the map of tests/support: every named path exists, and every path is named."""

import re

from tests.support.repo import ROOT

PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
TESTS = ROOT / "tests"
MAP = (TESTS / "support" / "README.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:app|workers|tests|docs|benchmarks)/[\w./-]*\w)`")
SOURCES = {".py", ".lua", ".js"}
PLACEHOLDERS = ("NAME", "NOUN")
RECIPES = PAGE.split("\n## Recipes\n")[1].split("\n## ")[0]
STEPS = re.split(r"\n\n|\n(?=\d\. )", RECIPES)
NAMED = re.compile(r"`(?:\w+\.(?!py`))?([A-Za-z_]\w*(?:\.py)?)(?:\(.*?\))?`")  # the last part of a dotted name


def code_of(path: str) -> str:
    """The names and texts of a file, or of all files in a folder; empty for a placeholder."""
    found = ROOT / path
    files = found.glob("**/*.*") if found.is_dir() else [found] if found.is_file() else []
    return "\n".join(f"{file.name}\n{file.read_text('utf-8')}" for file in files if file.suffix in SOURCES)


def test_every_path_on_the_page_is_there() -> None:
    """A recipe must not name a file that has moved."""
    named = [path for path in PATH.findall(PAGE) if not any(word in path for word in PLACEHOLDERS)]
    assert len(named) > 40
    assert sorted({path for path in named if not (ROOT / path).exists()}) == []


def test_every_name_in_a_recipe_is_in_a_file_of_its_step() -> None:
    """A recipe must not send people to something that has been renamed."""
    missing = []
    for step in STEPS:
        code = "\n".join(code_of(path) for path in PATH.findall(step))
        names = [name for name in NAMED.findall(step) if not name.startswith("FILMGATE_")]
        missing += [f"{name}: {step}" for name in names if code and not re.search(rf"\b{name}\b", code)]
    assert missing == []


def test_every_room_has_a_sentence() -> None:
    """A new folder is explained where people look first."""
    rooms = [path.parent.name for path in (ROOT / "app").glob("*/__init__.py")]
    assert [room for room in rooms if f"| `app/{room}`" not in PAGE and f"· `app/{room}`" not in PAGE] == []


def test_the_map_of_the_tests_has_every_helper_and_no_other() -> None:
    """One line each, so that no helper is written twice: what folders share, then what one of them has."""
    tables = MAP.split("Beside their tests:")
    shared, beside = (re.findall(r"^\| `([\w/]+)` \|", table, re.MULTILINE) for table in tables)
    assert sorted(shared) == sorted(path.stem for path in (TESTS / "support").glob("*.py"))
    helpers = [
        path.relative_to(TESTS).with_suffix("")
        for path in TESTS.glob("*/**/*.py")
        if not path.name.startswith(("test_", "conftest")) and not {"support", "py"} & set(path.parts)
    ]
    assert sorted(beside) == sorted("/".join(helper.parts[1:]) for helper in helpers)
