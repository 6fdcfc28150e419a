"""``OPTIONS["pool"]``, read and validated.

Contract: the option names and meanings are psycopg_pool's, which Django uses
for synchronous code, so that one dict serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_async_ext.exceptions import describe


@dataclass(frozen=True)
class PoolOptions:
    """``OPTIONS["pool"]``: psycopg_pool's names; times are in seconds."""

    min_size: int = 0
    max_size: int = 10
    timeout: float = 30.0
    max_waiting: int = 0
    max_lifetime: float = 60 * 60.0
    max_idle: float = 10 * 60.0
    check: Callable[[Any], object] | None = None
    reset: Callable[[Any], object] | None = None

    #: Options of psycopg_pool that concern its threads or Django sets itself.
    SYNC_ONLY = frozenset(
        {"name", "num_workers", "open", "reconnect_failed", "reconnect_timeout"}
    )

    @classmethod
    def parse(cls, configured: Any, alias: str) -> PoolOptions:
        """Read the option as given; raise ``ImproperlyConfigured`` if it is bad."""
        given = {} if configured is None or type(configured) is bool else configured
        if not isinstance(given, dict):
            raise _bad_pool(
                alias, f"is {given!r}, but must be a dict, or True or False"
            )
        given = {name: v for name, v in given.items() if name not in cls.SYNC_ONLY}
        if unknown := given.keys() - cls.__dataclass_fields__.keys():
            raise _bad_pool(alias, f"has no option named {', '.join(sorted(unknown))}")
        if given.get("max_size") is None:
            given.pop("max_size", None)
            if given.get("min_size"):
                given["max_size"] = given["min_size"]
        for name, value in given.items():
            accepts, meaning = _MEANINGS[cls.__dataclass_fields__[name].type]
            if not accepts(value):
                raise _bad_pool(alias, f"has {name}={value!r}, not {meaning}")
        options = cls(**given)
        if options.max_size < 1 or not 0 <= options.min_size <= options.max_size:
            raise _bad_pool(
                alias,
                f"has min_size={options.min_size} and max_size={options.max_size}, "
                "but at least one connection must fit and 0 <= min_size <= max_size",
            )
        return options


#: By the type of an option: what it accepts, and in words.
_MEANINGS: dict[Any, tuple[Callable[[Any], bool], str]] = {
    "int": (
        lambda value: type(value) is int and value >= 0,
        "a whole number of at least 0",
    ),
    "float": (
        lambda value: type(value) in (int, float) and value >= 0,
        "a number of seconds of at least 0",
    ),
    "Callable[[Any], object] | None": (
        lambda value: value is None or callable(value),
        "a callable or None",
    ),
}


def _bad_pool(alias: str, why: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        describe(
            "pool-options",
            f"DATABASES[{alias!r}]['OPTIONS']['pool'] {why}.",
            f"Its options are {', '.join(PoolOptions.__dataclass_fields__)}.",
        )
    )
