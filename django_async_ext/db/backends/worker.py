"""One thread for one database connection whose driver can only block.

Contract: ``Worker.call(fn)`` runs ``fn`` in the thread and waits for it on the
loop; outside the bridge the calling thread is blocked instead. Calls run one
after the other, in their order. Only driver calls go there; the ORM around them
runs on the loop. A call that does not end after its task was cancelled makes
the worker ``lost``: its connection must not be used again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from time import monotonic
from typing import Any, ParamSpec, TypeVar, cast

from django_async_ext.bridge import await_, in_bridge, shielded
from django_async_ext.db.backends.cursors import LeasedCursor

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("django_async_ext.db")

#: Rows fetched together with the execution, to save a second hop: as many as
#: Django asks for first (GET_ITERATOR_CHUNK_SIZE).
PREFETCH = 100

#: Seconds between the first two attempts to interrupt a call, and at most.
_PATIENCE, _MOST_PATIENCE = 0.02, 1.0


class InPlace:
    """Stands for the worker while the connection is being opened in it."""

    is_busy = False

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn`` here."""
        return fn(*args, **kwargs)


class Worker(InPlace):
    """The thread of a connection. ``interrupt`` makes a running call give up."""

    def __init__(self) -> None:
        #: Called in a thread of its own, because it may wait for the server.
        self.interrupt: Callable[[], object] | None = None
        self.interrupted: Callable[[BaseException], object] = lambda _error: None
        self.is_busy = False
        #: Seconds in which an interrupted call must end; None for no limit.
        self.limit: float | None = None
        #: Whether a call was given up, and may still be running.
        self.lost = False
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(
            target=self._work, name="django_async_ext-worker", daemon=True
        )
        self._thread.start()

    def is_current(self) -> bool:
        """Tell whether the calling code runs in this worker."""
        return self._thread.ident == threading.get_ident()

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn`` in the thread and return its result.

        Cancelled, interrupt the call and let it end before the cancellation goes
        on: the connection must be at rest when others may have it.
        """
        if self._ended or self.is_current():
            return fn(*args, **kwargs)
        if not in_bridge():
            future: Future[T] = Future()
            self._calls.put(_Call(fn, args, kwargs, _Settled(future)))
            return future.result()
        done = self.submit(fn, *args, **kwargs)
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

    def submit(
        self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Let ``fn`` run in the thread; for code on the loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._calls.put(_Call(fn, args, kwargs, _Posted(loop, done)))
        return done

    def post(self, fn: Callable[[], object]) -> None:
        """Let ``fn`` run in the thread, without waiting; from anywhere."""
        self._calls.put(_Quiet(fn))

    def stop(self, last: Callable[[], object]) -> None:
        """End the thread after ``last``, without waiting for it."""
        self._ended = True
        self.post(last)
        self._calls.put(None)

    def _stop(self, done: asyncio.Future[Any]) -> None:
        deadline = float("inf") if self.limit is None else monotonic() + self.limit
        pause = _PATIENCE
        try:
            with shielded():
                while not done.done() and monotonic() < deadline:
                    # Once would not do: before the statement has begun, and between
                    # the statements of one call, there is nothing to interrupt.
                    self._interrupt(deadline)
                    _wait([done], min(deadline, monotonic() + pause))
                    pause = min(2 * pause, _MOST_PATIENCE)
        finally:
            if not done.done():
                self._lose()
        if done.done():
            # How the interrupted call ended is of no interest.
            done.exception()

    def _interrupt(self, deadline: float) -> None:
        if self.interrupt is None:
            return
        other = Worker()
        attempt = other.submit(_quietly, self.interrupt)
        other.stop(lambda: None)
        # A late one would interrupt what others do on the connection.
        _wait([attempt], deadline)
        if not attempt.done():
            self._lose()

    def _lose(self) -> None:
        if self.limit and not self.lost:
            words = "statement not stopped: its connection is closed when it ends"
            logger.warning(words)
        self.lost = True

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            # While idle it must keep nothing of the call alive.
            del call


def _wait(futures: list[asyncio.Future[Any]], deadline: float) -> None:
    timeout = None if deadline == float("inf") else max(deadline - monotonic(), 0)
    await_(asyncio.wait(futures, timeout=timeout))


class _Call:
    """A call, in the context of whoever made it, and who is told of its end."""

    def __init__(self, fn: Any, args: Any, kwargs: Any, settled: Any) -> None:
        self.fn, self.args, self.kwargs = fn, args, kwargs
        self.settled, self.context = settled, copy_context()

    def __call__(self) -> None:
        try:
            result, error = self.context.run(self.fn, *self.args, **self.kwargs), None
        except BaseException as raised:
            result, error = None, raised
        self.settled(result, error)
        # Its traceback refers to this frame.
        del result, error


class _Settled:
    """Tells a blocked thread."""

    def __init__(self, future: Future[Any]) -> None:
        self.future = future

    def __call__(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class _Posted:
    """Tells a task that waits on its loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]
    ) -> None:
        self.loop, self.future = loop, future

    def __call__(self, result: Any, error: BaseException | None) -> None:
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            # The loop was closed meanwhile, and nobody waits any more.
            return

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if isinstance(error, StopIteration):
            # A future refuses it.
            cause, error = error, RuntimeError("a call of the driver raised it")
            error.__cause__ = cause
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class _Quiet:
    """A call whose end nobody waits for."""

    def __init__(self, fn: Callable[[], object]) -> None:
        self.fn = fn

    def __call__(self) -> None:
        _quietly(self.fn)


def _quietly(fn: Callable[[], object]) -> None:
    try:
        fn()
    except Exception as error:
        logger.debug("%r raised %r", fn, error)


def blocking(value: Any) -> bool:
    """Tell whether ``value``, read from a driver's object, is a call to it."""
    # Exceptions and factories are classes: looking at them waits for nothing.
    return callable(value) and not isinstance(cast(object, value), type)


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
