"""One installation over TLS for all of fal's clients, and a web page for one of them."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.clients.browser import close_browsers
from tests.e2e.clients.customers import FAL_NAMES, OLD_NAMES, OPEN_ID_LABEL, OPEN_ID_TEAM, Customers
from tests.support.installation import open_installation
from tests.support.node import Pages, serving
from tests.support.processes import free_port
from tests.support.redis_server import RedisServer
from tests.support.tls import issue_certificates

QUICK = ("--queue-seconds", "0.2", "--run-seconds", "0.5")


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A customer's own web server."""
    with serving(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture(scope="session")
async def customers(tmp_path_factory: pytest.TempPathFactory, pages: Pages) -> AsyncIterator[Customers]:
    """The installation; at its end nothing was bought twice, and the store is consistent."""
    folder = tmp_path_factory.mktemp("tls")
    certificates, log = issue_certificates(folder, names=[*FAL_NAMES, *OLD_NAMES]), folder / "api.log"
    open_id_port = free_port()  # a test starts the provider there
    with RedisServer() as redis:
        async with open_installation(
            redis,
            *QUICK,
            tls=certificates,
            log=log,
            FILMGATE_CORS_ORIGINS=pages.origin,
            FILMGATE_WORKERS="1",
            FILMGATE_FAL_HOSTS="1",
            FILMGATE_OIDC_ISSUER=f"http://127.0.0.1:{open_id_port}",
            FILMGATE_OIDC_CLIENT_ID="filmgate",
            FILMGATE_OIDC_CLIENT_SECRET="a-secret-of-the-provider-of-the-tests",
            FILMGATE_OIDC_LABEL=OPEN_ID_LABEL,
            FILMGATE_GROUPS=f"makers={OPEN_ID_TEAM}",
        ) as installation:
            made = Customers(installation, certificates, log, open_id_port=open_id_port)
            yield made
            await close_browsers()
            assert set(await installation.bought_twice()) == made.takes
            assert await installation.faults() == []
