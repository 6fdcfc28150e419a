"""Starts and stops the layers of the detector, as the settings say.

Contract: ``start()`` and ``stop()`` do nothing the second time. Layers whose rules
are all off cost nothing. The watchdog watches the loops that ``watch_loop()`` is
called on: the middleware does, and whoever has a loop without requests may.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django_async_ext.detection import guards, watchdog
from django_async_ext.detection.guards import subclasses
from django_async_ext.detection.rules import LAYERS, WATCHDOG
from django_async_ext.detection.settings import current

_HOMES = {
    "ENDPOINTS": "endpoints",
    "PRIMITIVES": "primitives",
    "WATCHDOG": "watchdog",
}
_started: list[str] = []


def start() -> None:
    """Start every layer that is on, for the whole process.

    Raises ``ImproperlyConfigured`` for bad settings.
    """
    for layer in LAYERS:
        if current().is_on(layer) and layer not in _started:
            _layer(layer).install()
            _started.append(layer)


def stop() -> None:
    """Stop all layers; what was reported stays."""
    while _started:
        _layer(_started.pop()).uninstall()
    subclasses.forget()
    guards.release()


def started() -> list[str]:
    """Return the layers that are started."""
    return list(_started)


def watch_loop() -> None:
    """Have the watchdog watch the running loop, if it is on."""
    if WATCHDOG in _started:
        watchdog.watch()


def _layer(layer: str) -> Any:
    return import_module(f"django_async_ext.detection.{_HOMES[layer]}")
