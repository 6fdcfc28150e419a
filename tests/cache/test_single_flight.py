import asyncio
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from django.test import override_settings

from django_async_ext import aatomic
from django_async_ext.cache import LocMemCache, acached
from django_async_ext.cache.single_flight import _lines
from tests.library.models import Author

pytestmark = pytest.mark.usefixtures("own_caches")


class Slow:
    """A computation that ends when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def compute(self, value: Any) -> Any:
        self.begun.append(value)
        self.started.set()
        await self.go.wait()
        return value


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_value_is_computed_once_and_kept() -> None:
    calls: list[int] = []

    @acached(key=str)
    async def double(number: int) -> int:
        calls.append(number)
        return number * 2

    assert [await double(2), await double(2), await double(3)] == [4, 4, 6]
    assert calls == [2, 3]


async def test_none_is_a_value_too() -> None:
    calls: list[None] = []

    @acached(key=lambda: "nothing")
    async def nothing() -> None:
        calls.append(None)

    await nothing()
    await nothing()
    assert calls == [None]


async def test_of_many_tasks_one_computes() -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    tasks = [asyncio.create_task(cached("value")) for _ in range(50)]
    await slow.started.wait()
    await turns()
    slow.go.set()
    assert await asyncio.gather(*tasks) == ["value"] * 50
    assert slow.begun == ["value"]


async def test_each_caller_may_change_what_it_gets() -> None:
    slow = Slow()

    @acached(key=lambda: "context")
    async def context() -> dict[str, Any]:
        return {"articles": [await slow.compute(1)]}

    async def view(user: str) -> dict[str, Any]:
        found = await context()
        found["user"] = user
        found["articles"].append(user)
        return found

    tasks = [asyncio.create_task(view(user)) for user in "abc"]
    await slow.started.wait()
    await turns()
    slow.go.set()
    expected = [{"articles": [1, user], "user": user} for user in "abc"]
    assert await asyncio.gather(*tasks) == expected
    assert await context() == {"articles": [1]}
    assert slow.begun == [1]


async def test_what_cannot_be_copied_each_computes_for_itself() -> None:
    slow = Slow()
    dummy = {"BACKEND": "django_async_ext.cache.DummyCache"}

    @acached(key=lambda: "make")
    async def make() -> Any:
        await slow.compute(1)
        return lambda: None

    with override_settings(CACHES={"default": dummy}):
        tasks = [asyncio.create_task(make()) for _ in range(3)]
        await slow.started.wait()
        await turns()
        slow.go.set()
        assert len(set(await asyncio.gather(*tasks))) == 3


@pytest.mark.parametrize("name", ["LocMemCache", "DummyCache"])
async def test_all_who_wait_for_a_queryset_get_its_rows(
    transactional_db: None, name: str
) -> None:
    await Author.objects.acreate(name="Ada")
    slow = Slow()
    one = {"BACKEND": f"django_async_ext.cache.{name}", "LOCATION": uuid.uuid4().hex}

    @acached(key=lambda: "authors")
    async def authors() -> Any:
        await slow.compute(1)
        return Author.objects.all()

    with override_settings(CACHES={"default": one}):
        tasks = [asyncio.create_task(authors()) for _ in range(3)]
        await slow.started.wait()
        await turns()
        slow.go.set()
        for found in await asyncio.gather(*tasks):
            assert [author.name async for author in found] == ["Ada"]


async def test_other_keys_do_not_wait() -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    tasks = [asyncio.create_task(cached(value)) for value in "ab"]
    await turns()
    assert slow.begun == ["a", "b"]
    slow.go.set()
    assert await asyncio.gather(*tasks) == ["a", "b"]


tenant: ContextVar[str] = ContextVar("tenant")


def tenants_key(key: str, prefix: str, version: int) -> str:
    return f"{tenant.get()}:{prefix}:{version}:{key}"


async def test_keys_that_the_cache_tells_apart_do_not_wait_for_each_other() -> None:
    slow = Slow()
    backend = "django_async_ext.cache.LocMemCache"
    one = {"BACKEND": backend, "LOCATION": uuid.uuid4().hex}

    @acached(key=lambda: "title")
    async def title() -> Any:
        return await slow.compute(f"Shop of {tenant.get()}")

    async def ask(name: str) -> Any:
        tenant.set(name)
        return await title()

    with override_settings(CACHES={"default": one | {"KEY_FUNCTION": tenants_key}}):
        names = ["ada", "grace"] * 2
        tasks = [asyncio.create_task(ask(name)) for name in names]
        await turns()
        slow.go.set()
        expected = ["Shop of ada", "Shop of grace"]
        assert await asyncio.gather(*tasks) == expected * 2
        assert slow.begun == expected


async def test_all_get_the_error_and_none_is_kept() -> None:
    slow = Slow()

    @acached(key=lambda: "fail")
    async def fail() -> None:
        await slow.compute(1)
        raise ZeroDivisionError

    tasks = [asyncio.create_task(fail()) for _ in range(3)]
    await slow.started.wait()
    await turns()
    slow.go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 3
    assert slow.begun == [1]
    with pytest.raises(ZeroDivisionError):
        await fail()
    assert slow.begun == [1, 1]


async def test_when_the_computing_task_is_cancelled_the_next_computes() -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    first = asyncio.create_task(cached("value"))
    await slow.started.wait()
    others = [asyncio.create_task(cached("value")) for _ in range(3)]
    await turns()
    first.cancel()
    await turns()
    assert slow.begun == ["value", "value"]
    slow.go.set()
    assert await asyncio.gather(*others) == ["value"] * 3
    assert first.cancelled()


class Gated(LocMemCache):
    """A cache that answers, and stores, when it is told to."""

    answers: asyncio.Event
    stores: asyncio.Event

    async def aget(self, *args: Any, **kwargs: Any) -> Any:
        found = await super().aget(*args, **kwargs)
        await self.answers.wait()
        return found

    async def aset(self, *args: Any, **kwargs: Any) -> None:
        await super().aset(*args, **kwargs)
        await self.stores.wait()


@pytest.fixture
def gated() -> Iterator[type[Gated]]:
    Gated.answers, Gated.stores = asyncio.Event(), asyncio.Event()
    one = {"BACKEND": f"{__name__}.Gated", "LOCATION": uuid.uuid4().hex}
    with override_settings(CACHES={"default": one}):
        yield Gated


async def test_who_looked_before_another_stored_looks_again(
    gated: type[Gated],
) -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    slow.go.set()
    early = asyncio.create_task(cached("value"))
    await turns()
    gated.answers, late = asyncio.Event(), gated.answers
    gated.answers.set()
    gated.stores.set()
    assert await cached("value") == "value"
    late.set()
    assert await early == "value"
    assert slow.begun == ["value"]


async def test_what_a_task_has_computed_when_it_is_cancelled_is_not_lost(
    gated: type[Gated],
) -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    gated.answers.set()
    slow.go.set()
    first = asyncio.create_task(cached("value"))
    await slow.started.wait()
    await turns()
    other = asyncio.create_task(cached("value"))
    await turns()
    first.cancel()
    assert await other == "value"
    assert first.cancelled()
    assert slow.begun == ["value"]


async def test_all_are_cancelled_and_the_next_begins_anew() -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    tasks = [asyncio.create_task(cached("value")) for _ in range(5)]
    await slow.started.wait()
    await turns()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    slow.go.set()
    assert await cached("value") == "value"
    assert not any(_lines.values.values())


async def test_a_cancelled_follower_disturbs_nobody() -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    first = asyncio.create_task(cached("value"))
    await slow.started.wait()
    other = asyncio.create_task(cached("value"))
    await turns()
    other.cancel()
    await turns()
    slow.go.set()
    assert await first == "value"
    assert other.cancelled()


async def test_a_function_that_needs_its_own_value_does_not_wait_for_itself() -> None:
    depth: list[int] = []

    @acached(key=lambda: "recursive")
    async def recursive() -> int:
        depth.append(1)
        if len(depth) < 3:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                child = group.create_task(recursive())
            return child.result() + 1
        return 0

    assert await recursive() == 2


async def test_tasks_that_outlive_a_computation_wait_for_later_ones() -> None:
    slow, go = Slow(), asyncio.Event()
    left: list[asyncio.Task[Any]] = []

    @acached(0, key=lambda: "shared")
    async def value() -> Any:
        if not left:
            left.append(asyncio.create_task(ask_later()))
        else:
            await slow.compute(1)

    async def ask_later() -> None:
        await go.wait()
        await asyncio.gather(*(value() for _ in range(5)))

    await value()
    go.set()
    await slow.started.wait()
    await turns()
    slow.go.set()
    await left[0]
    assert slow.begun == [1]


async def test_in_a_transaction_each_computes_for_itself(
    transactional_db: None,
) -> None:
    slow = Slow()
    cached = acached(key=str)(slow.compute)
    outside = asyncio.create_task(cached("value"))
    await slow.started.wait()
    async with aatomic():
        inside = asyncio.create_task(asyncio.sleep(0))
        await inside
        slow.go.set()
        assert await cached("value") == "value"
    assert await outside == "value"
    assert slow.begun == ["value", "value"]


def test_misuse_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"write @acached\(\), not @acached"):
        acached(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a coroutine function, not"):
        acached()(lambda: None)  # type: ignore[arg-type,return-value]
