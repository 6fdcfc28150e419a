"""What Django's querysets lack on the event loop.

Contract: Django's own awaitables (``aget``, ``acount``, ...) come from Django and
wait through the bridge once adopted. Here are only ``await queryset``, streaming
``async for``, ``aget_or_none()`` and ``afetch()``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from django.db.models import (
    Manager,
    Model,
    Prefetch,
    QuerySet,
    prefetch_related_objects,
)
from django.db.models.constants import LOOKUP_SEP

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

    async def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[M]:
        """As in Django, but of several values_list() too, which Django refuses."""
        rows = self.iterator(chunk_size)
        while chunk := await run(_next_chunk, rows, chunk_size):
            for row in chunk:
                yield row
            if len(chunk) < chunk_size:
                return

    async def aget_or_none(self, *args: Any, **kwargs: Any) -> M | None:
        """Return the one object that matches, or None.

        Raises ``MultipleObjectsReturned`` as ``get()`` does.
        """
        try:
            return await self.aget(*args, **kwargs)
        except self.model.DoesNotExist:
            return None


def _next_chunk(rows: Iterator[M], size: int) -> list[M]:
    return list(islice(rows, size))


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


async def afetch(objects: M | Iterable[M], *lookups: str | Prefetch[Any]) -> None:
    """Load relations and deferred fields of one object, or of many.

    ``lookups`` are names as prefetch_related() takes them ("author",
    "publisher__country"), ``Prefetch`` objects, or names of deferred fields.
    Loaded ones cost nothing, the others a query for all objects together.

    Raises what prefetch_related() raises for a name that is neither.
    """
    await run(_fetch, objects, lookups)


def _fetch(objects: Any, lookups: tuple[Any, ...]) -> None:
    instances = [objects] if isinstance(objects, Model) else list(objects)
    relations = []
    for lookup in lookups:
        path = getattr(lookup, "prefetch_through", lookup)
        name, *_ = path.split(LOOKUP_SEP)
        fields = {_field(one, name) for one in instances}
        for field in fields - {None}:
            _load_deferred(instances, field.attname)
        if any(field is None or _is_relation(field, name) for field in fields):
            relations.append(lookup)
    if relations:
        prefetch_related_objects(instances, *relations)


def _field(instance: Any, name: str) -> Any:
    fields = instance._meta.concrete_fields
    return next((one for one in fields if name in (one.name, one.attname)), None)


def _is_relation(field: Any, name: str) -> bool:
    # author_id names the column alone.
    return bool(field.is_relation) and field.name == name


def _load_deferred(instances: list[Any], attname: str) -> None:
    groups: dict[Any, dict[Any, Any]] = {}
    for one in instances:
        if attname in one.get_deferred_fields():
            group = groups.setdefault((type(one), one._state.db), {})
            group[one.pk] = one
    for (model, using), group in groups.items():
        if len(group) > 1:
            rows = model._base_manager.using(using).filter(pk__in=group)
            for pk, value in rows.values_list("pk", attname):
                setattr(group[pk], attname, value)
        for one in group.values():
            # Django loads one alone, and raises when its row is gone.
            getattr(one, attname)
