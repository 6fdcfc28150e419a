"""Django's SQLite engine on the event loop: a worker thread per connection.

Contract: ``ENGINE = "django_async_ext.db.backends.sqlite3"``. All SQL, schema
and introspection code is Django's; calls of the driver run in workers.
"""

from __future__ import annotations

from django.db.backends.sqlite3 import base as django_sqlite3

from django_async_ext.db.backends.threaded.base import WorkerWrapper


class DatabaseWrapper(WorkerWrapper, django_sqlite3.DatabaseWrapper):
    """Follows Django: django.db.backends.sqlite3.base.DatabaseWrapper."""

    #: There is no server that keeps a session, and PRAGMAs cannot be undone.
    reset_session_sql = ""
    driver_calls_in_place = frozenset({"getlimit"})
