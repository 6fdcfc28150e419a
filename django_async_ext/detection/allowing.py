"""Lets some code block, for a reason that is written down.

Contract: ``allow_blocking("reason")`` holds for all that the block calls or starts,
``ALLOW`` of the settings for functions by dotted name and files by glob. What
allows nothing is told by ``unused()``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar
from fnmatch import fnmatch
from functools import wraps
from types import FrameType
from typing import Any, TypeVar, cast

from django_async_ext.detection import frames
from django_async_ext.detection.settings import current

F = TypeVar("F", bound=Callable[..., Any])


class _Allowance:
    """A place in the code that allows, and how often it did."""

    def __init__(self, reason: str, place: frames.Place) -> None:
        self.reason, self.place, self.used = reason, place, 0


#: What allows the running code, with what did outside of that block.
_allowed: ContextVar[Any] = ContextVar("allowed", default=None)
#: By the place of each allow_blocking() that was entered.
_known: dict[frames.Place, _Allowance] = {}
#: How often each entry of ALLOW applied.
_applied: dict[str, int] = {}


class allow_blocking:  # noqa: N801
    """Let a block, or a decorated function, block the event loop.

    ``reason`` is shown with the entries that turn out to be unused. A coroutine
    function may be decorated too. Raises ``TypeError`` without a reason.
    """

    def __init__(self, reason: str) -> None:
        if not isinstance(reason, str) or not reason.strip():
            raise TypeError(
                f"allow_blocking() takes a reason in words, not {reason!r}: whoever "
                "reads the code later must be able to judge it. Write "
                'allow_blocking("the reason").'
            )
        place = frames.place(sys._getframe(1))
        self._allowance = _known.setdefault(place, _Allowance(reason, place))

    def __enter__(self) -> None:
        _allowed.set((self._allowance, _allowed.get()))

    def __exit__(self, *exc: object) -> None:
        _allowed.set(_allowed.get()[1])

    def __call__(self, func: F) -> F:
        """Decorate ``func``; each call is a block of its own."""
        if inspect.iscoroutinefunction(func):

            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await func(*args, **kwargs)

            return cast(F, wraps(func)(awaited))

        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return cast(F, wraps(func)(called))


def in_context(context: Context | None = None) -> bool:
    """Tell whether the running code, or ``context``, may block, and count that."""
    found = _allowed.get() if context is None else context.get(_allowed)
    if found is None:
        return False
    found[0].used += 1
    return True


def by_settings(stack: Iterable[FrameType]) -> bool:
    """Tell whether ``ALLOW`` names a function or a file of ``stack``, and count it."""
    entries = current().allow
    if not entries:
        return False
    for frame in stack:
        for entry in entries:
            if names(entry, frame.f_code.co_filename, frames.name(frame)):
                _applied[entry] = _applied.get(entry, 0) + 1
                return True
    return False


def names(entry: str, file: str, function: str) -> bool:
    """Tell whether an entry of ``ALLOW`` names ``file``, or the dotted ``function``."""
    if "/" in entry or entry.endswith(".py"):
        return fnmatch(file, entry) or fnmatch(file, f"*/{entry}")
    return function == entry or function.startswith(f"{entry}.")


def unused() -> list[str]:
    """Describe each allowance that has allowed nothing since the start."""
    found = [
        f"ALLOW of the settings: {entry!r}"
        for entry in current().allow
        if not _applied.get(entry)
    ]
    return found + [
        f"{each.place.file}:{each.place.line}: allow_blocking({each.reason!r})"
        for each in _known.values()
        if not each.used
    ]
