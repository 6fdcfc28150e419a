"""``request.user`` and ``request.session`` in asynchronous views."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.core.asgi import get_asgi_application as djangos
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, override_settings
from django.urls import path
from django.utils.functional import SimpleLazyObject

from django_async_ext import on_loop
from django_async_ext.asgi import get_asgi_application
from django_async_ext.exceptions import DOCS
from tests.db.rows import statements
from tests.handlers.asking import Exchange
from tests.handlers.browsing import Browser
from tests.waiting import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

DJANGO_TEXT = (
    "You cannot call this from an async context - use a thread or sync_to_async. "
)
View = Callable[[HttpRequest], Any]
_view: View


async def view(request: HttpRequest) -> Any:
    return await _view(request)


urlpatterns = [path("", view)]


@pytest.fixture(params=[get_asgi_application, djangos], ids=["ours", "djangos"])
async def visitor(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """A browser without a cookie, under either handler."""
    yield Browser(request.param())
    # Django's handler saves sessions in a thread, which has a connection of its own.
    await sync_to_async(connections.close_all)()


@pytest.fixture
async def client(visitor: Browser) -> Browser:
    """A browser that is logged in."""
    await log_in(visitor)
    return visitor


async def log_in(visitor: Browser) -> None:
    user = await User.objects.acreate_user("ada", password="secret")
    client = AsyncClient()
    await client.aforce_login(user)
    visitor.cookies["sessionid"] = client.cookies["sessionid"].value


async def get(client: Browser, ask: View) -> tuple[Exchange, list[str]]:
    """Return the answer of the view ``ask``, and what it asked the database."""
    global _view
    _view, asked = ask, []

    async def counted(request: HttpRequest) -> Any:
        with statements() as found:
            response = await ask(request)
        asked.extend(found)
        return response

    _view = counted
    return await client.get("/"), asked


def header(answer: Exchange, name: str) -> str | None:
    return dict(answer.answer_headers).get(name)


def tables(asked: list[str]) -> list[str]:
    return [sql.split('FROM "')[1].split('"')[0] for sql in asked]


async def test_the_session_is_loaded_when_it_is_read(client: Browser) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return HttpResponse(str(request.session["visits"]))

    assert [(await get(client, ask))[0].content for _ in range(2)] == [b"1", b"2"]
    response, asked = await get(client, ask)
    assert response.content == b"3"
    assert tables(asked) == ["django_session"]


async def test_the_user_is_loaded_when_it_is_read(
    client: Browser, thread_submissions: list[str]
) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        thread_submissions.clear()
        names = [request.user.username, request.user.email]
        assert thread_submissions == []
        return HttpResponse(str(names))

    response, asked = await get(client, ask)
    assert response.content == b"['ada', '']"
    assert tables(asked) == ["django_session", "auth_user"]
    assert header(response, "Vary") == "Cookie"


async def test_a_view_that_reads_neither_asks_nothing(client: Browser) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    response, asked = await get(client, ask)
    assert asked == []
    assert header(response, "Vary") is None


async def test_without_a_cookie_nothing_is_asked(visitor: Browser) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        visits = request.session.get("visits")
        return HttpResponse(f"{request.user.is_authenticated} {visits}")

    response, asked = await get(visitor, ask)
    assert response.content == b"False None"
    assert asked == []


@pytest.mark.parametrize("user_first", [True, False])
async def test_both_ways_to_the_user_give_one(
    client: Browser, user_first: bool
) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        if user_first:
            assert request.user.username
        found = await request.auser()
        found.note = "the same"
        return HttpResponse(request.user.note)  # type: ignore[union-attr]

    response, asked = await get(client, ask)
    assert response.content == b"the same"
    assert len(asked) == 2


async def test_tasks_that_ask_for_the_user_together_share_a_query(
    client: Browser,
) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(request.auser()) for _ in range(5)]
        assert len({id(task.result()) for task in asking}) == 1
        return HttpResponse(request.user.username)

    response, asked = await get(client, ask)
    assert response.content == b"ada"
    assert tables(asked) == ["django_session", "auth_user"]


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_view_and_the_task_that_it_started_have_one_user(
    client: Browser, turns: int
) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        task = asyncio.create_task(request.auser())
        for _ in range(turns):
            await asyncio.sleep(0)
        assert request.user.username == "ada"
        found = await task
        found.note = "the same"
        return HttpResponse(request.user.note)  # type: ignore[union-attr]

    response, asked = await get(client, ask)
    assert response.content == b"the same"
    assert tables(asked) == ["django_session", "auth_user"]


_made: list[User] = []


class OfToken:
    """Sets the user, to be loaded later, as middleware for tokens does."""

    sync_capable, async_capable = True, False

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        own = request.user

        def load() -> User:
            found = User.objects.get(username=f"token of {own.username}")
            _made.append(found)
            return found

        request.user = SimpleLazyObject(load)  # type: ignore[assignment]
        return self.get_response(request)


@pytest.fixture
def of_token(settings: Any) -> None:
    _made.clear()
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.OfToken"]


@pytest.mark.usefixtures("of_token")
async def test_the_lazy_user_of_a_middleware_is_that_of_auser(visitor: Browser) -> None:
    await log_in(visitor)
    token = await User.objects.acreate(username="token of ada")

    async def ask(request: HttpRequest) -> HttpResponse:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(request.auser()) for _ in range(3)]
        for task in asking:
            assert task.result() == token
            assert task.result() is request.user
        return HttpResponse(request.user.get_username())

    response, asked = await get(visitor, ask)
    assert response.content == b"token of ada"
    assert len(_made) == 1
    assert tables(asked) == ["django_session", "auth_user", "auth_user"]


async def test_a_lazy_user_may_be_made_of_that_of_auser(client: Browser) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        load = async_to_sync(request.auser)
        request.user = SimpleLazyObject(lambda: load())  # type: ignore[assignment]
        async with asyncio.timeout(PATIENCE):
            return HttpResponse((await request.auser()).get_username())

    response, asked = await get(client, ask)
    assert response.content == b"ada"
    assert tables(asked) == ["django_session", "auth_user"]


async def test_tasks_that_load_the_session_together_lose_nothing(
    client: Browser,
) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        async with asyncio.TaskGroup() as tasks:
            for name in "abc":
                tasks.create_task(request.session.aset(name, 1))
        return HttpResponse("".join(sorted(set(await request.session.akeys()))[-3:]))

    response, asked = await get(client, ask)
    assert response.content == b"abc"
    assert tables(asked) == ["django_session"]


async def test_a_task_cannot_load_them_and_says_so(client: Browser) -> None:
    async def child(request: HttpRequest) -> list[str]:
        texts = []
        with pytest.raises(SynchronousOnlyOperation) as caught:
            request.session.get("visits")
        texts.append(str(caught.value))
        await request.session.aget("visits")
        with pytest.raises(SynchronousOnlyOperation) as caught:
            bool(request.user.is_authenticated)
        return [*texts, str(caught.value)]

    async def ask(request: HttpRequest) -> HttpResponse:
        session, user = await asyncio.create_task(child(request))
        assert session == (
            f"{DJANGO_TEXT}The session is not loaded, and reading it here would block "
            "the event loop: the view itself may read request.session, but not a task "
            "that it started. Use `await request.session.aget(key)` and the like, or "
            f"read the session before the task starts. See {DOCS}#lazy-session"
        )
        assert user == (
            f"{DJANGO_TEXT}request.user is not loaded, and reading it here would block "
            "the event loop: the view itself may read it, but not a task that it "
            "started. Use `await request.auser()`, or read request.user before the "
            f"task starts. See {DOCS}#lazy-user"
        )
        return HttpResponse(request.user.username)

    response, _ = await get(client, ask)
    assert response.content == b"ada"


@pytest.fixture
def in_cached_table() -> Iterator[None]:
    """The sessions are in a cache in the database."""
    backend = "django_async_ext.cache.DatabaseCache"
    with override_settings(
        CACHES={"default": {"BACKEND": backend, "LOCATION": "cached_sessions"}},
        SESSION_ENGINE="django_async_ext.sessions.cache",
    ):
        call_command("createcachetable", verbosity=0)
        yield


@pytest.mark.usefixtures("in_cached_table")
async def test_a_task_that_reads_the_session_plainly_logs_nobody_out(
    visitor: Browser,
) -> None:
    await log_in(visitor)

    async def child(request: HttpRequest) -> None:
        with pytest.raises(SynchronousOnlyOperation, match="#lazy-session"):
            request.session.get("visits")

    async def ask(request: HttpRequest) -> HttpResponse:
        await asyncio.create_task(child(request))
        return HttpResponse((await request.auser()).get_username())

    response, _ = await get(visitor, ask)
    assert response.content == b"ada"
    assert "sessionid" in visitor.cookies


async def test_what_writes_is_refused_without_an_await(client: Browser) -> None:
    async def ask(request: HttpRequest) -> HttpResponse:
        with pytest.raises(SynchronousOnlyOperation, match="query-outside-bridge"):
            request.session.cycle_key()
        with pytest.raises(SynchronousOnlyOperation, match="query-outside-bridge"):
            User.objects.count()
        return HttpResponse()

    assert (await get(client, ask))[0].status == 200


async def test_the_body_of_a_streaming_response_may_read_them_too(
    client: Browser,
) -> None:
    async def body(request: HttpRequest) -> AsyncIterator[str]:
        yield request.user.username
        yield request.session["_auth_user_id"]

    async def ask(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(body(request))

    response, _ = await get(client, ask)
    user = await User.objects.aget()
    assert response.content == f"ada{user.pk}".encode()


async def test_a_session_of_an_old_password_is_flushed_when_it_is_read(
    client: Browser,
) -> None:
    user = await User.objects.aget()
    await on_loop(user.set_password)("other")
    await user.asave()

    async def ask(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(request.user.is_authenticated))

    response, _ = await get(client, ask)
    assert response.content == b"False"
    assert "sessionid" not in client.cookies
    assert not await on_loop(SessionStore.get_model_class().objects.exists)()


async def test_logging_in_and_out_changes_both_ways_to_the_user(
    visitor: Browser,
) -> None:
    await User.objects.acreate_user("ada", password="secret")

    async def ask(request: HttpRequest) -> HttpResponse:
        assert request.user.is_anonymous
        user = await auth.aauthenticate(request, username="ada", password="secret")
        assert user is not None
        await auth.alogin(request, user)
        assert request.user == user
        assert request.user.is_authenticated
        before = request.session.session_key
        await auth.aupdate_session_auth_hash(request, user)
        assert before != request.session.session_key
        await auth.alogout(request)
        assert isinstance(request.user, AnonymousUser)
        return HttpResponse(str(request.session.session_key))

    response, _ = await get(visitor, ask)
    assert response.content == b"None"
