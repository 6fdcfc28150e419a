"""What acached computes in a transaction is nobody else's before the commit."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings

from django_async_ext import aatomic, on_loop
from django_async_ext.cache import LocMemCache, acached
from django_async_ext.test import TestCase
from tests.library.models import Author

pytestmark = [
    pytest.mark.usefixtures("own_caches"),
    pytest.mark.django_db(transaction=True, databases=["default", "replica"]),
]


@acached()
async def names() -> list[str]:
    return [author.name async for author in Author.objects.order_by("name")]


async def from_elsewhere(fn: Callable[[], Any]) -> Any:
    """Call ``fn`` as another request does."""
    loop = asyncio.get_running_loop()
    return await loop.create_task(fn(), context=Context())


async def test_others_do_not_see_what_is_not_committed() -> None:
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        assert await names() == ["Ada"]
        assert await from_elsewhere(names) == []
    assert await from_elsewhere(names) == ["Ada"]


async def test_what_was_rolled_back_is_given_to_nobody() -> None:
    with suppress(ZeroDivisionError):
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            assert await names() == ["Ada"]
            raise ZeroDivisionError
    assert await names() == []


async def test_what_a_savepoint_rolled_back_is_given_to_nobody() -> None:
    async with aatomic():
        with suppress(ZeroDivisionError):
            async with aatomic():
                await Author.objects.acreate(name="Ada")
                assert await names() == ["Ada"]
                raise ZeroDivisionError
        assert await names() == []
    assert await names() == []


async def test_what_is_in_the_cache_is_given_in_a_transaction_too() -> None:
    assert await names() == []
    async with aatomic():
        await Author.objects.acreate(name="Ada")
        assert await names() == []


async def test_what_is_kept_is_what_was_computed() -> None:
    async with aatomic():
        found = await names()
        found.append("of this caller")
    assert await names() == []


@acached()
async def authors() -> Any:
    return Author.objects.all()


async def test_a_queryset_is_kept_as_its_transaction_saw_it() -> None:
    async with aatomic():
        await authors()
        await Author.objects.acreate(name="Ada")
    assert [author.name async for author in await authors()] == []


async def test_what_cannot_be_pickled_is_the_error_that_it_is_outside() -> None:
    @acached()
    async def function() -> Any:
        return lambda: None

    with pytest.raises(Exception, match="pickle"):
        await function()
    with pytest.raises(Exception, match="pickle"):
        async with aatomic():
            await function()


@pytest.mark.parametrize("last", ["default", "replica"])
@pytest.mark.parametrize("fails", [False, True])
async def test_transactions_of_two_databases_have_both_to_commit(
    last: str, fails: bool
) -> None:
    first = "default" if last == "replica" else "replica"
    with suppress(ZeroDivisionError):
        async with aatomic(last):
            async with aatomic(first):
                await Author.objects.acreate(name="Ada")
                assert await names() == ["Ada"]
            await Author.objects.all().adelete()
            if fails:
                raise ZeroDivisionError
    now = [author.name async for author in Author.objects.all()]
    assert await names() == (now if fails else ["Ada"])


async def test_what_a_transaction_by_hand_saw_is_not_kept() -> None:
    await on_loop(transaction.set_autocommit)(False)
    try:
        await Author.objects.acreate(name="Ada")
        assert await names() == ["Ada"]
        assert await from_elsewhere(names) == []
        await on_loop(transaction.commit)()
    finally:
        await on_loop(transaction.set_autocommit)(True)
    assert await names() == []


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def tenants_key(key: str, prefix: str, version: int) -> str:
    return f"{tenant.get()}:{prefix}:{version}:{key}"


async def test_what_was_computed_for_a_tenant_is_kept_for_no_other() -> None:
    @acached()
    async def whose() -> str:
        return tenant.get()

    one = {"BACKEND": "django_async_ext.cache.LocMemCache", "LOCATION": "tenants"}
    with override_settings(CACHES={"default": one | {"KEY_FUNCTION": tenants_key}}):
        async with aatomic():
            token = tenant.set("ada")
            assert await whose() == "ada"
            tenant.reset(token)
        assert await whose() == "nobody"


class Failing(LocMemCache):
    async def aset(self, *args: Any, **kwargs: Any) -> None:
        raise ConnectionError


async def test_a_cache_that_fails_at_the_commit_does_not_undo_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    others: list[str] = []
    with override_settings(CACHES={"default": {"BACKEND": f"{__name__}.Failing"}}):
        async with aatomic():
            await Author.objects.acreate(name="Ada")
            assert await names() == ["Ada"]
            await on_loop(transaction.on_commit)(lambda: others.append("hook"))
    assert await Author.objects.acount() == 1
    assert others == ["hook"]
    assert "in on_commit()" in caplog.text


class InATestCase(TestCase):
    async def test_it_is_kept_when_the_test_runs_the_hooks(self) -> None:
        async with self.acaptureOnCommitCallbacks(execute=True):
            await names()
            await Author.objects.acreate(name="Ada")
            assert await names() == ["Ada"]
        await Author.objects.acreate(name="Grace")
        assert await names() == ["Ada"]
