"""What a session of MySQL keeps, and that nobody else finds it there."""

import asyncio
from contextlib import suppress
from functools import partial

import pytest
from django.db import transaction

from django_async_ext import hold_connection, on_loop
from django_async_ext.db.connections import pool_stats
from tests.db.conftest import Configure, without_autocommit
from tests.db.interruptions import Interruption, Kind
from tests.db.server import execute, until
from tests.library.models import Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["mysql", "mysqlclient"])


async def test_a_hold_leaves_no_lock_to_the_next(mysql: str) -> None:
    ask = partial(on_loop(execute), using=mysql)
    async with hold_connection(mysql):
        await ask("SELECT GET_LOCK('payout', 0)")
        await ask("SET @tenant = 5")
    ((is_free, tenant),) = await ask("SELECT IS_FREE_LOCK('payout'), @tenant")
    assert (is_free, tenant) == (1, None)


async def test_a_task_leaves_no_variable_to_the_next(
    mysql: str, configure: Configure
) -> None:
    configure(mysql, lease="task")
    ask = partial(on_loop(execute), using=mysql)
    await asyncio.create_task(ask("SET @tenant = 5"))
    ((tenant,),) = await asyncio.create_task(ask("SELECT @tenant"))
    assert tenant is None


@pytest.mark.parametrize("point", [1, 2, 3])
@pytest.mark.parametrize("kind", [Kind.AT, Kind.SERVED])
async def test_a_connection_is_not_lost_to_the_pool_where_its_use_begins(
    mysql: str, point: int, kind: Kind
) -> None:
    count = Tag.objects.using(mysql).acount

    async def leave_autocommit_on() -> None:
        await count()
        await on_loop(transaction.commit)(mysql)
        await on_loop(transaction.set_autocommit)(True, mysql)

    async def cancelled() -> None:
        with suppress(asyncio.CancelledError):
            await Interruption(count(), point, kind).run()

    with without_autocommit(mysql):
        await asyncio.create_task(leave_autocommit_on())
        await asyncio.create_task(cancelled())
        await until(lambda: pool_stats(mysql)["in_use"] == 0)
        # With a pool's places lost it would wait for one.
        assert await asyncio.create_task(count()) == 0
