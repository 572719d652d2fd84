"""`./dev test`: which of its arguments name tests, and which need fal's own clients or an S3 server."""

import pytest

from tests.conftest import LONGEST
from tests.suite import MENU, QUICK, ROOT, STAGES, named, needs_clients, needs_servers


@pytest.mark.parametrize(
    "words",
    [
        "tests/integration -n 2",
        "tests/unit tests/guards -k e -n 2",
        "tests/e2e/test_up.py",
        "tests/unit/test_suite.py::test_a_number_names_no_test -m clients",
        "--quick",
        "--quick --full",
    ],
)
def test_most_tests_need_no_clients(words: str) -> None:
    """Nothing is installed for them: a number or a letter among the arguments is no part of a path."""
    assert not needs_clients(words.split())


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--full",
        "-n 2",
        "tests",
        "tests/e2e",
        "tests/e2e/clients",
        "tests/e2e/clients/test_hard_times.py::test_x",
    ],
)
def test_what_holds_the_clients_tests_needs_them(words: str) -> None:
    """Everything, a folder above them, their own, or one of their files."""
    assert needs_clients(words.split())


def test_a_number_names_no_test() -> None:
    """Only a path of the tests names tests, whatever else exists: the `app` of `-k app` is an expression."""
    assert named(["-n", "2", "-k", "app", "tests/unit/test_suite.py::test_x"]) == [
        ROOT / "tests/unit/test_suite.py"
    ]


def test_the_menu_names_every_stage_and_every_stage_is_there() -> None:
    """Otherwise a renamed folder would be a stage without tests."""
    assert [stage.name for stage in STAGES if stage.name not in MENU] == []
    paths = [path for stage in (*STAGES, *QUICK) for path in stage.paths if not path.startswith("--")]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_files_that_take_longest_are_there() -> None:
    """Otherwise a renamed file would be started late, and everything would wait for it."""
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []


def test_every_folder_of_tests_has_a_stage() -> None:
    """A test in no stage would never run."""
    folders = {path.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("test_*.py")}
    assert {f"tests/{folder}" for folder in folders} <= {path for stage in STAGES for path in stage.paths}


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ("", True),
        ("--full", True),
        ("tests/integration -n 2", True),
        ("tests/unit tests/integration/test_journey.py", True),
        ("tests/unit tests/guards -k e -n 2", False),
        ("--quick", False),
    ],
)
def test_units_and_guards_need_no_s3_server(words: str, *, needed: bool) -> None:
    """It is installed for all others, once."""
    assert needs_servers(words.split()) == needed
