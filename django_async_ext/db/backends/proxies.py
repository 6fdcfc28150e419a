"""Stand for a driver's connection and cursors; what they do, a worker does.

Contract: every call of a method, and every change of an attribute of the
connection, runs in the connection's worker. Reading an attribute, creating a
cursor and changing a cursor's attributes happen in place: drivers do not wait
for these. Closing a cursor is handed to the worker and not waited for, because
whatever comes next on the connection comes after it.

No driver is known here; what some can do is found by the names they give it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar

from django_async_ext import conf
from django_async_ext.db.backends.cursors import LeasedCursor
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.worker import PREFETCH, Worker, blocking
from django_async_ext.exceptions import describe

P = ParamSpec("P")
T = TypeVar("T")

#: What psycopg calls INERROR.
_ABORTED = 3


def _status(driver: Any) -> Any:
    # As psycopg numbers it: 0 is idle.
    return driver.info.transaction_status if hasattr(driver, "info") else 0


#: Where drivers say whether a transaction is open.
_IN_TRANSACTION = (
    attrgetter("in_transaction"),
    attrgetter("transaction_in_progress"),
    _status,
)


class _StandsIn:
    """What ``isinstance()`` takes for the driver's own object."""

    __slots__ = ()
    driver: Any

    @property
    def __class__(self) -> Any:
        return type(self.driver)


class ConnectionProxy(_StandsIn, Leasable):
    """Stands for ``driver``, a connection that ``worker`` opened."""

    driver: Any = None
    worker: Any = None
    #: The driver's module, as Django's wrapper knows it.
    database: Any = None
    #: Whether the database lives in it: then it must not be closed.
    irreplaceable = False
    #: Methods of the driver that wait for nothing.
    in_place: frozenset[str] = frozenset()
    #: Whether its last lessee left it in a transaction, as far as Django knows.
    left_in_transaction = False

    def __init__(self, driver: Any, worker: Worker, database: Any) -> None:
        super().__init__()
        self.driver, self.worker, self.database = driver, worker, database
        worker.limit = conf.get("CANCEL_TIMEOUT")

    def __del__(self) -> None:
        # The worker knows it only while it is leased, and would not end without it.
        if self.worker is not None:
            self.terminate()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.driver, name)
        if name in self.in_place or not blocking(value):
            return value
        return partial(self.call, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        elif getattr(self.driver, name, _UNREADABLE) != value:
            self.call(setattr, self.driver, name, value)

    def __enter__(self) -> Any:
        self.call(self.driver.__enter__)
        return self

    def __exit__(self, *exc_info: object) -> Any:
        return self.call(self.driver.__exit__, *exc_info)

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call of the driver in the worker; raise if the worker is lost."""
        if self.worker.lost and not self.worker.is_current():
            raise self.database.OperationalError(_given_up())
        try:
            return self.worker.call(fn, *args, **kwargs)  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            # Without a cursor there is nothing else that would end the lease.
            if self.lessee is not None:
                self.lessee.release_if_free()
            raise

    def close(self) -> None:
        """Close it and end its worker, for a wrapper that has it for itself."""
        if self.worker.lost:
            return self.terminate()
        try:
            self.call(self.driver.close)
        finally:
            self.worker.stop(_nothing)
        return None

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Create a cursor of the driver, whose calls run in the worker."""
        return CursorProxy(self.driver.cursor(*args, **kwargs), self)

    # Leasable

    def is_clean(self) -> bool:
        """Tell whether others may have it, as far as Django and the driver know."""
        if self.worker.lost:
            return False
        if self.irreplaceable:
            if self.driver.in_transaction:
                self.worker.post(self._roll_back)
            return True
        return not (self.spent or self.left_in_transaction or self._in_transaction())

    def _roll_back(self) -> None:
        self.driver.rollback()
        self.driver.isolation_level = None

    def _in_transaction(self) -> bool:
        for look in _IN_TRANSACTION:
            try:
                return bool(look(self.driver))
            except AttributeError:
                continue
            except self.database.Error:
                return True
        return False

    def is_alive(self) -> bool:
        """Tell whether it is open; only a statement finds out what the server did."""
        return not (self.worker.lost or getattr(self.driver, "closed", False))

    def is_aborted(self) -> bool:
        """Tell whether the server can only roll back, where the driver knows that."""
        return _status(self.driver) == _ABORTED

    def is_lost_with(self, error: BaseException) -> bool:
        """Tell whether the session ended with ``error``, by asking the server."""
        return not (self.is_alive() and self.lessee.is_usable())

    def interrupted(self, error: BaseException) -> None:
        """Doom the transaction: the statement, or all of it, may be undone."""
        if self.lessee is not None:
            self.lessee.doom(error)

    def terminate(self) -> None:
        """Close it in the worker and end that, without waiting."""
        self.worker.stop(self.driver.close)

    def abandon_cursor(self, cursor: Any) -> None:
        """Let the worker close it, before anything else on the connection."""
        self.worker.post(cursor.driver.close)


def _nothing() -> None:
    """Be the last call of a worker."""


#: Stands for the value of an attribute that can only be set.
_UNREADABLE = object()

_OWN = {
    *("open_cursors", *Leasable.__annotations__, *vars(Leasable)),
    *(*ConnectionProxy.__annotations__, *vars(ConnectionProxy)),
}


class _DriverCursor(_StandsIn):
    """Stands for ``driver``, a cursor of the driver or one of the engine over it."""

    __slots__ = (
        *("at_end", "connection", "driver", "prefetch", "rows", "sequence"),
        # Whether the worker was told to close it, as it may do later.
        "is_closed",
        # The wrapper, while its transaction is shared; see turns.py.
        "sharer",
    )

    def __init__(self, driver: Any, connection: ConnectionProxy) -> None:
        put = partial(object.__setattr__, self)
        put("driver", driver)
        put("connection", connection)
        put("prefetch", PREFETCH)
        put("at_end", False)
        put("is_closed", False)
        put("rows", deque())
        #: What the driver puts rows into: Django compares the last, empty one.
        put("sequence", list)

    def close(self) -> None:
        """Let the worker close the cursor."""
        # The driver, asked for more, refuses it.
        self.rows, self.at_end, self.is_closed = deque[Any](), False, True
        if asyncio._get_running_loop() is None:
            self.connection.worker.call(self.driver.close)
        else:
            self.connection.worker.post(self.driver.close)


class CursorProxy(LeasedCursor, _DriverCursor):
    """A cursor whose statements run in the connection's worker."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.driver, name)
        return partial(self.connection.call, value) if blocking(value) else value

    @property
    def closed(self) -> bool:
        """Tell whether it is closed, where the driver's cursors tell."""
        is_closed: bool = self.driver.closed
        return self.is_closed or is_closed

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _DriverCursor.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self.driver, name, value)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute, and fetch the first rows in the same hop."""
        return self._run(self.driver.execute, args, kwargs, self.prefetch)

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure."""
        return self._run(self.driver.callproc, args, kwargs)

    def executemany(self, sql: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        """Execute many, in one hop."""
        if isinstance(params, Iterator):
            # What makes them is the caller's code, and no call of the driver.
            params = list(params)
        return self._run(self.driver.executemany, (sql, params, *args), kwargs)

    def nextset(self) -> Any:
        """Go to the next result."""
        return self._run(self.driver.nextset, (), {})

    def scroll(self, value: int, mode: str = "relative") -> Any:
        """Move among the rows, from the row that the caller was given last."""
        value -= len(self.rows) if mode == "relative" else 0
        return self._run(self.driver.scroll, (value, mode), {})

    def _run(self, fn: Any, args: Any, kwargs: Any, prefetch: int = 0) -> Any:
        self.rows, self.at_end = deque[Any](), False
        try:
            result = self.connection.call(self._and_fetch, fn, args, kwargs, prefetch)
        except asyncio.CancelledError:
            # Django closes it after an error, but not when it was cancelled.
            self.close()
            raise
        return self if result is self.driver else result

    def _and_fetch(self, fn: Any, args: Any, kwargs: Any, prefetch: int) -> Any:
        result = fn(*args, **kwargs)
        if prefetch and self.driver.description:
            self.rows.extend(self._read(self.driver.fetchmany(prefetch)))
            self.at_end = len(self.rows) < prefetch
        return result

    def fetchmany(self, size: int | None = None) -> Any:
        """Return up to ``size`` rows."""
        size = self.driver.arraysize if size is None else size
        self._fill(size)
        count = min(size, len(self.rows))
        return self.sequence(self.rows.popleft() for _ in range(count))

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if not self.rows:
            self._fill(PREFETCH)
        return self.rows.popleft() if self.rows else None

    def fetchall(self) -> Any:
        """Return all rows that are left."""
        rest = () if self.at_end else self.connection.call(self._fetch_all)
        rows, self.rows, self.at_end = [*self.rows, *rest], deque(), True
        return self.sequence(rows)

    def _fill(self, size: int) -> None:
        missing = size - len(self.rows)
        if missing > 0 and not self.at_end:
            rows = self.connection.call(self._fetch_many, missing)
            self.at_end = len(rows) < missing
            self.rows.extend(rows)

    def _fetch_many(self, size: int) -> Any:
        return self._read(self.driver.fetchmany(size))

    def _fetch_all(self) -> Any:
        return self._read(self.driver.fetchall())

    def _read(self, rows: Any) -> Any:
        """Read large objects, for which the driver (Oracle's) waits once more."""
        self.sequence = tuple if isinstance(rows, tuple) else list
        large = getattr(self.connection.database, "LOB", None)
        if large is None:
            return rows
        return [
            tuple(value.read() if isinstance(value, large) else value for value in row)
            for row in rows
        ]

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if (row := self.fetchone()) is None:
            raise StopIteration
        return row


def _given_up() -> str:
    return describe(
        "connection-given-up",
        "This connection was given up: its task was cancelled, and the statement "
        "that it ran did not end within ASYNC_EXT['CANCEL_TIMEOUT'] seconds.",
        "It is closed when the statement ends. Begin again with a new transaction.",
    )


ConnectionProxy.cursor_mixin = CursorProxy
