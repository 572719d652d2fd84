"""Fixtures that every test may ask for."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--full` runs the long form: more rounds, more seeds."""
    parser.addoption("--full", action="store_true", help="run the long form of the tests")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """True when the long form is wanted."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
