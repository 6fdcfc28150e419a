"""Connections, cursors, transactions.

Contract: each method that Django itself calls unsafe in asynchronous code is told of
before Django refuses it, on the wrapper of any database. All queries get there.
"""

from __future__ import annotations

from types import FrameType, FunctionType
from typing import Any

from django.utils.asyncio import async_unsafe

from django_async_ext.detection import guards
from django_async_ext.detection.endpoints.making import each
from django_async_ext.detection.guards import subclasses
from django_async_ext.detection.rules import Endpoint

_BASE = "django.db.backends.base.base.BaseDatabaseWrapper"
_TRANSACTION = "django.db.transaction"

_BLOCK = (
    "await sync_to_async(function)() with the whole block in a function of its own; "
    "or async with aatomic() of django_async_ext, with its engines"
)
_CURSOR = (
    "await sync_to_async(function)() with all that uses the connection in a function "
    "of its own; or await on_loop(function)(), with the engines of django_async_ext"
)


def _unsafe(frame: FrameType) -> Endpoint | None:
    # Follows Django: async_unsafe(), whose inner() has the method in func.
    name = frame.f_locals["func"].__name__
    wrapper = next(iter(frame.f_locals["args"]), None)
    if name == "ensure_connection" and getattr(wrapper, "connection", None) is not None:
        return None
    # The dummy engine only says that DATABASES is empty.
    if type(wrapper).__module__ == "django.db.backends.dummy.base":
        return None
    return Endpoint("transactions", f"{_BASE}.{name}", _CURSOR)


#: What Django refuses in asynchronous code.
UNSAFE = Endpoint("transactions", f"{_BASE}.cursor", _CURSOR, exact=_unsafe)

TABLE: tuple[Endpoint, ...] = (
    *each("transactions", f"{_TRANSACTION}.Atomic", "__enter__ __exit__", _BLOCK),
    *each(
        "transactions",
        _TRANSACTION,
        "commit rollback savepoint savepoint_rollback savepoint_commit "
        "clean_savepoints get_autocommit set_autocommit set_rollback get_rollback "
        "mark_for_rollback_on_error",
        _BLOCK,
    ),
    *each(
        "transactions",
        _TRANSACTION,
        "on_commit",
        "call the function in a thread too: on_commit() calls it at once outside of "
        "a transaction",
    ),
    Endpoint("transactions", "django.db.backends.utils.CursorWrapper.execute", _CURSOR),
    Endpoint(
        "transactions", "django.db.backends.utils.CursorWrapper.executemany", _CURSOR
    ),
    Endpoint(
        "transactions", "django.db.backends.utils.CursorWrapper.callproc", _CURSOR
    ),
)


@async_unsafe
def _refused() -> None:
    """Have the code that all refused methods share."""


_CODE = _refused.__code__


def guard_unsafe(told: guards.Told) -> None:
    """Guard what is unsafe, of each wrapper that there is or will be."""

    def of_class(cls: type) -> None:
        for found in vars(cls).values():
            if isinstance(found, FunctionType) and found.__code__ is _CODE:
                guards.guard_function(found, UNSAFE, told)

    subclasses.watch(_BASE, of_class)


def refused_methods(cls: Any) -> list[str]:
    """Return the names of the methods that Django refuses."""
    return sorted(
        name
        for name, found in vars(cls).items()
        if isinstance(found, FunctionType) and hasattr(found, "__wrapped__")
    )
