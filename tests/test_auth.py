"""Users and passwords on the event loop: hashed in threads, and in few of them."""

import asyncio
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib import auth
from django.contrib.auth import hashers
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.hashers import MD5PasswordHasher, PBKDF2PasswordHasher
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

import django_async_ext.auth
from django_async_ext import gather_queries, on_loop
from django_async_ext.driving import reserved_waits
from django_async_ext.sessions.db import SessionStore
from tests.db.rows import statements

pytestmark = pytest.mark.django_db(transaction=True)


class Watched(MD5PasswordHasher):
    """Remembers in which threads it worked."""

    algorithm = "watched"
    used: list[tuple[str, int]] = []

    def encode(self, password: Any, salt: Any) -> str:
        self.used.append(("encode", threading.get_ident()))
        return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        self.used.append(("verify", threading.get_ident()))
        return super().verify(password, encoded)


HERE = f"{__name__}.Watched"


@pytest.fixture
def hashed() -> Iterator[Callable[[], list[str]]]:
    """What has been hashed since, all of it in other threads than this."""
    Watched.used.clear()

    def found() -> list[str]:
        names = [name for name, _ in Watched.used]
        assert threading.get_ident() not in [thread for _, thread in Watched.used]
        Watched.used.clear()
        return names

    with override_settings(PASSWORD_HASHERS=[HERE]):
        yield found


Hashed = Callable[[], list[str]]


def made(**values: Any) -> User:
    return User.objects.create_user("ada", password="secret", **values)


# Hashing


def test_synchronous_code_hashes_where_it_is() -> None:
    with override_settings(PASSWORD_HASHERS=[HERE]):
        Watched.used.clear()
        assert made().check_password("secret")
    assert {thread for _, thread in Watched.used} == {threading.get_ident()}


@pytest.mark.parametrize("create", ["acreate_user", "acreate_superuser"])
async def test_a_user_is_created_without_hashing_on_the_loop(
    hashed: Hashed, create: str
) -> None:
    await getattr(User.objects, create)("ada", password="secret")
    assert hashed() == ["encode"]


async def test_a_password_is_checked_without_hashing_on_the_loop(
    hashed: Hashed,
) -> None:
    user = await User.objects.acreate_user("ada", password="secret")
    hashed()
    assert await user.acheck_password("secret")
    assert not await user.acheck_password("wrong")
    assert await hashers.acheck_password("secret", user.password)
    assert [name for name in hashed() if name == "verify"] == ["verify"] * 3


@pytest.mark.parametrize("username", ["ada", "nobody"])
async def test_who_authenticates_costs_a_hash_whether_the_user_exists_or_not(
    hashed: Hashed, username: str
) -> None:
    await User.objects.acreate_user("ada", password="secret")
    hashed()
    found = await auth.aauthenticate(None, username=username, password="secret")
    assert (found is not None) is (username == "ada")
    assert hashed().count("encode") == 1


@pytest.mark.parametrize("username", ["ada", "nobody"])
async def test_synchronous_code_in_the_bridge_does_not_hash_on_the_loop(
    hashed: Hashed, username: str
) -> None:
    await User.objects.acreate_user("ada", password="secret")
    hashed()
    data = {"username": username, "password": "secret"}
    valid = await on_loop(AuthenticationForm(None, data).is_valid)()
    assert valid is (username == "ada")
    assert hashed().count("encode") == 1


async def test_an_asynchronous_view_may_set_a_password_plainly(hashed: Hashed) -> None:
    @reserved_waits
    async def view() -> None:
        user = User(username="ada")
        user.set_password("secret")
        await user.asave()

    await view()
    assert hashed() == ["encode"]
    assert await on_loop((await User.objects.aget()).check_password)("secret")


async def test_a_password_of_an_old_hasher_is_rehashed_off_the_loop(
    hashed: Hashed,
) -> None:
    user = await on_loop(made)(email="ada@example.org")
    old = "django.contrib.auth.hashers.MD5PasswordHasher"
    user.password = await on_loop(MD5PasswordHasher().encode)("secret", "salt")
    await user.asave()
    hashed()
    with override_settings(PASSWORD_HASHERS=[HERE, old]):
        assert await auth.aauthenticate(None, username="ada", password="secret")
    assert "encode" in hashed()
    assert (await User.objects.aget()).password.startswith("watched$")


async def test_many_hash_in_a_few_threads_while_the_loop_goes_on() -> None:
    together, seen = threading.Barrier(2), set()
    loop = asyncio.get_running_loop()
    meanwhile = asyncio.Event()

    class Slow(Watched):
        algorithm = "slow"

        def encode(self, password: Any, salt: Any) -> str:
            seen.add(threading.get_ident())
            loop.call_soon_threadsafe(meanwhile.set)
            together.wait(10)
            return super().encode(password, salt)

    globals()["Slow"] = Slow
    django_async_ext.auth.HASHING.forget()
    limits: Any = {"ASYNC_EXT": {"HASHING_THREADS": 2}}
    with override_settings(PASSWORD_HASHERS=[f"{__name__}.Slow"], **limits):
        made = [on_loop(hashers.make_password)("secret") for _ in range(8)]
        tasks = [asyncio.create_task(one) for one in made]
        await meanwhile.wait()
        await asyncio.gather(*tasks)
    django_async_ext.auth.HASHING.forget()
    assert len(seen) == 2


class Broken(Watched):
    algorithm = "broken"

    def verify(self, password: str, encoded: str) -> bool:
        raise ZeroDivisionError


def attempt() -> Any:
    return auth.authenticate(username="ada", password="pass" + "phrase")


async def test_an_error_report_of_a_hasher_shows_no_password() -> None:
    with override_settings(PASSWORD_HASHERS=[f"{__name__}.Broken"]):
        await User.objects.acreate_user("ada", password="pass" + "phrase")
        with pytest.raises(ZeroDivisionError) as caught:
            await on_loop(attempt)()
    report, seen = SafeExceptionReporterFilter(), []
    for frame, _ in traceback.walk_tb(caught.value.__traceback__):
        if not frame.f_globals["__name__"].startswith("django."):
            shown = report.get_traceback_frame_variables(HttpRequest(), frame)
            seen.append((frame.f_code.co_name, repr(dict(shown))))
    assert "verify" in dict(seen)
    assert not [one for one in seen if "passphrase" in one[1]]


def test_a_hasher_is_still_djangos() -> None:
    default = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[default]):
        hasher = hashers.get_hasher()
        assert isinstance(hasher, PBKDF2PasswordHasher)
        encoded = hashers.make_password("secret")
        assert hashers.check_password("secret", encoded)
        assert hasher.verify("secret", encoded)
        assert not hasher.must_update(encoded)


def test_adopting_is_undone_and_done_again() -> None:
    from django.contrib.auth import base_user, middleware

    before = (
        hashers.get_hashers,
        middleware.auser,
        base_user.AbstractBaseUser.acheck_password,
    )
    django_async_ext.auth.release()
    try:
        assert hashers.get_hashers.__module__ == "django.contrib.auth.hashers"
        assert middleware.auser.__module__ == "django.contrib.auth.middleware"
        stock = base_user.AbstractBaseUser.acheck_password
        assert stock is not before[2]
        assert "encode" not in vars(hashers.get_hasher())
    finally:
        django_async_ext.auth.adopt()
        django_async_ext.auth.adopt()
    assert hashers.get_hashers is before[0]
    assert "encode" in vars(hashers.get_hasher())


# Backends


class Synchronous(BaseBackend):
    """A third party's, which may block: it asks a server, say."""

    def authenticate(self, request: Any, **credentials: Any) -> Any:
        if credentials.get("username") != "ldap":
            return None
        user, _ = User.objects.get_or_create(username="ldap")
        user.thread = threading.get_ident()
        return user


class Asynchronous(BaseBackend):
    async def aauthenticate(self, request: Any, **credentials: Any) -> Any:
        if credentials.get("username") == "denied":
            raise PermissionDenied
        if credentials.get("username") == "token":
            return (await User.objects.aget_or_create(username="token"))[0]
        return None


BACKENDS = [
    f"{__name__}.Asynchronous",
    f"{__name__}.Synchronous",
    "django.contrib.auth.backends.ModelBackend",
]


@pytest.mark.parametrize(
    ("username", "backend"),
    [
        ("token", BACKENDS[0]),
        ("ldap", BACKENDS[1]),
        ("ada", BACKENDS[2]),
        ("denied", None),
        ("nobody", None),
    ],
)
async def test_backends_of_both_kinds_are_asked_in_their_order(
    username: str, backend: str | None
) -> None:
    await User.objects.acreate_user("ada", password="secret")
    with override_settings(AUTHENTICATION_BACKENDS=BACKENDS):
        user = await auth.aauthenticate(None, username=username, password="secret")
    await sync_to_async(connections.close_all)()
    if backend is None:
        assert user is None
        return
    assert (user.username, user.backend) == (username, backend)
    assert getattr(user, "thread", None) != threading.get_ident()


DJANGOS = "django.contrib.auth.backends"


async def test_whom_another_server_knows_is_a_user_on_the_loop(
    thread_submissions: list[str],
) -> None:
    backends = [f"{DJANGOS}.RemoteUserBackend"]
    with override_settings(AUTHENTICATION_BACKENDS=backends):
        user = await auth.aauthenticate(HttpRequest(), remote_user="grace")
        again = await auth.aauthenticate(HttpRequest(), remote_user="grace")
    assert user == again == await User.objects.aget(username="grace")
    assert not thread_submissions


@pytest.mark.parametrize(
    ("backend", "permits"),
    [
        ("ModelBackend", False),
        ("AllowAllUsersModelBackend", True),
        ("RemoteUserBackend", False),
        ("AllowAllUsersRemoteUserBackend", True),
    ],
)
async def test_who_is_not_active_is_let_in_by_some_backends(
    hashed: Hashed, backend: str, permits: bool
) -> None:
    await User.objects.acreate_user("ada", password="secret", is_active=False)
    who = {"username": "ada", "password": "secret"}
    if "Remote" in backend:
        who = {"remote_user": "ada"}
    hashed()
    with override_settings(AUTHENTICATION_BACKENDS=[f"{DJANGOS}.{backend}"]):
        user = await auth.aauthenticate(HttpRequest(), **who)
    assert (user is not None) is permits
    assert ("encode" in hashed()) is ("Remote" not in backend)


async def test_logging_in_and_out_needs_no_thread(
    thread_submissions: list[str],
) -> None:
    request: Any = HttpRequest()
    request.session = SessionStore()
    AuthenticationMiddleware(lambda _: HttpResponse()).process_request(request)
    user = await User.objects.acreate_user("ada")
    thread_submissions.clear()
    await auth.alogin(request, user, f"{DJANGOS}.ModelBackend")
    await request.session.asave()
    assert await auth.aget_user(request) == user
    key = request.session.session_key
    await auth.aupdate_session_auth_hash(request, user)
    assert request.session.session_key != key
    await auth.alogout(request)
    assert (await request.auser()).is_anonymous
    assert not thread_submissions


# Permissions


async def permitted() -> User:
    user = await User.objects.acreate_user("ada")
    group = await Group.objects.acreate(name="editors")
    of_library = Permission.objects.filter(content_type__app_label="library")
    change = await of_library.aget(codename="change_book")
    view = await of_library.aget(codename="view_book")
    await group.permissions.aadd(change)
    await user.groups.aadd(group)
    await user.user_permissions.aadd(view)
    return await User.objects.aget(pk=user.pk)


CHECKS: list[tuple[Callable[[User], Awaitable[Any]], Any, int]] = [
    (lambda user: user.ahas_perm("library.change_book"), True, 2),
    (lambda user: user.ahas_perm("library.delete_book"), False, 2),
    (lambda user: user.ahas_perms(["library.view_book"]), True, 2),
    (lambda user: user.ahas_module_perms("library"), True, 2),
    (lambda user: user.aget_user_permissions(), {"library.view_book"}, 1),
    (lambda user: user.aget_group_permissions(), {"library.change_book"}, 1),
    (
        lambda user: user.aget_all_permissions(),
        {"library.view_book", "library.change_book"},
        2,
    ),
]


@pytest.mark.parametrize(("check", "expected", "queries"), CHECKS)
async def test_permissions_are_asked_for_on_the_loop(
    check: Any, expected: Any, queries: int, thread_submissions: list[str]
) -> None:
    user = await permitted()
    thread_submissions.clear()
    with statements() as asked:
        assert await check(user) == expected
    assert (len(asked), thread_submissions) == (queries, [])


async def test_who_has_a_permission_is_a_query_like_any_other(
    thread_submissions: list[str],
) -> None:
    user = await permitted()
    thread_submissions.clear()
    found = User.objects.with_perm("library.change_book")
    assert [one async for one in found] == [user]
    assert await gather_queries(found) == [[user]]
    assert thread_submissions == []


async def test_nobody_has_no_permissions() -> None:
    assert not await AnonymousUser().ahas_perm("library.view_book")
