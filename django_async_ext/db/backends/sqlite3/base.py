"""Django's SQLite engine on the event loop: a worker thread per connection.

Contract: ``ENGINE = "django_async_ext.db.backends.sqlite3"``. All SQL, schema
and introspection code is Django's; calls of the driver run in workers.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import cache
from typing import Any

from django.db.backends.sqlite3 import base as django_sqlite3

from django_async_ext.db.backends.base import LoopDatabaseWrapper
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.pool import Pool
from django_async_ext.db.backends.worker import InPlace, Worker, WorkerCursor

#: An in-memory database lives in its connection, which must not be replaced.
_FOREVER = 10 * 365 * 24 * 3600.0


class WorkerConnection(Leasable, sqlite3.Connection):
    """A connection of SQLite whose statements run in its worker."""

    cursor_mixin = WorkerCursor
    worker: InPlace = InPlace()
    in_memory = False
    transaction_mode: str | None = None

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute in the worker."""
        return self.worker.call(super().execute, *args, **kwargs)

    def commit(self) -> None:
        """Commit in the worker."""
        self.worker.call(super().commit)

    def rollback(self) -> None:
        """Roll back in the worker."""
        self.worker.call(super().rollback)

    def close(self) -> None:
        """Close in the worker."""
        self.worker.call(super().close)

    def is_clean(self) -> bool:
        """Tell whether it is in no transaction."""
        if self.in_memory and self.in_transaction:
            super().rollback()
            self.isolation_level = None
        return not self.in_transaction

    def is_alive(self) -> bool:
        """There is no server to lose."""
        return True

    def interrupted(self, error: BaseException) -> None:
        """Doom the transaction: SQLite ends it when a statement that writes fails."""
        if self.lessee is not None:
            self.lessee.doom(error)

    def terminate(self) -> None:
        """Close in the worker and end it."""
        self.worker.stop(super().close)


class DatabaseWrapper(LoopDatabaseWrapper, django_sqlite3.DatabaseWrapper):
    """Follows Django: django.db.backends.sqlite3.base.DatabaseWrapper."""

    def get_connection_params(self) -> dict[str, Any]:
        """As in Django, without the options that are ours."""
        params = super().get_connection_params()
        params.pop("pool", None)
        params.pop("lease", None)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """As in Django, but in a worker when it is for the event loop."""
        if not self._is_leasing():
            return super().get_new_connection(conn_params)
        worker, made = Worker(), []
        factory = _factory(conn_params.get("factory", sqlite3.Connection))
        get_new_connection = super().get_new_connection

        def get() -> None:
            made.append(get_new_connection({**conn_params, "factory": factory}))

        try:
            worker.call(get)
        except BaseException:
            # Cancelled, it may be there all the same.
            worker.stop(lambda: [connection.close() for connection in made])
            raise
        [connection] = made
        connection.worker, connection.in_memory = worker, self.is_in_memory_db()
        connection.transaction_mode = getattr(self, "transaction_mode", None)
        worker.interrupt = connection.interrupt
        worker.interrupted = connection.interrupted
        return connection

    def _reuse(self, connection: Any) -> None:
        super()._reuse(connection)
        # Django sets it when it opens a connection; this wrapper opened none.
        self.transaction_mode = connection.transaction_mode

    def make_pool(self) -> Pool:
        """Make the loop's pool; an in-memory database has one connection."""
        pool = super().make_pool()
        if self.is_in_memory_db():
            pool.options = replace(
                pool.options,
                min_size=0,
                max_size=1,
                max_idle=_FOREVER,
                max_lifetime=_FOREVER,
            )
        return pool


@cache
def _factory(base: type[sqlite3.Connection]) -> type[sqlite3.Connection]:
    if base is sqlite3.Connection:
        return WorkerConnection
    return type(f"Worker{base.__name__}", (WorkerConnection, base), {})
