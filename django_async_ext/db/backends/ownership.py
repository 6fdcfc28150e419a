"""Gives every task its own database wrappers, and every thread outside a loop.

Contract: takes the place of the storage behind ``django.db.connections``. Django
keeps its wrappers in a context variable there, which child tasks inherit, so
that two children would write to one wrapper's savepoint stack. Here a child
gets a wrapper of its own, and ``check()`` refuses one that touches a database
on which the task it came from is in a transaction.

Two transactions are lent rather than refused: that of a thread that waits in
``async_to_sync``, to the task it waits for, and that of a ``TestCase``, to all
that the test starts.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from asyncio import _get_running_loop, current_task
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

from asgiref.sync import SyncToAsync
from django.db import connections

from django_async_ext.bridge import principals
from django_async_ext.db.backends.holders import user_frame
from django_async_ext.exceptions import (
    ConnectionOwnershipError,
    OutsideTransactionWarning,
    describe,
)


class TaskConnections:
    """One namespace a task; outside an event loop one a thread.

    Follows Django: asgiref.local.Local as ``BaseConnectionHandler`` uses it.
    """

    __slots__ = ("_tasks", "_threads")

    def __init__(self) -> None:
        object.__setattr__(self, "_tasks", {})
        object.__setattr__(self, "_threads", threading.local())

    def __getattr__(self, alias: str) -> Any:
        if (lent := _lent(alias)) is not None:
            return lent
        try:
            return self._own()[alias]
        except KeyError:
            return self._of_the_test(alias)

    def __setattr__(self, alias: str, wrapper: Any) -> None:
        self._own()[alias] = wrapper

    def __delattr__(self, alias: str) -> None:
        try:
            del self._own()[alias]
        except KeyError:
            raise AttributeError(alias) from None

    def _of_the_test(self, alias: str) -> Any:
        # A test case entered its transaction before the loop ran in this thread.
        wrapper = self._threads.__dict__.get(alias)
        in_transaction = isinstance(wrapper, TaskOwned) and wrapper.transaction
        if in_transaction and wrapper.is_lent():
            return wrapper
        raise AttributeError(alias)

    def _own(self) -> dict[str, Any]:
        loop = _get_running_loop()
        task = current_task(loop) if loop is not None else None
        if task is None:
            return self._threads.__dict__
        return self._of(task)

    def _of(self, task: asyncio.Task[Any]) -> dict[str, Any]:
        own = self._tasks.get(task)
        if own is None:
            owner = principals.get(task)
            own = self._tasks[task] = {} if owner is None else self._of(owner)
            task.add_done_callback(self._release if owner is None else self._forget)
        return own

    def of_running_task(self) -> Iterable[Any]:
        """Return the wrappers that the running task has made so far."""
        return self._tasks.get(current_task(), {}).values()

    def of_all_tasks(self, alias: str) -> list[Any]:
        """Return the wrappers of ``alias`` that tasks have made so far."""
        return [own[alias] for own in list(self._tasks.values()) if alias in own]

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    def _release(self, task: asyncio.Task[Any]) -> None:
        for wrapper in self._tasks.pop(task, {}).values():
            if isinstance(wrapper, TaskOwned):
                wrapper.release_with_task()

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Lend this thread's transactions to what is started in the block."""
        own = [w for w in self._own().values() if isinstance(w, TaskOwned)]
        lent = [wrapper for wrapper in own if wrapper.transaction is not None]
        token = _ancestors.set(_ancestors.get())
        for wrapper in own:
            # Without a transaction too: what observes its queries observes those.
            announce(wrapper)
        for wrapper in lent:
            wrapper.begin_loan()
        try:
            yield
        finally:
            for wrapper in lent:
                wrapper.end_loan()
            _ancestors.reset(token)

    def forget_closed_loops(self) -> None:
        """Drop the wrappers of tasks whose loop was closed before they ended."""
        closed = [task for task in list(self._tasks) if task.get_loop().is_closed()]
        for task in closed:
            self._release(task)


#: Whether a transaction was ever lent in this process, as in tests: until then
#: nobody has to take turns.
has_lent = False


def note_lending() -> None:
    """Remember that a transaction was lent."""
    global has_lent
    has_lent = True


class TaskOwned:
    """A wrapper that must hear of the end of its task."""

    #: Identity of the open transaction, None outside of one.
    transaction: object | None = None
    #: How many calls its thread waits for that may use it meanwhile.
    loans = 0
    #: What the task of its thread knew before it heard of its transaction.
    announced_over: Ancestor | None = None
    #: Who uses the transaction when, while it is lent; see ``turns``.
    turns: Any = None

    def is_lent(self) -> bool:
        """Tell whether others may use its transaction."""
        raise NotImplementedError

    def begin_loan(self) -> None:
        """Let others use its transaction, until ``end_loan()``."""
        note_lending()
        self.loans += 1

    def end_loan(self) -> None:
        """End what ``begin_loan()`` began."""
        self.loans -= 1

    def release_with_task(self) -> None:
        """Return or close what it holds, without waiting."""
        raise NotImplementedError


class Ancestor(NamedTuple):
    """The wrapper that the code in this context had, and its transaction then."""

    wrapper: Any
    transaction: object | None

    def is_in_transaction(self) -> bool:
        """Tell whether that very transaction is still open."""
        transaction = self.transaction
        return transaction is not None and self.wrapper.transaction is transaction


_ancestors: ContextVar[Mapping[str, Ancestor]] = ContextVar(
    "ancestors", default=MappingProxyType({})
)


def ancestor(alias: str) -> Ancestor | None:
    """Return the wrapper last announced in this context for ``alias``."""
    return _ancestors.get().get(alias)


def _lent(alias: str) -> Any:
    entry = _ancestors.get().get(alias)
    if entry is None or entry.transaction is None:
        return None
    if entry.wrapper.is_lent() and entry.is_in_transaction():
        return entry.wrapper
    return None


def announce(wrapper: Any) -> None:
    """Let child tasks started from now on know ``wrapper`` and its transaction."""
    latest = Ancestor(wrapper, wrapper.transaction)
    _ancestors.set({**_ancestors.get(), wrapper.alias: latest})


def announce_of_thread(wrapper: Any) -> None:
    """Let the task hear of ``wrapper`` that has sent its code to this thread.

    asgiref gives the context back to it: where the block is still open then, the
    task's queries are not in it. Afterwards the context is as it was.
    """
    if not _serves_a_task():
        return
    before = ancestor(wrapper.alias)
    if wrapper.transaction is not None:
        wrapper.announced_over = before
        announce(wrapper)
    elif before is not None and before.wrapper is wrapper:
        others = {k: v for k, v in _ancestors.get().items() if k != wrapper.alias}
        over = wrapper.announced_over
        _ancestors.set(others if over is None else {**others, wrapper.alias: over})


def _serves_a_task() -> bool:
    # Follows asgiref: SyncToAsync.thread_handler().
    loop = getattr(SyncToAsync.threadlocal, "main_event_loop", None)
    return loop is not None and loop.is_running() and _get_running_loop() is None


#: What makes a task where nobody expects one.
_WAIT_FOR = (
    " On Python 3.11 asyncio.wait_for() starts a task: use asyncio.timeout()."
    if sys.version_info < (3, 12)
    else ""
)


def running_task() -> asyncio.Task[Any] | None:
    """Return the task that runs, or the one in whose place it does."""
    task = current_task()
    while task in principals:
        task = principals[task]
    return task


def check(wrapper: Any) -> None:
    """Refuse a task that touches the database of its parent's transaction.

    Raises ``ConnectionOwnershipError``.
    """
    parent = ancestor(wrapper.alias)
    if parent is None or parent.wrapper is wrapper or not parent.is_in_transaction():
        return
    task, owner = current_task(), parent.wrapper.owner
    if owner is None:
        raise ConnectionOwnershipError(_of_thread(wrapper.alias, task))
    raise ConnectionOwnershipError(
        describe(
            "connection-ownership",
            f"Task {task.get_name() if task else None!r} queried database "
            f"{wrapper.alias!r}, on which the task that started it, "
            f"{owner.get_name()!r}, is in a transaction. The query "
            "would run outside that transaction, on another connection.",
            "Run it in the same task, or pass the queries to gather_queries(); work "
            "that is not part of the transaction starts after it (aon_commit)."
            f"{_WAIT_FOR}",
        )
    )


def _of_thread(alias: str, task: asyncio.Task[Any] | None) -> str:
    return describe(
        "connection-ownership",
        f"Task {task.get_name() if task else None!r} queried database {alias!r}, on "
        "which a thread that it works with is in a transaction. The query would run "
        "outside that transaction, on another connection.",
        "Enter the block with `async with aatomic()` instead of in a thread "
        "(sync_to_async), and let tasks that async_to_sync() started end in time.",
    )


def check_user(wrapper: Any) -> None:
    """Refuse a task that was handed the wrapper of another one, unless it is lent.

    Raises ``ConnectionOwnershipError``.
    """
    loop, owner = _get_running_loop(), wrapper.owner
    if loop is None or owner is None or current_task(loop) is owner:
        return
    if (task := running_task()) is not owner and not wrapper.is_lent():
        raise ConnectionOwnershipError(
            describe(
                "connection-of-another-task",
                f"Task {task.get_name() if task else None!r} used a connection object "
                f"of database {wrapper.alias!r} that belongs to task "
                f"{owner.get_name()!r}: its statements would become part of what that "
                "one does.",
                "Take the task's own from django.db.connections instead of passing "
                "the object, or run the work in one task.",
            )
        )


def warn_outside(wrapper: Any) -> None:
    """Warn of a thread that queries outside the transaction of its task.

    Gives ``OutsideTransactionWarning`` for the line of the project that queried.
    """
    parent = ancestor(wrapper.alias)
    if parent is None or parent.wrapper is wrapper or not parent.is_in_transaction():
        return
    line = user_frame(sys._getframe(1))
    message = describe(
        "outside-transaction",
        f"A thread queried database {wrapper.alias!r} on a connection of its own, "
        "while the task that sent it there is in a transaction: the query is not "
        "part of it.",
        "Call the function as `await on_loop(fn)(...)`, which stays in the task, or "
        "do it before or after the transaction.",
    )
    warnings.warn_explicit(
        message, OutsideTransactionWarning, line.f_code.co_filename, line.f_lineno
    )


@contextmanager
def lend() -> Iterator[None]:
    """Lend this thread's transactions to what is started in the block."""
    with _storage().lend():
        yield


def _storage() -> TaskConnections:
    install()
    return connections._connections  # type: ignore[attr-defined,no-any-return]


def install() -> None:
    """Put ``TaskConnections`` behind ``django.db.connections``, once."""
    before = connections._connections
    if isinstance(before, TaskConnections):
        return
    connections._connections = TaskConnections()
    for alias in connections.settings:
        if hasattr(before, alias):
            setattr(connections._connections, alias, getattr(before, alias))


_before_fork: list[object] = []


def _after_fork() -> None:
    if isinstance(connections._connections, TaskConnections):
        # Kept, never finalised: the sockets belong to the parent process.
        _before_fork.append(connections._connections._tasks)
        object.__setattr__(connections._connections, "_tasks", {})
    # No transaction of the parent's is the child's to wait for.
    _ancestors.set(MappingProxyType({}))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
