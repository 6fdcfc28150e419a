"""One thread for one database connection whose driver can only block.

Contract: ``Worker.call(fn)`` runs ``fn`` in the thread and waits for it on the
loop. Only driver calls go there; the ORM around them runs on the loop. Outside
the bridge ``fn`` is called in place.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django_async_ext.bridge import await_, in_bridge, shielded
from django_async_ext.db.backends.cursors import LeasedCursor

P = ParamSpec("P")
T = TypeVar("T")

#: Rows fetched together with the execution, to save a second hop: as many as
#: Django asks for first (GET_ITERATOR_CHUNK_SIZE).
PREFETCH = 100

#: Seconds between two attempts to interrupt a call.
_PATIENCE = 0.02


class InPlace:
    """Stands for the worker while the connection is being opened in it."""

    is_busy = False

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn`` here."""
        return fn(*args, **kwargs)


class Worker(InPlace):
    """The thread of a connection. ``interrupt`` makes a running call give up."""

    def __init__(self) -> None:
        self.interrupt: Callable[[], object] = lambda: None
        self.interrupted: Callable[[BaseException], object] = lambda _error: None
        self.is_busy = False
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        thread = threading.Thread(
            target=self._work, name="django_async_ext-worker", daemon=True
        )
        thread.start()

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn`` in the thread and return its result.

        Cancelled, interrupt the call and let it end before the cancellation goes
        on: the connection must be at rest when others may have it.
        """
        if not in_bridge():
            return fn(*args, **kwargs)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                outcome, value = done.set_result, fn(*args, **kwargs)
            except BaseException as error:
                outcome, value = done.set_exception, error  # type: ignore[assignment]
            _post(loop, done, outcome, value)
            # Its traceback refers to this frame.
            del outcome, value

        self._calls.put(work)
        self.is_busy = True
        try:
            return await_(asyncio.shield(done))
        except BaseException as error:
            if not done.done():
                self._stop(done)
            if isinstance(error, asyncio.CancelledError):
                self.interrupted(error)
            raise
        finally:
            self.is_busy = False

    def _stop(self, done: asyncio.Future[Any]) -> None:
        with shielded():
            while not done.done():
                # Once would not do: before the statement has begun, and between
                # the statements of one call, there is nothing to interrupt.
                self.interrupt()
                await_(asyncio.wait([done], timeout=_PATIENCE))
        # How the interrupted call ended is of no interest.
        done.exception()

    def stop(self, last: Callable[[], object]) -> None:
        """End the thread after ``last``, without waiting for it."""
        self._calls.put(last)
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            # While idle it must keep nothing of the call alive.
            del call


def _post(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[Any],
    outcome: Callable[[Any], None],
    value: Any,
) -> None:
    def settle() -> None:
        if not done.done():
            outcome(value)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        # The loop was closed meanwhile, and nobody waits any more.
        return


class WorkerCursor(LeasedCursor):
    """A cursor whose statements run in the connection's worker."""

    __slots__ = ()
    rows: Sequence[Any] = ()
    at_end = False
    #: What the driver puts rows into: Django compares the last, empty one.
    sequence: type[Any] = list

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute, and fetch the first rows in the same hop."""
        try:
            count = self.connection.worker.call(self._execute, *args, **kwargs)
        except asyncio.CancelledError:
            # Django closes it after an error, but not when it was cancelled.
            self.close()
            raise
        return self if count is None else count

    def _execute(self, *args: Any, **kwargs: Any) -> Any:
        returned = super().execute(*args, **kwargs)
        self.rows = super().fetchmany(PREFETCH) if self.description else ()
        self.at_end = len(self.rows) < PREFETCH
        # Itself, for some drivers: what nobody waits for any more must not keep it.
        return None if returned is self else returned

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """Execute many, in one hop."""
        self.rows, self.at_end = (), False
        count = self.connection.worker.call(super().executemany, *args, **kwargs)
        return self if count is None else count

    def fetchmany(self, size: int | None = None) -> Any:
        """Return up to ``size`` rows."""
        size = self.arraysize if size is None else size
        rows, self.rows = self.sequence(self.rows[:size]), self.rows[size:]
        if len(rows) < size and not self.at_end:
            fetch = super().fetchmany
            rows += self.connection.worker.call(fetch, size - len(rows))
        return rows

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(self.fetchmany(1)), None)

    def fetchall(self) -> Any:
        """Return all rows that are left."""
        rows, self.rows = self.sequence(self.rows), ()
        if not self.at_end:
            rows += self.connection.worker.call(super().fetchall)
        return rows

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        for row in self.fetchmany(1):
            return row
        raise StopIteration
