"""Finds calls that block the event loop, and says what to write instead.

The public names are resolved on first use: this package may be an application
of its own, which Django imports before its settings are complete.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_async_ext.detection.activation import start, stop
    from django_async_ext.detection.allowing import allow_blocking
    from django_async_ext.detection.reports import blocking_call_detected

__all__ = ["allow_blocking", "blocking_call_detected", "start", "stop"]

_HOMES = {
    "allow_blocking": "allowing",
    "blocking_call_detected": "reports",
    "start": "activation",
    "stop": "activation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
