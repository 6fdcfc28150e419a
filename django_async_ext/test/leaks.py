"""Finds what a test left behind: tasks, transactions, connections, open blocks.

Contract: ``on_loop()`` looks at a loop, ``in_thread()`` at the transaction that
a thread shares with its test; both say in words what they found. ``warn()``
names the test. What holds a connection or a savepoint is ended, or it would
spoil the tests that follow.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Collection
from typing import Any

from django.db import connections

from django_async_ext.db.backends.holders import task_line
from django_async_ext.db.backends.registry import pools_of
from django_async_ext.exceptions import LeftBehindWarning, describe

Tasks = Collection["asyncio.Task[Any]"]

#: Turns of the loop in which tasks that are at their end may end.
TURNS = 3


async def settle() -> None:
    """Let tasks end that need no more than a few turns of the loop."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def on_loop(loop: asyncio.AbstractEventLoop, before: Tasks = ()) -> list[str]:
    """Say what is left on ``loop``, less the tasks that were there ``before``."""
    pools = pools_of(loop)
    chores = {task for pool in pools for task in pool.chores}
    tasks = asyncio.all_tasks(loop) - {*before, *chores, _current(loop)}
    held: list[Any] = [connection for pool in pools for connection in pool.lent]
    held = [it for it in held if it.task is not None and it.task not in before]
    found = [_task(task, held) for task in tasks]
    found += [_connection(it) for it in held if it.task not in tasks]
    for task in {connection.task for connection in held} - {_current(loop)}:
        task.cancel()
    return sorted(found)


def _current(loop: asyncio.AbstractEventLoop) -> Any:
    running = asyncio._get_running_loop()
    return asyncio.current_task(loop) if running is loop else None


def _task(task: asyncio.Task[Any], held: list[Any]) -> str:
    words = f"task {task.get_name()!r} at {task_line(task)}"
    holding = [_holding(connection) for connection in held if connection.task is task]
    return f"{words}, {' and '.join(holding)}" if holding else words


def _connection(connection: Any) -> str:
    return f"task {connection.task.get_name()!r}, {_holding(connection)}"


def _holding(connection: Any) -> str:
    wrapper = connection.lessee
    alias = connection.home.alias
    if wrapper is not None and wrapper.in_atomic_block:
        return f"which is in a transaction on database {alias!r}"
    return f"which holds a connection to database {alias!r}"


def open_blocks() -> list[tuple[str, Any]]:
    """Return the atomic blocks that are open in the transaction of a test.

    Each with the alias of its database, the innermost first.
    """
    found = []
    wrappers: Any = connections.all(initialized_only=True)
    for wrapper in wrappers:
        turns = getattr(wrapper, "turns", None)
        if turns is not None and turns.transaction is wrapper.transaction:
            found += [(wrapper.alias, turn) for turn in reversed(turns.blocks)]
    return found


def in_thread(before: Collection[tuple[str, Any]] = ()) -> list[str]:
    """Say which atomic blocks are open that were not ``before``; roll them back."""
    found = [block for block in open_blocks() if block not in before]
    for _, turn in found:
        turn.atomic.__exit__(LeftBehindWarning, LeftBehindWarning(), None)
    return [f"an atomic block that is open on database {alias!r}" for alias, _ in found]


def warn(test: str, found: Collection[str]) -> None:
    """Give a ``LeftBehindWarning`` that names ``test``, if anything was found."""
    if not found:
        return
    message = describe(
        "left-behind",
        f"The test {test} left behind: {'; '.join(found)}.",
        "What it goes on doing falls into other tests, and what it holds can block "
        "them. Await or cancel the tasks that a test starts, as in "
        "`async with asyncio.TaskGroup()`, and leave the blocks that it enters.",
    )
    warnings.warn(message, LeftBehindWarning, stacklevel=2)
