"""PyMySQL's cursors: leased, streaming, and with the errors that Django expects.

Contract: a cursor that is cancelled closes, as Django closes one after an error. A
``StreamingCursor`` leaves its rows on the server until they are asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import ref

from pymysql import err
from pymysql.cursors import SSCursor

from django_async_ext.db.backends.cursors import LeasedCursor
from django_async_ext.db.backends.mysql.engine import django_mysql


@contextmanager
def translated() -> Iterator[None]:
    """Raise PyMySQL's errors as those that Django's engine expects."""
    try:
        yield
    except err.MySQLError as error:
        like = getattr(django_mysql.Database, type(error).__name__, None)
        if like is None or isinstance(error, like):
            raise
        raise like(*error.args) from error


class LoopCursor(LeasedCursor):
    """Mixed into PyMySQL's cursors, whether they are leased or not."""

    __slots__ = ()

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement."""
        return self._run(super().execute, *args, **kwargs)  # type: ignore[misc]

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement with many parameters."""
        return self._run(super().executemany, *args, **kwargs)  # type: ignore[misc]

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure."""
        return self._run(super().callproc, *args, **kwargs)  # type: ignore[misc]

    def nextset(self) -> Any:
        """Go to the next result."""
        return self._run(super().nextset)  # type: ignore[misc]

    def _run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            with translated():
                return call(*args, **kwargs)
        except asyncio.CancelledError:
            # Django closes it after an error, but not when it was cancelled.
            self.close()
            raise


@cache
def loop_cursor(base: Any) -> Any:
    """Return a subclass of ``base`` that can be leased."""
    return type(f"Loop{base.__name__}", (LoopCursor, base), {})


class StreamingCursor(LoopCursor, SSCursor):
    """A cursor that reads its rows as they are asked for."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self._taken: deque[Any] = deque()

    def _query(self, q: Any) -> Any:
        self._taken.clear()
        rowcount = super()._query(q)
        self.connection.stream = ref(self)
        return rowcount

    def read_next(self) -> Any:
        """Return the next row, or None."""
        if self._taken:
            return self._taken.popleft()
        return super().read_next() if self.is_unfinished() else None

    def is_unfinished(self) -> bool:
        """Tell whether the server still has rows to send."""
        return bool(self._result is not None and self._result.unbuffered_active)

    def take_rest(self) -> None:
        """Take what is left into memory: the connection is wanted."""
        self._taken.extend(iter(super().read_next, None))

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        with translated(), self._exchange():
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        """Return the next rows."""
        with translated(), self._exchange():
            return super().fetchmany(size)

    def fetchall(self) -> Any:
        """Return all rows that are left."""
        with translated(), self._exchange():
            return list(iter(super().fetchone, None))

    def _exchange(self) -> Any:
        return self._get_db().exchange()
