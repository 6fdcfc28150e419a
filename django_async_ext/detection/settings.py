"""What ``ASYNC_EXT["DETECTION"]`` says, with its defaults.

Contract: ``current()`` gives the values, read once until the settings change.
``errors()`` says in words what is wrong. A rule's own mode goes before that of its
layer; defaults depend on ``DEBUG``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_async_ext import conf
from django_async_ext.detection.rules import LAYERS, RULES

OFF, RECORD, WARN, RAISE = MODES = ("off", "record", "warn", "raise")

_DEFAULTS: dict[str, Any] = {
    "ENDPOINTS": RECORD,
    "PRIMITIVES": OFF,
    "WATCHDOG": RECORD,
    "RULES": {},
    "STRICT": False,
    "STALL": 0.1,
    "HEARTBEAT": 0.05,
    "ALLOW": (),
    "INTERVAL": 60.0,
    "RAISE_AS_BASE_EXCEPTION": False,
    "STATIC": True,
}
_IN_DEBUG: dict[str, Any] = _DEFAULTS | {
    "ENDPOINTS": WARN,
    "PRIMITIVES": WARN,
    "WATCHDOG": WARN,
    "STALL": 0.05,
    "HEARTBEAT": 0.01,
}


@dataclass(frozen=True)
class Settings:
    """The values in force; times are in seconds."""

    modes: Mapping[str, str]
    rules: Mapping[str, str]
    strict: bool
    stall: float
    heartbeat: float
    allow: tuple[str, ...]
    interval: float
    raise_as_base_exception: bool
    static: bool

    def mode(self, rule: str) -> str:
        """Return the mode of ``rule``."""
        return self.rules.get(rule) or self.modes[RULES[rule].layer]

    def is_on(self, layer: str) -> bool:
        """Tell whether any rule of ``layer`` is not off."""
        return any(
            self.mode(rule.name) != OFF
            for rule in RULES.values()
            if rule.layer == layer
        )


@lru_cache(maxsize=1)
def current() -> Settings:
    """Return the values in force; raise ``ImproperlyConfigured`` for a bad one."""
    for error in errors():
        raise ImproperlyConfigured(error)
    given = conf.get("DETECTION") or {}
    defaults = _IN_DEBUG if django_settings.DEBUG else _DEFAULTS
    values = defaults | given | _forced
    return Settings(
        modes={layer: values[layer] for layer in LAYERS},
        rules=values["RULES"],
        strict=values["STRICT"],
        stall=values["STALL"],
        heartbeat=values["HEARTBEAT"],
        allow=tuple(values["ALLOW"]),
        interval=values["INTERVAL"],
        raise_as_base_exception=values["RAISE_AS_BASE_EXCEPTION"],
        static=values["STATIC"],
    )


_forced: dict[str, Any] = {}


def force(**values: Any) -> None:
    """Let ``values`` go before the project's settings; without any, undo that."""
    _forced.clear()
    _forced.update(values)
    current.cache_clear()


def _forget(*, setting: str, **kwargs: Any) -> None:  # noqa: ARG001
    if setting in ("ASYNC_EXT", "DEBUG"):
        current.cache_clear()


setting_changed.connect(_forget, dispatch_uid=f"{__name__}.forget")


def errors() -> Iterator[str]:
    """Say in words what is wrong in ``ASYNC_EXT["DETECTION"]``."""
    given = conf.get("DETECTION") or {}
    for name, value in given.items():
        if name not in _DEFAULTS:
            known = ", ".join(_DEFAULTS)
            yield (
                f"ASYNC_EXT['DETECTION'] has no setting {name!r}. Its settings are: "
                f"{known}."
            )
        elif (meaning := _wrong(name, value)) is not None:
            yield f"ASYNC_EXT['DETECTION'][{name!r}] must be {meaning}, not {value!r}."


def _wrong(name: str, value: Any) -> str | None:
    """Say what ``value`` must be, if it is not."""
    if name in LAYERS:
        return None if value in MODES else f"one of {', '.join(MODES)}"
    if name == "RULES":
        return None if _are_rules(value) else f"a dict of {', '.join(RULES)} to modes"
    if name == "ALLOW":
        return None if _are_names(value) else "a list of dotted names and path globs"
    if name in ("STRICT", "RAISE_AS_BASE_EXCEPTION", "STATIC"):
        return None if isinstance(value, bool) else "True or False"
    is_time = type(value) in (int, float) and value > 0
    return None if is_time else "a number of seconds above 0"


def _are_rules(value: Any) -> bool:
    return isinstance(value, dict) and all(
        rule in RULES and mode in MODES for rule, mode in value.items()
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, str) and each for each in value
    )
