"""The session engines: each awaitable does what its twin does, and blocks nothing."""

import asyncio
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.core.cache.backends.locmem import LocMemCache
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone

from django_async_ext import on_loop
from django_async_ext.handlers.resources import THREAD, WORKER, sessions

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["db", "cache", "cached_db", "file", "signed_cookies"]
STORED = [name for name in NAMES if name != "signed_cookies"]


class Watched(LocMemCache):
    """A cache of a third party, whose synchronous methods would block the loop."""

    loop_thread: int | None = None

    def get(self, *args: Any, **kwargs: Any) -> Any:
        assert threading.get_ident() != self.loop_thread
        return super().get(*args, **kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        assert threading.get_ident() != self.loop_thread
        return super().set(*args, **kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        assert threading.get_ident() != self.loop_thread
        return super().has_key(*args, **kwargs)


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    caches = {"default": {"BACKEND": f"{__name__}.Watched", "LOCATION": str(tmp_path)}}
    with override_settings(SESSION_FILE_PATH=str(tmp_path), CACHES=caches):
        yield
    Watched.loop_thread = None
    for module in ("django.contrib.sessions.backends", "django_async_ext.sessions"):
        store = import_module(f"{module}.file").SessionStore
        if "_storage_path" in vars(store):
            del store._storage_path


def ours(name: str) -> Any:
    return import_module(f"django_async_ext.sessions.{name}").SessionStore


def django(name: str) -> Any:
    return import_module(f"django.contrib.sessions.backends.{name}").SessionStore


each = pytest.mark.parametrize("name", NAMES)
each_stored = pytest.mark.parametrize("name", STORED)


@each
async def test_a_session_is_kept_from_request_to_request(name: str) -> None:
    Watched.loop_thread = threading.get_ident()
    session = ours(name)()
    await session.aset("a", 1)
    await session.asave()
    again = ours(name)(session.session_key)
    assert await again.aget("a") == 1
    assert again.accessed
    assert not again.modified


@each
def test_synchronous_code_uses_the_same_session(name: str) -> None:
    async def write() -> Any:
        session = ours(name)()
        await session.aupdate({"a": 1})
        await session.asave()
        return session.session_key

    key = asyncio.run(write())
    session = ours(name)(key)
    session["b"] = 2
    session.save()
    assert dict(ours(name)(session.session_key).items()) == {"a": 1, "b": 2}


@each
def test_sessions_are_djangos_in_both_directions(name: str) -> None:
    for writer, reader in [(ours, django), (django, ours)]:
        session = writer(name)()
        session["a"] = 1
        session.save()
        assert reader(name)(session.session_key).get("a") == 1


@each_stored
async def test_the_bridge_uses_them_without_blocking(name: str) -> None:
    Watched.loop_thread = threading.get_ident()

    def use() -> Any:
        session = ours(name)()
        session["a"] = 1
        session.save()
        again = ours(name)(session.session_key)
        found = again["a"], again.exists(again.session_key)
        again.cycle_key()
        again.flush()
        return found, again.exists(session.session_key), again.session_key

    assert await on_loop(use)() == ((1, True), False, None)


@pytest.mark.parametrize("name", ["cache", "cached_db"])
async def test_an_engine_of_the_project_may_set_another_cache(
    name: str, tmp_path: Path
) -> None:
    class Elsewhere(ours(name)):  # type: ignore[misc]
        def __init__(self, session_key: str | None = None) -> None:
            super().__init__(session_key)
            self._cache = Watched(str(tmp_path / "elsewhere"), {})

    Watched.loop_thread = threading.get_ident()
    session = Elsewhere()
    await session.aset("a", 1)
    await session.asave()
    assert await Elsewhere(session.session_key).aget("a") == 1


@each_stored
async def test_the_key_changes_and_the_data_stays(name: str) -> None:
    Watched.loop_thread = threading.get_ident()
    session = ours(name)()
    await session.aset("a", 1)
    await session.asave()
    before = session.session_key
    await session.acycle_key()
    assert session.session_key != before
    assert not await session.aexists(before)
    assert await session.aexists(session.session_key)
    assert await ours(name)(session.session_key).aget("a") == 1
    await session.aflush()
    assert session.session_key is None


@each_stored
async def test_saving_what_was_deleted_meanwhile_fails(name: str) -> None:
    session = ours(name)()
    await session.asave()
    await ours(name)().adelete(session.session_key)
    with pytest.raises(UpdateError):
        await session.asave()


@each
async def test_deleting_the_test_cookie_is_a_change(name: str) -> None:
    session = ours(name)()
    await session.aset_test_cookie()
    await session.asave()
    session.modified = False
    await session.adelete_test_cookie()
    assert session.modified
    assert not await session.atest_cookie_worked()


@pytest.mark.parametrize("name", ["db", "cached_db", "file"])
async def test_expired_sessions_are_cleared(name: str) -> None:
    old, new = ours(name)(), ours(name)()
    for session, age in [(old, -1), (new, 60)]:
        await session.aset_expiry(timezone.now() + timezone.timedelta(seconds=age))
        await session.asave()
    await ours(name).aclear_expired()
    reader = ours("db" if name == "cached_db" else name)()
    assert not await reader.aexists(old.session_key)
    assert await reader.aexists(new.session_key)


@each
async def test_a_forged_key_is_an_empty_session(name: str) -> None:
    session = ours(name)("../../../etc/passwd")
    assert await session.aget("a") is None
    assert not await session.akeys()


@pytest.mark.parametrize(
    ("name", "hops"), [("db", 0), ("signed_cookies", 0), ("file", 3)]
)
async def test_only_files_need_threads(
    name: str, hops: int, thread_submissions: list[str]
) -> None:
    session = ours(name)()
    await session.aset("a", 1)
    await session.acreate()
    await session.asave()
    again = ours(name)(session.session_key)
    assert await again.aget("a", 1) == 1
    submits = [one for one in thread_submissions if "submit" in one]
    assert len(submits) == hops


async def test_the_database_is_written_in_one_statement() -> None:
    session = ours("db")()
    await session.asave()
    assert await Session.objects.acount() == 1


@each
async def test_an_engine_that_overrides_a_method_has_changed_its_twin(
    name: str,
) -> None:
    class Store(ours(name)):  # type: ignore[misc]
        def load(self) -> Any:
            return {"loaded": True}

    store = Store("a" * 32)
    assert await store.aget("loaded") is True


@pytest.mark.parametrize("name", ["db", "cached_db", "file"])
def test_the_command_clears_expired_sessions_too(name: str) -> None:
    session = ours(name)()
    session.set_expiry(timezone.now() - timezone.timedelta(seconds=1))
    session.save()
    with override_settings(SESSION_ENGINE=f"django_async_ext.sessions.{name}"):
        call_command("clearsessions")
    reader = ours("db" if name == "cached_db" else name)()
    assert not reader.exists(session.session_key)


@pytest.mark.parametrize("name", ["cache", "cached_db"])
def test_a_cache_of_any_kind_leaves_the_session_middleware_on_the_loop(
    name: str,
) -> None:
    with override_settings(SESSION_ENGINE=f"django_async_ext.sessions.{name}"):
        assert sessions().where == WORKER
    with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{name}"):
        assert sessions().where == THREAD
