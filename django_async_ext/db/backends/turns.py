"""Lets those who share one transaction take turns.

Contract: a lent transaction (see ``ownership``) is used by many tasks and
threads. Each statement has it alone, and each atomic block with all that is
started inside it; others wait for their turn, on the loop or in their thread.
Interleaved, savepoints would be released and rolled back for one another.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import Any

from django.db import connections, transaction
from django.db.transaction import Atomic
from django.db.utils import DEFAULT_DB_ALIAS, OperationalError

from django_async_ext.db.backends import ownership
from django_async_ext.db.backends.holders import task_line
from django_async_ext.db.backends.options import PoolOptions
from django_async_ext.exceptions import describe
from django_async_ext.locks import Lock

_stock_enter = Atomic.__enter__
_stock_exit = Atomic.__exit__


class Turn:
    """A shared transaction: one user at a time."""

    def __init__(self) -> None:
        self.ended = False
        self._lock = Lock()
        self._user: object = None

    def acquire(self, wrapper: Any) -> bool:
        """Wait until it is free; tell whether the caller had it already."""
        user = _user()
        if self._user == user:
            return True
        timeout = _timeout(wrapper)
        if not self._lock.acquire(timeout):
            raise _no_turn(wrapper, self._user, timeout)
        self._user = user
        return False

    def release(self) -> None:
        """Let the next one have it."""
        self._user = None
        self._lock.release()


class BlockTurn(Turn):
    """An atomic block in a shared transaction: one user at a time."""

    def __init__(self, parent: Turn, atomic: Atomic) -> None:
        super().__init__()
        self.parent = parent
        self.atomic = atomic


class Turns:
    """The turns of one transaction of one wrapper."""

    def __init__(self, wrapper: Any) -> None:
        self.transaction = wrapper.transaction
        self.root = Turn()
        #: The atomic blocks that are open, the innermost last.
        self.blocks: list[BlockTurn] = []

    def innermost(self, alias: str) -> Turn:
        """Return the innermost open block in which the calling code is."""
        turn = _inside.get().get(alias)
        while isinstance(turn, BlockTurn):
            if turn in self.blocks:
                return turn
            turn = turn.parent
        return self.root


_inside: ContextVar[Mapping[str, Turn]] = ContextVar(
    "inside", default=MappingProxyType({})
)


def turns_of(wrapper: Any) -> Turns:
    """Return the turns of the transaction in which ``wrapper`` is."""
    turns: Turns | None = wrapper.turns
    if turns is None or turns.transaction is not wrapper.transaction:
        turns = wrapper.turns = Turns(wrapper)
    return turns


def _go_inside(alias: str, turn: Turn) -> None:
    _inside.set({**_inside.get(), alias: turn})


class SharedCursor:
    """Mixed into the cursors of a lent transaction; has no slots of its own."""

    __slots__ = ()

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute when it is the caller's turn."""
        with _statement(_sharer(self)):
            return super().execute(*args, **kwargs)  # type: ignore[misc]

    def executemany(self, *args: Any, **kwargs: Any) -> Any:
        """Execute many, in one turn."""
        with _statement(_sharer(self)):
            return super().executemany(*args, **kwargs)  # type: ignore[misc]


@contextmanager
def _statement(wrapper: Any) -> Iterator[None]:
    if wrapper.transaction is None or wrapper.rendezvous is not None:
        # The jobs of one gather_queries() stop and go on together.
        yield
        return
    turn = _take(wrapper, turns_of(wrapper))
    try:
        yield
    finally:
        if turn is not None:
            turn.release()


def _take(wrapper: Any, turns: Turns) -> Turn | None:
    while True:
        turn = turns.innermost(wrapper.alias)
        if turn.acquire(wrapper):
            return None
        if not turn.ended:
            return turn
        # The block has ended meanwhile.
        turn.release()


def shared(cursor: Any, wrapper: Any) -> Any:
    """Let ``cursor``, just created, wait for its turn with each statement."""
    # Not by assignment: a proxy would give the class to what it stands for.
    driver_class: Any = type(cursor)
    vars(object)["__class__"].__set__(cursor, shared_class(driver_class))
    _holder(cursor).sharer = wrapper
    return cursor


def _holder(cursor: Any) -> Any:
    # psycopg's own cursors take no attributes; sqlite3's connections take none.
    has_room = hasattr(type(cursor), "sharer") or hasattr(cursor, "__dict__")
    return cursor if has_room else cursor.connection


def _sharer(cursor: Any) -> Any:
    return _holder(cursor).sharer


@cache
def shared_class(cursor_class: Any) -> type[Any]:
    """Return the class of ``cursor_class`` whose objects wait for their turn."""
    name = f"Shared{cursor_class.__name__}"
    return type(name, (SharedCursor, cursor_class), {"__slots__": ()})


# Atomic blocks


def install() -> None:
    """Let Django's ``Atomic`` wait for its turn where its transaction is lent."""
    atomic: Any = Atomic
    if atomic.__enter__ is not _enter:
        # Whatever changes a class costs all that was remembered of it.
        atomic.__enter__, atomic.__exit__ = _enter, _exit


def _enter(self: Any) -> None:
    if not (ownership.has_lent or self._from_testcase):
        # Most processes never lend: a block costs no more than Django's there.
        _stock_enter(self)
        return
    wrapper: Any = connections[self.using or DEFAULT_DB_ALIAS]
    if not isinstance(wrapper, ownership.TaskOwned):
        _stock_enter(self)
    elif self._from_testcase:
        _stock_enter(self)
        ownership.note_lending()
        # To threads and loops that the test starts, wherever they run.
        ownership.announce(wrapper)
    elif wrapper.is_lent():
        _enter_in_turn(self, wrapper)
    else:
        _stock_enter(self)


def _enter_in_turn(atomic: Any, wrapper: Any) -> None:
    turns = turns_of(wrapper)
    parent = _take(wrapper, turns)
    if parent is None:
        raise transaction.TransactionManagementError(
            "An atomic block cannot begin while a statement of the same task runs."
        )
    turn = BlockTurn(parent, atomic)
    turns.blocks.append(turn)
    _go_inside(wrapper.alias, turn)
    try:
        _stock_enter(atomic)
    except BaseException:
        _leave(wrapper, turn)
        raise


def _exit(self: Any, exc_type: Any, exc_value: Any, traceback: Any) -> None:
    wrapper: Any = connections[self.using or DEFAULT_DB_ALIAS]
    if isinstance(wrapper, ownership.TaskOwned):
        if self not in wrapper.atomic_blocks:
            return _leave_elsewhere(self, wrapper.alias, exc_type)
        if not _is_innermost(self, wrapper):
            return _leave_over_others(self, wrapper, exc_type, exc_value, traceback)
    if not ownership.has_lent:
        return _stock_exit(self, exc_type, exc_value, traceback)
    turns: Turns | None = getattr(wrapper, "turns", None)
    if turns is None or not turns.blocks or turns.blocks[-1].atomic is not self:
        return _stock_exit(self, exc_type, exc_value, traceback)
    turn = turns.blocks[-1]
    _go_inside(wrapper.alias, turn)
    try:
        return _stock_exit(self, exc_type, exc_value, traceback)
    finally:
        _leave(wrapper, turn)


def _leave_elsewhere(atomic: Any, alias: str, exc_type: Any) -> None:
    tasks = connections._connections.of_all_tasks(alias)
    holders = [wrapper for wrapper in tasks if atomic in wrapper.atomic_blocks]
    if exc_type is not None and not holders:
        # It was rolled back when its task was destroyed, or the block around it ended.
        return
    error = _elsewhere()
    for wrapper in holders:
        wrapper.lose_block(atomic, error)
    raise error


def _is_innermost(atomic: Any, wrapper: Any) -> bool:
    """Tell whether no savepoint, nor the transaction, ends before those inside it.

    Blocks without savepoints may end in any order, as those of jobs do which meet.
    """
    blocks: list[Any] = wrapper.atomic_blocks
    if blocks[-1] is atomic:
        return True
    first = len(blocks) - 1 - blocks[::-1].index(atomic)
    savepoints = wrapper.savepoint_ids[first - len(blocks) :]
    if len(savepoints) < len(blocks) - first or any(savepoints):
        return False
    blocks.append(blocks.pop(first))
    return True


def _leave_over_others(
    atomic: Any, wrapper: Any, exc_type: Any, exc_value: Any, traceback: Any
) -> None:
    """Leave a block in which a generator with one was broken off, and not closed."""
    error = _elsewhere()
    while wrapper.atomic_blocks[-1] is not atomic:
        _forget_innermost(wrapper)
    wrapper.doom(error)
    _exit(atomic, exc_type or type(error), exc_value or error, traceback)
    if exc_type is None:
        raise error


def _forget_innermost(wrapper: Any) -> None:
    block = wrapper.atomic_blocks.pop()
    if wrapper.savepoint_ids:
        wrapper.savepoint_ids.pop()
    turns: Turns | None = wrapper.turns
    if turns is not None and turns.blocks and turns.blocks[-1].atomic is block:
        _leave(wrapper, turns.blocks[-1])


def _elsewhere() -> transaction.TransactionManagementError:
    return transaction.TransactionManagementError(
        describe(
            "atomic-elsewhere",
            "An atomic block was left in another task than that which entered it, or "
            "after the block around it, as a generator is that was broken off. Its "
            "transaction rolls back.",
            "Enter and leave it in one task: put no yield inside it, or close the "
            "generator where it is used, with contextlib.aclosing().",
        )
    )


def _leave(wrapper: Any, turn: BlockTurn) -> None:
    turn.ended = True
    wrapper.turns.blocks.remove(turn)
    _go_inside(wrapper.alias, turn.parent)
    turn.parent.release()


# Who waits for whom


def _user() -> object:
    loop = asyncio._get_running_loop()
    task = ownership.running_task() if loop is not None else None
    return task or threading.current_thread()


def _timeout(wrapper: Any) -> float:
    configured = wrapper.settings_dict["OPTIONS"].get("pool")
    return PoolOptions.parse(configured, wrapper.alias).timeout


def _no_turn(wrapper: Any, user: Any, timeout: float) -> OperationalError:
    who = "another one"
    if isinstance(user, asyncio.Task):
        who = f"task {user.get_name()!r} at {task_line(user)}"
    elif user is not None:
        who = f"thread {user.name!r}"
    return OperationalError(
        describe(
            "no-turn",
            f"The transaction on database {wrapper.alias!r} is shared, and did not "
            f"come free in {timeout:g} s: {who} is in an atomic block.",
            "All that a TestCase starts shares its transaction, one atomic block "
            "after the other. Do not wait there for what another task does in the "
            "database; or test it with real transactions: TransactionTestCase, or "
            "django_db(transaction=True).",
        )
    )
