"""Files are short enough to read; the exceptions are listed with their size and the reason."""

from tests.support.repo import ROOT, python_files

LIMIT = 400
LARGER = {
    "dev": (490, "runs before anything is installed, so it is one file"),
}


def lengths() -> dict[str, int]:
    """The number of lines of each Python file."""
    return {str(path): len((ROOT / path).read_text("utf-8").splitlines()) for path in python_files()}


def test_python_files_are_short() -> None:
    """No Python file is longer than the limit, or than its listed size."""
    long = {path: lines for path, lines in lengths().items() if lines > LARGER.get(path, (LIMIT, "the limit"))[0]}
    assert not long


def test_the_list_of_larger_files_is_true() -> None:
    """A listed file is still longer than the limit."""
    stale = {path for path in LARGER if lengths().get(path, 0) <= LIMIT}
    assert not stale
