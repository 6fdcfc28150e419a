"""For the tests of a project; ``plugin`` is what pytest loads.

The names are resolved on first use: pytest loads the package at its start, in
projects too that do not use Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_async_ext.test.client import AsyncClient
    from django_async_ext.test.queries import acapture_queries
    from django_async_ext.test.testcases import (
        LiveServerTestCase,
        SimpleTestCase,
        TestCase,
        TransactionTestCase,
    )

__all__ = [
    "AsyncClient",
    "LiveServerTestCase",
    "SimpleTestCase",
    "TestCase",
    "TransactionTestCase",
    "acapture_queries",
]

_HOMES = {"AsyncClient": "client", "acapture_queries": "queries"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES.get(name, 'testcases')}")
    value = getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
