"""Any engine of Django on the event loop: a worker thread for each connection.

Contract: ``ENGINE = "django_async_ext.db.backends.threaded"``, and the engine
itself in ``OPTIONS["engine"]``. SQL, schema, introspection and the rest are that
engine's; calls of its driver run in workers. ``WorkerWrapper`` is what makes a
wrapper do so, ours for SQLite included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import load_backend
from django.utils.module_loading import import_string

from django_async_ext.bridge import in_bridge
from django_async_ext.db.backends.base import LoopDatabaseWrapper
from django_async_ext.db.backends.eager import eager
from django_async_ext.db.backends.pool import Pool
from django_async_ext.db.backends.proxies import ConnectionProxy, CursorProxy
from django_async_ext.db.backends.worker import Worker
from django_async_ext.exceptions import describe

#: What of OPTIONS is not for the driver.
OURS = ("cancel", "engine", "lease", "pool")

#: A database in memory lives in its connection, which must not be replaced.
_FOREVER = 10 * 365 * 24 * 3600.0


class WorkerWrapper(LoopDatabaseWrapper):
    """Comes before a wrapper of Django's whose driver can only block."""

    #: Oracle's has options of another kind.
    is_pool = False
    #: Methods of the driver's connection that wait for nothing.
    driver_calls_in_place: frozenset[str] = frozenset()
    _opener: Worker | None = None

    @property
    def pool(self) -> Any:
        """Django's own pool, for synchronous use only; on the loop there is ours."""
        if self._is_leasing() or self._lease is not None or self._opener is not None:
            return None
        return getattr(super(), "pool", None)

    def get_connection_params(self) -> dict[str, Any]:
        """As in the engine, without the options that are ours."""
        params = super().get_connection_params()
        return {name: value for name, value in params.items() if name not in OURS}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """As in the engine, but in a worker when it is for the event loop.

        That is every one that is opened there, leased or not: a wrapper with settings
        of its own, which creates databases, must not block the loop either.
        """
        open_connection = super().get_new_connection
        if not in_bridge() or self.pool is not None:
            return open_connection(conn_params)
        cancel = self._cancel_option()
        worker, made = Worker(), []
        # Nobody has it yet: whoever is cancelled need not wait for the server.
        worker.limit, self._opener = 0.0, worker
        try:
            worker.call(lambda: made.append(open_connection(conn_params)))
        except BaseException:
            # Cancelled, it may be there all the same.
            worker.stop(lambda: [connection.close() for connection in made])
            raise
        finally:
            self._opener = None
        return self._proxy(made[0], worker, cancel)

    def _cancel_option(self) -> Callable[[Any], object] | None:
        option = self.settings_dict["OPTIONS"].get("cancel", default_cancel)
        return cancel_option(option, self.alias)

    def _proxy(self, driver: Any, worker: Worker, cancel: Any) -> ConnectionProxy:
        worker.interrupt = cancel and partial(cancel, driver)
        connection = ConnectionProxy(driver, worker, self.Database)
        connection.in_place = self.driver_calls_in_place
        if self._is_leasing():
            worker.interrupted = connection.interrupted
        if self._is_in_memory():
            connection.irreplaceable, worker.limit = True, None
        return connection

    def _is_in_memory(self) -> bool:
        is_in_memory: Callable[[], bool] = getattr(self, "is_in_memory_db", bool)
        return is_in_memory()

    def validate_thread_sharing(self) -> None:
        """As in Django, but the worker acts for the thread of its task."""
        worker = self._opener or (self._lease.worker if self._lease else None)
        if worker is None or not worker.is_current():
            super().validate_thread_sharing()

    def create_cursor(self, name: str | None = None) -> Any:
        """As in the engine; a cursor of the server is not asked for rows early."""
        cursor = super().create_cursor(name)
        if name and issubclass(type(cursor), CursorProxy):
            cursor.prefetch = 0
        return cursor

    def lease_cursor(self, cursor: Any, lease: Any) -> Any:
        """Make a cursor of the engine part of ``lease``, and its calls the worker's."""
        if type(cursor) is not CursorProxy:
            cursor = CursorProxy(cursor, lease)
        return super().lease_cursor(cursor, lease)

    def share_cursor(self, cursor: Any) -> Any:
        """Let ``cursor`` wait for its turn, and in SQLite read all rows in it.

        A statement of SQLite runs until its last row is read, and meanwhile others
        can neither open nor end a savepoint.
        """
        if self.vendor == "sqlite":
            eager(cursor)
        return super().share_cursor(cursor)

    def _release(self) -> None:
        if (lease := self._lease) is not None:
            lease.doubtful = self.errors_occurred
            lease.left_in_transaction = not self.autocommit
        super()._release()

    def make_pool(self) -> Pool:
        """Make the loop's pool; a database in memory has one connection."""
        pool = super().make_pool()
        if self._is_in_memory():
            pool.options = replace(
                pool.options,
                min_size=0,
                max_size=1,
                max_idle=_FOREVER,
                max_lifetime=_FOREVER,
            )
        return pool


class DatabaseWrapper(WorkerWrapper):
    """Gives a wrapper of a class of its own for each engine; see the module."""

    def __new__(
        cls, settings_dict: dict[str, Any] | None = None, alias: str = "default"
    ) -> Any:
        """Make a wrapper that is the engine's too, with its features and vendor.

        Without settings it is one that is being copied, and has its class.
        """
        if cls is not DatabaseWrapper:
            return super().__new__(cls)
        assert settings_dict is not None
        return super().__new__(_threaded(wrapped_class(settings_dict, alias)))


@cache
def _threaded(wrapped: Any) -> Any:
    return type("DatabaseWrapper", (DatabaseWrapper, wrapped), {"__doc__": __doc__})


def wrapped_class(settings_dict: dict[str, Any], alias: str) -> Any:
    """Return the wrapper of ``OPTIONS["engine"]``.

    Raises ``ImproperlyConfigured`` for one that is missing, unknown or ours.
    """
    engine = settings_dict["OPTIONS"].get("engine")
    if not engine:
        raise _bad_engine(alias, "is missing")
    try:
        wrapped = load_backend(engine).DatabaseWrapper
    except (AttributeError, TypeError, ImportError, ImproperlyConfigured) as error:
        why = f"is {engine!r}, which cannot be loaded: {error}"
        raise _bad_engine(alias, why) from error
    if issubclass(wrapped, LoopDatabaseWrapper):
        raise _bad_engine(alias, f"is {engine!r}, which runs on the event loop itself")
    return wrapped


def _bad_engine(alias: str, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        describe(
            "threaded-engine",
            f"DATABASES[{alias!r}]['OPTIONS']['engine'] {why}.",
            "It must be the dotted path of the engine that runs in threads, such as "
            "'django.db.backends.oracle'. An engine of django_async_ext.db.backends "
            "is the ENGINE itself.",
        )
    )


#: How drivers name what makes a running statement give up.
CANCEL = ("interrupt", "cancel_safe", "cancel")


def default_cancel(driver: Any) -> None:
    """Make the statement on a connection give up, if its driver can."""
    for name in CANCEL:
        if method := getattr(driver, name, None):
            method()
            return


def cancel_option(option: Any, alias: str) -> Callable[[Any], object] | None:
    """Return what ``OPTIONS["cancel"]`` calls with the driver's connection.

    Raises ``ImproperlyConfigured`` for what cannot be called.
    """
    try:
        cancel = import_string(option) if isinstance(option, str) else option
    except ImportError:
        cancel = option
    if cancel is None or (callable(cancel) and not isinstance(cancel, str)):
        return cancel
    raise ImproperlyConfigured(
        describe(
            "cancel-option",
            f"DATABASES[{alias!r}]['OPTIONS']['cancel'] is {option!r}.",
            "It must be a function that is given the driver's connection and makes "
            "the running statement give up, its dotted path, or None.",
        )
    )
