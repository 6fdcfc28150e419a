"""Jobs of one gather_queries() that wait for the same thing, and for each other."""

from functools import partial
from typing import Any

import pytest

from django_async_ext import gather_queries
from django_async_ext.cache import acached
from django_async_ext.sessions.cached_db import SessionStore
from tests.db.gathering import gathered
from tests.db.server import execute
from tests.library.models import Tag

pytestmark = pytest.mark.django_db(transaction=True)

both = pytest.mark.parametrize("how", ["pipeline", "inside"])


@both
async def test_a_job_may_save_its_session(how: str) -> None:
    session = SessionStore()
    await session.aset("user", "ada")
    await session.acreate()
    await session.aset("user", "grace")
    await gathered(how, session.asave, Tag.objects.acount())
    assert await SessionStore(session.session_key).aget("user") == "grace"


@both
@pytest.mark.parametrize("read", [SessionStore.aget, SessionStore.get])
async def test_jobs_may_load_the_same_session(how: str, read: Any) -> None:
    made = SessionStore()
    await made.aset("user", "ada")
    await made.acreate()
    session = SessionStore(made.session_key)
    jobs = [partial(read, session, "user")] * 2
    assert await gathered(how, *jobs) == ["ada", "ada"]


@both
async def test_jobs_may_want_the_same_cached_value(how: str) -> None:
    @acached(key=lambda: f"the-same-{how}")
    async def count() -> int:
        return await Tag.objects.acount()

    assert await gathered(how, count, count) == [0, 0]


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
@pytest.mark.parametrize("nested_last", [False, True])
async def test_a_write_in_a_gather_on_another_database_stays(nested_last: bool) -> None:
    async def nested() -> None:
        elsewhere = Tag.objects.using("replica").all()
        write = partial(Tag.objects.acreate, name="kept")
        await gather_queries(elsewhere, write, pipeline=True)

    jobs = [nested, Tag.objects.acount, partial(execute, "SELECT 1/0")]
    if nested_last:
        jobs.reverse()
    found = await gather_queries(*jobs, pipeline=True, return_exceptions=True)
    assert [isinstance(each, BaseException) for each in found].count(True) == 1
    assert await Tag.objects.acount() == 1
