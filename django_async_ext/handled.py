"""Carries the exception that is being handled to the other side of the bridge.

Contract: ``sys.exception()`` is the same on both sides, for a bare ``raise`` and for
``__context__``; the exception itself is as it was, its traceback included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


def handling(
    handled: BaseException, fn: Callable[..., T], /, *args: Any, **kw: Any
) -> T:
    """Call ``fn`` in a greenlet, which starts with an empty sys.exc_info()."""
    traceback, context = handled.__traceback__, handled.__context__
    try:
        raise handled
    except BaseException:  # noqa: BLE001 (it is raised to be handled)
        _restore(handled, traceback, context)
        return fn(*args, **kw)


async def awaiting(handled: BaseException, awaitable: Awaitable[T]) -> T:
    """Await in the parent greenlet, with the exception that its child handles."""
    traceback, context = handled.__traceback__, handled.__context__
    try:
        raise handled
    except BaseException:  # noqa: BLE001 (it is raised to be handled)
        _restore(handled, traceback, context)
        return await awaitable


def _restore(
    handled: BaseException, traceback: object, context: BaseException | None
) -> None:
    # Not by assignment: a frozen dataclass, for one, refuses it.
    BaseException.__setattr__(handled, "__traceback__", traceback)
    BaseException.__setattr__(handled, "__context__", context)
