"""Tells when a function is entered that may block the event loop.

Contract: ``guard()`` has ``told`` called, with the endpoint, its frame and its first
argument, each time the function is entered on a thread whose event loop runs. On
Python 3.12 and newer that is an event of ``sys.monitoring`` for the function's own
code: nothing is replaced, and all who have imported it are covered. On 3.11 the
function is replaced where it is defined and where it has been imported.
"""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from inspect import unwrap
from types import CodeType, FrameType, FunctionType
from typing import Any

from django_async_ext.detection.rules import Endpoint

Told = Callable[[Endpoint, FrameType, Any], None]

#: The endpoint of each function that is guarded, by its code.
guarded: dict[CodeType, Endpoint] = {}
_replaced: list[tuple[Any, str, Any]] = []

_TOOL = "django-async-ext"


def guard(endpoint: Endpoint, told: Told) -> bool:
    """Guard the function of ``endpoint``; tell whether there is one to guard.

    There is none where a module is not installed or not imported by the project, or
    where a version of Django has no such function.
    """
    try:
        owner, attribute, function = find(endpoint.name)
    except (AttributeError, ImportError):
        return False
    if function.__code__ in guarded:
        return True
    guarded[function.__code__] = endpoint
    if endpoint.leads:
        return True
    if tool := _tool(told):
        start = monitoring.events.PY_START
        monitoring.set_local_events(tool, function.__code__, start)
    else:
        _replace(owner, attribute, endpoint, told)
    return True


def find(dotted: str) -> tuple[Any, str, FunctionType]:
    """Return the owner of the function ``dotted``, its name there, and itself.

    Raises ``AttributeError`` where there is none that is written in Python, and
    ``ImportError`` where there is no module.
    """
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            owner: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1], _function(vars(owner)[parts[-1]])
    raise ModuleNotFoundError(f"There is no module in {dotted!r}.")


def _function(found: Any) -> FunctionType:
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    elif isinstance(found, property):
        found = found.fget
    function = unwrap(getattr(found, "func", found))
    if not isinstance(function, FunctionType):
        raise AttributeError(f"{found!r} is not written in Python")
    return function


def release() -> None:
    """Guard nothing more."""
    while _replaced:
        setattr(*_replaced.pop())
    if tool := _in_use():
        for code in guarded:
            monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, monitoring.events.PY_START, None)
        monitoring.free_tool_id(tool)
    guarded.clear()


# Python 3.12 and newer

monitoring: Any = getattr(sys, "monitoring", None)
#: Those that Python keeps for no particular kind of tool.
_NUMBERS = (4, 3)


def _in_use() -> int | None:
    if monitoring is None:
        return None
    return next((n for n in _NUMBERS if monitoring.get_tool(n) == _TOOL), None)


def _tool(told: Told) -> int | None:
    """Return the number of this package's tool, taken now if one is free."""
    tool = _in_use()
    if monitoring is None or tool is not None:
        return tool
    free = next((n for n in _NUMBERS if monitoring.get_tool(n) is None), None)
    if free is not None:
        monitoring.use_tool_id(free, _TOOL)
        event = monitoring.events.PY_START
        monitoring.register_callback(free, event, partial(_entered, told))
    return free


def _entered(told: Told, code: CodeType, offset: int) -> None:  # noqa: ARG001
    if _get_running_loop() is not None:
        frame = sys._getframe(1)
        told(guarded[code], frame, first_argument(frame))


def first_argument(frame: FrameType) -> Any:
    """Return the first argument of the function of ``frame``; None without one."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


# Python 3.11


def _replace(owner: Any, attribute: str, endpoint: Endpoint, told: Told) -> None:
    stock = vars(owner)[attribute]
    version = _telling(stock, endpoint, told)
    _put(owner, attribute, stock, version)
    if isinstance(stock, FunctionType) and not isinstance(owner, type):
        for module in list(sys.modules.values()):
            if module is not None and vars(module).get(attribute) is stock:
                _put(module, attribute, stock, version)


def _put(owner: Any, attribute: str, stock: Any, version: Any) -> None:
    _replaced.append((owner, attribute, stock))
    setattr(owner, attribute, version)


def _telling(stock: Any, endpoint: Endpoint, told: Told) -> Any:
    if isinstance(stock, classmethod | staticmethod):
        return type(stock)(_telling(stock.__func__, endpoint, told))
    if isinstance(stock, property):
        return stock.getter(_telling(stock.fget, endpoint, told))

    @wraps(stock)
    def version(*args: Any, **kwargs: Any) -> Any:
        if _get_running_loop() is not None:
            told(endpoint, sys._getframe(1), args[0] if args else None)
        return stock(*args, **kwargs)

    return version
