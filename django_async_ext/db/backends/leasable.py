"""What a connection must offer to be leased from a pool.

Contract: mixed into the driver's connection class, which answers for itself
whether it may be handed on. Nothing here waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django_async_ext.bridge import in_bridge
from django_async_ext.db.backends import ownership

if TYPE_CHECKING:
    from django_async_ext.db.backends.pool import Pool


class Leasable:
    """What the pool and the wrapper need of a database connection."""

    #: The pool that it belongs to.
    home: Pool
    #: The Django wrapper that has it now, and the task and time of the lease.
    lessee: Any = None
    task: asyncio.Task[Any] | None = None
    since = 0.0
    #: SQL that the pool must run before anybody else may have it.
    reset_sql: str | None = None
    #: Whether its session was changed in a way that nobody can undo.
    spent = False
    #: SQL that closes the cursors which the server keeps, where it keeps any.
    close_cursors_sql: str | None = None
    expires_at = 0.0
    idle_since = 0.0
    #: Whether an error makes it doubtful that the server still holds it.
    doubtful = False
    #: What opening it has left on its wrapper, for the others that get it.
    wrapper_state: Mapping[str, Any] = MappingProxyType({})
    #: What the cursors made through the wrapper are mixed with.
    cursor_mixin: type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: ids of the open cursors that were made through the wrapper
        self.open_cursors: set[int] = set()

    def is_clean(self) -> bool:
        """Tell whether it is open, idle and in no transaction."""
        raise NotImplementedError

    def is_alive(self) -> bool:
        """Tell, without a round trip, whether the server still holds it."""
        raise NotImplementedError

    def is_aborted(self) -> bool:
        """Tell whether the server can only roll its transaction back."""
        return False

    def is_lost_with(self, error: BaseException) -> bool:
        """Tell whether the session ended with ``error``, which a statement raised."""
        return False

    def terminate(self) -> None:
        """Close it now, without waiting; the server rolls back."""
        raise NotImplementedError

    def close_cursor(self, cursor: Any, close: Callable[[], object]) -> None:
        """Close ``cursor`` with ``close``, or abandon it where nothing can wait."""
        close()

    def may_wait(self) -> bool:
        """Tell whether the calling code may wait for this connection."""
        if asyncio._get_running_loop() is None:
            return True
        return in_bridge() and self.task is ownership.running_task()

    def abandon_cursor(self, cursor: Any) -> None:
        """Forget ``cursor`` without waiting; the pool closes it later."""
