"""The project on uvicorn: all on the loop, or what is not known to in threads."""

from collections.abc import Iterator

import httpx
import pytest

from tests.servers.databases import site_database
from tests.servers.processes import Kind, Site, served
from tests.third_party import LOOP_SAFE

SETTINGS = "tests.third_party.shelf.settings"
COMMAND = (
    "uvicorn --port {port} --log-level warning tests.servers.site.asgi:application"
)


def kind(name: str, *declared: str) -> Kind:
    environment = {"DJANGO_SETTINGS_MODULE": SETTINGS}
    environment["SITE_LOOP_SAFE"] = " ".join(declared)
    return Kind(name, COMMAND, environment=environment)


KINDS = [kind("on-the-loop", *LOOP_SAFE), kind("in-threads")]


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    with site_database("async_ext_third_party", SETTINGS) as url:
        yield url


@pytest.fixture(scope="package", params=KINDS, ids=str)
def site(request: pytest.FixtureRequest, database: str) -> Iterator[Site]:
    """The project with all that is declared loop-safe, then with nothing declared."""
    with served(request.param, database) as found:
        yield found
        assert not found.complaints(), found.log()


@pytest.fixture
def ada(site: Site) -> Iterator[httpx.Client]:
    """A client in which ada is logged in to the admin."""
    with site.new_client() as client:
        client.get("/admin/login/")
        data = {"username": "ada", "password": "enigma", **token(client)}
        assert client.post("/admin/login/?next=/me", data=data).status_code == 302
        yield client


def token(client: httpx.Client) -> dict[str, str]:
    return {"csrfmiddlewaretoken": client.cookies["csrftoken"]}
