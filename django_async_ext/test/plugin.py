"""The plugin for pytest, beside pytest-django and pytest-asyncio.

Contract: does nothing in a project that has none of our engines loaded, and
imports nothing of Django before. Adds no hook to the collection of tests.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import unittest
from collections.abc import Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from django_async_ext.exceptions import describe

pytest_plugins = ("django_async_ext.test.blocking",)

#: The test that is being run, in all that it starts.
_running: ContextVar[object] = ContextVar("running", default=None)


def _is_in_use() -> bool:
    return "django_async_ext.db.backends.base" in sys.modules


def _leaks() -> Any:
    return import_module("django_async_ext.test.leaks")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Name the test if it leaves tasks, transactions or connections behind."""
    cls = getattr(item, "cls", None)
    is_unittest = isinstance(cls, type) and issubclass(cls, unittest.TestCase)
    if is_unittest or not isinstance(item, pytest.Function) or not _is_in_use():
        return (yield)
    leaks = _leaks()
    found: list[str] = []
    blocks = leaks.open_blocks()
    test = item.obj
    if inspect.iscoroutinefunction(test):
        item.obj = _watched(test, found)
    try:
        result = yield
    finally:
        item.obj = test
        found += leaks.in_thread(blocks)
    leaks.warn(item.nodeid, found)
    return result


def _watched(test: Callable[..., Any], found: list[str]) -> Callable[..., Any]:
    @wraps(test)
    async def watched(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        leaks, loop = _leaks(), asyncio.get_running_loop()
        before = asyncio.all_tasks(loop)
        token = object()
        _running.set(token)
        with _starters_noted(loop):
            try:
                return await test(*args, **kwargs)
            finally:
                await leaks.settle()
                others = {t for t in asyncio.all_tasks(loop) if not _started(t, token)}
                found.extend(leaks.on_loop(loop, before | others))

    return watched


#: Up to Python 3.11, where a task does not tell its context: the test that was
#: being run in the context that started it.
_starters: WeakKeyDictionary[asyncio.Task[Any], object] = WeakKeyDictionary()
_TELLS_CONTEXT = hasattr(asyncio.Task, "get_context")


@contextmanager
def _starters_noted(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    if _TELLS_CONTEXT:
        yield
        return
    stock = loop.get_task_factory()

    def factory(loop: Any, coroutine: Any, **options: Any) -> Any:
        make: Any = partial(stock, loop) if stock else partial(asyncio.Task, loop=loop)
        task: asyncio.Task[Any] = make(coroutine, **options)
        _starters[task] = _running.get()
        return task

    loop.set_task_factory(factory)
    try:
        yield
    finally:
        loop.set_task_factory(stock)


def _started(task: asyncio.Task[Any], token: object) -> bool:
    # A server that a fixture runs starts tasks of its own, while the test runs.
    if not _TELLS_CONTEXT:
        return _starters.get(task) is token
    context: Any = task.get_context()  # type: ignore[attr-defined]
    return context.get(_running) is token


def pytest_configure() -> None:
    """Let pytest-django know our SQLite by its sight, when xdist splits a run."""
    fixtures: Any = sys.modules.get("pytest_django.fixtures")
    stock = getattr(fixtures, "_set_suffix_to_test_databases", None)
    if stock is not None:
        fixtures._set_suffix_to_test_databases = partial(_set_suffix, stock)


def _set_suffix(stock: Callable[[str], None], suffix: str) -> None:
    # Follows pytest-django: _set_suffix_to_test_databases(), which knows Django's
    # engine alone to test in memory, and would name a file after ours.
    from django.conf import settings

    for database in settings.DATABASES.values():
        if database["ENGINE"] == "django_async_ext.db.backends.sqlite3":
            test = database.setdefault("TEST", {})
            test["NAME"] = test.get("NAME") or ":memory:"
    stock(suffix)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say once more, where it is read, that coverage will be wrong."""
    if not _is_in_use():
        return
    message = import_module("django_async_ext.test.coverage").complaint()
    if message is not None:
        terminalreporter.section("django_async_ext", yellow=True)
        terminalreporter.line(message)


# Fixtures


@pytest.fixture
def async_db(db: None) -> None:  # noqa: ARG001 (fixtures are asked for so)
    """Require the database, for an asynchronous test or fixture.

    As pytest-django's ``db``, which works too; but says so where another engine
    would not let asynchronous queries into the transaction of the test.
    """
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block and not hasattr(connection, "make_pool"):
            pytest.fail(_other_engine(connection), pytrace=False)


def _other_engine(connection: Any) -> str:
    return describe(
        "async-db-engine",
        f"The fixture async_db was asked for database {connection.alias!r}, whose "
        f"ENGINE {connection.settings_dict['ENGINE']!r} does not share the transaction "
        "of the test with asynchronous queries.",
        "Set the engine of the same name in django_async_ext.db.backends, or commit "
        "the rows: @pytest.mark.django_db(transaction=True).",
    )


@pytest.fixture
def loop_client() -> Any:
    """Give an ``AsyncClient`` whose requests are handled on the loop."""
    return import_module("django_async_ext.test.client").AsyncClient()


@pytest.fixture
def async_assert_num_queries() -> Callable[..., Any]:
    """Give ``async with async_assert_num_queries(num, using="default"): ...``."""
    acapture_queries = import_module("django_async_ext.test.queries").acapture_queries

    @asynccontextmanager
    async def expect(num: int, using: str = "default") -> Any:
        async with acapture_queries(using) as captured:
            yield captured
        if len(captured) != num:
            queries = "\n".join(query["sql"] for query in captured.captured_queries)
            pytest.fail(f"{num} queries expected, {len(captured)} made:\n{queries}")

    return expect
