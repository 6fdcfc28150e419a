"""Commands of several tasks that share a connection to Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis as StockRedis
from redis import exceptions
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from django_async_ext import on_loop
from django_async_ext.bridge import shielded
from django_async_ext.cache import RedisCache
from django_async_ext.cache.redis_pipeline import PipeliningRedis
from tests.db.server import until
from tests.programs import Redis
from tests.proxy import Proxy
from tests.waiting import PATIENCE

NO_RETRIES = Retry(NoBackoff(), 0)


@pytest.fixture
async def proxy(redis: Redis) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", redis.port) as one:
        yield one


def cache_of(url: Any, **options: Any) -> RedisCache:
    return RedisCache(url, {"OPTIONS": options})


def through(proxy: Proxy, **options: Any) -> RedisCache:
    return cache_of(f"redis://127.0.0.1:{proxy.port}/0", **options)


async def client_of(cache: RedisCache) -> Any:
    return await on_loop(cache._cache.get_client)()


async def nothing_is_left(cache: RedisCache) -> bool:
    client = await client_of(cache)
    return not (client.batch or client.connection_pool.in_use or pipelines())


def pipelines() -> list[asyncio.Task[Any]]:
    return [one for one in asyncio.all_tasks() if one.get_name() == "Redis pipeline"]


async def fill(cache: RedisCache, count: int) -> dict[str, str]:
    values = {f"key{number}": f"value{number}" for number in range(count)}
    await cache.aset_many(values)
    return values


async def hold_all(proxy: Proxy, cache: RedisCache, values: dict[str, str]) -> Any:
    """Let a task for each key ask; no answer comes."""
    proxy.hold()
    tasks = {key: asyncio.create_task(cache.aget(key)) for key in values}
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_each_task_gets_its_own_answer(redis: Redis, writes: list[int]) -> None:
    cache = cache_of(redis.url)
    values = await fill(cache, 250)
    for _ in range(3):
        writes.clear()
        found = await asyncio.gather(*map(cache.aget, values))
        assert found == list(values.values())
    # Two have a connection to themselves, and then at most a hundred share one.
    assert len(writes) == 2 + 3
    assert await nothing_is_left(cache)


async def test_every_method_may_share(redis: Redis, writes: list[int]) -> None:
    cache = cache_of(redis.url)
    await cache.aset_many({"number": 1, "text": "a", "touched": "b", "gone": "c"})
    await asyncio.gather(*(cache.aget("text") for _ in range(3)))
    writes.clear()
    found = await asyncio.gather(
        cache.aget("text"),
        cache.aget("text"),
        cache.aget("missing", "a default"),
        cache.aget_many(["text", "missing", "touched"]),
        cache.ahas_key("text"),
        cache.aset("new", [1]),
        cache.aadd("text", "other"),
        cache.aadd("added", "d"),
        cache.adelete("gone"),
        cache.atouch("touched", 100),
        cache.atouch("text", None),
        cache.adelete_many(["gone", "missing"]),
    )
    texts = {"text": "a", "touched": "b"}
    assert found == [
        *("a", "a", "a default", texts, True, None, False, True, True, True),
        *(True, None),
    ]
    assert len(writes) == 3
    assert await cache.aget("new") == [1]


async def test_a_command_that_is_alone_goes_out_at_once(redis: Redis) -> None:
    cache = cache_of(redis.url)
    await cache.aset("key", "value")
    tasks = asyncio.all_tasks()
    task = asyncio.create_task(cache.aget("key"))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - tasks == {task}
    assert await task == "value"


async def test_an_error_is_that_of_its_own_task(redis: Redis) -> None:
    cache = cache_of(redis.url)
    await cache.aset_many({"text": "a", "number": 1})
    keys = ["number", "text"] * 5
    found = await asyncio.gather(*map(cache.aincr, keys), return_exceptions=True)
    assert [one for one in found if isinstance(one, int)] == [2, 3, 4, 5, 6]
    errors = [one for one in found if isinstance(one, Exception)]
    assert len({id(one) for one in errors}) == 5
    assert {type(one) for one in errors} == {exceptions.ResponseError}
    assert await nothing_is_left(cache)


async def test_what_cannot_be_sent_is_the_trouble_of_its_own_task(
    redis: Redis,
) -> None:
    cache = cache_of(redis.url)
    values = await fill(cache, 10)
    found = await asyncio.gather(
        *map(cache.aget, values),
        cache.aget("\ud800"),
        cache.aincr("key0", None),
        *map(cache.aget, values),
        return_exceptions=True,
    )
    assert found[:10] == found[12:] == list(values.values())
    assert [type(one) for one in found[10:12]] == [
        UnicodeEncodeError,
        exceptions.DataError,
    ]


async def test_scripts_that_the_server_forgot_are_sent_again(redis: Redis) -> None:
    cache = cache_of(redis.url)
    await cache.aset("number", 0)
    with StockRedis.from_url(redis.url) as client:
        client.script_flush()
    found = await asyncio.gather(*(cache.aincr("number") for _ in range(20)))
    assert sorted(found) == list(range(1, 21))


async def test_cancelled_tasks_leave_the_others_their_answers(proxy: Proxy) -> None:
    cache = through(proxy)
    values = await fill(cache, 20)
    tasks = await hold_all(proxy, cache, values)
    for task in list(tasks.values())[::3]:
        task.cancel()
    proxy.let_flow()
    await asyncio.wait(tasks.values())
    for number, (key, task) in enumerate(tasks.items()):
        assert task.cancelled() if number % 3 == 0 else task.result() == values[key]
    assert await nothing_is_left(cache)


@pytest.mark.parametrize("size", [0, 1, 5, 20, 60, 200])
async def test_answers_half_read_when_all_are_cancelled_are_read_by_nobody(
    proxy: Proxy, size: int
) -> None:
    cache = through(proxy, max_connections=3)
    values = await fill(cache, 20)
    await asyncio.gather(*map(cache.aget, values))
    proxy.hold_after(size)
    tasks = [asyncio.create_task(cache.aget(key)) for key in values]
    await until(lambda: proxy._passing is None)
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    proxy.heal()
    await asyncio.sleep(0)
    for _ in range(2):
        found = await asyncio.gather(*map(cache.aget, values))
        assert found == list(values.values())
    assert await nothing_is_left(cache)


async def test_a_server_that_is_silent_holds_nobody_longer_than_they_want(
    proxy: Proxy,
) -> None:
    cache = through(proxy)
    values = await fill(cache, 20)

    async def get(key: str) -> Any:
        async with asyncio.timeout(0.05):
            return await cache.aget(key)

    proxy.hold()
    async with asyncio.timeout(PATIENCE):
        found = await asyncio.gather(*map(get, values), return_exceptions=True)
    assert {type(one) for one in found} == {TimeoutError}
    proxy.heal()
    proxy.let_flow()
    await asyncio.sleep(0)
    assert await nothing_is_left(cache)
    assert await asyncio.gather(*map(get, values)) == list(values.values())


async def test_a_lost_connection_is_told_to_each_by_an_error_of_its_own(
    proxy: Proxy,
) -> None:
    cache = through(proxy, retry=NO_RETRIES)
    values = await fill(cache, 20)
    tasks = await hold_all(proxy, cache, values)
    proxy.refuse()
    proxy.cut()
    await asyncio.wait(tasks.values())
    errors = [task.exception() for task in tasks.values()]
    assert {type(one) for one in errors} == {exceptions.ConnectionError}
    assert len({id(one) for one in errors}) == 20
    proxy.refuse(False)
    proxy.let_flow()
    found = await asyncio.gather(*map(cache.aget, values))
    assert found == list(values.values())


async def test_a_lost_connection_is_made_again_for_all(proxy: Proxy) -> None:
    cache = through(proxy, retry=Retry(ConstantBackoff(0.01), 20))
    values = await fill(cache, 20)
    tasks = await hold_all(proxy, cache, values)
    proxy.cut()
    proxy.let_flow()
    found = await asyncio.gather(*tasks.values())
    assert found == list(values.values())


async def test_with_no_connection_left_all_are_told_who_holds_them(
    proxy: Proxy,
) -> None:
    cache = through(proxy, max_connections=2, timeout=0.05)
    values = await fill(cache, 20)
    tasks = await hold_all(proxy, cache, values)
    await asyncio.wait(list(tasks.values())[2:])
    for task in list(tasks.values())[2:]:
        assert "all 2 are in use and none came free" in str(task.exception())
    proxy.let_flow()
    assert [await tasks[key] for key in ("key0", "key1")] == ["value0", "value1"]
    assert await nothing_is_left(cache)


async def test_who_may_not_wait_leaves_no_batch_for_the_next(proxy: Proxy) -> None:
    cache = through(proxy)
    values = await fill(cache, 4)
    tasks = await hold_all(proxy, cache, dict(list(values.items())[:2]))
    reached = asyncio.Event()

    def late() -> None:
        with shielded():
            cache.has_key("key0")
        reached.set()
        # What came while it was shielded is raised here, before anything is sent.
        cache.get("key2")

    task = asyncio.create_task(on_loop(late)())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    proxy.let_flow()
    with suppress(asyncio.CancelledError):
        await task
    assert reached.is_set()
    assert task.cancelled()
    async with asyncio.timeout(PATIENCE):
        found = await asyncio.gather(*tasks.values(), *map(cache.aget, values))
    assert found == ["value0", "value1", *values.values()]


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_pipeline_that_somebody_cancels_ends_all_who_wait_for_it(
    proxy: Proxy, turns: int
) -> None:
    cache = through(proxy)
    values = await fill(cache, 10)
    proxy.hold()
    tasks = [asyncio.create_task(cache.aget(key)) for key in values]
    for _ in range(1 + turns):
        await asyncio.sleep(0)
    (pipeline,) = pipelines()
    pipeline.cancel()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait(tasks[2:])
    assert all(task.cancelled() for task in tasks[2:])
    proxy.heal()
    proxy.let_flow()
    assert await asyncio.gather(*tasks[:2]) == ["value0", "value1"]
    found = await asyncio.gather(*map(cache.aget, values))
    assert found == list(values.values())


def test_a_loop_that_ends_leaves_nothing_to_the_next(redis: Redis) -> None:
    cache = cache_of(redis.url)

    async def begin() -> None:
        values = await fill(cache, 10)
        tasks = [asyncio.create_task(cache.aget(key)) for key in values]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    async def read() -> list[Any]:
        return await asyncio.gather(*(cache.aget(f"key{n}") for n in range(10)))

    asyncio.run(begin())
    assert asyncio.run(read()) == [f"value{number}" for number in range(10)]


async def test_it_can_be_turned_off(redis: Redis, writes: list[int]) -> None:
    cache = cache_of(redis.url, auto_pipeline=False)
    values = await fill(cache, 20)
    writes.clear()
    found = await asyncio.gather(*map(cache.aget, values))
    assert found == list(values.values())
    assert len(writes) >= 20
    assert not isinstance(await client_of(cache), PipeliningRedis)


async def test_text_that_cannot_be_decoded_is_the_trouble_of_its_own_task(
    redis: Redis,
) -> None:
    with StockRedis.from_url(redis.url) as client:
        client.mset({":1:bad": b"\xff", ":1:good": "1"})
    cache = cache_of(redis.url, decode_responses=True, serializer=Text)
    keys = ["good", "bad"] * 10
    found = await asyncio.gather(*map(cache.aget, keys), return_exceptions=True)
    assert found[::2] == ["1"] * 10
    assert {type(one) for one in found[1::2]} == {UnicodeDecodeError}


class Text:
    """Keeps text as it is."""

    def dumps(self, value: str) -> str:
        return value

    def loads(self, value: str) -> str:
        return value
