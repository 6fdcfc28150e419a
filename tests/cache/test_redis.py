"""Redis on the loop: what goes wrong with servers, networks and tasks."""

import asyncio
import datetime
import gc
import os
import pickle
import threading
import uuid
import warnings
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from django.core.cache.backends.base import BaseCache, InvalidCacheKey
from django.core.cache.backends.redis import RedisCache as StockCache
from redis import Redis as StockRedis
from redis import exceptions
from redis._parsers import _HiredisParser, _RESP2Parser
from redis.backoff import ConstantBackoff, NoBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry

from django_async_ext import on_loop
from django_async_ext.cache import RedisCache
from django_async_ext.cache.redis_loop import LoopConnection, LoopSSLConnection
from django_async_ext.loop_socket import LoopSocket
from tests.db.server import until
from tests.programs import Redis, free_port, running
from tests.proxy import Proxy
from tests.waiting import PATIENCE

Clients = Callable[[], int]


NO_RETRIES = Retry(NoBackoff(), 0)

#: What the connections of the running test are called at the server.
_name: ContextVar[str] = ContextVar("name")


@pytest.fixture(autouse=True)
def _own_name() -> None:
    _name.set(uuid.uuid4().hex)


@pytest.fixture
def clients(redis: Redis) -> Clients:
    """How many connections of this test the server has."""
    name = _name.get()

    def count() -> int:
        with StockRedis.from_url(redis.url) as client:
            return sum(one["name"] == name for one in client.client_list())

    return count


def cache_of(url: Any, **options: Any) -> RedisCache:
    return RedisCache(url, {"OPTIONS": {"client_name": _name.get(), **options}})


@pytest.fixture
async def proxy(redis: Redis) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", redis.port) as one:
        yield one


def through(proxy: Proxy, **options: Any) -> RedisCache:
    return cache_of(f"redis://127.0.0.1:{proxy.port}/0", **options)


# Connections


async def test_all_contexts_of_a_loop_share_one_pool(
    redis: Redis, clients: Clients
) -> None:
    for number in range(20):
        # As each request has a cache object of its own.
        await asyncio.create_task(cache_of(redis.url).aset(str(number), number))
    assert clients() == 1


async def test_parallel_commands_have_connections_of_their_own_up_to_the_limit(
    redis: Redis, clients: Clients
) -> None:
    cache = cache_of(redis.url, max_connections=3)
    redis.pause()
    tasks = [asyncio.create_task(cache.aget("key", number)) for number in range(50)]
    for _ in range(100):
        await asyncio.sleep(0)
    redis.pause(False)
    assert await asyncio.gather(*tasks) == list(range(50))
    assert clients() == 3


async def test_no_thread_and_no_loop_is_blocked(
    redis: Redis, thread_submissions: list[str]
) -> None:
    cache = cache_of(redis.url)
    await cache.aset("key", "value")
    redis.pause()
    try:
        waiting = asyncio.create_task(cache.aget("key"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
    finally:
        redis.pause(False)
    assert await waiting == "value"
    assert not thread_submissions


def test_the_connections_end_with_their_loop(redis: Redis, clients: Clients) -> None:
    async def main() -> int:
        await cache_of(redis.url).aset("key", "value")
        return clients()

    assert asyncio.run(main()) == 1
    asyncio.run(until(lambda: clients() == 0))


def test_a_forked_child_uses_connections_of_its_own(redis: Redis) -> None:
    async def main() -> int:
        await cache_of(redis.url).aset("who", "parent")
        child = os.fork()
        if child == 0:
            os._exit(0 if asyncio.run(cache_of(redis.url).aget("who")) else 1)
        status = os.waitpid(child, 0)[1]  # noqa: ASYNC222 (it ends at once)
        assert await cache_of(redis.url).aget("who") == "parent"
        return status

    assert asyncio.run(main()) == 0


def test_threads_share_one_pool_too(redis: Redis, clients: Clients) -> None:
    caches = [cache_of(redis.url) for _ in range(5)]

    def work() -> None:
        for cache in caches:
            cache.set("key", "value")
            assert cache.get("key") == "value"

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= clients() <= 3


async def test_loops_in_threads_have_pools_of_their_own(
    redis: Redis, clients: Clients
) -> None:
    async def work() -> str:
        cache = cache_of(redis.url)
        await cache.aset("key", "value")
        return str(await cache.aget("key"))

    def elsewhere() -> str:
        return asyncio.run(work())

    answers = await asyncio.gather(*(asyncio.to_thread(elsewhere) for _ in range(3)))
    assert answers == ["value"] * 3
    await until(lambda: clients() == 0)


async def test_many_keys_take_one_round_trip(redis: Redis, writes: list[int]) -> None:
    cache = cache_of(redis.url)
    await cache.aset("connected", True)
    values = {f"key{number}": number for number in range(20)}
    writes.clear()
    await cache.aset_many(values, timeout=None)
    assert len(writes) == 1
    await cache.aset_many(values, timeout=60)
    assert len(writes) == 2
    assert await cache.aget_many(values) == values
    assert len(writes) == 3
    await cache.adelete_many(values)
    assert len(writes) == 4


def by_tenant(self: BaseCache, key: Any, version: int | None = None) -> str:
    return f"tenant-{BaseCache.make_key(self, key, version)}"


def strictly(self: BaseCache, key: str) -> None:
    if "0" in key:
        raise InvalidCacheKey(key)


def shouting(self: Any, key: Any, version: int | None = None) -> str:
    return str(BaseCache.make_and_validate_key(self, key, version)).upper()


def reversing(key: Any, prefix: str, version: int) -> str:
    return f"{version}:{prefix}:{str(key)[::-1]}"


@pytest.mark.parametrize(
    ("methods", "params"),
    [
        ({}, {}),
        ({}, {"KEY_PREFIX": "p", "VERSION": 7}),
        ({}, {"KEY_FUNCTION": reversing}),
        ({"make_key": by_tenant}, {}),
        ({"validate_key": strictly}, {}),
        ({"make_and_validate_key": shouting}, {}),
    ],
)
@pytest.mark.parametrize("on_object", [False, True])
@pytest.mark.parametrize("version", [None, 3])
@pytest.mark.parametrize(
    "keys",
    [
        ["a", "b", "a"],
        [1, True, 2.5, None, ("t",)],
        ["with space", "b"],
        ["b", "control\n"],
        ["x" * 300, "y" * 246],
        ["nul\0", "ä"],
        ["with space", "with space"],
        ["1", 1],
        ["10"],
        [],
    ],
)
def test_many_keys_are_made_and_examined_as_djangos(
    redis: Redis,
    methods: Any,
    params: Any,
    on_object: bool,
    version: int | None,
    keys: list[Any],
) -> None:
    def outcome(backend: Any) -> Any:
        of_class = {} if on_object else methods
        made = type("Made", (backend,), of_class)(redis.url, params)
        for name, method in (methods if on_object else {}).items():
            setattr(made, name, partial(method, made))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with suppress(InvalidCacheKey):
                for key in keys[:-1]:
                    made.set(key, str(key), version=version)
            del warned[:]
            try:
                found = made.get_many(iter(keys), version=version)
            except InvalidCacheKey as error:
                found = error.args
        made._cache.get_client().connection_pool.disconnect()
        return found, [str(warning.message) for warning in warned]

    expected = outcome(StockCache)
    assert outcome(RedisCache) == expected
    assert expected != ({}, []) or not keys or len(keys) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "key", b"value", "EX", 300),
        ("SET", "ä", 1.5),
        ("SET", memoryview(b"key"), bytearray(b"value")),
        ("INCRBY", "key", -3),
        ("CLIENT LIST",),
        (b"CLIENT LIST",),
        (b"GET", "key"),
        ("SET", "key", None),
        ("SET", "key", object()),
    ],
)
def test_a_command_is_packed_as_by_redis_py(command: Any) -> None:
    def outcome(packer: Any) -> Any:
        try:
            return packer.pack(*command)
        except exceptions.DataError as error:
            return str(error)

    connection = LoopConnection()
    assert type(connection._command_packer) is not HiredisRespSerializer
    assert outcome(connection._command_packer) == outcome(HiredisRespSerializer())


async def test_a_counter_takes_one_round_trip_too(
    redis: Redis, writes: list[int]
) -> None:
    cache = cache_of(redis.url)
    await cache.aset("counter", 0, 60)
    await cache.aincr("counter")
    writes.clear()
    assert await cache.aincr("counter", 3) == 4
    assert await cache.adecr("counter") == 3
    assert len(writes) == 2
    with pytest.raises(ValueError, match="Key ':1:missing' not found"):
        await cache.aincr("missing")
    assert not await cache.ahas_key("missing")
    with StockRedis.from_url(redis.url) as client:
        assert client.ttl(":1:counter") > 0
        # As after a restart, or on another server.
        client.script_flush()
    assert await cache.aincr("counter") == 4


async def test_a_counter_needs_no_scripts_where_they_are_forbidden(
    redis: Redis,
) -> None:
    with StockRedis.from_url(redis.url) as client:
        rules = {"categories": ["+@all", "-@scripting"], "keys": ["*"]}
        client.acl_setuser("plain", True, passwords=["+secret"], **rules)
        try:
            url = redis.url.replace("redis://", "redis://plain:secret@")
            cache = cache_of(url)
            await cache.aset("counter", 1)
            assert await cache.aincr("counter") == 2
            with pytest.raises(ValueError, match="Key ':1:missing' not found"):
                await cache.aincr("missing")
        finally:
            client.acl_deluser("plain")


async def test_what_is_written_goes_to_the_first_server_and_reads_to_the_others(
    redis: Redis, tmp_path: Path
) -> None:
    with running(Redis(tmp_path)) as replica:
        cache = cache_of([redis.url, replica.url])
        await cache.aset("key", "on the first")
        assert await cache.aget("key") is None
        await cache_of(replica.url).aset("key", "on the replica")
        assert await cache.aget("key") == "on the replica"


# The pool


async def test_with_all_connections_in_use_the_error_names_the_holders(
    proxy: Proxy,
) -> None:
    cache = through(proxy, max_connections=1, timeout=0.05)
    await cache.aset("key", "value")
    proxy.hold()
    holder = asyncio.create_task(cache.aget("key"), name="the holder")
    await asyncio.sleep(0)
    with pytest.raises(exceptions.ConnectionError) as caught:
        await cache.aget("key")
    text = str(caught.value)
    assert "No connection to Redis: all 1 are in use and none came free in 0.05" in text
    assert "held by task 'the holder' for" in text
    assert "Raise OPTIONS['max_connections'] of the cache" in text
    proxy.let_flow()
    assert await holder == "value"
    assert await cache.aget("key") == "value"


async def test_who_waits_is_served_in_turn_and_a_cancelled_one_passed_over(
    proxy: Proxy,
) -> None:
    cache = through(proxy, max_connections=1, timeout=None)
    await cache.aset("key", "value")
    order: list[int] = []

    async def get(number: int) -> None:
        await cache.aget("key")
        order.append(number)

    proxy.hold()
    tasks = [asyncio.create_task(get(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    proxy.let_flow()
    await asyncio.wait(tasks)
    assert order == [0, 1, 3, 4]


async def test_who_is_cancelled_while_it_is_served_passes_the_connection_on(
    proxy: Proxy,
) -> None:
    cache = through(proxy, max_connections=1)
    await cache.aset("key", "value")
    proxy.hold()
    first = asyncio.create_task(cache.aget("key"))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.aget("key"))
    third = asyncio.create_task(cache.aget("key"))
    await asyncio.sleep(0)
    # In the very turn in which the first returns its connection.
    first.add_done_callback(lambda _: second.cancel())
    proxy.let_flow()
    async with asyncio.timeout(PATIENCE):
        assert await first == await third == "value"
    assert await cache.aget("key") == "value"


# Cancellation


@pytest.mark.parametrize("size", [0, 1, 4, 5, 20, 60])
async def test_a_reply_that_was_cancelled_half_way_is_read_by_nobody_else(
    proxy: Proxy, size: int
) -> None:
    cache = through(proxy, max_connections=1)
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


@pytest.mark.parametrize("parser", [_HiredisParser, _RESP2Parser])
async def test_an_answer_that_nobody_read_is_read_by_nobody_else(
    redis: Redis, parser: Any
) -> None:
    cache = cache_of(redis.url, max_connections=1, parser_class=parser, protocol=2)
    await cache.aset_many({"first": "a", "second": "b", "mine": "c"})

    def leave_one_unread() -> None:
        pipeline = cache._cache.get_client().pipeline(transaction=False)
        pipeline.response_callbacks = {"GET": int}
        for key in ("first", "second"):
            pipeline.get(cache.make_key(key))
        with pytest.raises(ValueError, match="invalid literal"):
            pipeline.execute()

    await on_loop(leave_one_unread)()
    assert [await cache.aget("mine") for _ in range(3)] == ["c"] * 3


@pytest.mark.parametrize("turns", range(12))
async def test_wherever_it_is_cancelled_nothing_is_mixed_up_or_lost(
    redis: Redis, clients: Clients, turns: int
) -> None:
    cache = cache_of(redis.url, max_connections=2)
    values = {f"key{number}": f"value{number}" for number in range(20)}
    await cache.aset_many(values)
    tasks = [asyncio.create_task(cache.aget(key)) for key in values]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    await asyncio.wait(tasks)
    for task, value in zip(tasks, values.values(), strict=True):
        assert task.cancelled() or task.result() == value
    assert [await cache.aget(key) for key in values] == list(values.values())
    # The server notices the end of one in its own time.
    await until(lambda: clients() <= 2)


async def test_a_timeout_ends_the_wait(redis: Redis) -> None:
    cache = cache_of(redis.url)
    await cache.aset("key", "value")
    redis.pause()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await cache.aget("key")
    finally:
        redis.pause(False)
    assert await cache.aget("key") == "value"


# Servers and networks


async def patiently(method: Any, *args: Any) -> Any:
    """Call it until its timeout is long enough: a busy machine is slow to answer."""
    while True:
        with suppress(exceptions.TimeoutError):
            return await method(*args)


async def test_a_server_that_is_down_is_redis_own_error(
    redis: Redis, tmp_path: Path
) -> None:
    with running(Redis(tmp_path)) as server:
        cache = cache_of(server.url, retry=NO_RETRIES)
        await cache.aset("key", "value")
        server.stop()
        with pytest.raises(exceptions.ConnectionError):
            await cache.aget("key")
        server.start()
        await cache.aset("key", "value since then")
        assert await cache.aget("key") == "value since then"


async def test_connections_that_a_restart_closed_are_not_used(
    tmp_path: Path,
) -> None:
    with running(Redis(tmp_path)) as server:
        cache = cache_of(server.url, retry=NO_RETRIES)
        await asyncio.gather(*(cache.aset(str(n), n) for n in range(5)))
        server.stop()
        server.start()
        assert await asyncio.gather(*(cache.aadd(str(n), n) for n in range(5))) == (
            [True] * 5
        )


async def test_an_idle_connection_that_was_cut_is_replaced(proxy: Proxy) -> None:
    cache = through(proxy, retry=NO_RETRIES)
    await cache.aset("key", "value")
    proxy.cut()
    await until(lambda: proxy.connections == 0)
    assert await cache.aget("key") == "value"


async def test_an_answer_that_was_cut_off_is_an_error_and_no_value(
    proxy: Proxy,
) -> None:
    cache = through(proxy, retry=NO_RETRIES)
    await cache.aset("key", "a value of some length")
    proxy.truncate(8)
    with pytest.raises(exceptions.ConnectionError):
        await cache.aget("key")
    proxy.heal()
    assert await cache.aget("key") == "a value of some length"


async def test_the_socket_timeout_is_redis_timeout(proxy: Proxy) -> None:
    cache = through(proxy, socket_timeout=0.05, retry=NO_RETRIES)
    await patiently(cache.aset, "key", "value")
    proxy.hold()
    with pytest.raises(exceptions.TimeoutError):
        await cache.aget("key")
    proxy.heal()
    assert await patiently(cache.aget, "key") == "value"


async def test_retries_wait_on_the_loop(proxy: Proxy) -> None:
    cache = through(proxy, retry=Retry(ConstantBackoff(0.05), 20))
    await cache.aset("key", "value")
    proxy.hold()
    retrying = asyncio.create_task(cache.aget("key"))
    await asyncio.sleep(0)
    # Not before it has asked: redis-py retries no log-in of a new connection.
    proxy.refuse()
    proxy.cut()
    # It sleeps by now; the loop does not.
    await asyncio.sleep(0.06)
    assert not retrying.done()
    proxy.heal()
    assert await retrying == "value"


async def test_a_full_server_is_an_error(tmp_path: Path) -> None:
    options = "--maxmemory", "1500kb", "--maxmemory-policy", "noeviction"
    with running(Redis(tmp_path, *options)) as server:
        cache = cache_of(server.url)
        with pytest.raises(exceptions.OutOfMemoryError):
            for number in range(100):
                await cache.aset(str(number), os.urandom(100_000))
        await cache.aclear()
        await cache.aset("key", "value")
        assert await cache.aget("key") == "value"


async def test_huge_values_pass(redis: Redis) -> None:
    cache = cache_of(redis.url)
    value = os.urandom(20_000_000)
    await cache.aset("huge", value)
    assert await cache.aget("huge") == value


async def test_an_error_of_the_server_is_redis_own_and_the_connection_good(
    redis: Redis, clients: Clients
) -> None:
    cache = cache_of(redis.url, retry=NO_RETRIES)
    with StockRedis.from_url(redis.url) as client:
        client.rpush(":1:list", "item")
        with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
            await cache.aget("list")
        client.replicaof("127.0.0.1", free_port())
        try:
            with pytest.raises(exceptions.ReadOnlyError):
                await cache.aset("key", "value")
        finally:
            client.replicaof("NO", "ONE")
    await cache.aset("key", "value")
    assert await cache.aget("key") == "value"
    assert clients() <= 2


async def test_a_corrupted_value_is_the_error_that_django_raises(redis: Redis) -> None:
    cache = cache_of(redis.url)
    with StockRedis.from_url(redis.url) as client:
        client.set(":1:key", b"\x80\x05not a pickle")
    with pytest.raises(pickle.UnpicklingError):
        await cache.aget("key")
    await cache.aset("key", "value")
    assert await cache.aget("key") == "value"


# Authentication and TLS


async def test_a_password_is_asked_and_a_wrong_one_refused(tmp_path: Path) -> None:
    with running(Redis(tmp_path, "--requirepass", "secret")) as server:
        right = server.url.replace("redis://", "redis://:secret@")
        wrong = server.url.replace("redis://", "redis://:guess@")
        cache = cache_of(right)
        await cache.aset("key", "value")
        assert await cache.aget("key") == "value"
        with pytest.raises(exceptions.AuthenticationError):
            await cache_of(wrong).aget("key")
        with pytest.raises(exceptions.AuthenticationError):
            await cache_of(server.url).aget("key")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def over_tls(tmp_path: Path, authority: trustme.CA) -> Iterator[Callable[..., Any]]:
    """Start a server with a certificate; give its URL and the CA's file."""
    started: list[Redis] = []

    def start(**certificate: Any) -> tuple[str, str]:
        issued = authority.issue_cert("localhost", **certificate)
        key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
        issued.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        ca = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(ca))
        port = free_port()
        options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", str(chain), "--tls-key-file", str(key)]
        server = Redis(tmp_path, *options, "--tls-ca-cert-file", str(ca))
        started.append(server)
        server.start()
        return f"rediss://localhost:{port}/0", str(ca)

    yield start
    for server in started:
        server.stop()


async def test_tls(over_tls: Callable[..., Any], thread_submissions: list[str]) -> None:
    url, ca = over_tls()
    cache = cache_of(url, ssl_ca_certs=ca)
    value = os.urandom(1_000_000)
    await cache.aset("key", value)
    assert await cache.aget("key") == value
    assert await asyncio.gather(*(cache.aget("key") for _ in range(5))) == [value] * 5
    # Elsewhere only the name "localhost" is looked up and certificates are read, once
    # for each connection.
    hops = [name for name in thread_submissions if "submit" in name]
    lookups = [name for name in hops if "getaddrinfo" in name]
    reads = [name for name in hops if "run, partial" in name]
    assert len(lookups) == len(reads) == len(hops) / 2


async def test_an_expired_certificate_is_refused(over_tls: Callable[..., Any]) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    url, ca = over_tls(not_after=past)
    with pytest.raises(exceptions.ConnectionError, match="certificate has expired"):
        await cache_of(url, ssl_ca_certs=ca, retry=NO_RETRIES).aget("key")


async def test_a_certificate_of_a_stranger_is_refused(
    over_tls: Callable[..., Any],
) -> None:
    url, _ = over_tls()
    with pytest.raises(exceptions.ConnectionError, match=r"self.signed|unable to get"):
        await cache_of(url, retry=NO_RETRIES).aget("key")


async def test_a_unix_socket(redis: Redis, thread_submissions: list[str]) -> None:
    cache = cache_of(f"unix://{redis.socket}?db=0")
    await cache.aset("key", "value")
    assert await cache.aget("key") == "value"
    assert not thread_submissions


# Options


async def test_large_values_are_compressed_and_small_ones_not(redis: Redis) -> None:
    cache = cache_of(redis.url, compressor="zlib", compress_min_length=100)
    await cache.aset_many({"large": "x" * 1000, "small": "x", "number": 5})
    with StockRedis.from_url(redis.url) as client:
        stored = client.get(":1:large")
        assert zlib.decompress(stored[1:]) == pickle.dumps("x" * 1000, 5)
        assert client.get(":1:small") == pickle.dumps("x", 5)
    assert await cache.aget_many(["large", "small", "number"]) == {
        "large": "x" * 1000,
        "small": "x",
        "number": 5,
    }
    assert await cache.aincr("number") == 6


async def test_values_from_before_the_compressor_are_read(redis: Redis) -> None:
    await cache_of(redis.url).aset("large", "x" * 5000)
    assert await cache_of(redis.url, compressor=zlib).aget("large") == "x" * 5000


async def test_djangos_cache_reads_what_ours_wrote_and_the_reverse(
    redis: Redis,
) -> None:
    stock, ours = StockCache(redis.url, {}), cache_of(redis.url)
    await ours.aset("ours", {"a": [1]})
    assert await stock.aget("ours") == {"a": [1]}
    await stock.aset("stock", {"b": [2]})
    assert await ours.aget("stock") == {"b": [2]}
    stock._cache.get_client().connection_pool.disconnect()


async def test_sync_calls_inside_the_bridge_wait_on_the_loop(
    redis: Redis, thread_submissions: list[str]
) -> None:
    cache = cache_of(redis.url)

    def work() -> Any:
        cache.set("key", "value")
        return cache.get_many(["key"])

    assert await on_loop(work)() == {"key": "value"}
    assert not thread_submissions


async def test_nothing_is_left_to_the_garbage_collector(redis: Redis) -> None:
    cache = cache_of(redis.url, retry=NO_RETRIES)
    await cache.aset("key", "value")
    await cache.aget("key")
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(100):
            await cache.aget("key")
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


def test_ocsp_is_refused_by_name() -> None:
    connection = LoopSSLConnection(ssl_validate_ocsp=True)
    with (
        LoopSocket() as sock,
        pytest.raises(NotImplementedError, match="OCSP through blocking sockets"),
    ):
        connection._wrap_socket_with_ssl(sock)
