import asyncio
import contextvars
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import OperationalError
from psycopg_pool import ConnectionPool

from django_async_ext import aatomic, hold_connection, on_loop
from django_async_ext.db.backends.options import PoolOptions
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure
from tests.db.server import Server, execute, existing_pool, sleep, until
from tests.library.models import Author

DOCS = "https://django-async-ext.readthedocs.io/en/latest/reference/errors.html"
REMEDY = (
    "Make the holders finish sooner, lower the concurrency, or raise "
    f"OPTIONS['pool']['max_size']. See {DOCS}#pool-timeout"
)


async def pid() -> int:
    return (await on_loop(execute)("SELECT pg_backend_pid()"))[0][0]


class Holder:
    """A task that holds a connection until it is told to let go."""

    def __init__(self, name: str = "holder") -> None:
        self._held, self._let_go = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._hold(), name=name)

    async def _hold(self) -> None:
        async with aatomic():
            await pid()
            self._held.set()
            await self._let_go.wait()

    # Where the task waits, as the error says it.
    PLACE = f"{__file__}:{_hold.__code__.co_firstlineno + 4} in _hold"

    async def __aenter__(self) -> "Holder":
        await self._held.wait()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._let_go.set()
        await self.task

    def let_go(self) -> None:
        self._let_go.set()


# Bounds


async def test_a_hundred_tasks_never_open_more_than_max_size(
    server: Server, configure: Configure
) -> None:
    configure(pool={"max_size": 3})
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    counts = await asyncio.gather(
        *(on_loop(execute)(query, server.name) for _ in range(100))
    )
    assert {row[0] for [row] in counts} <= {1, 2, 3}
    assert pool_stats() == {
        "size": 3,
        "idle": 3,
        "in_use": 0,
        "waiting": 0,
        "max_size": 3,
    }


async def test_an_idle_connection_is_preferred_to_a_new_one(server: Server) -> None:
    assert len({await pid() for _ in range(5)}) == 1
    assert server.sessions() == 1


async def test_min_size_connections_are_opened_after_the_first_query(
    server: Server, configure: Configure
) -> None:
    configure(pool={"min_size": 3, "max_size": 5})
    await pid()
    await until(lambda: pool_stats()["idle"] == 3)
    assert server.sessions() == 3


async def test_connections_idle_too_long_are_closed_down_to_min_size(
    server: Server, configure: Configure
) -> None:
    configure(pool={"min_size": 1, "max_size": 3, "max_idle": 0.01})
    async with Holder(), Holder(), Holder():
        assert server.sessions() == 3
    await until(lambda: server.sessions() == 1)
    assert pool_stats()["size"] == 1


async def test_a_connection_older_than_max_lifetime_is_replaced(
    server: Server, configure: Configure
) -> None:
    configure(pool={"max_lifetime": 1e-9})
    assert await pid() != await pid()
    assert pool_stats()["size"] == 0


async def test_a_connection_that_expires_while_idle_is_replaced(
    server: Server,
) -> None:
    first = await pid()
    [connection] = existing_pool("default")._idle
    connection.expires_at = 0.0
    assert await pid() != first
    assert pool_stats()["size"] == 1


# Waiting


async def test_waiting_tasks_are_served_in_the_order_in_which_they_came(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    served: list[int] = []

    async def query(number: int) -> None:
        await pid()
        served.append(number)

    async with Holder() as holder:
        tasks = [asyncio.create_task(query(number)) for number in range(10)]
        await until(lambda: pool_stats()["waiting"] == 10)
        holder.let_go()
        await asyncio.gather(*tasks)
    assert served == list(range(10))


async def test_who_returns_a_connection_and_wants_it_again_waits_in_line(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    served: list[str] = []

    async def query(name: str) -> None:
        await pid()
        served.append(name)

    async with aatomic():
        await pid()
        waiter = asyncio.create_task(unrelated(query, "waiter"))
        await until(lambda: pool_stats()["waiting"] == 1)
    await query("again")
    await waiter
    assert served == ["waiter", "again"]


async def unrelated(function: Any, *args: Any) -> Any:
    """Run as a request of its own would: not as a part of the caller's transaction."""
    loop = asyncio.get_running_loop()
    return await loop.create_task(function(*args), context=contextvars.Context())


async def test_a_full_pool_names_its_holder(configure: Configure) -> None:
    configure(pool={"max_size": 1, "timeout": 0.01})
    async with Holder("payment"):
        with pytest.raises(OperationalError) as caught:
            await Author.objects.acount()
    assert re.fullmatch(
        re.escape(
            "No connection to database 'default': all 1 are in use and none came "
            "free in 0.01 s. They are held by task 'payment' for "
        )
        + r"\d+\.\d s at "
        + re.escape(f"{Holder.PLACE}. {REMEDY}"),
        str(caught.value),
    )


def slow_report() -> None:
    sleep()


async def test_a_holder_inside_the_bridge_is_named_with_its_synchronous_line(
    server: Server, configure: Configure
) -> None:
    configure(pool={"max_size": 1, "timeout": 0.01})
    task = asyncio.create_task(on_loop(slow_report)(), name="report")
    await until(server.running)
    with pytest.raises(OperationalError) as caught:
        await Author.objects.acount()
    task.cancel()
    line = execute.__code__.co_firstlineno + 3
    assert re.search(
        r"held by task 'report' for \d+\.\d s at "
        + re.escape(f"{inspect.getsourcefile(execute)}:{line} in execute. {REMEDY}"),
        str(caught.value),
    )
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_oldest_five_holders_are_named_and_the_rest_counted(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 7, "timeout": 0.01})
    async with (
        Holder("a"),
        Holder("b"),
        Holder("c"),
        Holder("d"),
        Holder("e"),
        Holder("f"),
        Holder("g"),
    ):
        with pytest.raises(OperationalError) as caught:
            await pid()
    holders = "; ".join(rf"task '{n}' for \d+\.\d s at [^;]+ in _hold" for n in "abcde")
    assert re.search(rf"held by {holders}; 2 more\. Make", str(caught.value))


async def test_a_connection_that_is_being_reset_is_held_by_the_pool(
    server: Server, configure: Configure
) -> None:
    configure(
        pool={
            "max_size": 1,
            "timeout": 0.01,
            "reset": lambda connection: connection.execute("SELECT pg_sleep(600)"),
        }
    )
    await pid()
    await until(server.running)
    with pytest.raises(OperationalError) as caught:
        await pid()
    assert str(caught.value) == (
        "No connection to database 'default': all 1 are in use and none came free in "
        "0.01 s. They are held by the pool itself, which resets one. " + REMEDY
    )


async def test_max_waiting_refuses_at_once(configure: Configure) -> None:
    configure(pool={"max_size": 1, "max_waiting": 2})
    async with Holder("slow") as holder:
        waiters = [asyncio.create_task(pid()) for _ in range(2)]
        await until(lambda: pool_stats()["waiting"] == 2)
        with pytest.raises(OperationalError) as caught:
            await pid()
        holder.let_go()
        await asyncio.gather(*waiters)
    assert re.fullmatch(
        re.escape(
            "No connection to database 'default': all 1 are in use and 2 tasks wait "
            "for one already (max_waiting). They are held by task 'slow' for "
        )
        + r"\d+\.\d s at "
        + re.escape(f"{Holder.PLACE}. {REMEDY}"),
        str(caught.value),
    )


async def test_tasks_that_gave_up_waiting_do_not_count_as_waiting(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1, "max_waiting": 2, "timeout": 0.01})
    async with Holder():
        for _ in range(3):
            with pytest.raises(OperationalError, match="none came free in"):
                await pid()


async def test_tasks_that_were_cancelled_do_not_count_as_waiting(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1, "max_waiting": 2})
    async with Holder() as holder:
        gone = [asyncio.create_task(pid()) for _ in range(2)]
        await until(lambda: pool_stats()["waiting"] == 2)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        waiters = [asyncio.create_task(pid()) for _ in range(2)]
        await until(lambda: pool_stats()["waiting"] == 2)
        holder.let_go()
        assert len(set(await asyncio.gather(*waiters))) == 1


async def test_a_cancelled_waiter_leaves_the_connection_to_the_next(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    async with Holder() as holder:
        first, second = (asyncio.create_task(pid()) for _ in range(2))
        await until(lambda: pool_stats()["waiting"] == 2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        holder.let_go()
        assert await second
    assert pool_stats()["in_use"] == 0


async def test_a_waiter_cancelled_in_the_moment_it_is_served_passes_it_on(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    wrapper = connections["default"]
    await on_loop(wrapper.begin_hold)()
    first, second = (asyncio.create_task(pid()) for _ in range(2))
    await until(lambda: pool_stats()["waiting"] == 2)
    wrapper.end_hold(reset=False)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    assert pool_stats()["in_use"] == 0
    assert pool_stats()["size"] == 1


async def test_a_waiter_cancelled_in_the_moment_it_gets_room_passes_it_on(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    wrapper = connections["default"]
    await on_loop(wrapper.begin_hold)()
    first, second = (asyncio.create_task(pid()) for _ in range(2))
    await until(lambda: pool_stats()["waiting"] == 2)
    wrapper._lease.terminate()
    wrapper.end_hold(reset=False)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    assert pool_stats() == {
        "size": 1,
        "idle": 1,
        "in_use": 0,
        "waiting": 0,
        "max_size": 1,
    }


async def test_room_reserved_by_a_connect_that_is_cancelled_is_given_back(
    configure: Configure,
) -> None:
    configure(pool={"max_size": 1})
    task = asyncio.create_task(pid())
    await asyncio.sleep(0)
    assert pool_stats()["size"] == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats()["size"] == 0
    assert await pid()


# Options


async def test_check_replaces_a_connection_that_fails_it(
    server: Server, configure: Configure
) -> None:
    checked: list[int] = []

    def check(connection: Any) -> None:
        checked.append(connection.info.backend_pid)
        ConnectionPool.check_connection(connection)
        if len(checked) == 2:
            raise psycopg.OperationalError("not good enough")

    configure(pool={"check": check})
    first, second, third = await pid(), await pid(), await pid()
    assert first == second != third
    assert checked == [first, first]
    assert pool_stats()["size"] == 1
    await until(lambda: server.sessions() == 1)


async def test_a_connection_whose_check_is_cancelled_is_not_lost(
    server: Server, configure: Configure
) -> None:
    configure(pool={"max_size": 1, "check": lambda c: c.execute("SELECT pg_sleep(60)")})
    await pid()
    task = asyncio.create_task(pid())
    await until(server.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool_stats()["in_use"] == 0


async def test_reset_is_called_when_a_connection_comes_back(
    configure: Configure,
) -> None:
    was_reset: list[int] = []

    def reset(connection: Any) -> None:
        connection.execute("SELECT 1")
        was_reset.append(connection.info.backend_pid)

    configure(pool={"max_size": 1, "reset": reset})
    first, second = await pid(), await pid()
    await until(lambda: pool_stats()["in_use"] == 0)
    assert was_reset == [first, second] == [first, first]


async def test_a_connection_whose_reset_fails_is_closed(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(pool={"max_size": 1, "reset": lambda connection: 1 / 0})
    first, second = await pid(), await pid()
    assert first != second
    await until(lambda: pool_stats()["size"] == 0)
    assert (
        caplog.messages
        == [
            "upkeep of the connection pool of database 'default' failed: "
            "ZeroDivisionError('division by zero')"
        ]
        * 2
    )


OPTIONS = "Its options are min_size, max_size, timeout, max_waiting, max_lifetime, "
OPTIONS += f"max_idle, check, reset. See {DOCS}#pool-options"
WHERE = "DATABASES['default']['OPTIONS']['pool']"


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        ({"size": 3}, "has no option named size."),
        ({"size": 3, "burst": 1}, "has no option named burst, size."),
        (5, "is 5, but must be a dict, or True or False."),
        ("big", "is 'big', but must be a dict, or True or False."),
        (
            {"max_size": 0},
            "has min_size=0 and max_size=0, but at least one connection must fit and "
            "0 <= min_size <= max_size.",
        ),
        (
            {"min_size": 5, "max_size": 4},
            "has min_size=5 and max_size=4, but at least one connection must fit and "
            "0 <= min_size <= max_size.",
        ),
        ({"max_size": -1}, "has max_size=-1, not a whole number of at least 0."),
        ({"max_size": "8"}, "has max_size='8', not a whole number of at least 0."),
        ({"max_size": 2.5}, "has max_size=2.5, not a whole number of at least 0."),
        ({"max_size": True}, "has max_size=True, not a whole number of at least 0."),
        ({"min_size": None}, "has min_size=None, not a whole number of at least 0."),
        ({"max_waiting": -1}, "has max_waiting=-1, not a whole number of at least 0."),
        ({"timeout": -1}, "has timeout=-1, not a number of seconds of at least 0."),
        ({"timeout": "1"}, "has timeout='1', not a number of seconds of at least 0."),
        ({"timeout": None}, "has timeout=None, not a number of seconds of at least 0."),
        (
            {"max_lifetime": "1h"},
            "has max_lifetime='1h', not a number of seconds of at least 0.",
        ),
        (
            {"max_idle": float("nan")},
            "has max_idle=nan, not a number of seconds of at least 0.",
        ),
        ({"check": "SELECT 1"}, "has check='SELECT 1', not a callable or None."),
        ({"reset": True}, "has reset=True, not a callable or None."),
    ],
)
async def test_bad_options_are_refused_in_words(
    configure: Configure, pool: Any, why: str
) -> None:
    configure(pool=pool)
    with pytest.raises(ImproperlyConfigured) as caught:
        await pid()
    assert str(caught.value) == f"{WHERE} {why} {OPTIONS}"


@pytest.mark.parametrize(
    ("pool", "sizes"),
    [
        (None, (0, 10)),
        (False, (0, 10)),
        (True, (0, 10)),
        ({}, (0, 10)),
        ({"min_size": 4}, (4, 4)),
        ({"min_size": 4, "max_size": None}, (4, 4)),
        ({"max_size": None}, (0, 10)),
        ({"max_size": 4, "num_workers": 3, "name": "mine"}, (0, 4)),
    ],
)
def test_sizes_have_defaults(pool: Any, sizes: tuple[int, int]) -> None:
    options = PoolOptions.parse(pool, "default")
    assert (options.min_size, options.max_size) == sizes


# The end


@contextmanager
def every_error_of_the_loop(errors: list[Any]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    yield
    loop.set_exception_handler(None)


async def test_a_pool_that_was_closed_refuses_and_says_why() -> None:
    await pid()
    pool = existing_pool("default")
    pool.close()
    with pytest.raises(OperationalError) as caught:
        pool.take()
    assert str(caught.value) == (
        "The connection pool of database 'default' is closed, because its event loop "
        "is shutting down. Await the tasks that still use the database before the "
        f"loop ends. See {DOCS}#pool-closed"
    )


async def test_a_closing_pool_lets_nobody_wait_for_ever(configure: Configure) -> None:
    configure(pool={"max_size": 1})
    async with Holder():
        waiter = asyncio.create_task(pid())
        await until(lambda: pool_stats()["waiting"] == 1)
        connections["default"].close_pool()
        with pytest.raises(OperationalError, match="is closed, because"):
            await waiter


async def test_connections_in_use_when_the_pool_closes_are_closed_on_return(
    server: Server,
) -> None:
    async with hold_connection():
        await pid()
        connections["default"].close_pool()
        assert server.sessions() == 1
    await until(lambda: server.sessions() == 0)


async def test_closing_while_spares_are_opened_leaves_none_open(
    server: Server, configure: Configure
) -> None:
    configure(pool={"min_size": 5, "max_size": 5})
    errors: list[Any] = []
    with every_error_of_the_loop(errors):
        await pid()
        pool = existing_pool("default")
        connections["default"].close_pool()
        await until(lambda: pool.stats()["size"] == 0)
    await until(lambda: server.sessions() == 0)
    assert errors == []
