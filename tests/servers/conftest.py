"""The site's database, and the site on each server."""

from collections.abc import Iterator

import pytest

from tests.servers import databases
from tests.servers.processes import ASGI_SERVERS, Site, served


@pytest.fixture(scope="session")
def site_database() -> Iterator[str]:
    settings = "tests.servers.site.settings"
    with databases.site_database("async_ext_site", settings) as url:
        yield url


@pytest.fixture(scope="package", params=ASGI_SERVERS, ids=str)
def site(request: pytest.FixtureRequest, site_database: str) -> Iterator[Site]:
    """The site on an ASGI server, each in turn; nothing wrong is in its log."""
    with served(request.param, site_database) as found:
        yield found
        assert not found.complaints(), found.log()
