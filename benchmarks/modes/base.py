"""The interface of a mode, which is all the load generator knows.

A mode has one method per case it supports, named as in ``cases``: ``get(scope, pk)``
returns how many things it saw, awaitable in an ``AsyncMode``. `scope` is what
``request()`` yielded: a session, a connection or nothing. Importing and configuring
happens in ``__init__``; ``open`` and ``close`` surround each job, and ``close`` leaves
no connection open.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.cases import CASES

if TYPE_CHECKING:
    from benchmarks.protocol import Config


class Mode:
    """What synchronous and asynchronous modes share."""

    packages: ClassVar[tuple[str, ...]] = ()
    #: Cases whose methods it inherits but cannot do.
    lacks: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: Config) -> None:
        self.config = config

    def cases(self) -> list[str]:
        """Names of the cases that this mode has."""
        return [
            name for name in CASES if hasattr(self, name) and name not in self.lacks
        ]

    def versions(self) -> dict[str, str]:
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "checkout"
        return found

    def warm(self, concurrency: int) -> int:
        """How many connections a pool should hold before the clock starts."""
        return min(concurrency, self.config.pool)


class SyncMode(Mode):
    def open(self, concurrency: int) -> None:
        """Get ready for a job."""

    def close(self) -> None:
        """Close everything that ``open`` and the job opened."""

    def request(self) -> AbstractContextManager[Any]:
        return nullcontext()


class AsyncMode(Mode):
    async def open(self, concurrency: int) -> None:
        """Get ready for a job."""

    async def close(self) -> None:
        """Close everything that ``open`` and the job opened."""

    def request(self) -> AbstractAsyncContextManager[Any]:
        return nullcontext()
