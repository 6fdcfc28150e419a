"""With startproject's middleware no request needs a thread."""

from typing import Any

import pytest
from django.contrib.auth import aauthenticate, alogin
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application as djangos
from django.http import HttpRequest, HttpResponse
from django.urls import path

from django_async_ext import loop_safe, on_loop
from django_async_ext.asgi import get_asgi_application
from tests.db.rows import statements
from tests.handlers.asking import ask
from tests.library.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


async def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


async def database(request: HttpRequest) -> HttpResponse:
    author = await Author.objects.acreate(name="Ursula")
    return HttpResponse((await Author.objects.aget(pk=author.pk)).name)


async def session(request: HttpRequest) -> HttpResponse:
    count = await request.session.aget("count", 0) + 1
    await request.session.aset("count", count)
    return HttpResponse(str(count))


async def login(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(request, username="ursula", password="k")
    await alogin(request, user)
    return HttpResponse((await request.auser()).username)


async def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).username)


async def lazily(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.user.username} {request.session['_auth_user_id']}")


def blocking(request: HttpRequest) -> HttpResponse:
    return HttpResponse("from a thread")


@loop_safe
def declared(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Author.objects.count())


def listed(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Author.objects.count())


urlpatterns = [
    path("plain", plain),
    path("database", database),
    path("session", session),
    path("login", login),
    path("whoami", whoami),
    path("lazily", lazily),
    path("blocking", blocking),
    path("declared", declared),
    path("listed/", on_loop(([path("", listed)], "listed", "listed"))),
]


@pytest.fixture
def app() -> Any:
    return get_asgi_application()


@pytest.mark.parametrize(
    ("page", "content"),
    [("plain", b"hello"), ("database", b"Ursula"), ("session", b"1"),
     ("declared", b"0"), ("listed/", b"0")],
)  # fmt: skip
async def test_a_request_needs_no_thread(
    app: Any, page: str, content: bytes, thread_submissions: list[str]
) -> None:
    answer = await ask(app, f"/{page}")
    assert (answer.status, answer.content) == (200, content)
    assert thread_submissions == []


async def test_a_session_is_kept_without_a_thread(
    app: Any, thread_submissions: list[str]
) -> None:
    first = await ask(app, "/session")
    cookie = f"sessionid={first.cookies['sessionid']}"
    second = await ask(app, "/session", headers={"cookie": cookie})
    assert second.content == b"2"
    assert thread_submissions == []


async def test_the_user_is_loaded_without_a_thread(
    app: Any, thread_submissions: list[str]
) -> None:
    await User.objects.acreate_user("ursula", password="k")
    answer = await ask(app, "/login")
    assert answer.content == b"ursula"
    cookie = f"sessionid={answer.cookies['sessionid']}"
    thread_submissions.clear()
    answer = await ask(app, "/whoami", headers={"cookie": cookie})
    assert answer.content == b"ursula"
    assert thread_submissions == []


async def test_a_view_reads_session_and_user_plainly_without_a_thread(
    app: Any, thread_submissions: list[str]
) -> None:
    user = await User.objects.acreate_user("ursula", password="k")
    cookie = f"sessionid={(await ask(app, '/login')).cookies['sessionid']}"
    thread_submissions.clear()
    with statements() as asked:
        answer = await ask(app, "/lazily", headers={"cookie": cookie})
    assert answer.content == f"ursula {user.pk}".encode()
    assert (len(asked), thread_submissions) == (2, [])


async def test_a_page_that_reads_neither_asks_the_database_nothing(app: Any) -> None:
    await User.objects.acreate_user("ursula", password="k")
    cookie = f"sessionid={(await ask(app, '/login')).cookies['sessionid']}"
    with statements() as asked:
        answer = await ask(app, "/plain", headers={"cookie": cookie})
    assert (answer.content, asked) == (b"hello", [])


async def test_logging_in_needs_a_thread_for_the_password_only(
    app: Any, thread_submissions: list[str]
) -> None:
    await User.objects.acreate_user("ursula", password="k")
    thread_submissions.clear()
    assert (await ask(app, "/login")).content == b"ursula"
    # One call, and what starts it: the hashers of the tests are quick.
    assert len([one for one in thread_submissions if "submit" in one]) == 1


async def test_an_undeclared_synchronous_view_runs_in_a_thread(
    app: Any, thread_submissions: list[str]
) -> None:
    answer = await ask(app, "/blocking")
    assert answer.content == b"from a thread"
    assert thread_submissions


async def test_djangos_handler_counts_its_hops(thread_submissions: list[str]) -> None:
    # Or the tests above would count nothing.
    await ask(djangos(), "/plain")
    assert len(thread_submissions) > 15
