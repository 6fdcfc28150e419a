"""psycopg's pipeline and cursor, as the jobs of one gather_queries() share them.

Contract: while jobs meet, statements are queued and their cursors stop at the
rendezvous; ``Connection.flush_pipeline()`` sends all and has the answers read. What
psycopg lays down before a command that fails is taken back with it: no job ever gets
the rows of another one.

Outside a transaction, statements that are sent together are one transaction for
PostgreSQL. So only reads are; and when one fails, the others run again by themselves.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, PipelineStatus

from django_async_ext.db.backends.cursors import LeasedCursor


class PipelinedCursor(LeasedCursor):
    """A cursor that lets jobs of one gather_queries() share a round trip."""

    __slots__ = ()

    @classmethod
    def mixin_for(cls, cursor_class: type) -> type:
        """Give server-side cursors a mixin of their own."""
        is_on_server = issubclass(cursor_class, psycopg.ServerCursor)
        return _PipelinedServerCursor if is_on_server else cls

    @property
    def closed(self) -> bool:
        """Tell whether it is closed, as it is at the latest when its lease ends."""
        return self._closed or id(self) not in self.connection.open_cursors

    def forget(self) -> None:
        """Close the cursor without touching its connection."""
        self._closed = True

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
        """Queue the statement and return when its answer is there."""
        if not params and _has_several(query):
            self._leave_pipeline("several statements in one")
        elif self.connection.autocommit and not _is_read(query):
            self._leave_pipeline("a write outside of a transaction")
        rendezvous = self.connection.rendezvous  # type: ignore[attr-defined]
        try:
            super().execute(query, params, **kwargs)  # type: ignore[misc]
            if rendezvous is None or rendezvous.exchange(self, _is_harmless(query)):
                return self
            rendezvous.wait_alone("what another statement's failure undid")
            super().execute(query, params, **kwargs)  # type: ignore[misc]
        except Exception:
            raise
        except BaseException:
            # Django closes it after an error, but not when it was cancelled.
            self.close()
            raise
        return self

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        """Execute many; outside of any pipeline, which would hide the counts."""
        self._leave_pipeline("executemany()")
        super().executemany(*args, **kwargs)  # type: ignore[misc]

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        """Stream the rows, which no pipeline can."""
        self._leave_pipeline("stream()")
        return super().stream(*args, **kwargs)  # type: ignore[misc]

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """Copy, which no pipeline can."""
        self._leave_pipeline("COPY")
        return super().copy(*args, **kwargs)  # type: ignore[misc]

    def _leave_pipeline(self, what: str) -> None:
        rendezvous = self.connection.rendezvous  # type: ignore[attr-defined]
        if rendezvous is not None:
            rendezvous.wait_alone(what)


class _PipelinedServerCursor(PipelinedCursor):
    """A server-side cursor, each fetch of which is a statement that runs alone.

    It may have been made before the jobs met.
    """

    __slots__ = ()

    def fetchone(self) -> Any:
        """Fetch a row, which no pipeline can."""
        self._leave_pipeline("a server-side cursor")
        return super().fetchone()  # type: ignore[misc]

    def fetchmany(self, size: int = 0) -> Any:
        """Fetch some rows, which no pipeline can."""
        self._leave_pipeline("a server-side cursor")
        return super().fetchmany(size)  # type: ignore[misc]

    def fetchall(self) -> Any:
        """Fetch all rows, which no pipeline can."""
        self._leave_pipeline("a server-side cursor")
        return super().fetchall()  # type: ignore[misc]

    def __next__(self) -> Any:
        self._leave_pipeline("a server-side cursor")
        return super().__next__()  # type: ignore[misc]

    def scroll(self, value: int, mode: str = "relative") -> None:
        """Move, which no pipeline can."""
        self._leave_pipeline("a server-side cursor")
        super().scroll(value, mode)  # type: ignore[misc]


def _has_several(query: Any) -> bool:
    # One with a semicolon in a literal runs alone as well, which harms nothing.
    return isinstance(query, str) and ";" in query.rstrip("; \n")


def _is_read(query: Any) -> bool:
    return isinstance(query, str) and query.lstrip("(\n ")[:6].upper() == "SELECT"


#: What reads, after comments and parentheses; and what may write within it.
_READING = re.compile(
    r"(?:\s|\(|/\*.*?\*/|--[^\n]*\n)*(?:WITH|VALUES|TABLE|SHOW|EXPLAIN|SELECT)\b",
    re.IGNORECASE | re.DOTALL,
)
_WRITING = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)


def _is_harmless(query: Any) -> bool:
    """Tell whether the statement of a job that was cancelled leaves nothing behind."""
    if _is_read(query):
        return True
    if not isinstance(query, str) or _WRITING.search(query):
        return False
    return _READING.match(query) is not None


class Pipeline(psycopg.Pipeline):
    """A pipeline that ends without a round trip when all has been answered."""

    _conn: Any

    def _communicate_gen(self) -> Any:
        """As in psycopg, which sends each statement by itself.

        While jobs meet, libpq keeps them; it sends when it has 64 KiB of them.
        """
        if self._conn.rendezvous is None:
            yield from super()._communicate_gen()
            return
        while self.command_queue:
            try:
                self.command_queue.popleft()()
            except BaseException:
                # Who queued it is told now; an answer would be given to another one.
                for _ in range(len(self.command_queue) + 1):
                    self.result_queue.pop()
                self.command_queue.clear()
                raise

    def _process_results(self, queued: Any, results: Any) -> None:
        """As in psycopg, which believes that what failed or was skipped is prepared."""
        try:
            super()._process_results(queued, results)
        except errors.Error:
            self._conn._prepared.clear()
            raise

    def _exit_gen(self) -> Any:
        if self.pgconn.status == ConnStatus.BAD:
            # Each job was told already.
            return
        is_aborted = self.pgconn.pipeline_status == PipelineStatus.ABORTED
        if self.command_queue or self.result_queue or is_aborted:
            yield from super()._exit_gen()
