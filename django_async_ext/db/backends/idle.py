"""Reports transactions that wait for something other than the database.

Contract: a transaction in which no statement has run for
``ASYNC_EXT["IDLE_IN_TRANSACTION"]`` seconds is logged once, with the line at
which its task waits. It holds a connection and its locks all that time.
"""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from time import monotonic
from typing import Any

from django_async_ext.db.backends.holders import task_line
from django_async_ext.exceptions import describe

logger = logging.getLogger("django_async_ext.db")


class IdleWatch:
    """Watches one transaction of a wrapper, with one timer."""

    def __init__(self, wrapper: Any, limit: float) -> None:
        self.wrapper = wrapper
        self.idle_since = monotonic()
        self._limit = limit
        self._loop = get_running_loop()
        self._timer = self._loop.call_later(limit, self._look)

    def stop(self) -> None:
        """End with the transaction."""
        self._timer.cancel()

    def _look(self) -> None:
        limit = self._limit
        idle = 0.0 if self.wrapper.is_busy() else monotonic() - self.idle_since
        if idle < limit:
            self._timer = self._loop.call_later(limit - idle, self._look)
        elif not self.wrapper.is_lent():
            logger.warning(self._describe(idle))

    def _describe(self, idle: float) -> str:
        task = self.wrapper.owner
        return describe(
            "idle-in-transaction",
            f"Task {task.get_name()!r} is in a transaction on database "
            f"{self.wrapper.alias!r} and has waited {idle:.1f} s for something else, "
            f"at {task_line(task)}.",
            "Its connection and locks are held meanwhile. Do such work before or "
            "after the transaction (aon_commit).",
        )
