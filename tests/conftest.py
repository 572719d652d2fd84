"""Fixtures for every test."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("filmgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timed tests
settings.load_profile("filmgate")

FIGURE = "figure"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full` runs the long form: more rounds, more seeds."""
    parser.addoption("--full", action="store_true", help="run the long form of the tests")


class Figures:
    """Prints what tests `say` in the user's terminal at once, also from other processes."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """After a test's call, in the process that the user started."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or report.when != "call":
            return
        for text in [text for name, text in report.user_properties if name == FIGURE]:
            terminal.write(f"\n{text}\n")


def pytest_configure(config: pytest.Config) -> None:
    """Figures are printed once: by the process that is no worker of another."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Figures(config))


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a figure in the user's terminal; the report has it too."""

    def show(text: str) -> None:
        request.node.user_properties.append((FIGURE, text))

    return show


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """True when the long form is requested."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
