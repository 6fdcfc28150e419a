"""Every test of the database uses the real ones, with transactions of its own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from tests.db import pooling
from tests.db.server import Server

#: Emptied after each test. Not MySQL's, whose tables take long to empty, nor what
#: is wrapped in threads: their tests have their own.
DATABASES = ["default", "replica", "sqlite"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(__file__).removesuffix("conftest.py")
    for item in items:
        own = item.get_closest_marker("django_db")
        if own is None and str(item.path).startswith(here):
            mark = pytest.mark.django_db(transaction=True, databases=DATABASES)
            item.add_marker(mark)


Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Change OPTIONS of a database for the pools and tasks that start from now on."""

    def change(alias: str = "default", **options: Any) -> None:
        for name, value in options.items():
            monkeypatch.setitem(connections.settings[alias]["OPTIONS"], name, value)

    return change


@contextmanager
def without_autocommit(alias: str) -> Iterator[None]:
    """Let pools and tasks that start in the block begin transactions by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connections.settings[alias], "AUTOCOMMIT", False)
        connections[alias].close_pool()
        yield
    connections[alias].close_pool()


@pytest.fixture
def server(configure: Configure) -> Iterator[Server]:
    """A look at the server from outside; it sees the sessions of this test only."""
    with Server() as found:
        configure(application_name=found.name)
        yield found


@pytest.fixture(scope="session")
def pgbouncer(django_db_setup: None) -> Iterator[str]:
    """The URL of a PgBouncer, which pools by transaction.

    It ends before the databases are dropped, to which it is connected.
    """
    with pooling.started() as url:
        yield url


@pytest.fixture(autouse=True)
def _through_pgbouncer(request: pytest.FixtureRequest) -> Iterator[None]:
    if not os.environ.get("THROUGH_PGBOUNCER"):
        yield
        return
    url = request.getfixturevalue("pgbouncer")
    if "server" in request.fixturenames:
        pytest.skip("counts the server's sessions, which PgBouncer keeps")
    if request.node.name in pooling.NOT_BEHIND_IT:
        pytest.skip("needs a session or a cursor of its own")
    with pooling.behind(url):
        yield
