"""Django's own awaitables wait through the bridge, each and every one."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, ValuesView
from datetime import datetime
from pathlib import Path
from typing import Any

import asgiref.sync
import django
import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.core.paginator import Page
from django.core.signals import request_finished
from django.db import connection, connections, models, transaction
from django.db.models import signals
from django.dispatch import Signal, receiver
from pytest_django import DjangoDbBlocker

from django_async_ext import aatomic, adoption, on_loop
from tests.awaitables import (
    CASES,
    HASHING,
    NO_CASE,
    QUERYSET,
    ROOT,
    Call,
    awaitables,
)
from tests.db.rows import fill, statements
from tests.library.models import Account, Author, Book, Note, Tag

FOUND = sorted(set(awaitables()))
READ = [Author, Book, Book.tags.through, Note, Tag, User, Group, Session]


@pytest.fixture(scope="module")
def tables(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[list[str]]:
    """The tables of the test, empty again after it; quicker than Django's flush."""
    with django_db_blocker.unblock():
        names = connection.introspection.django_table_names(only_existing=True)
        kept = ("django_content_type", "auth_permission", "django_migrations")
        yield [name for name in names if name not in kept]
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def library(tables: list[str]) -> Iterator[None]:
    fill()
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")


# What is found, and what it gives


def plain(value: Any) -> Any:
    """Make what two runs on equal data give equal: leave out keys and hashes."""
    if isinstance(value, models.Model):
        fields = value._meta.concrete_fields
        kept = [f for f in fields if not (f.primary_key or f.name in VARYING)]
        values = {f.attname: value.__dict__.get(f.attname, "deferred") for f in kept}
        rest = {name: v for name, v in values.items() if not name.endswith("_id")}
        return type(value).__name__, rest
    if isinstance(value, models.QuerySet | list | tuple | Page | ValuesView):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if hasattr(value, "object_list"):
        return plain(list(value.object_list))
    if isinstance(value, datetime):
        return "a time"
    return value


VARYING = {
    *("date_joined", "expire_date", "last_login", "object_id", "password"),
    "session_data",
}


def contents(using: str) -> list[Any]:
    """Everything in the database, as far as two runs must agree."""
    relations = Book.plain.using(using).values_list(
        "title", "author__name", "publisher__name", "tags__name", "notes__text"
    )
    rows = [plain(one) for model in READ for one in model._base_manager.using(using)]
    return sorted([*map(repr, rows), *map(repr, relations)])


def shape(sql: list[str]) -> list[str]:
    """Reduce statements to their verbs and tables, without transactions."""
    words = [re.findall(r'^\(?(\w+)|(?:FROM|INTO|UPDATE) "(\w+)"', one) for one in sql]
    kinds = [" ".join("".join(pair) for pair in found) for found in words]
    control = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
    return [kind for kind in kinds if not kind.startswith(control)]


def run_twin(name: str, case: Callable[[str], Call], using: str) -> Any:
    """Run the synchronous method, and undo what it did."""
    with transaction.atomic(using):
        call = case(using)
        with statements(using) as asked:
            result = plain(call.called(name))
        found = result, contents(using), shape(asked)
        transaction.set_rollback(True, using)
    return found


async def run_awaitable(
    name: str, case: Callable[[str], Call], using: str, submissions: list[str]
) -> Any:
    call = await on_loop(case)(using)
    submissions.clear()
    with statements(using) as asked:
        result = await call.awaited(name)
        result = await on_loop(plain)(result)
    submitted = submissions.copy()
    return (result, await on_loop(contents)(using), shape(asked)), submitted


def test_every_awaitable_of_django_has_a_case() -> None:
    unknown = [name for name in FOUND if name not in CASES]
    assert not unknown, f"Django {django.__version__} has {unknown}: add them to CASES"
    assert len(FOUND) > 100


def test_what_has_no_case_is_there() -> None:
    everything = {path.read_text() for path in ROOT.glob("**/auth/middleware.py")}
    assert NO_CASE
    assert any("async def" in text for text in everything)


@pytest.mark.parametrize("name", FOUND)
def test_an_awaitable_of_django_gives_what_its_twin_gives_without_a_thread(
    name: str, library: None, thread_submissions: list[str]
) -> None:
    case = CASES[name]
    expected = run_twin(name, case, "default")
    found, submitted = asyncio.run(
        run_awaitable(name, case, "default", thread_submissions)
    )
    assert found == expected
    if name in HASHING:
        assert submitted
    else:
        assert submitted == []


@pytest.mark.parametrize("manager", ["objects", "plain"])
@pytest.mark.parametrize("name", [n for n in QUERYSET if hasattr(models.Manager, n)])
def test_an_awaitable_of_a_manager_does_the_same(
    name: str, manager: str, library: None, thread_submissions: list[str]
) -> None:
    def case(using: str) -> Call:
        call = QUERYSET[name](using)
        if call.subject.model is Tag:
            return call._replace(subject=Tag.objects)
        if name in ("afirst", "alast", "acreate"):
            return call
        return call._replace(subject=getattr(Book, manager))

    method = f"tests.library.models:{name}"
    expected = run_twin(method, case, "default")
    found, submitted = asyncio.run(
        run_awaitable(method, case, "default", thread_submissions)
    )
    assert found == expected
    assert submitted == []


@pytest.fixture(scope="module")
def sqlite_library(tables: list[str]) -> Iterator[None]:
    fill("sqlite")
    yield
    call_command("flush", database="sqlite", interactive=False, verbosity=0)


@pytest.mark.parametrize("name", [n for n in FOUND if n.startswith("django.db.")])
def test_on_sqlite_only_the_worker_is_a_thread(
    name: str, sqlite_library: None, thread_submissions: list[str]
) -> None:
    async def undone() -> Any:
        async with aatomic("sqlite"):
            found = await run_awaitable(name, CASES[name], "sqlite", thread_submissions)
            await on_loop(transaction.set_rollback)(True, "sqlite")
        return found

    expected = run_twin(name, CASES[name], "sqlite")
    connections["sqlite"].close()
    found, submitted = asyncio.run(undone())
    assert found == expected
    assert submitted == []


# Hashing


def test_passwords_are_hashed_in_a_thread(
    library: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed_in: list[threading.Thread] = []
    verify = MD5PasswordHasher.verify

    def watched(self: Any, password: str, encoded: str) -> bool:
        hashed_in.append(threading.current_thread())
        return verify(self, password, encoded)

    async def check() -> bool:
        user = await User.objects.aget(username="ada")
        async with aatomic():
            return await user.acheck_password("secret")

    User.objects.create_user("ada", password="secret")
    monkeypatch.setattr(MD5PasswordHasher, "verify", watched)
    assert asyncio.run(check()) is True
    assert hashed_in[0] is not threading.main_thread()


# Signals and overrides


@pytest.fixture
def connected() -> Iterator[Callable[..., Any]]:
    """Connect receivers for the test."""
    made: list[tuple[Signal, Any]] = []

    def connect(signal: Signal, function: Any, **options: Any) -> None:
        receiver(signal, **options)(function)
        made.append((signal, function))

    yield connect
    for signal, function in made:
        signal.disconnect(function)
        signal.disconnect(function, sender=Tag)


def test_receivers_run_inside_the_transaction(
    library: None, connected: Callable[..., Any]
) -> None:
    seen: list[Any] = []

    def synchronous(instance: Any, **kwargs: Any) -> None:
        seen.append((connection.in_atomic_block, Tag.objects.filter(name="a").count()))

    async def asynchronous(instance: Any, **kwargs: Any) -> None:
        seen.append((connection.in_atomic_block, await Tag.objects.acount()))

    async def another(instance: Any, **kwargs: Any) -> None:
        await Author.objects.acreate(name=instance.name)

    async def save() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="a")
            assert await Author.objects.acount() == 4
            await on_loop(transaction.set_rollback)(True)

    for function in (synchronous, asynchronous, another):
        connected(signals.post_save, function, sender=Tag)
    asyncio.run(save())
    assert seen == [(True, 1), (True, 3)]
    assert Author.objects.count() == 3


def test_receivers_that_are_sent_to_asynchronously_are_inside_too(
    library: None, connected: Callable[..., Any]
) -> None:
    signal, seen = Signal(), []

    def synchronous(**kwargs: Any) -> str:
        seen.append(Tag.objects.count())
        return "synchronous"

    async def first(**kwargs: Any) -> str:
        seen.append(await Tag.objects.acount())
        return "first"

    async def second(**kwargs: Any) -> str:
        seen.append(await Tag.objects.acount())
        return "second"

    async def send() -> Any:
        async with aatomic():
            await Tag.objects.acreate(name="a")
            answers = [
                *await signal.asend(None),
                *await signal.asend_robust(None),
                *await on_loop(signal.send)(None),
                *await on_loop(signal.send_robust)(None),
            ]
            await on_loop(transaction.set_rollback)(True)
            return answers

    for function in (synchronous, first, second):
        connected(signal, function)
    answers = asyncio.run(send())
    assert [answer for _, answer in answers] == ["synchronous", "first", "second"] * 4
    assert seen == [3] * 12


def test_a_receiver_that_fails_fails_the_save(
    library: None, connected: Callable[..., Any]
) -> None:
    async def fail(**kwargs: Any) -> None:
        raise ValueError("receiver")

    async def never(**kwargs: Any) -> None: ...

    async def save() -> None:
        async with aatomic():
            await Tag.objects.acreate(name="a")

    connected(signals.post_save, fail, sender=Tag)
    connected(signals.post_save, never, sender=Tag)
    with pytest.raises(ValueError, match="receiver"):
        asyncio.run(save())
    assert Tag.objects.count() == 2


def test_receivers_outside_of_a_transaction_run_side_by_side(
    library: None, connected: Callable[..., Any]
) -> None:
    signal = Signal()

    async def send() -> Any:
        barrier = asyncio.Barrier(2)

        async def first(**kwargs: Any) -> int:
            await barrier.wait()
            return await Tag.objects.acount()

        async def second(**kwargs: Any) -> int:
            await barrier.wait()
            return await Tag.objects.acount()

        for function in (first, second):
            connected(signal, function, weak=False)
        return await signal.asend(None)

    assert [answer for _, answer in asyncio.run(send())] == [2, 2]


def test_the_request_signals_keep_their_threads(
    library: None, connected: Callable[..., Any]
) -> None:
    threads: list[Any] = []

    def synchronous(**kwargs: Any) -> None:
        threads.append(threading.current_thread())

    connected(request_finished, synchronous)
    asyncio.run(request_finished.asend(None))
    assert threads[0] is not threading.main_thread()


def test_asave_honours_an_override_of_save(library: None) -> None:
    async def save() -> Any:
        account = Account(balance=3)
        await account.asave()
        made = await Account.objects.acreate(balance=4)
        return account, made

    account, made = asyncio.run(save())
    assert account.saved
    assert made.saved
    assert Account.objects.count() == 2


def test_a_managers_own_methods_run_on_the_loop(
    library: None, thread_submissions: list[str]
) -> None:
    class ShortTitles(models.Manager):
        def get_queryset(self) -> Any:
            return super().get_queryset().filter(pages__lt=100)

        def titles(self) -> list[str]:
            return [book.title for book in self.order_by("title")]

        async def atitles(self) -> list[str]:
            return await on_loop(self.titles)()

    manager = ShortTitles()
    manager.model = Book

    async def read() -> Any:
        await manager.acount()
        thread_submissions.clear()
        return await manager.acount(), await manager.atitles()

    assert asyncio.run(read()) == (2, ["Ada 1", "Ada 2"])
    assert thread_submissions == []


# The seam


def test_every_module_that_leaves_the_loop_is_adopted_or_left() -> None:
    pattern = re.compile(r"^from asgiref\.sync import .*\bsync_to_async\b", re.M)
    found = set()
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if not name.startswith("django.test.") and pattern.search(path.read_text()):
            found.add(name.removesuffix(".__init__"))
    new = sorted(found - set(adoption.MODULES) - set(adoption.LEFT))
    assert not new, (
        f"Django {django.__version__} uses sync_to_async in {new}: decide whether they "
        "wait through the database, and add them to MODULES or LEFT of adoption.py."
    )


def test_no_module_is_both_adopted_and_left() -> None:
    assert not set(adoption.MODULES) & set(adoption.LEFT)
    assert all(reason for reason in adoption.LEFT.values())


def attributes() -> dict[str, Any]:
    """What adoption may replace, in every module of Django that is loaded."""
    names = ("sync_to_async", "async_to_sync", "asyncio", "_run_parallel")
    found = {
        f"{module_name}.{name}": vars(module)[name]
        for module_name, module in sorted(sys.modules.items())
        if module_name.startswith("django.")
        for name in names
        if name in vars(module)
    }
    return {**found, "__call__": asgiref.sync.AsyncToSync.__call__}


def test_adoption_is_undone_by_release() -> None:
    adopted = attributes()
    try:
        adoption.release()
        released = attributes()
        stock = {v for name, v in released.items() if name.endswith(".sync_to_async")}
        assert stock == {asgiref.sync.sync_to_async}
        assert released["django.dispatch.dispatcher.asyncio"] is asyncio
        assert released["__call__"] is not adopted["__call__"]
        adoption.release()
        assert attributes() == released
        adoption.adopt()
        adoption.adopt()
        assert attributes() == adopted
    finally:
        adoption.adopt()


def test_adoption_touches_what_its_table_names_only() -> None:
    ours = {
        name.removesuffix(".sync_to_async")
        for name, value in attributes().items()
        if getattr(value, "__module__", "") == adoption.__name__
        and name.endswith(".sync_to_async")
    }
    assert ours <= set(adoption.MODULES)


# pytest-django makes the databases that some test is marked with.
@pytest.mark.django_db(transaction=True, databases="__all__")
def test_released_awaitables_use_threads_again(thread_submissions: list[str]) -> None:
    async def count() -> int:
        async def close() -> None:
            await asgiref.sync.sync_to_async(connections.close_all)()

        try:
            return await Tag.objects.acount()
        finally:
            await close()

    adoption.release()
    try:
        assert asyncio.run(count()) == 0
        assert thread_submissions
    finally:
        adoption.adopt()


def test_what_is_passed_on_is_passed_on_whole() -> None:
    def keywords(**kwargs: Any) -> Any:
        return kwargs

    everything = {"fn": 1, "func": 2, "handled": 3, "using": 4, "args": 5}

    async def ask() -> Any:
        try:
            raise ValueError
        except ValueError:
            inside = await adoption.sync_to_async(keywords)(**everything)
        return inside, await on_loop(keywords)(**everything)

    assert asyncio.run(ask()) == (everything, everything)


def test_the_projects_own_code_still_goes_to_threads() -> None:
    async def ask() -> Any:
        return await asgiref.sync.sync_to_async(threading.current_thread)()

    assert asyncio.run(ask()) is not threading.current_thread()


def test_async_to_sync_waits_inside_the_bridge(library: None) -> None:
    async def inner(name: str) -> int:
        await Tag.objects.acreate(name=name)
        return await Tag.objects.acount()

    def synchronous() -> int:
        with transaction.atomic():
            Tag.objects.create(name="a")
            found = asgiref.sync.async_to_sync(inner)("b")
            transaction.set_rollback(True)
        return found

    assert asyncio.run(on_loop(synchronous)()) == 4
    assert Tag.objects.count() == 2
    assert asgiref.sync.async_to_sync(inner)("c") == 3


def test_async_to_sync_raises_what_its_coroutine_raises() -> None:
    async def inner() -> None:
        raise ValueError("inner")

    with pytest.raises(ValueError, match="inner"):
        asyncio.run(on_loop(asgiref.sync.async_to_sync(inner))())


# In a project of its own

PROJECT = """
import asyncio, json, threading
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="tests", USE_TZ=True, INSTALLED_APPS={apps!r}, ASYNC_EXT={options!r},
    DATABASES={{"default": {{"ENGINE": {engine!r}, "NAME": ":memory:"}}}},
)
django.setup()
import asgiref.sync
from django.db.models import query
async def main():
    def where():
        return threading.current_thread() is threading.main_thread()
    return await query.sync_to_async(where)()
print(json.dumps(asyncio.run(main())))
"""


def on_the_loop(
    apps: list[str],
    engine: str = "django_async_ext.db.backends.sqlite3",
    **options: object,
) -> bool:
    """Tell whether the awaitables of a new project run on the loop's thread."""
    code = PROJECT.format(apps=apps, engine=engine, options=options)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parent.parent,
    )
    assert done.returncode == 0, done.stderr
    return bool(json.loads(done.stdout))


OURS = "django_async_ext"


def test_a_project_adopts_django_by_its_application() -> None:
    assert on_the_loop([OURS, "django.contrib.contenttypes", "django.contrib.auth"])


def test_a_project_needs_none_of_djangos_applications() -> None:
    assert on_the_loop([OURS])


def test_a_project_may_leave_django_as_it_is() -> None:
    assert not on_the_loop([OURS], ADOPT_DJANGO=False)


def test_a_project_on_other_engines_is_left_as_it_is() -> None:
    assert not on_the_loop([OURS], engine="django.db.backends.sqlite3")
