"""AsyncManager.from_queryset() with the querysets that projects have."""

import pickle

from django.db import models

from django_async_ext import AsyncManager, AsyncQuerySet
from tests.library.models import Author


class PlainQuerySet(models.QuerySet):
    def named(self, name: str) -> "PlainQuerySet":
        return self.filter(name=name)


class Named(AsyncManager.from_queryset(PlainQuerySet)):
    pass


def _manager() -> models.Manager:
    manager = Named()
    manager.model = Author
    return manager


async def test_a_queryset_of_django_becomes_awaitable_and_keeps_its_methods() -> None:
    ada = await Author.objects.acreate(name="Ada")
    queryset = _manager().named("Ada")
    assert isinstance(queryset, PlainQuerySet)
    assert isinstance(queryset, AsyncQuerySet)
    assert await queryset == [ada]
    assert await _manager().named("Grace").aget_or_none() is None


async def test_such_a_queryset_can_be_pickled() -> None:
    ada = await Author.objects.acreate(name="Ada")
    queryset = _manager().named("Ada")
    await queryset
    copy = pickle.loads(pickle.dumps(queryset))
    assert type(copy) is type(queryset)
    assert await copy == [ada]


def test_an_awaitable_queryset_is_taken_as_it_is() -> None:
    class Mine(AsyncQuerySet):
        pass

    assert AsyncManager.from_queryset(Mine)._queryset_class is Mine
