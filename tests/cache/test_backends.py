"""Every cache: the same answers from its sync methods, its awaitables, and Django's."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache

from django_async_ext import on_loop
from django_async_ext.cache.base import METHODS
from tests.cache.operations import arun_steps, expected_of, run_steps

MakeCache = Callable[..., Any]


async def test_the_awaitables_answer_as_djangos_sync_methods_do(
    make_cache: MakeCache,
) -> None:
    expected = expected_of(make_cache(django=True))
    assert await arun_steps(make_cache()) == expected


async def test_the_sync_methods_answer_the_same_on_the_loop(
    make_cache: MakeCache,
) -> None:
    expected = expected_of(make_cache(django=True))
    assert await on_loop(run_steps)(make_cache()) == expected


def test_the_sync_methods_answer_the_same_without_a_loop(make_cache: MakeCache) -> None:
    expected = expected_of(make_cache(django=True))
    cache = make_cache()
    assert run_steps(cache) == expected
    cache.close()


async def test_only_files_need_threads(
    make_cache: MakeCache, backend: str, thread_submissions: list[str]
) -> None:
    await arun_steps(make_cache())
    assert bool(thread_submissions) is (backend == "FileBasedCache")


async def test_a_default_may_be_a_coroutine_function(
    make_cache: MakeCache, backend: str
) -> None:
    async def compute() -> str:
        return "computed"

    assert await make_cache().aget_or_set("key", compute) == "computed"
    kept = None if backend == "DummyCache" else "computed"
    assert await make_cache().aget("key") == kept


def test_every_awaitable_of_django_is_known() -> None:
    awaitables = {
        name
        for name, member in vars(BaseCache).items()
        if inspect.iscoroutinefunction(member)
    }
    assert awaitables == {f"a{name}" for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_every_awaitable_is_ours(make_cache: MakeCache, name: str) -> None:
    method = getattr(type(make_cache()), f"a{name}")
    assert inspect.iscoroutinefunction(method)
    assert method.__module__ == "django_async_ext.cache.base"
