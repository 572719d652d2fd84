"""Fixtures for every test."""

from collections.abc import Callable, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("filmgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timed tests
settings.register_profile("full", settings.get_profile("filmgate"), max_examples=300)
settings.load_profile("filmgate")

FIGURE = "figure"
LONGEST = (  # files whose tests wait the longest, from the longest
    "tests/crash/test_points.py",
    "tests/crash/test_kills.py",
    "tests/crash/test_hosts_fail.py",
    "tests/e2e/test_up.py",
    "tests/e2e/test_backup.py",
    "tests/e2e/test_webhooks_listen.py",
    "tests/e2e/test_generate.py",
    "tests/e2e/test_image.py",
    "tests/crash/test_rolling.py",
    "tests/e2e/test_upgrade.py",
    "tests/e2e/test_cli_jobs.py",
    "tests/e2e/test_fair_lanes.py",
    "tests/e2e/clients/test_python_client.py",
    "tests/e2e/clients/test_hard_times.py",
    "tests/e2e/clients/test_generated_clients.py",
    "tests/e2e/clients/test_javascript_client.py",
    "tests/e2e/clients/test_ai_sdks.py",
    "tests/e2e/clients/test_dashboard_jobs.py",
    "tests/e2e/clients/test_docs_page.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full` runs the long form: more rounds, more seeds."""
    parser.addoption("--full", action="store_true", help="run the long form of the tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that no stage ends with one of them."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.split("::", 1)[0], len(places)))


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
    """Figures are printed once: by the process that is no worker of another. Long forms try more examples."""
    if config.getoption("--full"):
        settings.load_profile("full")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Figures(config))


@pytest.fixture(autouse=True)
def usual_logs() -> Iterator[None]:
    """A test that runs a command in this process leaves its form of logs to no other: its loggers would be kept."""
    yield
    structlog.reset_defaults()


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
