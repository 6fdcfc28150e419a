"""Redis on the loop: connections interrupted where redis-py does not expect it."""

import asyncio
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis as StockRedis
from redis.asyncio.connection import RedisSSLContext
from redis.credentials import CredentialProvider

from django_async_ext import on_loop
from django_async_ext.bridge import await_
from django_async_ext.cache import RedisCache
from django_async_ext.loop_socket import LoopSocket
from tests.programs import Redis
from tests.proxy import Proxy
from tests.waiting import until


@pytest.fixture
def user(redis: Redis) -> Iterator[StockRedis]:
    """Let the server know a user, and give who looks at database 0."""
    with StockRedis.from_url(redis.url) as client:
        client.acl_setuser(
            "plain", True, passwords=["+secret"], commands=["+@all"], keys=["*"]
        )
        yield client
        client.acl_deluser("plain")


class Provider(CredentialProvider):
    """Is interrupted when it is asked for the first time, or fails."""

    def __init__(self, fails: bool) -> None:
        self._fails = fails
        self.asked = asyncio.Event()

    def get_credentials(self) -> Any:
        if not self.asked.is_set():
            self.asked.set()
            if self._fails:
                raise KeyError("no token")
            await_(asyncio.Event().wait())
        return "plain", "secret"


@pytest.mark.parametrize("fails", [True, False])
async def test_a_connection_that_has_not_logged_in_is_used_by_nobody(
    redis: Redis, user: StockRedis, fails: bool
) -> None:
    provider = Provider(fails)
    options = {"credential_provider": provider, "max_connections": 1}
    cache = RedisCache(redis.url.replace("/0", "/3"), {"OPTIONS": options})
    task = asyncio.create_task(cache.aset("key", "value"))
    await provider.asked.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() is not fails
    await cache.aset("key", "value")
    # Not in the database of those who never said which.
    assert user.get(":1:key") is None
    assert await cache.aget("key") == "value"


async def test_a_task_cancelled_while_certificates_are_read_leaves_nothing_open(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go, made = threading.Event(), threading.Event(), []
    init, read = LoopSocket.__init__, RedisSSLContext.get

    def watched(self: LoopSocket, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    def slowly(self: RedisSSLContext) -> Any:
        reached.set()
        go.wait()
        return read(self)

    monkeypatch.setattr(LoopSocket, "__init__", watched)
    monkeypatch.setattr(RedisSSLContext, "get", slowly)
    cache = RedisCache(redis.url.replace("redis:", "rediss:"), {})
    task = asyncio.create_task(cache.aget("key"))
    # A thread reads, and the loop goes on.
    await until(reached.is_set)
    task.cancel()
    go.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [one.fileno() for one in made] == [-1]


async def test_an_answer_still_under_way_is_read_by_nobody_else(redis: Redis) -> None:
    async with Proxy("127.0.0.1", redis.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        cache = RedisCache(url, {"OPTIONS": {"max_connections": 1}})
        await cache.aset_many({"first": "a", "second": "b", "mine": "c"})
        reply = pickle.dumps("a", pickle.HIGHEST_PROTOCOL)
        proxy.hold_after(len(b"$%d\r\n%b\r\n" % (len(reply), reply)))

        def leave_one_unread() -> None:
            pipeline = cache._cache.get_client().pipeline(transaction=False)
            pipeline.response_callbacks = {"GET": int}
            for key in ("first", "second"):
                pipeline.get(cache.make_key(key))
            pipeline.execute()

        task = asyncio.create_task(on_loop(leave_one_unread)())
        task.add_done_callback(lambda _: proxy.let_flow())
        follower = asyncio.create_task(cache.aget("mine"))
        await asyncio.wait([task, follower])
        assert isinstance(task.exception(), ValueError)
        assert follower.result() == "c"


async def test_commands_of_code_that_handles_an_error_keep_their_connection(
    redis: Redis,
) -> None:
    cache = RedisCache(redis.url, {"OPTIONS": {"client_name": "handling"}})
    await cache.aset("key", "value")
    (before,) = names(redis)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        assert await cache.aget("key") == "value"
        assert await on_loop(cache.get)("key") == "value"
    assert names(redis) == [before]


def names(redis: Redis) -> list[str]:
    with StockRedis.from_url(redis.url) as client:
        clients = client.client_list()
    return [one["id"] for one in clients if one["name"] == "handling"]
