"""Transactions for asynchronous code: Django's own, through the bridge.

Contract: ``aatomic()`` is Django's ``Atomic`` entered and left on the loop, so
that savepoints, durable blocks, rollbacks and hooks are Django's, and
``transaction.atomic()`` inside ``on_loop()`` is the same transaction.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine
from copy import copy
from functools import update_wrapper, wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from asgiref.sync import async_to_sync
from django.db import transaction

from django_async_ext.bridge import await_, in_bridge, run
from django_async_ext.db.backends import endings

P = ParamSpec("P")
T = TypeVar("T")
AsyncFunction = Callable[P, Coroutine[Any, Any, T]]


class AsyncAtomic:
    """The asynchronous context manager that ``aatomic()`` gives.

    Follows Django: django.db.transaction.Atomic, which it enters and leaves.
    """

    def __init__(self, atomic: transaction.Atomic) -> None:
        self._atomic = atomic

    async def __aenter__(self) -> None:
        await run(self._atomic.__enter__)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lost = endings.lost_with(self._atomic) if exc_type is None else None
        await run(self._atomic.__exit__, exc_type, exc_value, traceback)
        if lost is not None:
            endings.report(lost, sys._getframe())

    def __call__(self, fn: AsyncFunction[P, T]) -> AsyncFunction[P, T]:
        """Decorate a coroutine function: each call is one atomic block."""
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(_not_decoratable(fn))

        async def inner(*args: P.args, **kwargs: P.kwargs) -> T:
            # Each call its own: another task may be in the function as well.
            async with AsyncAtomic(copy(self._atomic)):
                return await fn(*args, **kwargs)

        return wraps(fn)(inner)


@overload
def aatomic(using: AsyncFunction[P, T]) -> AsyncFunction[P, T]: ...
@overload
def aatomic(
    using: str | None = None, savepoint: bool = True, durable: bool = False
) -> AsyncAtomic: ...
def aatomic(using: Any = None, savepoint: bool = True, durable: bool = False) -> Any:
    """Run a block of asynchronous code in a transaction; see Django's atomic().

    ``async with aatomic():``, or a decorator of coroutine functions, with or
    without arguments. Raises what ``atomic()`` raises, and ``TypeError`` for
    what it cannot decorate.
    """
    if callable(using):
        return aatomic(None, savepoint, durable)(using)
    return AsyncAtomic(transaction.Atomic(using, savepoint, durable))


async def aon_commit(
    func: Callable[[], Any], using: str | None = None, robust: bool = False
) -> None:
    """Call ``func`` after the current transaction commits; see on_commit().

    What ``func`` returns is awaited if it can be, in the task that commits. Without
    a transaction it is called at once.
    """
    _refuse_coroutine(func)
    hook = _awaiting(func) if callable(func) else func
    await run(transaction.on_commit, hook, using, robust)


def _refuse_coroutine(func: object) -> None:
    if inspect.iscoroutine(func):
        func.close()
        raise TypeError(
            "aon_commit() takes a function, not a coroutine that runs in any case. "
            f"Write `lambda: {func.__name__}(...)`."
        )


def _awaiting(func: Callable[[], Any]) -> Callable[[], None]:
    async def complete(result: Awaitable[Any]) -> None:
        await result

    def hook() -> None:
        result = func()
        if inspect.isawaitable(result):
            await_(result) if in_bridge() else async_to_sync(complete)(result)

    return update_wrapper(hook, func)


def _not_decoratable(fn: Any) -> str:
    if inspect.isasyncgenfunction(fn):
        return (
            f"aatomic() cannot decorate the asynchronous generator {fn!r}: between "
            "two items it would hold the transaction open, and nobody could tell for "
            "how long. Use `async with aatomic()` inside it, around no yield."
        )
    return (
        f"aatomic() decorates coroutine functions, not {fn!r}. Use Django's atomic() "
        "for synchronous code; inside on_loop() it is the same transaction."
    )
