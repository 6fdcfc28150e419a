"""What makes a Django database wrapper at home on the event loop.

Contract: ``LoopDatabaseWrapper`` comes before Django's wrapper in the bases. It
belongs to one task, tells that task's children of its transaction, and ends
transactions whole whatever is cancelled. It never waits itself: that is the
business of the connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db.utils import Error, InternalError

from django_async_ext import conf
from django_async_ext.bridge import shielded
from django_async_ext.db.backends import endings, ownership, registry, turns
from django_async_ext.db.backends.guard import install as install_guard
from django_async_ext.db.backends.idle import IdleWatch
from django_async_ext.db.backends.leasable import Leasable
from django_async_ext.db.backends.leases import LeasingWrapper
from django_async_ext.db.backends.rendezvous import leave_meeting, note_use
from django_async_ext.exceptions import UnknownOutcomeError


class LoopDatabaseWrapper(LeasingWrapper):
    """Follows Django: BaseDatabaseWrapper; see the module."""

    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        ownership.install()
        turns.install()
        install_guard()
        super().__init__(settings_dict, alias)
        if self._shares_pool and asyncio._get_running_loop() is not None:
            self._join_task()

    def _join_task(self) -> None:
        self.owner = ownership.running_task()
        # Or each task would ask MySQL for its version before its first statement.
        self.learn(registry.known_state(self.alias, self.settings_dict["NAME"]))
        parent = ownership.ancestor(self.alias)
        if parent is not None:
            # What observes the parent's queries observes its children's.
            self.queries_log = parent.wrapper.queries_log
            self.force_debug_cursor = parent.wrapper.force_debug_cursor
            self.execute_wrappers = list(parent.wrapper.execute_wrappers)
        if parent is None or not parent.is_in_transaction():
            ownership.announce(self)

    def is_lent(self) -> bool:
        """Tell whether others may use the transaction: a TestCase's always."""
        return self.loans > 0 or self._is_of_a_test()

    def _is_of_a_test(self) -> bool:
        blocks = self.atomic_blocks
        return bool(blocks and blocks[0]._from_testcase)

    def begin_loan(self) -> None:
        """Let others use its transaction; what interrupts them dooms it."""
        super().begin_loan()
        self._name_lessee(self)

    def end_loan(self) -> None:
        """End what ``begin_loan()`` began."""
        super().end_loan()
        if not self.loans:
            self._name_lessee(None)

    def _name_lessee(self, lessee: LoopDatabaseWrapper | None) -> None:
        if self._lease is None and isinstance(self.connection, Leasable):
            self.connection.lessee = lessee

    def validate_thread_sharing(self) -> None:
        """As in Django, and of tasks as of threads; what is lent may be used in any."""
        if self._thread_ident != threading.get_ident() and not self.is_lent():
            super().validate_thread_sharing()
        ownership.check_user(self)

    def is_borrowed(self) -> bool:
        """Tell whether the calling code uses a transaction that was lent to it."""
        if not self.is_lent():
            return False
        loop = asyncio._get_running_loop()
        if self.owner is not None:
            return loop is None or ownership.running_task() is not self.owner
        return loop is not None or self._thread_ident != threading.get_ident()

    def close(self) -> None:
        """As in Django, but what is borrowed is another's to close."""
        if not self.is_borrowed():
            super().close()

    def close_if_unusable_or_obsolete(self) -> None:
        """As in Django, at the end of a request; one of a test ends no test.

        Nor does Channels' ``database_sync_to_async()``, in whichever thread it is.
        """
        if not (self._is_of_a_test() or self.is_borrowed()):
            super().close_if_unusable_or_obsolete()

    def create_cursor(self, name: str | None = None) -> Any:
        """As in Django; a lent transaction is used by one after the other."""
        cursor = super().create_cursor(name)
        return self.share_cursor(cursor) if self.is_lent() else cursor

    def share_cursor(self, cursor: Any) -> Any:
        """Let ``cursor`` wait for its turn with each statement."""
        return turns.shared(cursor, self)

    # Transactions

    @property
    def in_atomic_block(self) -> bool:
        """As in Django; setting it tells child tasks of the transaction."""
        return self.transaction is not None

    @in_atomic_block.setter
    def in_atomic_block(self, value: bool) -> None:
        if value != self.in_atomic_block:
            self.transaction = object() if value else None
            if self.owner is not None:
                ownership.announce(self)
                self._watch_idleness(value)
            elif self._shares_pool:
                ownership.announce_of_thread(self)

    def _watch_idleness(self, begins: bool) -> None:
        watch, self._idle_watch = self._idle_watch, None
        if watch is not None:
            watch.stop()
        if begins and (limit := conf.get("IDLE_IN_TRANSACTION")) is not None:
            self._idle_watch = IdleWatch(self, limit)

    def get_autocommit(self) -> bool:
        """As in Django, without a lease only to tell the default."""
        if self._lease is not None:
            return self.autocommit
        by_default = bool(self.settings_dict["AUTOCOMMIT"])
        if self.connection is None and by_default and self._is_leasing():
            return True
        # Without autocommit it has to connect: that resets the wrapper.
        return super().get_autocommit()

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """As in Django; the end of a transaction ends the lease."""
        if (
            autocommit
            and self.connection is None
            and self._is_leasing()
            and self.settings_dict["AUTOCOMMIT"]
        ):
            # The connection was lost: another one is not needed to know that.
            self.validate_no_atomic_block()
            self.autocommit = True
            return
        if not autocommit:
            # Other jobs' statements must not become part of the transaction.
            leave_meeting("a transaction")
        self._holds += 1
        try:
            super().set_autocommit(autocommit, *args, **kwargs)
        except asyncio.CancelledError:
            if not autocommit and hasattr(self, "_start_transaction_under_autocommit"):
                # BEGIN may have happened, and whoever holds the connection goes on.
                self._rollback()
            raise
        finally:
            self._holds -= 1
            self.release_if_free()

    def _set_autocommit(self, autocommit: bool) -> None:
        # On MySQL it is a statement. At the end of a transaction an interruption
        # would take the hooks of what was committed with it.
        try:
            with shielded() if autocommit else nullcontext():
                super()._set_autocommit(autocommit)
        except asyncio.CancelledError:
            with shielded():
                super()._set_autocommit(True)
            raise

    def _commit(self) -> None:
        lease = self._lease
        if lease is None:
            return super()._commit()
        if lease.is_aborted():
            # The server answers COMMIT with ROLLBACK, which Django takes for success.
            text = endings.nothing_to_commit(self.alias)
            if self.run_on_commit:
                raise InternalError(text)
            endings.logger.error(text)
        may_happen = lease.is_alive()
        try:
            # Interrupted, nobody would know whether it happened.
            with shielded():
                super()._commit()
        except Error as error:
            if may_happen and lease.is_lost_with(error):
                raise UnknownOutcomeError(endings.unknown(self.alias)) from error
            raise

    def _rollback(self) -> None:
        try:
            with shielded():
                super()._rollback()
        except Error:
            # Who handles it goes on with another connection, as Django's blocks do.
            self.lose_hold()
            raise

    def _savepoint_commit(self, sid: str) -> None:
        leave_meeting("the end of a savepoint")
        with shielded():
            super()._savepoint_commit(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        leave_meeting("the end of a savepoint")
        with shielded():
            super()._savepoint_rollback(sid)

    def on_commit(self, func: Any, robust: bool = False) -> None:
        """As in Django; refused where a query would be outside the transaction."""
        if self._shares_pool and not self.in_atomic_block:
            outside = ownership.warn_outside if self.owner is None else ownership.check
            outside(self)
        note_use(self, writes=True)
        super().on_commit(func, robust)

    def run_and_clear_commit_hooks(self) -> None:
        """As in Django, but all of them run, also when the task is cancelled.

        They hold no connection: a slow one must not empty the pool.
        """
        holds, self._holds = self._holds, max(self._holds - 1, 0)
        self.release_if_free()
        try:
            with shielded():
                super().run_and_clear_commit_hooks()
        finally:
            self._holds = holds

    def set_rollback(self, rollback: bool) -> None:
        """As in Django, and remember that it was asked for."""
        asked: Any = rollback and endings.ON_REQUEST
        super().set_rollback(asked)

    def get_rollback(self) -> bool:
        """As in Django."""
        return bool(super().get_rollback())

    def validate_no_broken_transaction(self) -> None:
        """As in Django; a block left elsewhere stays broken whatever ends in it."""
        if self.lost is not None and self.lost[0] is self.transaction:
            self.needs_rollback = True
        super().validate_no_broken_transaction()

    def doom(self, error: BaseException) -> None:
        """Let the block roll back in which ``error`` interrupted a statement.

        Nobody knows what became of the statement, and the server may have rolled
        back already: then COMMIT would commit nothing, and yet the hooks would run.
        """
        if self.in_atomic_block:
            self.needs_rollback, self.rollback_exc = True, error

    def lose_block(self, block: Any, error: Exception) -> None:
        """Roll back what another task has left; tell its own task at its next query.

        While that is inside another block, or at work, it is only doomed.
        """
        self.doom(error)
        self.lost = self.transaction, block, error
        self.end_lost()

    def end_lost(self) -> None:
        """End the transaction that ``lose_block()`` has doomed, if it can be."""
        assert self.lost is not None
        transaction, block, error = self.lost
        if self.transaction is not transaction:
            self.lost = None
        elif self.atomic_blocks == [block] and self._is_idle_here():
            self.lost, self.untold = None, error
            self.atomic_blocks, self.run_on_commit = [], []
            self._end_unfinished()

    def _is_idle_here(self) -> bool:
        if self._lease is None or self._holds or self.is_busy():
            return False
        return self._lease.home.loop is asyncio._get_running_loop()

    def release_with_task(self) -> None:
        """Return the connection, or close it if a transaction is open."""
        if self.owner is not None and (self.atomic_blocks or self.untold):
            name = self.owner.get_name()
            endings.logger.error(endings.unfinished(self.alias, name))
        if self._holds and self._lease is not None:
            # Of a generator that is closed after its task.
            self._mark(self._lease)
        self._holds = 0
        self._held = None
        self.owner = None
        if self._lease is None and self.connection is not None:
            # Opened outside the bridge, as DJANGO_ALLOW_ASYNC_UNSAFE permits.
            super()._close()
        self._end_unfinished()

    def _end_unfinished(self) -> None:
        # Or children that outlive the task would wait for its transaction's end.
        self.transaction = None
        self._watch_idleness(False)
        # The pool closes what is in a transaction: nobody can roll back here.
        self._release()

    # Several jobs on one connection

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        """Let the block's statements share round trips, where the engine can."""
        yield

    def _savepoint(self, sid: str) -> None:
        # Two jobs must not nest their savepoints into each other's.
        leave_meeting("a savepoint")
        # A transaction that is lost meanwhile ends after the block that begins.
        self._holds += 1
        try:
            super()._savepoint(sid)
        finally:
            self._holds -= 1
