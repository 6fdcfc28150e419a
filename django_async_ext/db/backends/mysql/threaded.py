"""mysqlclient's connection, each in a worker thread of its own on the loop.

Contract: mysqlclient can only block, so its calls run in the connection's worker.
A statement whose task is cancelled is killed on the server, over another
connection, before the cancellation goes on. Rows are in memory, as in Django.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import MySQLdb
from MySQLdb.connections import Connection as MySQLdbConnection
from MySQLdb.cursors import Cursor

from django_async_ext import conf
from django_async_ext.bridge import in_bridge, shielded
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.mysql.codes import (
    KILLED,
    has_ended,
    has_rolled_back,
)
from django_async_ext.db.backends.worker import InPlace, Worker, WorkerCursor

logger = logging.getLogger("django_async_ext.db")

STREAMS = False

_BEGINS = (b"BEGIN", b"START", b"XA ST", b"XA BE")
_ENDS = (b"COMMI", b"ROLLB", b"XA CO", b"XA RO")


class ThreadedCursor(WorkerCursor):
    """A cursor whose statements run in the connection's worker."""

    __slots__ = ()
    sequence = tuple

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure."""
        self.rows, self.at_end = (), False
        return self.connection.worker.call(super().callproc, *args, **kwargs)

    def nextset(self) -> Any:
        """Go to the next result."""
        self.rows, self.at_end = (), False
        return self.connection.worker.call(super().nextset)

    def forget(self) -> None:
        """Close the cursor; on the loop others may be using its connection."""
        if in_bridge():
            self.connection = None
        else:
            super().forget()


class _LoopCursor(ThreadedCursor, Cursor):
    """What a connection makes, whether it is leased or not."""


class WorkerConnection(Leasable, MySQLdbConnection):
    """A connection of mysqlclient whose statements run in its worker."""

    cursor_mixin = ThreadedCursor
    default_cursor = _LoopCursor
    worker: InPlace = InPlace()
    _in_transaction = False
    _is_aborted = False
    _is_lost = False
    _deadline: float | None = None

    def __init__(self, **params: Any) -> None:
        self._params = params
        super().__init__(**params)
        # While a statement runs, mysqlclient answers no other thread.
        self._id, self._socket = self.thread_id(), self.fileno()

    def query(self, query: Any) -> None:
        """Send a statement, and note whether it begins a transaction."""
        # mysqlclient does not say whether one is open.
        start = bytes(query[:64]).lstrip()[:5].upper()
        if start in _BEGINS:
            self._in_transaction = True
        try:
            super().query(query)
        except MySQLdb.Error as error:
            self._note(error)
            raise
        if start in _ENDS:
            self._in_transaction = False

    def commit(self) -> None:
        """Commit in the worker."""
        self.worker.call(super().commit)
        self._in_transaction = self._is_aborted = False

    def rollback(self) -> None:
        """Roll back in the worker."""
        self.worker.call(super().rollback)
        self._in_transaction = self._is_aborted = False

    def autocommit(self, on: bool) -> None:
        """Switch in the worker."""
        self.worker.call(super().autocommit, on)

    def ping(self, *args: Any) -> None:
        """Ask the server whether it is there."""
        try:
            self.worker.call(super().ping, *args)
        except MySQLdb.Error as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        self._is_aborted = self._is_aborted or has_rolled_back(error)
        self._is_lost = self._is_lost or has_ended(error)

    def close(self) -> None:
        """Close in the worker."""
        self.worker.call(super().close)

    # Interruptions

    def interrupt(self) -> None:
        """Kill the running statement, waiting on the loop; cut it off if that fails."""
        limit = conf.get("CANCEL_TIMEOUT")
        self._deadline = self._deadline or monotonic() + limit
        killer = Worker()
        try:
            killer.call(self._kill, int(limit) or 1)
            if monotonic() < self._deadline:
                return
            reason: object = "it did not end"
        except MySQLdb.Error as error:
            reason = repr(error)
        finally:
            killer.stop(lambda: None)
        logger.warning("statement not stopped (%s): closing connection", reason)
        self._cut_off()

    def _kill(self, limit: int) -> None:
        known = ("host", "user", "password", "port", "unix_socket", "ssl", "ssl_mode")
        params = {k: v for k, v in self._params.items() if k in known or "file" in k}
        killer = MySQLdbConnection(connect_timeout=limit, read_timeout=limit, **params)
        try:
            killer.query(b"KILL QUERY %d" % self._id)
        finally:
            killer.close()

    def _cut_off(self) -> None:
        # The thread waits in C code: only the end of its socket wakes it.
        self._is_lost = True
        with suppress(OSError), socket.socket(fileno=os.dup(self._socket)) as twin:
            twin.shutdown(socket.SHUT_RDWR)

    def interrupted(self, error: BaseException) -> None:
        """Doom the transaction, and let a kill that came too late hit nobody else."""
        self._deadline = None
        if self.lessee is not None:
            self.lessee.doom(error)
        with shielded(), suppress(MySQLdb.Error):
            self.worker.call(self._catch_up)

    def _catch_up(self) -> None:
        try:
            self.query(b"DO 0")
        except MySQLdb.OperationalError as error:
            if error.args[0] != KILLED:
                raise

    # Leasable

    def is_clean(self) -> bool:
        """Tell whether it is open and, as far as it knows, in no transaction."""
        if self.spent or self._is_lost or self._in_transaction or not self.open:
            return False
        return bool(self.get_autocommit())

    def is_alive(self) -> bool:
        """Look, without a round trip, for the server's good-bye on the socket."""
        return bool(self.open) and not select.select([self._socket], [], [], 0)[0]

    def is_aborted(self) -> bool:
        """Tell whether the server has rolled its transaction back."""
        return self._is_aborted

    def is_lost_with(self, error: BaseException) -> bool:
        """Tell whether the server has ended the session with ``error``."""
        return self._is_lost or has_ended(error)

    def close_cursor(self, cursor: Any, close: Callable[[], object]) -> None:
        """Close ``cursor``; only answers that nobody took are worth a hop."""
        if self.worker.is_busy or not self.may_wait():
            self.abandon_cursor(cursor)
        elif self._has_more_results():
            # In the finaliser of a generator Python would lose a cancellation.
            with shielded():
                self.worker.call(close)
        else:
            self.abandon_cursor(cursor)

    def _has_more_results(self) -> bool:
        # Older versions cannot say.
        return not hasattr(self, "more_results") or self.more_results()

    def abandon_cursor(self, cursor: Any) -> None:
        """Forget it: its rows are in memory."""
        cursor.connection = None

    def terminate(self) -> None:
        """Close in the worker and end it."""
        close: Callable[[], None] = super().close

        def last() -> None:
            with suppress(MySQLdb.Error):
                close()

        self.worker.stop(last)


def adapt(params: dict[str, Any]) -> dict[str, Any]:
    """Leave the parameters as Django made them: for mysqlclient."""
    return params


def connect(params: dict[str, Any]) -> WorkerConnection:
    """Open a connection that blocks."""
    return WorkerConnection(**params)


def connect_on_loop(params: dict[str, Any]) -> WorkerConnection:
    """Open a connection in a worker of its own."""
    worker = Worker()
    made: list[WorkerConnection] = []

    def open_() -> None:
        made.append(WorkerConnection(**params))

    try:
        worker.call(open_)
    except BaseException:
        # Cancelled, it may be there all the same.
        worker.stop(lambda: [MySQLdbConnection.close(one) for one in made])
        raise
    [connection] = made
    connection.worker = worker
    worker.interrupt = connection.interrupt
    worker.interrupted = connection.interrupted
    return connection
