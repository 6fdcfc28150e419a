"""The lease: how a database wrapper gets its connection from the pool, and when.

Contract: inside the bridge a wrapper takes a connection of the loop's pool when
it needs one, and returns it with the last open cursor unless a transaction, a
hold or the task keeps it. Elsewhere it owns its connection, as in Django.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.utils import OperationalError

from django_async_ext.bridge import in_bridge, run
from django_async_ext.db.backends import ownership
from django_async_ext.db.backends.cursors import leased
from django_async_ext.db.backends.guard import unguarded
from django_async_ext.db.backends.idle import IdleWatch
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.options import PoolOptions
from django_async_ext.db.backends.pool import Pool
from django_async_ext.db.backends.registry import close_pools, pool_for
from django_async_ext.db.backends.rendezvous import Rendezvous, note_use
from django_async_ext.exceptions import describe

LEASES = ("statement", "task")

#: Seconds for which CONN_HEALTH_CHECKS believes a connection that just worked.
TRUSTED_FOR = 1.0


#: Stands for a connection that was held and is lost.
_LOST = object()

#: Attributes of every wrapper, which are about its use and not its connection.
_DJANGOS = frozenset(BaseDatabaseWrapper.__init__.__code__.co_names)


class LeasingWrapper(ownership.TaskOwned, BaseDatabaseWrapper):
    """Follows Django: BaseDatabaseWrapper; see the module."""

    owner: asyncio.Task[Any] | None = None
    #: Where the jobs of gather_queries() meet, while they share a connection.
    rendezvous: Rendezvous | None = None
    _lease: Leasable | None = None
    _holds = 0
    #: The connection that ``begin_hold()`` keeps.
    _held: Any = None
    #: What its task must hear of before it may have a connection again.
    untold: Exception | None = None
    #: A transaction, a block of it that was left in another task, and why it is lost.
    lost: tuple[object, Any, Exception] | None = None
    #: Attributes that the engine sets as it opens a connection (Oracle's operators,
    #: SQLite's transaction mode), and that must go with the connection.
    _set_by_opening: frozenset[str] = frozenset()
    _idle_watch: IdleWatch | None = None

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        super().__init__(settings_dict, alias)
        self._lease_per_task = self._read_lease_option() == "task"
        self._shares_pool = settings_dict is connections.settings.get(alias)

    def _read_lease_option(self) -> str:
        lease = self.settings_dict["OPTIONS"].get("lease", LEASES[0])
        if lease not in LEASES:
            raise ImproperlyConfigured(
                describe(
                    "lease-option",
                    f"DATABASES[{self.alias!r}]['OPTIONS']['lease'] is {lease!r}.",
                    "It must be 'statement', to return the connection after each "
                    "statement outside transactions, or 'task', to keep it until "
                    "the task ends.",
                )
            )
        return lease

    def is_busy(self) -> bool:
        """Tell whether a statement runs, or its rows are being read."""
        return self._lease is not None and bool(self._lease.open_cursors)

    def connect(self) -> None:
        """As in Django, but inside the bridge take a connection of the pool."""
        if not self._is_leasing():
            return super().connect()
        ownership.check(self)
        if (untold := self.untold) is not None:
            self.untold = None
            raise untold.with_traceback(None)
        if self._held is _LOST:
            raise _hold_lost(self.alias)
        if self._lease is not None:
            self._release()
        pool = pool_for(self)
        connection = self._take(pool)
        if connection is None:
            connection = self._open(pool)
        connection.lessee, connection.task = self, ownership.running_task()
        connection.since = monotonic()
        self._lease = connection

    def _take(self, pool: Pool) -> Leasable | None:
        while (connection := pool.take()) is not None:
            try:
                if self._is_healthy(connection):
                    self._reuse(connection)
                    return connection
            except BaseException:
                self.connection = None
                pool.drop(connection)
                raise
            pool.drop(connection)
        return None

    def _is_healthy(self, connection: Leasable) -> bool:
        check = connection.home.options.check
        if check is not None:
            try:
                check(connection)
            except self.Database.Error:
                return False
            return True
        if not connection.doubtful:
            if not self.settings_dict["CONN_HEALTH_CHECKS"]:
                return True
            if monotonic() - connection.idle_since < TRUSTED_FOR:
                return True
        connection.doubtful = False
        self.connection = connection
        try:
            return self.is_usable()
        finally:
            self.connection = None

    def _is_leasing(self) -> bool:
        # A wrapper with settings of its own (the one that creates databases,
        # a copy in a test) has a connection of its own, as in Django.
        return self._shares_pool and in_bridge()

    def _open(self, pool: Pool) -> Leasable:
        try:
            self._connect_anew()
        except BaseException:
            if self.connection is not None:
                self.connection.terminate()
                self.connection = None
            pool.forget()
            raise
        pool.add(self.connection)
        return self.connection

    def _connect_anew(self) -> None:
        before = dict(vars(self))
        super().connect()
        self._set_by_opening |= {
            name
            for name, value in vars(self).items()
            if not (name in before and before[name] is value) and _is_engines(name)
        }
        state = vars(self)
        self.connection.wrapper_state = {n: state[n] for n in self._set_by_opening}

    def learn(self, state: Mapping[str, Any]) -> None:
        """Take over what opening a connection left on another wrapper."""
        if not state.keys() <= self._set_by_opening:
            self._set_by_opening |= state.keys()
        vars(self).update(state)

    def _reuse(self, connection: Leasable) -> None:
        # Follows Django: BaseDatabaseWrapper.connect(), less what the first
        # lessee of the connection did to it.
        self.connection = connection
        self.learn(connection.wrapper_state)
        self.in_atomic_block = False
        self.savepoint_ids = []
        self.atomic_blocks = []
        self.needs_rollback = False
        self.closed_in_transaction = False
        self.errors_occurred = False
        self.health_check_done = True
        self.run_on_commit = []
        self.autocommit = True
        if not self.settings_dict["AUTOCOMMIT"]:
            super().set_autocommit(False)

    def cursor(self) -> Any:
        """As in Django."""
        return unguarded(super().cursor)()

    def ensure_connection(self) -> None:
        """As in Django."""
        unguarded(super().ensure_connection)()

    def close_if_health_check_failed(self) -> None:
        """As in Django; a connection that is leased was looked at when it was taken."""
        if self.connection is not None:
            super().close_if_health_check_failed()

    def _cursor(self, name: str | None = None) -> Any:
        if self.owner is None and self._shares_pool:
            ownership.warn_outside(self)
        if self.in_atomic_block:
            note_use(self)
        # Code that hooks into it may use a cursor of its own on the way.
        self._holds += 1
        try:
            return super()._cursor(name)
        finally:
            self._holds -= 1
            self.release_if_free()

    def create_cursor(self, name: str | None = None) -> Any:
        """As in Django; the lease lasts until the cursor is closed."""
        if name and self.rendezvous is not None:
            self.rendezvous.wait_alone("a server-side cursor")
        cursor = unguarded(super().create_cursor)(name)
        return cursor if self._lease is None else self.lease_cursor(cursor, self._lease)

    def lease_cursor(self, cursor: Any, lease: Any) -> Any:
        """Make a cursor of the engine part of ``lease``."""
        leased(self.driver_cursor(cursor), lease)
        return cursor

    def driver_cursor(self, cursor: Any) -> Any:
        """Return the driver's cursor in what Django's engine made."""
        return cursor

    def release_if_free(self) -> None:
        """End the lease, unless a cursor, a transaction or a hold needs it."""
        lease = self._lease
        if lease is None or lease.open_cursors:
            return
        if self._idle_watch is not None:
            self._idle_watch.idle_since = monotonic()
        if self.lost is not None:
            self.end_lost()
        if not self.keeps_connection():
            self._release()

    def end_lost(self) -> None:
        """End the transaction of ``lost``, if nothing is at work in it."""
        raise NotImplementedError

    @property
    def is_kept(self) -> bool:
        """Tell whether its task has one connection from its first query to its end."""
        return self._lease_per_task and self._shares_pool

    @property
    def is_in_transaction(self) -> bool:
        """Tell whether a statement is part of a transaction, of atomic() or by hand."""
        if self.in_atomic_block:
            return True
        if self._lease is not None:
            return not self.autocommit
        return not self.settings_dict["AUTOCOMMIT"]

    def keeps_connection(self) -> bool:
        """Tell whether the lease outlasts the statement."""
        return self.is_in_transaction or self._holds > 0 or self._lease_per_task

    def _release(self) -> None:
        lease, self._lease = self._lease, None
        self.connection = None
        if lease is not None:
            if self._lease_per_task:
                self._mark(lease)
            lease.home.put(lease)

    def _close(self) -> None:
        if self._lease is None:
            return super()._close()
        lease, self._lease = self._lease, None
        lease.home.drop(lease)

    def close_if_unusable_or_obsolete(self) -> None:
        """As in Django; a lease that nothing needs ends, without waiting."""
        if self._lease is None:
            super().close_if_unusable_or_obsolete()
        else:
            self.release_if_free()

    # Session state

    #: SQL that undoes what a session changed, None where there is no such thing.
    reset_session_sql: str | None = None

    def _mark(self, lease: Any) -> None:
        """Have the pool undo what the session of ``lease`` changed, or close it."""
        lease.reset_sql = self.reset_session_sql
        lease.spent = self.reset_session_sql is None

    def begin_hold(self) -> None:
        """Keep the connection from here to ``end_hold()``."""
        self.ensure_connection()
        self._holds += 1
        self._held = self._lease

    def lose_hold(self) -> None:
        """Refuse to go on with another connection until ``end_hold()``."""
        if self._held is not None:
            self._held = _LOST

    def end_hold(self, reset: bool = True) -> None:
        """End a hold, by default with what it changed: the pool resets the session."""
        self._holds = max(self._holds - 1, 0)
        if not self._holds:
            self._held = None
        if self._lease is not None:
            if reset:
                self._mark(self._lease)
            self.release_if_free()

    # Pools

    @property
    def pool_size(self) -> int:
        """How many connections the running loop's pool may have."""
        return pool_for(self).options.max_size

    def make_pool(self) -> Pool:
        """Make the pool of this database for the running loop."""
        options = PoolOptions.parse(
            self.settings_dict["OPTIONS"].get("pool"), self.alias
        )
        return Pool(self.alias, options, open=self._open_spare, reset=self._reset_spare)

    async def _open_spare(self) -> Leasable:
        spare = type(self)(self.settings_dict, self.alias)
        try:
            await run(spare._connect_anew)
        except BaseException:
            if spare.connection is not None:
                spare.connection.terminate()
            raise
        return spare.connection

    async def _reset_spare(self, connection: Leasable) -> None:
        spare = type(self)(self.settings_dict, self.alias)
        spare.connection, spare.autocommit = connection, True
        # Receivers may ask for the connection by its alias.
        connections[self.alias] = spare
        try:
            await run(spare.reset_connection)
        finally:
            del connections[self.alias]

    def reset_connection(self) -> None:
        """Make the connection of this wrapper like new, in the pool's task."""
        if self.connection.reset_sql:
            with self.cursor() as cursor:
                cursor.execute(self.connection.reset_sql)
            # As for a new session: the receivers' settings were undone as well.
            self.init_connection_state()
            connection_created.send(sender=type(self), connection=self)
        if reset := self.connection.home.options.reset:
            reset(self.connection)

    def close_pool(self) -> None:
        """Close the pools of this database, Django's and the loop's."""
        close_pools(self.alias)
        parent = super()
        if hasattr(parent, "close_pool"):
            parent.close_pool()


def _hold_lost(alias: str) -> OperationalError:
    return OperationalError(
        describe(
            "hold-lost",
            f"The connection that was held to database {alias!r} was lost in a "
            "transaction, and with it what its session had: locks, temporary tables, "
            "settings.",
            "Leave the block of hold_connection(), and enter another one.",
        )
    )


def _is_engines(name: str) -> bool:
    return name not in _DJANGOS and not hasattr(LeasingWrapper, name)
