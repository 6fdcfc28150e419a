"""Replaces a few functions that are written in C, on Python 3.11.

Contract: only what no event tells of, and what can be replaced: ``time.sleep()``,
``os.waitpid()``, ``select.select()`` where they are defined, and methods of the class
``socket.socket``. All of it is put back by ``restore()``.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from asyncio import _get_running_loop
from collections.abc import Callable
from functools import wraps
from typing import Any

from django_async_ext.detection.judging import judge
from django_async_ext.detection.primitives import builtin
from django_async_ext.detection.rules import Endpoint

_MISSING: Any = object()
_replaced: list[tuple[Any, str, Any]] = []
_MODULES = {"time": time, "os": os, "select": select}


def replace() -> None:
    """Have calls of them reported; do nothing the second time."""
    if _replaced:
        return
    functions = {endpoint.name: endpoint for _, endpoint in builtin.found()}
    for name in ("time.sleep", "os.waitpid", "select.select"):
        if (endpoint := functions.get(name)) is not None:
            module, _, attribute = name.partition(".")
            _put(_MODULES[module], attribute, endpoint)
    for endpoint in builtin.SOCKETS:
        name = builtin.public(endpoint.name)
        attribute = endpoint.name.rpartition(".")[2]
        if hasattr(socket.socket, attribute):
            _put(socket.socket, attribute, endpoint._replace(name=name))


def restore() -> None:
    """Put back what was replaced."""
    while _replaced:
        owner, attribute, stock = _replaced.pop()
        if stock is _MISSING:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, stock)


def _put(owner: Any, attribute: str, endpoint: Endpoint) -> None:
    stock = vars(owner).get(attribute, _MISSING)
    _replaced.append((owner, attribute, stock))
    setattr(owner, attribute, _telling(getattr(owner, attribute), endpoint))


def _telling(stock: Callable[..., Any], endpoint: Endpoint) -> Callable[..., Any]:
    blocks = endpoint.blocks

    @wraps(stock)
    def version(*args: Any, **kwargs: Any) -> Any:
        if _get_running_loop() is not None:
            subject = args[0] if args else None
            if blocks is None or blocks(subject):
                judge(endpoint, sys._getframe(1), subject)
        return stock(*args, **kwargs)

    return version
