"""psycopg's synchronous connection, waiting on the event loop in the bridge.

Contract: has all that Django takes from the ``psycopg`` module, but
``connect()`` makes a ``Connection`` of ours. psycopg's generators say what they
wait for; ``Connection.wait()`` decides how. Outside the bridge it is psycopg's.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors, generators, waiting
from psycopg.adapt import AdaptersMap
from psycopg.pq import ConnStatus, TransactionStatus

from django_async_ext import conf
from django_async_ext.bridge import await_, in_bridge, shielded
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.postgresql.pipeline import Pipeline, PipelinedCursor
from django_async_ext.db.backends.rendezvous import Rendezvous
from django_async_ext.locks import Lock
from django_async_ext.sockets import Watcher

logger = logging.getLogger("django_async_ext.db")

#: Seconds until a server that goes on is asked once more to cancel. It ignores that
#: where it has not yet begun with the statement, as one with too much to do may not.
_ASK_AGAIN = 0.5

ACTIVE, IDLE = TransactionStatus.ACTIVE, TransactionStatus.IDLE
INTRANS, INERROR = TransactionStatus.INTRANS, TransactionStatus.INERROR


def __getattr__(name: str) -> Any:
    return getattr(psycopg, name)


def connect(*args: Any, **kwargs: Any) -> Connection:
    """Open a connection; follows psycopg.connect()."""
    return Connection.connect(*args, **kwargs)


def _not_run(cause: BaseException) -> Exception:
    error = errors.PipelineAborted(
        "not run or undone: another statement of the same gather_queries() failed"
    )
    error.__cause__ = cause
    return error


class Connection(Leasable, psycopg.Connection[Any]):
    """A psycopg connection that belongs to one task at a time."""

    cursor_mixin = PipelinedCursor
    close_cursors_sql = "CLOSE ALL"
    rendezvous: Rendezvous | None = None
    _watcher: Watcher | None = None
    _poll: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lock = Lock()  # type: ignore[assignment]
        # Tells psycopg that a pool owns it: no warning if the loop dies first.
        self._pool = None

    @classmethod
    def connect(  # type: ignore[override]
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: Any = None,
        row_factory: Any = None,
        cursor_factory: Any = None,
        **kwargs: Any,
    ) -> Connection:
        """Follows psycopg: Connection.connect(), with AsyncConnection's waits."""
        if not in_bridge():
            connect = super().connect
            return connect(
                conninfo,
                autocommit=autocommit,
                prepare_threshold=prepare_threshold,
                context=context,
                row_factory=row_factory,
                cursor_factory=cursor_factory,
                **kwargs,
            )
        twin = _open_twin(conninfo, kwargs)
        twin._pool = None
        self = cls(twin.pgconn)
        self.twin = twin
        self._autocommit = autocommit
        self.prepare_threshold = prepare_threshold
        self.row_factory = row_factory or self.row_factory
        self.cursor_factory = cursor_factory or self.cursor_factory
        if context is not None:
            self._adapters = AdaptersMap(context.adapters)
        return self

    def wait(
        self, gen: Any, interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        """Run a generator of psycopg to its end, waiting where it says.

        Cancelled while the server works, ask it to cancel the statement and read
        its answer before the cancellation goes on, as AsyncConnection does.
        """
        # Follows psycopg: psycopg.AsyncConnection.wait(), and waiting.wait_async().
        if not in_bridge():
            return super().wait(gen, interval, timeout)
        try:
            return self._run(gen, timeout)
        except errors.Error:
            raise
        except BaseException as error:
            if self.lessee is not None:
                self.lessee.doom(error)
            if self.pgconn.transaction_status == ACTIVE:
                self._stop_statement(gen)
            raise
        finally:
            if self.pgconn.status != ConnStatus.OK:
                # libpq closed the socket, whose number may be used again.
                self._unwatch()

    def _run(self, gen: Any, timeout: float | None, start: Any = None) -> Any:
        deadline = None if timeout is None else monotonic() + timeout
        try:
            wanted = gen.send(start)
            while True:
                left = None if deadline is None else max(deadline - monotonic(), 0)
                ready = self._watch().wait(bool(wanted & 1), bool(wanted & 2), left)
                wanted = gen.send(_READY[ready])
                if deadline is not None and monotonic() >= deadline:
                    raise errors._WaitTimeout("wait timeout expired")
        except StopIteration as stop:
            return stop.value

    def _watch(self) -> Watcher:
        watcher = self._watcher
        if watcher is None or watcher.loop is not asyncio._get_running_loop():
            self._unwatch()
            watcher = self._watcher = Watcher(self.pgconn.socket)
        return watcher

    def _unwatch(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()

    def _stop_statement(self, gen: Any) -> None:
        deadline = monotonic() + conf.get("CANCEL_TIMEOUT")
        try:
            # Cancelled again, it must not leave the statement running over there.
            with shielded():
                while not self._has_stopped(gen, deadline - monotonic()):
                    pass
        except errors.QueryCanceled:
            pass
        except BaseException as error:
            if isinstance(error, errors.Error) and self._is_at_rest():
                # It failed by itself, in the moment in which it was cancelled.
                return
            logger.warning("statement not stopped (%r): closing connection", error)
            self.terminate()
            if not isinstance(error, Exception):
                raise

    def _has_stopped(self, gen: Any, left: float) -> bool:
        await_(self._cancel(max(left, 0.0)))
        try:
            self._run(gen, min(left, _ASK_AGAIN), waiting.READY_NONE)
        except errors._WaitTimeout:
            if left <= _ASK_AGAIN:
                raise
            return False
        return True

    def _is_at_rest(self) -> bool:
        return self.pgconn.transaction_status in (IDLE, INTRANS, INERROR)

    async def _cancel(self, timeout: float) -> None:
        twin = getattr(self, "twin", None)
        if twin is not None:
            await twin.cancel_safe(timeout=timeout)
        else:
            await asyncio.to_thread(self.cancel_safe, timeout=timeout)

    def _start_query(self) -> Any:
        """Follows psycopg, whose BEGIN costs a pipeline a round trip of its own."""
        if self.rendezvous is None:
            yield from super()._start_query()
        elif not (self._autocommit or self.rendezvous.has_begun) and (
            self.pgconn.transaction_status == IDLE
        ):
            # libpq does not know of it before it is flushed.
            self.rendezvous.has_begun = True
            yield from self._exec_command(self._get_tx_start_command())

    def shared_pipeline(self) -> Any:
        """Start a pipeline for ``flush_pipeline()``, which ends each round."""
        self._pipeline = self._pipeline or Pipeline(self)
        return self.pipeline()

    def send_pipeline(self) -> None:
        """Send of the queued statements what the socket takes; never waits."""
        # Of a connection that is lost, flush_pipeline() says so.
        with suppress(errors.Error):
            self.pgconn.flush()

    def flush_pipeline(
        self, queue: list[Any], found: dict[Any, Exception | None]
    ) -> None:
        """Send the queued statements, read the answers; put errors into ``found``.

        None stands for what an error undid, which would not have failed by itself.
        """
        rendezvous, self.rendezvous = self.rendezvous, None
        assert rendezvous is not None
        rendezvous.has_begun = False
        first: Exception | None = None
        cancelled: asyncio.CancelledError | None = None
        try:
            # After an error, once more for the answers that it left unread.
            while self._pipeline is not None:
                try:
                    self.wait(generators.send(self.pgconn))
                    self._pipeline.sync()
                    break
                except errors.Error as error:
                    first = first or error
                except asyncio.CancelledError as error:
                    if cancelled is not None:
                        self.terminate()
                    cancelled = error
                if self.closed:
                    break
        finally:
            self.rendezvous = rendezvous
        failed = [cursor for cursor in queue if cursor.pgresult is None]
        if cancelled is not None:
            found.update(self._undone(queue, failed, cancelled))
            raise cancelled
        if first is not None:
            found.update(self._undone(queue, failed, first))
            found.update(dict.fromkeys(failed[:1], first))

    def _undone(
        self, queue: list[Any], failed: list[Any], cause: BaseException
    ) -> dict[Any, Exception | None]:
        if self._autocommit and not self.closed:
            return dict.fromkeys(queue)
        return {c: _not_run(cause) for c in (queue if self._autocommit else failed)}

    # Leasable

    def is_clean(self) -> bool:
        """Tell whether it is open, idle and in autocommit mode."""
        return self.pgconn.transaction_status == IDLE and self._autocommit

    def is_aborted(self) -> bool:
        """Tell whether a statement of its transaction has failed."""
        return self.pgconn.transaction_status == INERROR

    def is_lost_with(self, error: BaseException) -> bool:
        """Tell whether it is closed, or the server said that it closes it."""
        diag = getattr(error.__cause__, "diag", None)
        is_last_word = getattr(diag, "severity_nonlocalized", "") in ("FATAL", "PANIC")
        return is_last_word or self.pgconn.status != ConnStatus.OK

    def is_alive(self) -> bool:
        """Look, without a round trip, for the server's good-bye on the socket."""
        try:
            while self._has_input():
                self.pgconn.consume_input()
        except errors.Error:
            self.terminate()
        return self.pgconn.status == ConnStatus.OK

    def _has_input(self) -> bool:
        if not hasattr(select, "poll"):
            return bool(select.select([self.pgconn.socket], [], [], 0)[0])
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.pgconn.socket, select.POLLIN)
        return bool(self._poll.poll(0))

    def terminate(self) -> None:
        """Close the socket; the server rolls back."""
        self._unwatch()
        self.pgconn.finish()

    def close(self) -> None:
        """Follows psycopg: Connection.close()."""
        self._unwatch()
        super().close()

    def close_cursor(self, cursor: Any, close: Callable[[], object]) -> None:
        """Closing a cursor of the server is a statement, others only forget."""
        if not isinstance(cursor, psycopg.ServerCursor) or cursor.closed:
            close()
        elif self.may_wait():
            # In the finaliser of a generator Python would lose a cancellation.
            with shielded():
                close()
        else:
            self.abandon_cursor(cursor)

    def may_wait(self) -> bool:
        """Tell whether it may; not where another job of its task uses it."""
        is_alone = asyncio._get_running_loop() is None or not self.lock.locked()
        return is_alone and super().may_wait()

    def abandon_cursor(self, cursor: Any) -> None:
        """Leave it to the pool to close the cursor on the server."""
        if isinstance(cursor, psycopg.ServerCursor) and not cursor.closed:
            self.reset_sql = self.reset_sql or self.close_cursors_sql
        cursor._closed = True


_attempts: ContextVar[list[Any]] = ContextVar("attempts")


class _Twin(AsyncConnection[Any]):
    """Opens the connection, and later asks the server to cancel statements."""

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Any:
        attempt = super()._connect_gen(*args, **kwargs)
        _attempts.get().append(attempt)
        return attempt


def _open_twin(conninfo: str, kwargs: dict[str, Any]) -> _Twin:
    attempts: list[Any] = []
    _attempts.set(attempts)
    try:
        return await_(_Twin.connect(conninfo, **kwargs))
    except BaseException:
        # Cancelled, psycopg leaves a half-open socket to the garbage collector.
        for attempt in attempts:
            attempt.close()
        raise


_READY = {
    (False, False): waiting.READY_NONE,
    (True, False): waiting.READY_R,
    (False, True): waiting.READY_W,
    (True, True): waiting.READY_RW,
}
