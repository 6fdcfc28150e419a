"""Stress tests commit for real, and may disturb the network between."""

from collections.abc import Iterator

import pytest
from django.db import connections

from tests.db.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(__file__).removesuffix("conftest.py")
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.django_db(transaction=True))


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
