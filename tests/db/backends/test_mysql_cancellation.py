"""Cancellation at every suspension point, with both drivers of the MySQL engine.

docs/topics/cancellation.rst promises what these tests hold.
"""

from typing import Any

import pytest
from django.db import connections

from django_async_ext.db.connections import pool_stats
from tests.db.backends.mysql_server import Server
from tests.db.conftest import Configure
from tests.db.server import until
from tests.db.test_cancellation import (
    CASES,
    ENDS,
    RESET,
    ROWS,
    World,
    catch_everywhere,
    failing_savepoint,
    interrupt_everywhere,
    iterator,
    savepoint,
    two_statements,
)

pytestmark = pytest.mark.django_db(
    transaction=True, databases=["default", "replica", "mysql", "mysqlclient"]
)

#: Enough for the workers, which SQLite's sweep knows well.
WORKERS = ["create", "iterate", "break off", "gather", "nest", "commit"]
WORKERS += ["hooks that query", "hold", "connect", "wait for the pool"]

ON_MYSQL = ROWS.replace("AS TEXT", "AS CHAR")


class MySQLWorld(World):
    """The database of an alias, as another session sees it."""

    def __init__(self, using: str, server: Server) -> None:
        self.using, self.server = using, server
        server.ask(f"USE {server.database}")

    def reset(self) -> None:
        self.server.ask("BEGIN")
        for statement in RESET.strip().split(";"):
            if statement:
                self.server.ask(statement)
        self.server.ask("COMMIT")

    def rows(self) -> list[Any]:
        return self.server.rows(ON_MYSQL)

    async def is_at_rest(self) -> None:
        assert pool_stats(self.using)["waiting"] == 0
        await until(lambda: pool_stats(self.using)["in_use"] == 0)
        size = pool_stats(self.using)["size"]
        await until(lambda: self.server.states() == ["Sleep"] * size)
        assert not self.server.transactions()


@pytest.fixture
def world(mysql: str, mysql_server: Server, configure: Configure) -> MySQLWorld:
    # Small, so that a lost connection is missed.
    configure(mysql, pool={"min_size": 0, "max_size": 2, "timeout": 10})
    return MySQLWorld(mysql, mysql_server)


@pytest.fixture(autouse=True)
def _without_sessions_of_others(mysql: str) -> None:
    connections[mysql].close()


@pytest.mark.parametrize(
    ("mysql", "name"),
    [("mysql", name) for name in CASES] + [("mysqlclient", name) for name in WORKERS],
    indirect=["mysql"],
)
async def test_an_operation_is_cancelled_everywhere(
    name: str, world: MySQLWorld
) -> None:
    assert min(await interrupt_everywhere(CASES[name], world)) > 1


@pytest.mark.parametrize(
    "inner", [two_statements, savepoint, failing_savepoint, iterator]
)
async def test_an_interrupted_statement_dooms_its_block(
    inner: Any, world: MySQLWorld
) -> None:
    assert await catch_everywhere(inner, world) == ENDS[inner][0]
