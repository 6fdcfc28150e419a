"""Runs synchronous code on the event loop's thread, waiting without blocking.

Contract: ``on_loop(fn)`` runs ``fn`` in a greenlet of the calling task. Where
``fn`` must wait, code below it calls ``await_(awaitable)``: the greenlet
switches to its parent, the coroutine of the same task, which awaits and
switches back with the result or throws the exception in. Both sides share one
``contextvars.Context``, one task and one thread.

This module knows neither Django nor any driver, and is the only importer of
greenlet. The technique is that of SQLAlchemy's ``greenlet_spawn``.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from asyncio import _get_running_loop, current_task
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial, wraps
from types import FrameType
from typing import Any, ClassVar, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

from greenlet import getcurrent, greenlet

from django_async_ext.exceptions import BridgeAbandonedError, NoBridgeError, describe
from django_async_ext.handled import awaiting, handling

P = ParamSpec("P")
T = TypeVar("T")

_EAGER_TASKS = hasattr(asyncio, "eager_task_factory")
_LOOP_IN_PYTHON = asyncio.BaseEventLoop
#: Those in their first step, before whoever created them goes on.
_starting: Collection[Any] = getattr(asyncio.tasks, "_eager_tasks", ())


class _Bridge(greenlet):
    """A greenlet of ours; other libraries' greenlets are never reacted to.

    It serves one call after the other: the stacks that a greenlet allocates on
    its first call cost more than all the switches of an ordinary query.
    """

    # Attributes of a greenlet are quicker to reach as slots than in its dictionary.
    __slots__ = (
        *("abandoned", "busy", "owed", "raised", "reserved"),
        *("result", "shields", "stepped", "task"),
    )
    # Never None: a bridge is given the greenlet of its coroutine.
    parent: greenlet
    # By the frame in which the stack of each ends.
    known: ClassVar[WeakValueDictionary[int, _Bridge]] = WeakValueDictionary()

    def __init__(self) -> None:
        super().__init__(_serve_calls)
        self.busy = self.abandoned = False
        self.shields = self.stepped = 0
        # While it drives a coroutine in which only let_wait() may wait: see driving.
        self.reserved = False
        # Only the task's id: no cycle through a suspended greenlet is ever collected.
        self.task = 0
        self.owed: asyncio.CancelledError | None = None
        self.result: Any = None
        self.raised: BaseException | None = None
        self.switch()
        self.known[id(self.gr_frame)] = self

    def let_wait(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``fn``, which may wait even if what called it may not."""
        if not self.reserved:
            return fn(*args, **kwargs)
        self.reserved = False
        try:
            return fn(*args, **kwargs)
        finally:
            self.reserved = True


#: For code that runs in a bridge.
_current: Callable[[], _Bridge] = cast(Any, getcurrent)


def _serve_calls() -> None:
    # A bridge lives on when it is idle, and so does whatever its stack refers to:
    # neither the bridge itself may be there, nor anything of a call that is over.
    while True:
        fn, args, kwargs = _current().parent.switch()
        try:
            _current().result = fn(*args, **kwargs)
        except BaseException as error:
            _current().raised = error
        _current().busy = False
        del fn, args, kwargs


class _Idle(threading.local):
    """The bridges of this thread that wait for a call."""

    def __init__(self) -> None:
        self.bridges: list[_Bridge] = []


_idle = _Idle()
_MOST_IDLE = 64


def in_bridge() -> bool:
    """Tell whether the calling code may wait through ``await_()``."""
    bridge = getcurrent()
    return type(bridge) is _Bridge and not bridge.reserved and _serves(bridge)


def driver() -> _Bridge | None:
    """Return the bridge that drives the calling code, even if it may not wait.

    None where coroutines are stepped by hand: they must not share a bridge.
    """
    bridge = getcurrent()
    if type(bridge) is _Bridge and not bridge.stepped and _serves(bridge):
        return bridge
    return None


def _serves(bridge: _Bridge) -> bool:
    # Not so in an eager task that began in the synchronous code of another one.
    if not bridge.task or bridge.abandoned:
        return True
    loop = _get_running_loop()
    return loop is None or id(current_task(loop)) == bridge.task


def on_loop(fn: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make synchronous ``fn`` awaitable on the event loop, without a thread.

    Works as a call, ``await on_loop(fn)(args)``, and as a decorator. Inside the
    bridge of the same task the call is a plain call. ``fn`` blocks the loop
    wherever it waits by other means than ``await_()``.

    Raises ``TypeError`` when ``fn`` is not callable or is awaitable already.
    """
    if inspect.iscoroutinefunction(fn):
        raise TypeError(
            f"on_loop() takes a synchronous callable, but {fn!r} is a coroutine "
            "function, which is awaitable already. Await it directly."
        )
    if not callable(fn):
        raise TypeError(f"on_loop() takes a synchronous callable, not {fn!r}.")

    async def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run(fn, *args, **kwargs)

    return wraps(fn)(inner)


async def run(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``fn`` inside the bridge: ``on_loop()`` without its wrapper."""
    parent = getcurrent()
    if type(parent) is _Bridge and _serves(parent) and not parent.stepped:
        return _within(parent, partial(fn, *args, **kwargs))
    if (handled := sys.exception()) is not None:
        fn = partial(handling, handled, fn)
    bridge = _take_bridge()
    # Nearly always it is the same one, and to set it costs more than a call.
    if bridge.parent is not parent:
        bridge.parent = parent
    # One context on both sides: what either sets, the other sees.
    bridge.gr_context = parent.gr_context
    bridge.busy = True
    result = bridge.switch(fn, args, kwargs)
    while bridge.busy:
        try:
            value = await result
        except GeneratorExit:
            # The task was destroyed: nobody is left to wait for the clean-up.
            bridge.abandoned = True
            bridge.parent = getcurrent()
            result = bridge.throw(*sys.exc_info())
        except BaseException:
            bridge.parent = getcurrent()
            # With its traceback: greenlet.throw(exc) alone would drop it.
            result = bridge.throw(*sys.exc_info())
        else:
            # It may be another one: that of an eager task's creator, or that in
            # which the garbage collector ran.
            if bridge.parent is not (parent := getcurrent()):
                bridge.parent = parent
            result = bridge.switch(value)
            # What was waited for may end with its last reference: a cursor's lease.
            value = None
    return cast(T, _finish(bridge))


def _within(bridge: _Bridge, call: Callable[[], T]) -> T:
    before, result = bridge.owed, bridge.let_wait(call)
    if (owed := bridge.owed) not in (None, before) and not bridge.shields:
        # As at a bridge's end: who awaits this must hear of it, not the next wait.
        bridge.owed = None
        raise owed
    return result


def _take_bridge() -> _Bridge:
    loop = _get_running_loop() if _EAGER_TASKS else None
    task = None if loop is None else current_task(loop)
    # An eager task may start in a callback of libuv, which keeps a list of the ready
    # descriptors on the C stack, and changes it when one is registered. A bridge that
    # began above it has that piece swapped for its own; one that begins now has not.
    in_c = _starting and task in _starting and not isinstance(loop, _LOOP_IN_PYTHON)
    bridge = _Bridge() if in_c or not _idle.bridges else _idle.bridges.pop()
    bridge.task = 0 if loop is None else id(task)
    return bridge


def _finish(bridge: _Bridge) -> Any:
    """Make ``bridge`` idle; return or raise what its call returned or raised."""
    result, error = bridge.result, bridge.raised
    if (owed := bridge.owed) is not None:
        owed.__context__, error = error or owed.__context__, owed
    bridge.result = bridge.raised = bridge.owed = bridge.gr_context = None
    # A suspended generator may end its shielded() later: not in another's call.
    reusable = not (bridge.abandoned or bridge.shields)
    if reusable and len(_idle.bridges) < _MOST_IDLE:
        _idle.bridges.append(bridge)
    if error is not None:
        try:
            raise error
        finally:
            # Its traceback refers to this frame.
            del error
    return result


def await_(awaitable: Awaitable[T]) -> T:
    """Wait for ``awaitable`` on the event loop; return its result.

    For synchronous code that runs inside ``on_loop()``. What the awaitable
    raises, ``CancelledError`` included, is raised here.

    Raises ``NoBridgeError`` outside the bridge, and ``BridgeAbandonedError``
    in the clean-up of code whose task was destroyed; a coroutine so refused is
    closed. Raises ``TypeError`` for an object that is not awaitable.
    """
    bridge = getcurrent()
    if type(bridge) is not _Bridge or bridge.reserved or not _serves(bridge):
        raise _refuse(awaitable, bridge)
    return wait_in(bridge, awaitable)


def wait_in(bridge: _Bridge, awaitable: Awaitable[T]) -> T:
    """Wait for ``awaitable`` in ``bridge``, which runs the calling code."""
    if bridge.abandoned:
        raise _refuse(awaitable, bridge)
    if bridge.shields:
        if asyncio.isfuture(awaitable):
            return cast(T, _to_completion(bridge, awaitable))
        return _in_stand_in(bridge, awaitable)
    if bridge.owed is not None:
        _close(awaitable)
        if isinstance(awaitable, asyncio.Future):
            # As a cancelled task does with what it waits for.
            awaitable.cancel()
        owed, bridge.owed = bridge.owed, None
        raise owed
    return _switch(bridge, awaitable)


@contextmanager
def shielded() -> Iterator[None]:
    """Hold cancellation back until the waits inside the block have ended.

    The ``CancelledError`` is raised at the next wait after the block, or at
    the latest when the bridge is left. Does nothing outside the bridge.
    """
    bridge = getcurrent()
    if type(bridge) is not _Bridge or bridge.reserved or not _serves(bridge):
        yield
        return
    bridge.shields += 1
    try:
        yield
    finally:
        bridge.shields -= 1


@contextmanager
def stepping() -> Iterator[None]:
    """Let coroutines be stepped by hand inside the block.

    Where that happens inside the bridge (see ``implicit_waits()``), each ``run()``
    needs a greenlet of its own, or a wait would suspend who steps as well.
    """
    bridge = getcurrent()
    if type(bridge) is not _Bridge:
        yield
        return
    bridge.stepped += 1
    try:
        yield
    finally:
        bridge.stepped -= 1


def _switch(bridge: _Bridge, awaitable: Awaitable[T]) -> T:
    if (handled := sys.exception()) is not None:
        awaitable = awaiting(handled, awaitable)
    result: T = bridge.parent.switch(awaitable)
    return result


def _to_completion(bridge: _Bridge, future: asyncio.Future[T]) -> T:
    while not future.done():
        try:
            _switch(bridge, asyncio.shield(future))
        except asyncio.CancelledError as cancelled:
            if not future.cancelled():
                bridge.owed = cancelled
        except BaseException:
            if not future.done():
                raise
    return future.result()


#: By each task that awaits a shielded coroutine, the task in whose place it does.
principals: dict[asyncio.Task[Any], asyncio.Task[Any]] = {}


def _in_stand_in(bridge: _Bridge, awaitable: Awaitable[T]) -> T:
    # Not in this task: whether its own timeouts or others cancel, none could tell.
    context = copy_context()
    task = asyncio.Task(_await(awaitable), context=context)
    principals[task] = cast(Any, asyncio.current_task())
    # asyncio.run() cancels all tasks that it knows of when it ends.
    asyncio.tasks._unregister_task(task)
    try:
        return _to_completion(bridge, task)
    finally:
        del principals[task]
        for variable in context:
            if variable.get(context) is not context[variable]:
                variable.set(context[variable])


async def _await(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _close(awaitable: object) -> None:
    # Or a warning "was never awaited" would hide the error.
    if inspect.iscoroutine(awaitable):
        awaitable.close()


def _refuse(awaitable: object, bridge: greenlet) -> Exception:
    _close(awaitable)
    if type(bridge) is _Bridge and bridge.abandoned:
        return BridgeAbandonedError(
            describe(
                "bridge-abandoned",
                f"Cannot wait for {awaitable!r}: the task that ran this code was "
                "destroyed, so nothing can resume it.",
                "Clean up without waiting, and let tasks end before their loop "
                "is closed (asyncio.run() does).",
            )
        )
    return NoBridgeError(
        describe(
            "no-bridge",
            f"Cannot wait for {awaitable!r} here: this code was not called "
            "through on_loop(), so there is no task to wait in.",
            "Call it as `await on_loop(fn)(...)`; in a coroutine use `await` "
            "itself; in a thread use asgiref's async_to_sync.",
        )
    )


def awaiting_frame(outermost: FrameType | None = None) -> FrameType | None:
    """Return the frame of the coroutine that waits for the calling code.

    Or, in any thread, for the code whose stack ends in ``outermost``. None outside the
    bridge. For reports: such a stack ends where the bridge was entered.
    """
    bridge = _Bridge.known.get(id(outermost)) if outermost else getcurrent()
    return bridge.parent.gr_frame if type(bridge) is _Bridge else None


def suspended_frame(frame: FrameType) -> FrameType | None:
    """Return the innermost synchronous frame that waits under ``frame``.

    For reports: a task's own stack shows only its asynchronous side.
    """
    bridge = frame.f_locals.get("bridge") if frame.f_code is run.__code__ else None
    return bridge.gr_frame if isinstance(bridge, _Bridge) else None
