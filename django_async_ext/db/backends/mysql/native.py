"""PyMySQL's connection, waiting on the event loop in the bridge.

Contract: PyMySQL's code over a ``LoopSocket``. A statement whose task is cancelled
is killed on the server over another connection, and its answer is read, before the
cancellation goes on: so the connection is in step with the server, or closed. Rows
may be streamed, one unfinished stream at a time; the next statement first takes
what is left of it into memory.

Errors are those of the module that Django's engine was imported with.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import pymysql
from pymysql import err
from pymysql.constants import CR, SERVER_STATUS
from pymysql.cursors import Cursor

from django_async_ext import conf
from django_async_ext.bridge import await_, in_bridge, shielded
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.mysql.codes import KILLED, has_ended, has_rolled_back
from django_async_ext.db.backends.mysql.cursors import (
    LoopCursor,
    StreamingCursor,
    loop_cursor,
    translated,
)
from django_async_ext.db.backends.mysql.engine import django_mysql
from django_async_ext.loop_socket import (
    LoopSocket,
    create_connection,
    with_loop_sockets,
)
from django_async_ext.sockets import limit_silence

logger = logging.getLogger("django_async_ext.db")

_CHUNK = 64 * 1024

#: Rows that are read to end a stream which was broken off; beyond it is killed.
_REST = 1000

#: What another connection to the same server, to kill a statement, does without.
_NOT_TO_KILL = {"conv", "cursorclass", "database", "db", "init_command", "sql_mode"}


class Connection(Leasable, pymysql.connections.Connection):
    """A connection of PyMySQL that belongs to one task at a time."""

    cursor_mixin = LoopCursor
    #: The cursor whose rows are still to come.
    stream: Callable[[], StreamingCursor | None] = staticmethod(lambda: None)
    #: What the running exchange is to raise when the server has answered.
    _interruption: BaseException | None = None
    #: Until when the server may answer to it.
    _deadline: float | None = None
    _is_connected = False
    _is_aborted = False

    def __init__(self, **params: Any) -> None:
        self._unread = bytearray()
        self._params = params
        super().__init__(**params)

    def connect(self, sock: Any = None) -> None:
        """Connect over a socket that waits on the loop in the bridge."""
        self._unread.clear()
        if self.ssl:
            with_loop_sockets(self.ctx)
        super().connect(sock or self._open_socket())
        self._is_connected = True

    def _open_socket(self) -> LoopSocket:
        # Follows PyMySQL: Connection.connect().
        try:
            if self.unix_socket:
                return self._open_unix_socket()
            source = (self.bind_address, 0) if self.bind_address else None
            address = (self.host, self.port)
            sock = create_connection(address, self.connect_timeout, source)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            limit_silence(sock)
        except OSError as error:
            text = f"Can't connect to MySQL server on {self.host!r} ({error})"
            raise err.OperationalError(CR.CR_CONN_HOST_ERROR, text) from error
        self.host_info = f"socket {self.host}:{self.port}"
        return sock

    def _open_unix_socket(self) -> LoopSocket:
        sock = LoopSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.connect_timeout)
        try:
            sock.connect(self.unix_socket)
        except BaseException:
            sock.close()
            raise
        self.host_info, self._secure = "Localhost via UNIX socket", True
        return sock

    def cursor(self, cursor: type[Cursor] | None = None) -> Cursor:
        """Return a cursor of the given class, or else of the connection's."""
        base: Any = cursor or self.cursorclass
        return loop_cursor(base)(self)

    def streaming_cursor(self) -> StreamingCursor:
        """Return a cursor that leaves its rows on the server until they are read."""
        return StreamingCursor(self)

    # Exchanges with the server

    def query(self, sql: Any, unbuffered: bool = False) -> Any:
        """Send a statement and read the answer."""
        with self.exchange():
            return super().query(sql, unbuffered)

    def next_result(self, unbuffered: bool = False) -> Any:
        """Read the next answer."""
        with self.exchange():
            return super().next_result(unbuffered)

    def ping(self, *args: Any, **kwargs: Any) -> None:
        """Ask the server whether it is there."""
        with translated(), self.exchange():
            super().ping(*args, **kwargs)

    def commit(self) -> None:
        """Commit."""
        with translated(), self.exchange():
            super().commit()
            self._is_aborted = False

    def rollback(self) -> None:
        """Roll back."""
        with translated(), self.exchange():
            super().rollback()
            self._is_aborted = False

    def _send_autocommit_mode(self) -> None:
        with translated(), self.exchange():
            super()._send_autocommit_mode()

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Raise a cancellation that came meanwhile when the server has answered."""
        try:
            yield
        except Exception as error:
            self._is_aborted = self._is_aborted or has_rolled_back(error)
            # How the statement that was killed ended is of no interest.
            if self._interruption is None:
                raise
        if self._interruption is not None:
            self._settle()

    def _execute_command(self, command: int, sql: Any) -> None:
        stream = self.stream()
        if stream is not None and stream.is_unfinished():
            stream.take_rest()
        elif self._result is not None and self._result.unbuffered_active:
            self._result._finish_unbuffered_query()
        super()._execute_command(command, sql)

    def _read_bytes(self, num_bytes: int) -> bytes:
        unread = self._unread
        while len(unread) < num_bytes:
            self._receive()
        found = bytes(unread[:num_bytes])
        del unread[:num_bytes]
        return found

    def _receive(self) -> None:
        # Follows PyMySQL: Connection._read_bytes().
        while True:
            try:
                if self._deadline is None:
                    found = self._recv()
                else:
                    with shielded():
                        found = self._recv()
                if found:
                    return
                why = ""
            except OSError as error:
                why = f" ({error})"
            except BaseException as error:
                self._interrupt(error)
                continue
            self._force_close()
            text = f"Lost connection to MySQL server during query{why}"
            raise err.OperationalError(CR.CR_SERVER_LOST, text)

    def _recv(self) -> bytes:
        if self._deadline is not None:
            self._sock.settimeout(max(self._deadline - monotonic(), 0.001))
            self._current_timeout = -1
        found: bytes = self._sock.recv(_CHUNK)
        self._unread += found
        if len(found) == _CHUNK and in_bridge():
            # A long answer must not keep the loop to itself.
            await_(asyncio.sleep(0))
        return found

    def _write_bytes(self, data: bytes) -> None:
        try:
            super()._write_bytes(data)
        except err.Error:
            raise
        except BaseException:
            # Part of a packet may be on its way.
            self._force_close()
            raise

    # Interruptions

    def _interrupt(self, error: BaseException) -> None:
        """Have the server stop; raise ``error`` where that cannot be."""
        if self.lessee is not None:
            self.lessee.doom(error)
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if not (is_cancelled and self._is_connected and in_bridge()):
            self._force_close()
            raise error
        self._interruption = error
        self._set_deadline()
        if not self._try(self.kill_statement):
            self._interruption = self._deadline = None
            raise error

    def kill_statement(self) -> None:
        """Ask the server, over another connection, to stop the running statement."""
        limit = conf.get("CANCEL_TIMEOUT")
        params = {k: v for k, v in self._params.items() if k not in _NOT_TO_KILL}
        params |= dict.fromkeys(("connect_timeout", "read_timeout"), limit)
        killer = Connection(**params)
        try:
            killer.query(f"KILL QUERY {self.thread_id()}")
        finally:
            killer._force_close()

    def _settle(self) -> None:
        """Get in step with the server again, then raise what interrupted it."""
        error, self._interruption = self._interruption, None
        if self.open:
            self._try(self._catch_up)
        self._deadline = None
        assert error is not None
        raise error

    def _catch_up(self) -> None:
        if self._result is not None and self._result.unbuffered_active:
            with suppress(err.OperationalError):
                self._result._finish_unbuffered_query()
        try:
            # If it had ended before it was killed, the next one would be stopped.
            super().query("DO 0")
        except err.OperationalError as error:
            if error.args[0] != KILLED:
                raise

    def _set_deadline(self) -> None:
        self._deadline = monotonic() + conf.get("CANCEL_TIMEOUT")

    def _try(self, *steps: Callable[[], object]) -> bool:
        """Take the steps, whatever is cancelled; close if one of them fails."""
        try:
            with shielded():
                for step in steps:
                    step()
        except Exception as reason:
            logger.warning("statement not stopped (%r): closing connection", reason)
            self._force_close()
            return False
        return True

    # Leasable

    def is_clean(self) -> bool:
        """Tell whether it is open, in step with the server and in no transaction."""
        if self.spent or not self.open or self._unread:
            return False
        if self._interruption is not None:
            return False
        if self._result is not None and (
            self._result.unbuffered_active or self._result.has_next
        ):
            return False
        return self.get_autocommit() and not self._is_in_transaction()

    def _is_in_transaction(self) -> bool:
        return bool(self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)

    def is_aborted(self) -> bool:
        """Tell whether the server has rolled its transaction back."""
        return self._is_aborted

    def is_lost_with(self, error: BaseException) -> bool:
        """Tell whether it is closed, or the server said that it closes it."""
        return not self.open or has_ended(error)

    def is_alive(self) -> bool:
        """Look, without a round trip, for the server's good-bye on the socket."""
        return self.open and not self._sock.is_dropped()

    def terminate(self) -> None:
        """Close the socket; the server rolls back."""
        self._force_close()

    def _force_close(self) -> None:
        if (result := getattr(self, "_result", None)) is not None:
            # Or its finaliser would read on.
            result.unbuffered_active = False
        super()._force_close()

    __del__ = _force_close

    def close_cursor(self, cursor: Any, close: Callable[[], object]) -> None:
        """Close ``cursor``; a stream that was broken off is ended first."""
        if not (isinstance(cursor, StreamingCursor) and cursor.is_unfinished()):
            close()
        elif self.may_wait():
            # In the finaliser of a generator Python would lose a cancellation.
            with shielded(), translated():
                self._end_stream(cursor)
                close()
        else:
            self.abandon_cursor(cursor)

    def _end_stream(self, cursor: StreamingCursor) -> None:
        for _ in range(_REST):
            if cursor.read_next() is None:
                return
        if self.lessee is None or not self.lessee.keeps_connection():
            # Nothing is lost with it.
            return self._force_close()
        self._set_deadline()
        self._try(self.kill_statement, self._catch_up)
        self._deadline = None

    def abandon_cursor(self, cursor: Any) -> None:
        """Leave the rows unread: the connection is not clean, or reads them later."""
        cursor.connection = None


STREAMS = True


def connect(params: dict[str, Any]) -> Connection:
    """Open a connection, which waits as the code does that uses it."""
    with translated():
        return Connection(**params)


connect_on_loop = connect


def adapt(params: dict[str, Any]) -> dict[str, Any]:
    """Convert values as PyMySQL does, but for what Django's engine changes."""
    if django_mysql.Database is not pymysql:
        theirs = django_mysql.conversions
        changed = {
            kind: convert
            for kind, convert in params["conv"].items()
            if theirs.get(kind) is not convert
        }
        params["conv"] = {**pymysql.converters.conversions, **changed}
    return params
