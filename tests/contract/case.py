"""What a case is: the same thing done synchronously and on the loop.

To add one, write a line in a table of ``tests/contract/cases``::

    "in_bulk of some": method(books, "in_bulk", [1, 2]),
    "filter by a relation": rows(lambda db: books(db).filter(author__name="Ada")),
    "two blocks": pair(_blocks, _ablocks),

``method`` calls ``name`` of what its first argument makes of the alias, and awaits
``aname``. ``rows`` reads a queryset in all ways that there are. ``pair`` takes a
function and a coroutine function of the alias.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from django_async_ext.db.managers import CHUNK_SIZE

Make = Callable[[str], Any]


class Case(NamedTuple):
    """A subject, and by name the ways to use it: synchronous, and awaitable."""

    prepare: Make
    ways: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Awaitable[Any]]]]


class Given(NamedTuple):
    """An argument that is made of the alias, before the call."""

    make: Make


def pair(synchronous: Callable[[str], Any], awaitable: Any) -> Case:
    return Case(lambda db: db, {"": (synchronous, awaitable)})


def on(subject: Make, synchronous: Callable[[Any], Any], awaitable: Any) -> Case:
    """The same of what ``subject`` makes of the alias."""
    return Case(subject, {"": (synchronous, awaitable)})


def method(subject: Make, name: str, /, *args: Any, **kwargs: Any) -> Case:
    def prepare(db: str) -> Any:
        made = [one.make(db) if isinstance(one, Given) else one for one in args]
        named = {
            key: one.make(db) if isinstance(one, Given) else one
            for key, one in kwargs.items()
        }
        return subject(db), made, named

    def call(prepared: Any) -> Any:
        found, made, named = prepared
        return getattr(found, name)(*made, **named)

    def acall(prepared: Any) -> Any:
        found, made, named = prepared
        return getattr(found, f"a{name}")(*made, **named)

    return Case(prepare, {"": (call, acall)})


async def _all(queryset: Any) -> Any:
    return await queryset


async def _each(queryset: Any) -> Any:
    return [row async for row in queryset]


def _each_synchronously(queryset: Any) -> Any:
    # It streams as iterator() does, and fills the cache as a loop does.
    if queryset._result_cache is None:
        found = list(queryset.iterator(CHUNK_SIZE))
        queryset._result_cache, queryset._prefetch_done = found, True
    return list(queryset)


async def _chunks(queryset: Any) -> Any:
    return [row async for row in queryset.aiterator(chunk_size=3)]


def rows(make: Make) -> Case:
    return Case(
        make,
        {
            "awaited": (list, _all),
            "in a loop": (_each_synchronously, _each),
            "in chunks": (lambda queryset: list(queryset.iterator(3)), _chunks),
        },
    )
