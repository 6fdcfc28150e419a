"""Django's MySQL and MariaDB engine on the event loop.

Contract: ``ENGINE = "django_async_ext.db.backends.mysql"``. All SQL, schema and
introspection code is Django's; only the connection differs. With PyMySQL it
waits on the loop; with mysqlclient each connection has a worker.
"""

from __future__ import annotations

from typing import Any

from django_async_ext.db.backends import turns
from django_async_ext.db.backends.base import LoopDatabaseWrapper
from django_async_ext.db.backends.mysql.drivers import choose
from django_async_ext.db.backends.mysql.engine import django_mysql


class _StreamingWrapper(django_mysql.DatabaseWrapper):
    """Follows Django: django.db.backends.mysql.base.DatabaseWrapper."""

    def create_cursor(self, name: str | None = None) -> Any:
        """As in Django; a cursor with a name streams its rows."""
        if name is None or self._lease is None:
            return super().create_cursor()
        return django_mysql.CursorWrapper(self.connection.streaming_cursor())


class DatabaseWrapper(LoopDatabaseWrapper, _StreamingWrapper):
    """Django's wrapper, with connections that are leased on the loop."""

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self.driver = choose(settings_dict, alias)

    def get_connection_params(self) -> dict[str, Any]:
        """As in Django, without the options that are ours."""
        params = super().get_connection_params()
        for name in ("pool", "lease", "driver"):
            params.pop(name, None)
        return self.driver.adapt(params)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """As in Django, with a connection of ours."""
        if self._is_leasing():
            return self.driver.connect_on_loop(conn_params)
        return self.driver.connect(conn_params)

    def is_usable(self) -> bool:
        """As in Django, which does not expect the lease to be over."""
        return self.connection is not None and super().is_usable()

    def chunked_cursor(self) -> Any:
        """As in Django; on the loop the rows are streamed, where the driver can."""
        streams = self.driver.STREAMS and self._is_leasing()
        return self._cursor("stream" if streams else None)

    def share_cursor(self, cursor: Any) -> Any:
        """Make another one: an object of Django's class cannot change to a subclass."""
        django_class: Any = type(cursor)
        shared: Any = turns.shared_class(django_class)(cursor.cursor)
        shared.sharer = self
        return shared

    def driver_cursor(self, cursor: Any) -> Any:
        """Return the cursor in Django's."""
        return cursor.cursor
