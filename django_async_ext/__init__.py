"""Runs an existing Django project on the asyncio event loop.

The public names are resolved on first use: Django imports this package while
it loads itself, when models cannot be imported yet.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_async_ext.bridge import await_, in_bridge
    from django_async_ext.db.connections import hold_connection
    from django_async_ext.db.gather import gather_queries
    from django_async_ext.db.managers import AsyncManager, AsyncQuerySet, afetch
    from django_async_ext.db.transaction import aatomic, aon_commit
    from django_async_ext.driving import implicit_waits
    from django_async_ext.handlers.declaring import loop_safe, on_loop

__version__ = "0.1.0.dev0"

__all__ = [
    "AsyncManager",
    "AsyncQuerySet",
    "aatomic",
    "afetch",
    "aon_commit",
    "await_",
    "gather_queries",
    "hold_connection",
    "implicit_waits",
    "in_bridge",
    "loop_safe",
    "on_loop",
]

_HOMES = {
    "AsyncManager": "db.managers",
    "AsyncQuerySet": "db.managers",
    "aatomic": "db.transaction",
    "afetch": "db.managers",
    "aon_commit": "db.transaction",
    "await_": "bridge",
    "gather_queries": "db.gather",
    "hold_connection": "db.connections",
    "implicit_waits": "driving",
    "in_bridge": "bridge",
    "loop_safe": "handlers.declaring",
    "on_loop": "handlers.declaring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
