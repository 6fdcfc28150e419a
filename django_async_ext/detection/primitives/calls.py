"""Watches calls of functions that are written in C, on Python 3.12 and newer.

Contract: nothing is replaced. Each place in the process that calls something tells of
its first call; if that is none of what is watched, it never tells again, and costs
nothing. So a place that calls by turns this and that may be missed.
"""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from types import BuiltinFunctionType, CodeType, FunctionType, MethodDescriptorType
from typing import Any

from django_async_ext.detection import machinery
from django_async_ext.detection.judging import judge
from django_async_ext.detection.primitives import builtin
from django_async_ext.detection.rules import Endpoint

monitoring: Any = getattr(sys, "monitoring", None)
_TOOL = "django-async-ext-calls"
#: Those that Python keeps for no particular kind of tool.
_NUMBERS = (3, 4)

_watched: dict[Any, Endpoint] = {}
#: Places that call one of these by turns with what is watched: TLS or not, say.
_turns: set[str] = {
    *("recv", "recv_into", "recvfrom", "send", "sendall", "sendto", "_accept"),
    *("execute", "executemany"),
}


def watch() -> bool:
    """Watch calls from now on; tell whether this Python can."""
    if monitoring is None:
        return False
    number = next((n for n in _NUMBERS if monitoring.get_tool(n) is None), None)
    if number is None:
        return False
    _watched.update(builtin.found())
    monitoring.use_tool_id(number, _TOOL)
    monitoring.register_callback(number, monitoring.events.CALL, _called)
    monitoring.set_events(number, monitoring.events.CALL)
    # Places that were done with when another one watched.
    monitoring.restart_events()
    return True


def stop() -> None:
    """Watch nothing more."""
    number = _number()
    if number is not None:
        monitoring.set_events(number, 0)
        monitoring.register_callback(number, monitoring.events.CALL, None)
        monitoring.free_tool_id(number)
    _watched.clear()


def _number() -> int | None:
    if monitoring is None:
        return None
    return next((n for n in _NUMBERS if monitoring.get_tool(n) == _TOOL), None)


def _called(code: CodeType, offset: int, function: Any, subject: Any) -> Any:  # noqa: ARG001
    kind = type(function)
    if kind is BuiltinFunctionType:
        owner = function.__self__
        endpoint = _watched.get(function)
        if endpoint is None and owner is not None:
            # A bound method.
            endpoint = _watched.get(getattr(type(owner), function.__name__, None))
            subject = owner
    elif kind is MethodDescriptorType or kind is FunctionType:
        endpoint = _watched.get(function)
        if endpoint is None and function.__name__ in _turns:
            return monitoring.DISABLE if _is_done(code, None) else None
    else:
        endpoint = None
    if endpoint is None or _is_done(code, endpoint):
        return monitoring.DISABLE
    # First what is quickly answered: most sockets on a loop's thread never block.
    if _get_running_loop() is not None and (
        endpoint.blocks is None or endpoint.blocks(subject)
    ):
        judge(endpoint, sys._getframe(1), subject)
    return None


def _is_done(code: CodeType, endpoint: Endpoint | None) -> bool:
    """Tell whether what ``code`` calls never is to be reported."""
    kind = machinery.kind_of(code.co_filename)
    if kind not in (machinery.STDLIB, machinery.QUIET) or endpoint is None:
        return kind == machinery.MACHINE
    # What Python's library does with locks is guarded where it waits; and the loop
    # itself waits in a selector, which calls what is watched.
    return endpoint.rule == "locks" or endpoint.name.startswith("select.")
