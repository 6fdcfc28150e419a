"""Memcached on the loop: what goes wrong with servers, networks and tasks."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache.backends.base import InvalidCacheKey
from django.core.cache.backends.memcached import PyMemcacheCache as StockCache
from pymemcache.exceptions import MemcacheError
from pymemcache.serde import PickleSerde

from django_async_ext import on_loop
from django_async_ext.cache import PyMemcacheCache
from django_async_ext.loop_socket import LoopSocket
from tests.db.server import until
from tests.programs import Memcached, running
from tests.proxy import Proxy
from tests.waiting import PATIENCE


def cache_of(address: Any, **options: Any) -> PyMemcacheCache:
    return PyMemcacheCache(address, {"OPTIONS": options})


async def connections_of(server: Memcached) -> int:
    """How many connections the server knows, without the one that asks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(b"stats\r\n")
        stats = (await reader.readuntil(b"END\r\n")).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    (line,) = (one for one in stats.splitlines() if " curr_connections " in one)
    return int(line.split()[-1]) - 1


async def has_connections(server: Memcached, count: int) -> bool:
    """Wait until it is so: the server notices the end of one in its own time.

    Ends are late, so a count is held against a number, never against one that was
    taken before: that one may have had connections in it that have ended since.
    """
    async with asyncio.timeout(PATIENCE):
        while await connections_of(server) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return True


@pytest.fixture
async def proxy(memcached: Memcached) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", memcached.port) as one:
        yield one


def through(proxy: Proxy, **options: Any) -> PyMemcacheCache:
    return cache_of(f"127.0.0.1:{proxy.port}", **options)


async def test_all_contexts_of_a_loop_share_their_connections(
    memcached: Memcached,
) -> None:
    # The fixture's own has ended, but the server may not know.
    assert await has_connections(memcached, 0)
    for number in range(20):
        cache = cache_of(memcached.address)
        await asyncio.create_task(cache.aset(str(number), number))
        await cache.aclose()
    assert await has_connections(memcached, 1)


@dataclass
class Serde(PickleSerde):
    """A project's own, equal to its like, and hence without a hash."""

    def __post_init__(self) -> None:
        super().__init__()


async def test_an_option_that_cannot_be_hashed_shares_connections_too(
    memcached: Memcached,
) -> None:
    serde = Serde()
    with pytest.raises(TypeError, match="unhashable"):
        hash(serde)
    for number in range(3):
        cache = cache_of(memcached.address, serde=serde)
        await cache.aset("key", number)
        assert await cache.aget("key") == number
    assert await has_connections(memcached, 1)


async def test_parallel_commands_have_connections_of_their_own_up_to_the_limit(
    memcached: Memcached,
) -> None:
    assert await has_connections(memcached, 0)
    cache = cache_of(memcached.address, max_pool_size=3)
    memcached.pause()
    tasks = [asyncio.create_task(cache.aget("key", number)) for number in range(20)]
    for _ in range(100):
        await asyncio.sleep(0)
    memcached.pause(False)
    assert await asyncio.gather(*tasks) == list(range(20))
    assert await has_connections(memcached, 3)


async def test_no_thread_and_no_loop_is_blocked(
    memcached: Memcached, thread_submissions: list[str]
) -> None:
    cache = cache_of(memcached.address)
    await cache.aset("key", "value")
    memcached.pause()
    try:
        waiting = asyncio.create_task(cache.aget("key"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
    finally:
        memcached.pause(False)
    assert await waiting == "value"
    assert not thread_submissions


def test_the_connections_end_with_their_loop(memcached: Memcached) -> None:
    async def main() -> bool:
        assert await has_connections(memcached, 0)
        await cache_of(memcached.address).aset("key", "value")
        return await has_connections(memcached, 1)

    assert asyncio.run(main())
    assert asyncio.run(has_connections(memcached, 0))


def test_the_connections_to_a_server_that_failed_lately_end_too(
    memcached: Memcached,
) -> None:
    async def main() -> list[Any]:
        cache = cache_of(memcached.address)
        await cache.aset("key", "value")
        client = await on_loop(lambda: cache._cache)()
        (pooled,) = client.clients.values()
        # As one command leaves it that timed out.
        client._mark_failed_server(pooled.server)
        return [one.sock for one in pooled.client_pool.free]

    (sock,) = asyncio.run(main())
    assert sock.fileno() == -1


@pytest.mark.parametrize("size", [0, 1, 10, 25, 60])
async def test_a_reply_that_was_cancelled_half_way_is_read_by_nobody_else(
    proxy: Proxy, size: int
) -> None:
    cache = through(proxy, max_pool_size=1)
    await cache.aset("secret", "of another user" * 5)
    await cache.aset("key", "my own")
    proxy.hold_after(size)
    task = asyncio.create_task(cache.aget("secret"))
    await until(lambda: proxy._passing is None)
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    proxy.heal()
    assert task.cancelled()
    for _ in range(3):
        assert await cache.aget("key") == "my own"


async def test_with_all_connections_in_use_the_error_says_so(proxy: Proxy) -> None:
    cache = through(proxy, max_pool_size=1, pool_timeout=0.05)
    await cache.aset("key", "value")
    proxy.hold()
    holder = asyncio.create_task(cache.aget("key"))
    await asyncio.sleep(0)
    with pytest.raises(MemcacheError) as caught:
        await cache.aget("key")
    text = str(caught.value)
    assert "No connection to memcached: all 1 are in use and none came free" in text
    assert "Raise OPTIONS['max_pool_size'] of the cache" in text
    proxy.let_flow()
    assert await holder == await cache.aget("key") == "value"


async def test_connections_that_a_restart_closed_are_not_used() -> None:
    with running(Memcached()) as server:
        cache = cache_of(server.address)
        await asyncio.gather(*(cache.aset(str(n), n) for n in range(5)))
        server.stop()
        server.start()
        assert await asyncio.gather(*(cache.aadd(str(n), n) for n in range(5))) == (
            [True] * 5
        )


async def test_a_server_that_is_down_is_the_clients_own_error() -> None:
    with running(Memcached()) as server:
        cache = cache_of(server.address)
        await cache.aset("key", "value")
        server.stop()
        with pytest.raises(ConnectionRefusedError):
            await cache.aget("key")


async def test_keys_are_spread_over_servers_as_the_sync_client_does() -> None:
    with running(Memcached()) as one, running(Memcached()) as other:
        servers = [one.address, other.address]
        values = {f"key{number}": number for number in range(50)}
        await cache_of(servers).aset_many(values)
        stock = StockCache(servers, {})
        assert stock.get_many(values) == values
        stock.close()
        single = [await cache_of(server).aget_many(values) for server in servers]
        assert single[0] | single[1] == values
        assert all(single)


async def test_many_keys_take_one_round_trip(
    memcached: Memcached, writes: list[int]
) -> None:
    cache = cache_of(memcached.address)
    await cache.aset("connected", True)
    values = {f"key{number}": number for number in range(20)}
    writes.clear()
    assert await cache.aset_many(values, timeout=60) == []
    assert len(writes) == 1
    assert await cache.aget_many(values) == values
    assert len(writes) == 2


#: The longest that memcached takes, without Django's ":1:" before it.
LONGEST = 250 - len(":1:")
BAD_KEYS = ["x" * (LONGEST + 1), "with space", "line\r\n", "\0", "\x7f"]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_bad_key_is_refused_as_by_django(
    memcached: Memcached, key: str
) -> None:
    cache, stock = cache_of(memcached.address), StockCache(memcached.address, {})
    with pytest.raises(InvalidCacheKey) as expected:
        stock.get(key)
    for call in (
        cache.aget(key),
        cache.aset(key, 1),
        cache.aadd(key, 1),
        cache.aincr(key),
        cache.adelete(key),
        cache.aget_many(["good", key]),
        cache.aset_many({"good": 1, key: 1}),
        cache.adelete_many(["good", key]),
    ):
        with pytest.raises(InvalidCacheKey) as caught:
            await call
        assert str(caught.value) == str(expected.value)
    assert await cache.aget("good") is None


async def test_the_longest_key_is_one_in_bytes(memcached: Memcached) -> None:
    cache = cache_of(memcached.address)
    await cache.aset("x" * LONGEST, "value")
    assert await cache.aget("x" * LONGEST) == "value"
    with pytest.raises(MemcacheError, match="Key is too long"):
        await cache.aset("ä" * LONGEST, "value")


async def test_a_value_too_large_is_not_kept(memcached: Memcached) -> None:
    cache = cache_of(memcached.address)
    await cache.aset("key", "small")
    with pytest.raises(MemcacheError, match="object too large"):
        await cache.aset("key", os.urandom(2_000_000))
    assert await cache.aget("key") is None


async def test_sync_calls_inside_the_bridge_wait_on_the_loop(
    memcached: Memcached, thread_submissions: list[str]
) -> None:
    cache = cache_of(memcached.address)

    def work() -> Any:
        cache.set("key", "value")
        return cache.get_many(["key"])

    assert await on_loop(work)() == {"key": "value"}
    assert not thread_submissions


async def test_a_task_that_is_cancelled_while_it_connects_leaves_nothing_open(
    memcached: Memcached, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LoopSocket] = []
    init = LoopSocket.__init__

    def watched(self: LoopSocket, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(LoopSocket, "__init__", watched)
    cache = cache_of(memcached.address)
    tasks = [asyncio.create_task(cache.aget("key")) for _ in range(5)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert [one.fileno() for one in made] == [-1] * 5


# A server that fails for a moment


async def all_of(*awaitables: Any) -> list[Any]:
    return await asyncio.gather(*awaitables, return_exceptions=True)


async def test_a_server_is_used_again_soon_after_many_commands_failed() -> None:
    with running(Memcached()) as server:
        cache = cache_of(server.address, retry_timeout=0.2)
        await cache.aset("key", "value")
        server.stop()
        failed = await all_of(*(cache.aget("key") for _ in range(5)))
        assert isinstance(failed[0], OSError)
        server.start()
        await asyncio.sleep(0.3)
        await cache.aset("key", "new")
        assert await cache.aget("key") == "new"


async def test_commands_that_time_out_together_are_one_failure(
    memcached: Memcached,
) -> None:
    options = {"timeout": 0.2, "connect_timeout": 5, "retry_timeout": 0.2}
    cache = cache_of(memcached.address, **options)
    await cache.aset("key", "value")
    memcached.pause()
    failed = await all_of(*(cache.aget("key") for _ in range(10)))
    memcached.pause(False)
    assert {type(one) for one in failed} == {TimeoutError}
    await asyncio.sleep(0.3)
    assert [await cache.aget("key") for _ in range(3)] == ["value"] * 3


@pytest.mark.parametrize("method", ["aget", "aincr"])
async def test_all_who_find_a_server_well_again_get_their_answers(method: str) -> None:
    with running(Memcached()) as server:
        cache = cache_of(server.address, retry_timeout=0.2)
        await cache.aset("n", 0)
        server.stop()
        with pytest.raises(OSError):  # noqa: PT011
            await cache.aget("n")
        server.start()
        await cache_of(server.address, no_delay=True).aset("n", 0)
        await asyncio.sleep(0.3)
        answers = await all_of(*(getattr(cache, method)("n") for _ in range(5)))
        assert sorted(answers) == ([0] * 5 if method == "aget" else [1, 2, 3, 4, 5])


async def test_a_server_that_fails_when_tried_again_is_dead_for_a_while() -> None:
    with running(Memcached()) as server:
        options = {"retry_timeout": 0.1, "retry_attempts": 1, "dead_timeout": 0.5}
        cache = cache_of(server.address, **options)
        await cache.aset("key", "value")
        server.stop()
        for _ in range(2):
            await all_of(*(cache.aget("key") for _ in range(5)))
            await asyncio.sleep(0.2)
        # The attempts are used up: it is tried a last time and removed.
        await all_of(cache.aget("key"))
        server.start()
        with pytest.raises(MemcacheError, match="All servers seem to be down"):
            await cache.aget("key")
        await asyncio.sleep(0.6)
        await cache.aset("key", "new")
        assert await cache.aget("key") == "new"


async def test_a_server_that_gets_no_second_attempt_comes_back_in_its_time() -> None:
    with running(Memcached()) as server:
        cache = cache_of(server.address, retry_attempts=0, dead_timeout=0.3)
        await cache.aset("key", "value")
        server.stop()
        await all_of(*(cache.aget("key") for _ in range(5)))
        server.start()
        with pytest.raises(MemcacheError, match="All servers seem to be down"):
            await cache.aget("key")
        await asyncio.sleep(0.4)
        for _ in range(3):
            await cache.aset("key", "new")
            assert await cache.aget("key") == "new"
