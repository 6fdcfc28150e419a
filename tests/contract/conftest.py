"""The databases of the contract suite, its rows, and its event loop."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from pytest_django import DjangoDbBlocker

from django_async_ext import on_loop
from django_async_ext.db.connections import pool_stats
from tests.contract.data import empty, fill, keep_order, raise_sequences
from tests.contract.observing import Observer, Outcome, contents
from tests.db import pooling
from tests.db.server import until

#: The databases that must all keep the contract, where there is a server for them.
CANDIDATES = ["default", "sqlite", "threaded", "threaded_sqlite"]
CANDIDATES += ["mysql", "mysqlclient"]
ALIASES = [alias for alias in CANDIDATES if alias in settings.DATABASES]
if os.environ.get("THROUGH_PGBOUNCER"):
    ALIASES = ["default", "threaded"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(__file__).removesuffix("conftest.py")
    for item in items:
        if str(item.path).startswith(here):
            # default too: pytest-django makes no other one without it.
            aliases = ["default", *ALIASES]
            item.add_marker(pytest.mark.django_db(transaction=True, databases=aliases))


@pytest.fixture
def _django_db_helper(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """In place of pytest-django's, which would empty the databases after each test."""
    with django_db_blocker.unblock():
        yield


class Stage:
    """Runs what is to be compared, each time on the same rows."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.changed = set(ALIASES)

    def run(
        self, using: str, prepare: Callable[[str], Any], fn: Callable[[Any], Any]
    ) -> Outcome:
        """Run ``fn`` as synchronous code."""
        self._put_back(using)
        return self._noted(using, Observer(using).run(prepare, fn))

    def arun(
        self,
        using: str,
        prepare: Callable[[str], Any],
        fn: Callable[[Any], Awaitable[Any]],
    ) -> Outcome:
        """Run ``fn`` on the loop, in a task of its own; no connection may be left."""

        async def run() -> Outcome:
            outcome = await asyncio.create_task(Observer(using).arun(prepare, fn))
            # The end of the task returns what it held, and the pool resets some.
            await until(lambda: pool_stats(using)["in_use"] == 0)
            return outcome

        self._put_back(using)
        return self._noted(using, self.runner.run(run()))

    def _put_back(self, using: str) -> None:
        if using in self.changed:
            fill(using)
            self.changed.discard(using)

    def _noted(self, using: str, outcome: Outcome) -> Outcome:
        if outcome.rows:
            self.changed.add(using)
        return outcome


@pytest.fixture(scope="package")
def stage(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stage]:
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        if os.environ.get("THROUGH_PGBOUNCER"):
            url = stack.enter_context(pooling.started())
            stack.enter_context(pooling.behind(url, ALIASES))
        stack.callback(connections.close_all)
        connections.close_all()
        for alias in ALIASES:
            fill(alias)
            keep_order(alias)
            raise_sequences(alias)
            stack.callback(empty, alias)
        stack.callback(ContentType.objects.clear_cache)
        made = Stage(stack.enter_context(asyncio.Runner()))
        for alias in ALIASES:
            # The first to come asks a server what it is (MySQL), and no other.
            made.runner.run(on_loop(contents)(alias))
        yield made
