"""Drives coroutines inside the bridge, so that plain code in them may wait.

Contract: ``implicit_waits()`` lets all code of a coroutine wait. Under
``reserved_waits()`` only what is called through ``let_wait()`` may, and
``in_bridge()`` is false for the rest: so a view can read ``request.user``, while
a lazy relation is refused there as in Django. What the coroutine awaits goes to
the task as it is: timeouts, task groups and cancellation work as ever. Tasks
that it starts are not driven.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
)
from functools import partial, wraps
from types import FrameType
from typing import Any, ParamSpec, TypeVar, cast, overload

from django_async_ext.bridge import driver, run, wait_in

P = ParamSpec("P")
T = TypeVar("T")


@overload
def implicit_waits(
    fn: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def implicit_waits(
    fn: Callable[P, AsyncGenerator[T, Any]],
) -> Callable[P, AsyncGenerator[T, Any]]: ...
def implicit_waits(fn: Any) -> Any:
    """Let plain synchronous code in ``fn`` wait.

    ``fn`` is a coroutine function or an asynchronous generator function. It is
    driven inside the bridge, so that ``book.author.name``, ``request.user`` or
    ``for row in queryset`` may wait on the event loop. Explicit awaits show where
    state can change; hence this is opt-in.

    Raises ``TypeError`` when ``fn`` is neither.
    """
    if inspect.isasyncgenfunction(fn):
        return _generating(fn)
    if not inspect.iscoroutinefunction(fn):
        raise TypeError(
            f"implicit_waits() takes a coroutine function, but {fn!r} is none. "
            "Synchronous code waits when it is called through on_loop()."
        )

    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await run(drive, fn(*args, **kwargs))

    return wraps(fn)(inner)


def _generating(fn: Callable[..., AsyncGenerator[Any, Any]]) -> Any:
    async def inner(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = fn(*args, **kwargs)
        step: Any = generator.asend(None)
        try:
            while True:
                try:
                    value = await run(drive, step)
                except StopAsyncIteration:
                    return
                try:
                    step = generator.asend((yield value))
                except GeneratorExit:
                    raise
                except BaseException as error:
                    step = generator.athrow(error)
        finally:
            await run(drive, cast(Any, generator.aclose()))

    return wraps(fn)(inner)


def reserved_waits(
    fn: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Let the coroutine function ``fn`` wait where it calls ``let_wait()``."""

    async def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        coroutine = fn(*args, **kwargs)
        # Or error reports would show a password that it was given.
        del args, kwargs
        if driver() is not None:
            return await coroutine
        return await run(drive, coroutine, reserved=True)

    return wraps(fn)(inner)


def let_wait(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``fn``; under ``reserved_waits()`` it may wait."""
    bridge = driver()
    return (
        fn(*args, **kwargs) if bridge is None else bridge.let_wait(fn, *args, **kwargs)
    )


class Driven:
    """An asynchronous iterator whose steps are driven, a streaming body's say."""

    def __init__(self, iterator: AsyncIterator[T], reserved: bool) -> None:
        self._iterator = iterator
        self._reserved = reserved

    def __aiter__(self) -> Driven:
        return self

    async def __anext__(self) -> Any:
        return await run(drive, self._step(), reserved=self._reserved)

    async def _step(self) -> Any:
        return await anext(self._iterator)

    async def aclose(self) -> None:
        """Close the iterator, if it can be."""
        if aclose := getattr(self._iterator, "aclose", None):
            await run(drive, aclose(), reserved=self._reserved)


class AsIs:
    """Hands what a coroutine yielded to the task, unchanged.

    For code that steps coroutines by hand, inside the bridge or outside.
    """

    def __init__(self, yielded: Any) -> None:
        self.yielded = yielded

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self.yielded)


def drive(coroutine: Coroutine[Any, Any, T], *, reserved: bool = False) -> T:
    """Run ``coroutine`` to its end in the bridge that runs the calling code."""
    bridge = cast(Any, driver())
    resume: Callable[[], Any] = partial(coroutine.send, None)
    before, bridge.reserved = bridge.reserved, reserved
    try:
        while True:
            try:
                yielded = resume()
            except StopIteration as stop:
                return cast(T, stop.value)
            try:
                value = wait_in(bridge, AsIs(yielded))
            except BaseException as error:
                resume = partial(coroutine.throw, error)
            else:
                resume = partial(coroutine.send, value)
    finally:
        bridge.reserved = before


def driven_coroutine(frame: FrameType) -> Any:
    """Return the suspended coroutine that ``frame`` drives, for reports."""
    if frame.f_code is not drive.__code__:
        return None
    coroutine = frame.f_locals["coroutine"]
    # A running one waits implicitly: its frames are on the bridge's own stack.
    return None if getattr(coroutine, "cr_running", False) else coroutine
