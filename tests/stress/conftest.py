"""Stress tests commit for real, and may disturb the network between."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import connections

from tests.db.server import Server
from tests.stress.proxy import Proxy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(__file__).removesuffix("conftest.py")
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.django_db(transaction=True))


Through = Callable[[], Any]


@asynccontextmanager
async def through_proxy() -> AsyncIterator[Proxy]:
    """Connect the default database's pools over a network that can fail."""
    settings = connections.settings["default"]
    address = settings["HOST"], settings["PORT"]
    async with Proxy(address[0], int(address[1] or 5432)) as proxy:
        settings["HOST"], settings["PORT"] = "127.0.0.1", str(proxy.port)
        connections["default"].close_pool()
        try:
            yield proxy
        finally:
            settings["HOST"], settings["PORT"] = address
            connections["default"].close_pool()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A look at the server from outside; it sees the sessions of this test only."""
    with Server() as found:
        options = connections.settings["default"]["OPTIONS"]
        monkeypatch.setitem(options, "application_name", found.name)
        yield found
        # Where the network was cut, the server goes on sleeping.
        connections["default"].close()
        found.terminate()
