"""What loses data or saturates a database elsewhere is told, with its line."""

import asyncio
import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.test import override_settings

from django_async_ext import aatomic, aon_commit, on_loop
from django_async_ext.exceptions import (
    ConnectionOwnershipError,
    OutsideTransactionWarning,
)
from tests.db.server import until
from tests.library.models import Author

HERE = "test_misuse.py"


def _count() -> int:
    return Author.objects.count()


def _count_in_a_thread() -> int:
    try:
        return Author.objects.count()
    finally:
        connection.close()


async def _create_and(send: Callable[..., Any]) -> int:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        return await send()


@pytest.mark.parametrize(
    "send",
    [partial(asyncio.to_thread, _count_in_a_thread), sync_to_async(_count_in_a_thread)],
)
async def test_a_thread_that_leaves_the_transaction_is_warned_of_with_its_line(
    send: Callable[..., Any],
) -> None:
    with pytest.warns(OutsideTransactionWarning) as caught:
        assert await _create_and(send) == 0
    assert caught[0].filename.endswith(HERE)
    assert caught[0].lineno == _count_in_a_thread.__code__.co_firstlineno + 2
    assert str(caught[0].message) == (
        "A thread queried database 'default' on a connection of its own, while the "
        "task that sent it there is in a transaction: the query is not part of it. "
        "Call the function as `await on_loop(fn)(...)`, which stays in the task, or "
        "do it before or after the transaction. See https://django-async-ext."
        "readthedocs.io/en/latest/reference/errors.html#outside-transaction"
    )


async def test_the_same_function_on_the_loop_is_part_of_it() -> None:
    with warnings.catch_warnings(record=True) as caught:
        assert await _create_and(on_loop(_count)) == 1
    assert not caught


async def test_a_thread_outside_any_transaction_is_not_warned_of() -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
    with warnings.catch_warnings(record=True) as caught:
        assert await asyncio.to_thread(_count_in_a_thread) == 1
    assert not caught


async def test_a_task_that_enters_a_block_in_a_thread_is_refused_inside() -> None:
    block = transaction.atomic()
    await Author.objects.acreate(name="before")
    await sync_to_async(block.__enter__)()
    try:
        with pytest.raises(ConnectionOwnershipError, match="a thread that it works"):
            await Author.objects.acreate(name="would be kept")
        assert await sync_to_async(_count)() == 1
    finally:
        await sync_to_async(block.__exit__)(None, None, None)
        await sync_to_async(lambda: connection.close())()
    async with aatomic():
        await Author.objects.acreate(name="after")
        with pytest.raises(ConnectionOwnershipError, match="that started it"):
            await asyncio.create_task(Author.objects.acount())


class _Waiting(logging.Handler):
    """Sets an event with the record that it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def emit(self, record: logging.LogRecord) -> None:
        self.told.set_result(record.getMessage())


async def _something_slow(told: asyncio.Future[str]) -> str:
    return await told  # the slow line


async def test_a_transaction_that_waits_for_something_else_is_reported() -> None:
    handler = _Waiting()
    logger = logging.getLogger("django_async_ext.db")
    logger.addHandler(handler)
    asyncio.current_task().set_name("checkout")
    try:
        with override_settings(ASYNC_EXT={"IDLE_IN_TRANSACTION": 0.05}):
            async with aatomic():
                await Author.objects.acreate(name="Ada")
                text = await _something_slow(handler.told)
    finally:
        logger.removeHandler(handler)
    line = _something_slow.__code__.co_firstlineno + 1
    assert text.startswith(
        "Task 'checkout' is in a transaction on database 'default' and has waited "
    )
    assert f"{HERE}:{line} in _something_slow." in text
    assert text.endswith("errors.html#idle-in-transaction")


async def test_under_load_each_transaction_that_waits_is_reported_once_with_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reported = asyncio.Event()

    async def busy() -> None:
        async with aatomic():
            while not reported.is_set():
                await Author.objects.acount()

    async def idle() -> None:
        async with aatomic():
            await Author.objects.acount()
            await reported.wait()  # the slow line

    with override_settings(ASYNC_EXT={"IDLE_IN_TRANSACTION": 0.3}):
        tasks = [asyncio.create_task(busy(), name="busy") for _ in range(4)]
        tasks += [asyncio.create_task(idle(), name=f"idle {n}") for n in range(3)]
        await until(lambda: len(caplog.messages) >= 3)
        reported.set()
        await asyncio.gather(*tasks)
    assert sorted(text[:13] for text in caplog.messages) == [
        f"Task 'idle {number}'" for number in range(3)
    ]
    line = idle.__code__.co_firstlineno + 3
    assert all(f"{HERE}:{line} in idle." in text for text in caplog.messages)


async def test_nothing_is_watched_when_that_is_off() -> None:
    loop = asyncio.get_running_loop()
    await Author.objects.acount()
    timers = len(loop._scheduled)
    with override_settings(ASYNC_EXT={"IDLE_IN_TRANSACTION": None}):
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            assert connection._idle_watch is None
            assert len(loop._scheduled) == timers


async def test_a_long_statement_is_not_idleness(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with override_settings(ASYNC_EXT={"IDLE_IN_TRANSACTION": 0.02}):
        async with aatomic():
            await on_loop(_sleep_on_the_server)()
    assert not caplog.records


def _sleep_on_the_server() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1)")


async def test_a_hook_after_the_commit_is_not_in_the_transaction(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with override_settings(ASYNC_EXT={"IDLE_IN_TRANSACTION": 0.02}):
        async with aatomic():
            await aon_commit(lambda: on_loop(_sleep_on_the_server)())
    assert not caplog.records


async def test_a_connection_of_one_s_own_is_no_accident() -> None:
    def count() -> int:
        own = connection.copy()
        try:
            with own.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM library_author")
                return cursor.fetchone()[0]
        finally:
            own.close()

    with warnings.catch_warnings(record=True) as caught:
        assert await _create_and(on_loop(count)) == 0
    assert not caught
