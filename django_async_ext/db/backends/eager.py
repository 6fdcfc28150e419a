"""Cursors that read all rows with the statement.

Contract: ``eager(cursor)`` changes a cursor of Django's engine for SQLite, or the
proxy of one, which is then used like any other. A statement of theirs has ended
when ``execute()`` returns.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from itertools import islice
from typing import Any

from django_async_ext.db.backends.proxies import CursorProxy

#: The most that SQLite's driver can be asked for.
_ALL = 2**31 - 1


class EagerCursor:
    """Mixed into Django's cursor class."""

    rows: deque[Any] | None = None

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute, and read all rows."""
        self.rows = None
        result = super().execute(*args, **kwargs)  # type: ignore[misc]
        self.rows = deque(super().fetchall())  # type: ignore[misc]
        return result

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """Execute many; there are no rows then."""
        self.rows = None
        return super().executemany(*args, **kwargs)  # type: ignore[misc]

    def close(self) -> None:
        """Close it, with the rows that are left."""
        self.rows = None
        super().close()  # type: ignore[misc]

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` rows."""
        size = self.arraysize if size is None else size  # type: ignore[attr-defined]
        return list(islice(self, size))

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self, None)

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        return list(self)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        # Without rows the driver says why: they are over, or the cursor is closed.
        return self.rows.popleft() if self.rows else super().__next__()  # type: ignore[misc]


def eager(cursor: Any) -> None:
    """Let ``cursor``, just created, read all rows with each statement."""
    if issubclass(type(cursor), CursorProxy):
        cursor.prefetch = _ALL
    else:
        django_class: Any = type(cursor)
        cursor.__class__ = _eager_class(django_class)


@cache
def _eager_class(cursor_class: Any) -> type[Any]:
    return type(f"Eager{cursor_class.__name__}", (EagerCursor, cursor_class), {})
