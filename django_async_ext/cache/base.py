"""How a cache's awaitables run its synchronous methods on the loop.

Contract: a subclass of one of Django's caches, before it ``LoopCache``, has
every awaitable of ``BaseCache``; each runs the synchronous method of its name,
whole, inside the bridge. What that method waits for is the subclass's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial, wraps
from inspect import isawaitable
from typing import Any

from django.core.cache.backends.base import (
    DEFAULT_TIMEOUT,
    BaseCache,
    default_key_func,
)
from django.core.exceptions import SynchronousOnlyOperation
from django.utils.hashable import make_hashable

from django_async_ext.bridge import await_, run
from django_async_ext.threads import FILES

Method = Callable[..., Any]
AsyncMethod = Callable[..., Coroutine[Any, Any, Any]]

#: The synchronous methods that BaseCache gives an awaitable, ``a`` before its name.
METHODS = (
    *("add", "get", "set", "touch", "delete", "has_key", "clear", "close"),
    *("get_many", "get_or_set", "set_many", "delete_many"),
    *("incr", "decr", "incr_version", "decr_version"),
)


#: What a class has of its own that makes or examines keys otherwise than Django.
_MAKING_KEYS = ("make_key", "make_and_validate_key", "validate_key")
#: Whose methods of a cache in memory wait for nothing.
_KNOWN = ("builtins", "django", "django_async_ext")


def _over_bridge(name: str) -> AsyncMethod:
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await run(getattr(self, name), *args, **kwargs)

    method.__name__, method.__doc__ = f"a{name}", f"Run {name}() on the loop."
    return method


def _inline(name: str) -> AsyncMethod:
    async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self, name)(*args, **kwargs)
        except SynchronousOnlyOperation:
            # To pickle a queryset is to query: nothing has been stored before that.
            return await run(getattr(self, name), *args, **kwargs)

    method.__name__, method.__doc__ = f"a{name}", f"Run {name}() at once."
    return method


def in_threads(fn: Method) -> Method:
    """Make ``fn``, a method of one of Django's caches, leave the loop's thread."""

    @wraps(fn)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return FILES.call(fn, self, *args, **kwargs)

    return method


def _computed(default: Callable[[], Any]) -> Any:
    value = default()
    return await_(value) if isawaitable(value) else value


class _Itself:
    """Stands for an option that has no hash: equal to that one object, kept alive."""

    def __init__(self, option: Any) -> None:
        self._option = option

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self._option is other._option

    def __hash__(self) -> int:
        return id(self._option)


def hashable(options: dict[str, Any]) -> Any:
    """Return what stands for the OPTIONS of a cache as a key."""
    return make_hashable({name: _hashable(it) for name, it in options.items()})


def _hashable(option: Any) -> Any:
    try:
        return make_hashable(option)
    except TypeError:
        return _Itself(option)


class LoopCache(BaseCache):
    """Runs every awaitable of a cache inside the bridge, in one piece."""

    def validate_key(self, key: str) -> None:
        """As in Django, which examines every key by a regular expression."""
        if not (len(key) < 250 and key.isprintable() and " " not in key):
            super().validate_key(key)

    def _make_and_validate_keys(
        self, keys: Iterable[Any], version: int | None = None
    ) -> dict[Any, Any]:
        """Return ``keys`` by what they are in the cache, made as Django makes each.

        All are made and examined at once where the class leaves that to Django.
        """
        methods = [getattr(self, name) for name in _MAKING_KEYS]
        if (
            self.key_func is not default_key_func
            or [getattr(method, "__func__", None) for method in methods] != _AS_DJANGO
        ):
            return {self.make_and_validate_key(key, version): key for key in keys}
        version = self.version if version is None else version
        begin = f"{self.key_prefix!s}:{version!s}:"
        keys = list(keys)
        made = [f"{begin}{key!s}" for key in keys]
        self._validate_keys(made)
        return dict(zip(made, keys, strict=True))

    def _validate_keys(self, keys: Sequence[str]) -> None:
        text, longest = "".join(keys), max(map(len, keys), default=0)
        if not (longest < 250 and text.isprintable() and " " not in text):
            for key in keys:
                self.validate_key(key)

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> Any:
        """Follow Django's get_or_set(); ``default`` may be a coroutine function."""
        if callable(default):
            default = partial(_computed, default)
        return await run(self.get_or_set, key, default, timeout, version)


#: What they are where nobody has replaced them, in a subclass, an object or a test.
_AS_DJANGO = [getattr(LoopCache, name) for name in _MAKING_KEYS]


def _changes_methods(cls: type) -> bool:
    own = [it for it in cls.__mro__ if it.__module__.partition(".")[0] not in _KNOWN]
    return any(name in vars(it) for it in own for name in METHODS)


class InlineCache(LoopCache):
    """Calls the methods of a cache that waits for nothing; what pickles may query."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # A project's own may wait, for a second cache behind this one.
        if _changes_methods(cls):
            for name in (f"a{each}" for each in METHODS):
                if getattr(cls, name) is getattr(InlineCache, name):
                    setattr(cls, name, getattr(LoopCache, name))


for _name in METHODS:
    if _name != "get_or_set":
        setattr(LoopCache, f"a{_name}", _over_bridge(_name))
        setattr(InlineCache, f"a{_name}", _inline(_name))
