"""What Django's querysets lack on the event loop.

Contract: Django's own awaitables (``aget``, ``acount``, ...) come from Django and
wait through the bridge once adopted. Here are only ``await queryset``, streaming
``async for``, ``aget_or_none()`` and ``afetch()``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable
from functools import cache
from typing import Any, TypeVar

from django.db.models import Manager, Model, QuerySet, prefetch_related_objects

from django_async_ext.bridge import run

M = TypeVar("M", bound=Model)

#: Rows a round trip of ``async for``: few enough that the first come early.
CHUNK_SIZE = 500


class AsyncQuerySet(QuerySet[M]):
    """A queryset that can be awaited; see Django's QuerySet for all else."""

    def __await__(self) -> Generator[Any, Any, list[M]]:
        """Give the list of all rows; filled once, like iterating in Django."""
        return self._aall().__await__()

    async def _aall(self) -> list[M]:
        await run(self._fetch_all)
        return list(self._result_cache or ())

    def __aiter__(self) -> AsyncIterator[M]:
        """Stream the rows in chunks; a second pass reads them from the cache.

        A pass that is broken off leaves the cache empty.
        """
        if self._result_cache is not None:
            return super().__aiter__()
        return self._astream()

    async def _astream(self) -> AsyncIterator[M]:
        rows = []
        async for row in self.aiterator(CHUNK_SIZE):
            rows.append(row)
            yield row
        if self._result_cache is None:
            self._result_cache, self._prefetch_done = rows, True

    async def aget_or_none(self, *args: Any, **kwargs: Any) -> M | None:
        """Return the one object that matches, or None.

        Raises ``MultipleObjectsReturned`` as ``get()`` does.
        """
        try:
            return await self.aget(*args, **kwargs)
        except self.model.DoesNotExist:
            return None


class AsyncManager(Manager.from_queryset(AsyncQuerySet)):  # type: ignore[misc]
    """A manager whose querysets can be awaited and streamed."""

    @classmethod
    def from_queryset(
        cls, queryset_class: type[QuerySet[Any]], class_name: str | None = None
    ) -> type[Manager[Any]]:
        """As in Django; the querysets can be awaited, whatever their class."""
        if not issubclass(queryset_class, AsyncQuerySet):
            queryset_class = _awaitable(queryset_class)
        manager: type[Manager[Any]] = super().from_queryset(queryset_class, class_name)
        return manager


@cache
def _awaitable(queryset_class: type[QuerySet[Any]]) -> type[QuerySet[Any]]:
    def reduce(self: Any) -> Any:
        # Made here, the class cannot be found by its name.
        return _new_awaitable, (queryset_class,), self.__getstate__()

    name = f"Async{queryset_class.__name__}"
    return type(name, (queryset_class, AsyncQuerySet), {"__reduce__": reduce})


def _new_awaitable(queryset_class: type[QuerySet[Any]]) -> QuerySet[Any]:
    made = _awaitable(queryset_class)
    return made.__new__(made)


async def afetch(objects: M | Iterable[M], *lookups: str) -> None:
    """Load relations and deferred fields of one object, or of many.

    ``lookups`` are names as prefetch_related() takes them ("author",
    "publisher__country"), or names of deferred fields. Loaded ones cost nothing.
    """
    instances = [objects] if isinstance(objects, Model) else list(objects)
    await run(_fetch, instances, lookups)


def _fetch(instances: list[Any], lookups: tuple[str, ...]) -> None:
    relations = []
    for name in lookups:
        if not _load_deferred(instances, name):
            relations.append(name)
    if relations:
        prefetch_related_objects(instances, *relations)


def _load_deferred(instances: list[Any], name: str) -> bool:
    deferred = [one for one in instances if name in one.get_deferred_fields()]
    for instance in deferred:
        instance.refresh_from_db(fields=[name])
    return bool(deferred) or all(_is_plain_field(one, name) for one in instances)


def _is_plain_field(instance: Any, name: str) -> bool:
    fields = instance._meta.concrete_fields
    return any(field.name == name and not field.is_relation for field in fields)
