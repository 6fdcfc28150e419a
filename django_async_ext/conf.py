"""The settings of this package: one dict, ``ASYNC_EXT``, validated at start.

Contract: ``get(name)`` gives the value or its default. ``errors()`` says what
is wrong in the dict; ``validate()`` raises the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class Setting(NamedTuple):
    """A setting's default, its test, and in words what it must be."""

    default: Any
    accepts: Callable[[Any], bool]
    meaning: str


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_limit(value: Any) -> bool:
    return value is None or (type(value) is int and value >= 1)


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and value > 0


def _is_seconds_or_none(value: Any) -> bool:
    return value is None or _is_seconds(value)


def _is_dict_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_dotted(value: Any) -> bool:
    return isinstance(value, str) and all(map(str.isidentifier, value.split(".")))


def _is_prefixes(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_dotted, value))


SETTINGS = {
    "ADOPT_DJANGO": Setting(True, _is_bool, "True or False"),
    "CANCEL_TIMEOUT": Setting(5.0, _is_seconds, "a number of seconds above 0"),
    "DETECTION": Setting(None, _is_dict_or_none, "None or a dict"),
    "GATHER_LIMIT": Setting(None, _is_limit, "None or a whole number of at least 1"),
    "HASHING_THREADS": Setting(None, _is_limit, "None or a whole number of at least 1"),
    "IDLE_IN_TRANSACTION": Setting(
        1.0, _is_seconds_or_none, "None or a number of seconds above 0"
    ),
    "IMPLICIT_WAITS": Setting(False, _is_bool, "True or False"),
    "LOOP_SAFE": Setting((), _is_prefixes, "a list of dotted names"),
    "SYNC_VIEWS": Setting(
        "thread", ("loop", "thread").__contains__, "'loop' or 'thread'"
    ),
}


def get(name: str) -> Any:
    """Return the value of ``ASYNC_EXT[name]``, or its default."""
    return getattr(settings, "ASYNC_EXT", {}).get(name, SETTINGS[name].default)


def errors() -> Iterator[str]:
    """Say in words what is wrong in ``settings.ASYNC_EXT``."""
    configured = getattr(settings, "ASYNC_EXT", {})
    if not isinstance(configured, dict):
        yield f"ASYNC_EXT must be a dict, not {configured!r}."
        return
    for name, value in configured.items():
        if name not in SETTINGS:
            known = ", ".join(SETTINGS)
            yield f"ASYNC_EXT has no setting {name!r}. Its settings are: {known}."
        elif not SETTINGS[name].accepts(value):
            meaning = SETTINGS[name].meaning
            yield f"ASYNC_EXT[{name!r}] must be {meaning}, not {value!r}."


def validate() -> None:
    """Raise ``ImproperlyConfigured`` for the first error in ``ASYNC_EXT``."""
    for error in errors():
        raise ImproperlyConfigured(error)
