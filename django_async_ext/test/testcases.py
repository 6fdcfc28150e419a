"""Django's test cases, whose asynchronous parts run on one loop for each test.

Contract: all that Django's classes do, and all that unittest's
``IsolatedAsyncioTestCase`` does: ``asyncSetUp()``, ``asyncTearDown()``,
``addAsyncCleanup()``, ``enterAsyncContext()``. ``setUp()`` and synchronous tests
run without a running loop, as in Django.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest import IsolatedAsyncioTestCase

from asgiref.sync import AsyncToSync
from django import test
from django.db import DEFAULT_DB_ALIAS, connections
from django.test import client
from django.test.testcases import _AssertNumQueriesContext

from django_async_ext.bridge import run
from django_async_ext.test import leaks
from django_async_ext.test.client import AsyncClient
from django_async_ext.test.queries import AsyncCapture


class OneLoop(IsolatedAsyncioTestCase):
    """What is common to the test cases; it comes before Django's in the bases."""

    async_client_class: type[client.AsyncClient] = AsyncClient

    def _setupAsyncioRunner(self) -> None:  # noqa: N802 (unittest's name)
        super()._setupAsyncioRunner()  # type: ignore[misc]
        # That of __init__() does not know of the transaction of the class.
        self._asyncioTestContext = contextvars.copy_context()

    def _callTestMethod(self, method: Any) -> None:  # noqa: N802
        if isinstance(method, AsyncToSync):
            # Django gives each asynchronous test a loop of its own.
            method = method.awaitable
        super()._callTestMethod(method)  # type: ignore[misc]

    def doCleanups(self) -> Any:  # noqa: N802
        """As in unittest; then name what the test left behind."""
        outcome = super().doCleanups()
        runner: Any = self._asyncioRunner  # type: ignore[attr-defined]
        runner.run(leaks.settle(), context=self._asyncioTestContext)
        found = leaks.on_loop(runner.get_loop())
        leaks.warn(self.id(), [*found, *leaks.in_thread()])
        return outcome

    def __getstate__(self) -> dict[str, Any]:
        # Sent to another process, where a runner and a context are made anew.
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        unsent = ("_asyncioRunner", "_asyncioTestContext")
        return {name: state[name] for name in state if name not in unsent}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _asyncioRunner=None)

    # Assertions

    def aassertNumQueries(  # noqa: N802 (Django's name, with an a)
        self,
        num: int,
        func: Callable[..., Awaitable[Any]] | None = None,
        *args: Any,
        using: str = DEFAULT_DB_ALIAS,
        **kwargs: Any,
    ) -> Any:
        """As Django's ``assertNumQueries()``, for ``async with`` and ``await``.

        ``async with self.aassertNumQueries(2): ...``, or
        ``await self.aassertNumQueries(2, coroutine_function, *args)``.
        """
        connection = connections[using]
        capture = AsyncCapture(_AssertNumQueriesContext(self, num, connection))
        return capture if func is None else _within(capture, func, *args, **kwargs)


async def _within(
    capture: AsyncCapture,
    func: Callable[..., Awaitable[Any]],
    *args: Any,
    **kwargs: Any,
) -> None:
    async with capture:
        await func(*args, **kwargs)


class SimpleTestCase(OneLoop, test.SimpleTestCase):
    """Django's, with one loop for all that is asynchronous in a test."""


class TransactionTestCase(OneLoop, test.TransactionTestCase):
    """Django's, with one loop for all that is asynchronous in a test."""


class TestCase(OneLoop, test.TestCase):
    """Django's, with one loop for all that is asynchronous in a test.

    All of a test runs in one transaction, which is rolled back.
    """

    @classmethod
    @asynccontextmanager
    async def acaptureOnCommitCallbacks(  # noqa: N802
        cls, *, using: str = DEFAULT_DB_ALIAS, execute: bool = False
    ) -> AsyncIterator[list[Callable[..., Any]]]:
        """As Django's ``captureOnCommitCallbacks()``; hooks run in the bridge."""
        capture = cls.captureOnCommitCallbacks(using=using, execute=execute)
        with_callbacks = await run(capture.__enter__)
        try:
            yield with_callbacks
        except BaseException as error:
            await run(capture.__exit__, type(error), error, error.__traceback__)
            raise
        else:
            await run(capture.__exit__, None, None, None)


class LiveServerTestCase(OneLoop, test.LiveServerTestCase):
    """Django's, with one loop for all that is asynchronous in a test."""
