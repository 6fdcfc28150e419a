"""Django's PostgreSQL engine on the event loop.

Contract: ``ENGINE = "django_async_ext.db.backends.postgresql"``. All SQL,
schema and introspection code is Django's; only the connection differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_async_ext.exceptions import describe

try:
    import psycopg
except ImportError as error:
    raise ImproperlyConfigured(
        describe(
            "missing-extra",
            "django_async_ext.db.backends.postgresql needs psycopg 3, which cannot "
            f"be imported: {error}.",
            "Install it with: pip install 'django-async-ext[postgresql]'.",
        )
    ) from error

from django.db.backends.postgresql import base as django_postgresql

from django_async_ext.db.backends.base import LoopDatabaseWrapper
from django_async_ext.db.backends.postgresql import driver
from django_async_ext.db.backends.rendezvous import Rendezvous

#: When the system gives up a network that is silent: after a minute, where libpq's
#: defaults mean hours, in which a COMMIT could not even be cancelled.
DEAD_AFTER = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


class DatabaseWrapper(LoopDatabaseWrapper, django_postgresql.DatabaseWrapper):
    """Follows Django: django.db.backends.postgresql.base.DatabaseWrapper."""

    Database = driver
    reset_session_sql = "DISCARD ALL"

    @property
    def pool(self) -> Any:
        """Django's pool of psycopg_pool, for synchronous use only."""
        pool = None if self._is_leasing() or self._lease else super().pool
        if pool is not None and pool.connection_class is psycopg.Connection:
            # The loop may be lent the thread's transaction, and must not block then.
            pool.connection_class = driver.Connection
        return pool

    def get_connection_params(self) -> dict[str, Any]:
        """As in Django, without the option that is ours; on the loop with limits."""
        params = super().get_connection_params()
        params.pop("lease", None)
        # A service file may have limits of its own.
        if self._is_leasing() and "service" not in params:
            params = DEAD_AFTER | params
        return params

    def _reuse(self, connection: Any) -> None:
        super()._reuse(connection)
        default = django_postgresql.IsolationLevel.READ_COMMITTED
        self.isolation_level = connection.isolation_level or default

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Put the connection into libpq's pipeline mode for the block."""
        if self.rendezvous is not None:
            # The jobs of a gather_queries() in a job join the meeting of that one.
            yield
            return
        self.begin_hold()
        connection = self.connection
        try:
            if self._lease is None:
                # Lent by a thread: its cursors are not ours.
                yield
                return
            with self.wrap_database_errors, connection.shared_pipeline():
                flush, send = connection.flush_pipeline, connection.send_pipeline
                self.rendezvous = Rendezvous(flush, send)
                connection.rendezvous = self.rendezvous
                yield
        finally:
            self.rendezvous = connection.rendezvous = None
            self.end_hold(reset=False)
