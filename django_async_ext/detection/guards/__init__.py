"""Tells when a function is entered that may block the event loop.

Contract: ``guard()`` has ``told`` called, with the endpoint and the function's frame,
each time the function is entered on a thread whose event loop runs; a generator is
entered when it is first asked for a value. No function is replaced, so whoever has
imported it is covered: on Python 3.12 and newer it is an event of ``sys.monitoring``
for the function's code, on 3.11 the function gets a code that calls first. What only
leads to blocking costs nothing.
"""

from __future__ import annotations

import sys
from asyncio import _get_running_loop
from collections.abc import Callable
from functools import partial
from inspect import unwrap
from types import CodeType, FrameType, FunctionType
from typing import Any

from django_async_ext.detection import frames
from django_async_ext.detection.guards import imports, injecting
from django_async_ext.detection.guards.imports import NotThereError
from django_async_ext.detection.rules import Endpoint

Told = Callable[[Endpoint, FrameType], None]

#: The code of each function that is guarded, and by its id the endpoint. The hash of
#: a code would be made of all that is in it.
_codes: list[CodeType] = []
_guarded: dict[int, Endpoint] = {}
#: By name, the endpoints that a method of that name overrides, with their class.
_overridden: dict[str, list[tuple[type, Endpoint]]] = {}
_replaced: list[tuple[FunctionType, CodeType]] = []

_TOOL = "django-async-ext"
_LOCALS = "<locals>"
#: In place of a method's name: all methods of the project's own subclasses.
ANY = "*"


def guard(endpoint: Endpoint, told: Told) -> bool:
    """Guard the function of ``endpoint``, now or when its module is imported.

    Tells whether it is guarded already. Nothing is where a version of Django has no
    such function.
    """
    return imports.when_there(endpoint.name, partial(_guard, endpoint, told))


def _guard(endpoint: Endpoint, told: Told) -> bool:
    try:
        owner, attribute, function = find(endpoint.name)
    except NotThereError:
        return False
    if isinstance(owner, type):
        _overridden.setdefault(attribute, []).append((owner, endpoint))
    if isinstance(function, FunctionType):
        guard_function(function, endpoint, told)
    elif function is not None:
        _add(function, endpoint)
    return True


def guard_function(function: FunctionType, endpoint: Endpoint, told: Told) -> None:
    """Guard ``function``, whose name need not be that of ``endpoint``."""
    code = function.__code__
    if id(code) in _guarded:
        return
    if endpoint.leads:
        _add(code, endpoint)
    elif tool := _tool(told):
        _add(code, endpoint)
        monitoring.set_local_events(tool, code, monitoring.events.PY_START)
    elif monitoring is None:
        calling = injecting.calling_first(code, _first(endpoint, told))
        _add(calling, endpoint)
        _replaced.append((function, code))
        function.__code__ = calling


def _add(code: CodeType, endpoint: Endpoint) -> None:
    _codes.append(code)
    _guarded[id(code)] = endpoint


def known(code: CodeType) -> Endpoint | None:
    """Return the endpoint that the function of ``code`` is, if it is one."""
    return _guarded.get(id(code))


def find(dotted: str) -> tuple[Any, str, FunctionType | CodeType | None]:
    """Return the owner of the function ``dotted``, its name there, and itself.

    Of a function that others make when they run, the code; of ``Class.*`` nothing.
    Raises ``NotThereError`` where there is none that is written in Python.
    """
    owner, path = imports.found(dotted)
    for n, part in enumerate(path[:-1]):
        if path[n + 1] == _LOCALS:
            return None, path[-1], _made_by(_function(owner, part), path[n + 1 :])
        if (owner := vars(owner).get(part)) is None:
            raise NotThereError(dotted)
    function = None if path[-1] == ANY else _function(owner, path[-1])
    return owner, path[-1], function


def _function(owner: Any, name: str) -> FunctionType:
    return function_of(vars(owner).get(name))


def function_of(found: Any) -> FunctionType:
    """Return the function below ``found``, a property or a method of a class, say.

    Raises ``NotThereError`` if it is not written in Python.
    """
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    elif isinstance(found, property):
        found = found.fget
    function = unwrap(getattr(found, "func", found))
    if not isinstance(function, FunctionType):
        raise NotThereError(repr(found))
    return function


def _made_by(function: FunctionType, path: list[str]) -> CodeType:
    code = function.__code__
    for part in path:
        if part == _LOCALS:
            continue
        made = (each for each in code.co_consts if isinstance(each, CodeType))
        inner = next((each for each in made if each.co_name == part), None)
        if inner is None:
            raise NotThereError(part)
        code = inner
    return code


def endpoint_of(frame: FrameType) -> Endpoint | None:
    """Return the endpoint that ``frame`` runs, or that its method overrides."""
    code = frame.f_code
    if (endpoint := known(code)) is not None:
        return endpoint
    if not code.co_argcount or code.co_flags & frames.SUSPENDABLE:
        return None
    of_name, of_any = _overridden.get(code.co_name, ()), _overridden.get(ANY, ())
    if not of_name and not of_any:
        return None
    kind = class_of(first_argument(frame))
    for owner, endpoint in of_name:
        if issubclass(kind, owner):
            return endpoint
    if frames.is_project(code):
        return next((each for owner, each in of_any if issubclass(kind, owner)), None)
    return None


def class_of(subject: Any) -> type:
    """Return the class of ``subject``, or ``subject`` if it is one."""
    # Not isinstance(): a lazy object would be evaluated.
    return subject if issubclass(type(subject), type) else type(subject)


def first_argument(frame: FrameType) -> Any:
    """Return the first argument of the function of ``frame``; None without one."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def release() -> None:
    """Guard nothing more."""
    imports.forget()
    while _replaced:
        function, code = _replaced.pop()
        function.__code__ = code
    if tool := _in_use():
        for code in _codes:
            monitoring.set_local_events(tool, code, 0)
        monitoring.register_callback(tool, monitoring.events.PY_START, None)
        monitoring.free_tool_id(tool)
    _guarded.clear()
    _codes.clear()
    _overridden.clear()


# Python 3.11


def _first(endpoint: Endpoint, told: Told) -> Callable[[], None]:
    """Return what the code of a guarded function calls first."""

    def entered() -> None:
        if _get_running_loop() is not None:
            told(endpoint, sys._getframe(1))

    return entered


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
        monitoring.register_callback(free, event, _entered_by(told))
    return free


def _entered_by(told: Told) -> Callable[[CodeType, int], None]:
    def entered(code: CodeType, offset: int) -> None:  # noqa: ARG001
        if _get_running_loop() is not None:
            told(_guarded[id(code)], sys._getframe(1))

    return entered
