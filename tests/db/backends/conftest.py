"""A MySQL or MariaDB server for the tests that name it, with each of its drivers."""

import os
from collections.abc import Iterator

import pytest
from django.db import connections

from tests.db.backends.mysql_server import MISSING, Server


@pytest.fixture(params=["mysql", "mysqlclient"])
def mysql(request: pytest.FixtureRequest) -> str:
    """The alias of a database for each driver; without a server skipped, in CI failed.

    Use with ``django_db(transaction=True, databases=["mysql", "mysqlclient"])``.
    """
    alias: str = request.param
    if alias not in connections.settings:
        why = (
            MISSING if not os.environ.get("MYSQL_URL") else f"{alias} is not installed"
        )
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    return alias


@pytest.fixture
def mysql_server(mysql: str) -> Iterator[Server]:
    """A look at the server from outside."""
    with Server(connections.settings[mysql]["NAME"]) as server:
        yield server
