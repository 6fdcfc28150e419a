"""Cursors that tell their wrapper when they are closed.

Contract: ``leased(cursor, connection)`` turns a cursor of the driver into one
that ends the connection's lease with its ``close()``. A cursor that is closed
where nothing can wait, as by the garbage collector, marks its connection for a
reset instead.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

from django_async_ext.db.backends.leasable import Leasable


class LeasedCursor:
    """Mixed into the driver's cursor class; has no state of its own."""

    __slots__ = ()

    @classmethod
    def mixin_for(cls, cursor_class: type) -> type:  # noqa: ARG003
        """Return what ``cursor_class`` is to be mixed with."""
        return cls

    def close(self) -> None:
        """Close the cursor, and with the last one end the lease."""
        connection: Leasable | None = self.connection  # type: ignore[attr-defined]
        if connection is None or id(self) not in connection.open_cursors:
            # Closed already, or it outlived its lease and others may be using
            # the connection.
            return self.forget()
        try:
            # Closing may be a statement, which Django's own cursors do not wrap.
            with connection.lessee.wrap_database_errors:
                connection.close_cursor(self, super().close)  # type: ignore[misc]
        finally:
            connection.open_cursors.discard(id(self))
            if not connection.open_cursors and connection.lessee is not None:
                connection.lessee.release_if_free()
        return None

    def forget(self) -> None:
        """Close the cursor without touching its connection."""
        super().close()  # type: ignore[misc]

    def __del__(self) -> None:
        connection: Leasable | None = self.connection  # type: ignore[attr-defined]
        if connection is None or id(self) not in connection.open_cursors:
            return
        connection.abandon_cursor(self)
        connection.open_cursors.discard(id(self))
        if not connection.open_cursors and connection.lessee is not None:
            # The garbage collector runs in any thread, and amid the pool's work.
            with suppress(RuntimeError):  # the loop is closed, and the pool with it
                loop = connection.home.loop
                loop.call_soon_threadsafe(connection.lessee.release_if_free)


def leased(cursor: Any, connection: Leasable) -> None:
    """Make ``cursor``, just created on ``connection``, part of its lease."""
    connection.open_cursors.add(id(cursor))
    driver_class: Any = type(cursor)
    if issubclass(driver_class, connection.cursor_mixin):
        # The driver's own class is such that an object cannot change to another.
        return
    cursor.__class__ = _leased_class(connection.cursor_mixin, driver_class)


@cache
def _leased_class(mixin: Any, cursor_class: Any) -> type[Any]:
    name = f"Leased{cursor_class.__name__}"
    bases = mixin.mixin_for(cursor_class), cursor_class
    return type(name, bases, {"__slots__": ()})
