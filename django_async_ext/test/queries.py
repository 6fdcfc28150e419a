"""Counts queries in asynchronous tests.

Contract: Django's own context managers, entered through the bridge. What the
block starts is counted too: tasks, ``gather_queries()``, requests.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.test.utils import CaptureQueriesContext

from django_async_ext.bridge import run


class AsyncCapture:
    """Enters and leaves a ``CaptureQueriesContext`` of Django on the loop."""

    def __init__(self, context: CaptureQueriesContext) -> None:
        self.context = context

    async def __aenter__(self) -> CaptureQueriesContext:
        await run(self._enter)
        return self.context

    def _enter(self) -> None:
        self.context.__enter__()
        connection: Any = self.context.connection
        if hasattr(connection, "release_if_free"):
            # Entering opens the connection, which nothing needs now.
            connection.release_if_free()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.context.__exit__(exc_type, exc_value, traceback)


def acapture_queries(using: str = DEFAULT_DB_ALIAS) -> AsyncCapture:
    """Capture the queries of an ``async with`` block, as Django does.

    Gives Django's ``CaptureQueriesContext``: ``len()`` of it is their number,
    ``captured_queries`` has their SQL.
    """
    return AsyncCapture(CaptureQueriesContext(connections[using]))
