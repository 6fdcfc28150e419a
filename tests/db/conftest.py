"""Every test of the database uses the real ones, with transactions of its own."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(__file__).removesuffix("conftest.py")
    for item in items:
        if str(item.path).startswith(here):
            mark = pytest.mark.django_db(transaction=True, databases="__all__")
            item.add_marker(mark)
