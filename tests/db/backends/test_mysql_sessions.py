"""What a session of MySQL keeps, and that nobody else finds it there."""

import asyncio
from functools import partial

import pytest

from django_async_ext import hold_connection, on_loop
from tests.db.conftest import Configure
from tests.db.server import execute

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
