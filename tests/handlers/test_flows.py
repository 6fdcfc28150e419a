"""Sessions, cookies and logins: the same as under Django's handler, step by step."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application as djangos
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from django_async_ext import on_loop
from django_async_ext.asgi import get_asgi_application
from tests.handlers.asking import Exchange
from tests.handlers.browsing import Browser, set_cookies

pytestmark = pytest.mark.django_db(transaction=True)

# What a view does, as synchronous code


def nothing(request: HttpRequest) -> Any:
    return "nothing"


def read(request: HttpRequest) -> Any:
    return request.session.get("n")


def write(request: HttpRequest) -> Any:
    request.session["n"] = request.session.get("n", 0) + 1
    return request.session["n"]


def remove(request: HttpRequest) -> Any:
    del request.session["n"]
    return list(request.session.keys())


def write_and_fail(request: HttpRequest) -> Any:
    request.session["n"] = 1000
    raise ZeroDivisionError


def write_and_answer_500(request: HttpRequest) -> Any:
    request.session["n"] = 1000
    return HttpResponse("wrong", status=500)


def expire_soon(request: HttpRequest) -> Any:
    request.session.set_expiry(300)
    return request.session.get_expiry_age()


def expire_with_browser(request: HttpRequest) -> Any:
    request.session.set_expiry(0)
    return request.session.get_expire_at_browser_close()


def whoami(request: HttpRequest) -> Any:
    return f"{request.user.get_username()} {request.user.is_authenticated}"


def notify(request: HttpRequest) -> Any:
    messages.info(request, "saved")
    return "notified"


def read_messages(request: HttpRequest) -> Any:
    return [str(message) for message in messages.get_messages(request)]


#: What only reads and sets what is loaded: an asynchronous view may do it plainly.
PLAIN: dict[str, Callable[[HttpRequest], Any]] = {
    fn.__name__: fn
    for fn in (
        *(nothing, read, write, remove, write_and_fail, write_and_answer_500),
        *(expire_soon, expire_with_browser, whoami, notify, read_messages),
    )
}


def log_in(request: HttpRequest) -> Any:
    user = auth.authenticate(request, username="ada", password="secret")
    auth.login(request, user)
    return f"{request.user.username}"


def log_in_as_other(request: HttpRequest) -> Any:
    auth.login(request, User.objects.get(username="bede"))
    return f"{request.user.username}"


def fail_to_log_in(request: HttpRequest) -> Any:
    return auth.authenticate(request, username="ada", password="wrong")


def log_out(request: HttpRequest) -> Any:
    auth.logout(request)
    return f"{request.user.is_authenticated}"


def rotate(request: HttpRequest) -> Any:
    request.session.cycle_key()
    return "rotated"


def flush(request: HttpRequest) -> Any:
    request.session.flush()
    return "flushed"


def change_password(request: HttpRequest) -> Any:
    user = request.user
    user.set_password("other")
    user.save()
    auth.update_session_auth_hash(request, user)
    return "changed"


def change_password_elsewhere(request: HttpRequest) -> Any:
    user = User.objects.get(username="ada")
    user.set_password("other")
    user.save()
    return "changed"


def write_while_another_logs_out(request: HttpRequest) -> Any:
    request.session["n"] = 1000
    Session.objects.all().delete()
    return "lost"


WRITING: dict[str, Callable[[HttpRequest], Any]] = {
    fn.__name__: fn
    for fn in (
        *(log_in, log_in_as_other, fail_to_log_in, log_out, rotate, flush),
        *(change_password, change_password_elsewhere, write_while_another_logs_out),
    )
}

# The same with Django's awaitables


async def awaited(request: HttpRequest, name: str) -> Any:  # noqa: C901 (a list)
    session: Any = request.session
    match name:
        case "read":
            return await session.aget("n")
        case "write":
            await session.aset("n", await session.aget("n", 0) + 1)
            return await session.aget("n")
        case "remove":
            await session.apop("n")
            return list(await session.akeys())
        case "write_and_fail":
            await session.aset("n", 1000)
            raise ZeroDivisionError
        case "write_and_answer_500":
            await session.aset("n", 1000)
            return HttpResponse("wrong", status=500)
        case "expire_soon":
            await session.aset_expiry(300)
            return await session.aget_expiry_age()
        case "expire_with_browser":
            await session.aset_expiry(0)
            return await session.aget_expire_at_browser_close()
        case "whoami":
            user = await request.auser()
            return f"{user.get_username()} {user.is_authenticated}"
        case "log_in":
            user = await auth.aauthenticate(request, username="ada", password="secret")
            await auth.alogin(request, user)
            return (await request.auser()).username
        case "log_in_as_other":
            await auth.alogin(request, await User.objects.aget(username="bede"))
            return (await request.auser()).username
        case "fail_to_log_in":
            return await auth.aauthenticate(request, username="ada", password="wrong")
        case "log_out":
            await auth.alogout(request)
            return (await request.auser()).is_authenticated
        case "rotate":
            await session.acycle_key()
            return "rotated"
        case "flush":
            await session.aflush()
            return "flushed"
        case "change_password":
            user = await request.auser()
            await sync_to_async(user.set_password)("other")
            await user.asave()
            await auth.aupdate_session_auth_hash(request, user)
            return "changed"
        case "change_password_elsewhere":
            user = await User.objects.aget(username="ada")
            await sync_to_async(user.set_password)("other")
            await user.asave()
            return "changed"
        case "write_while_another_logs_out":
            await session.aset("n", 1000)
            await Session.objects.all().adelete()
            return "lost"
        case _:
            return PLAIN[name](request)


def answer(value: Any) -> HttpResponse:
    return value if isinstance(value, HttpResponse) else HttpResponse(str(value))


@csrf_exempt
def synchronous(request: HttpRequest, name: str) -> HttpResponse:
    return answer((PLAIN | WRITING)[name](request))


@csrf_exempt
async def with_awaits(request: HttpRequest, name: str) -> HttpResponse:
    return answer(await awaited(request, name))


@csrf_exempt
async def plainly(request: HttpRequest, name: str) -> HttpResponse:
    if name in PLAIN:
        return answer(PLAIN[name](request))
    return answer(await awaited(request, name))


VIEWS = {"synchronous": synchronous, "with_awaits": with_awaits, "plainly": plainly}
urlpatterns = [path(f"{kind}/<name>", view) for kind, view in VIEWS.items()]

#: Each is what one browser does, page by page.
FLOWS: dict[str, list[str]] = {
    "nothing leaves no trace": ["nothing", "nothing"],
    "reading makes no session": ["read", "read", "whoami"],
    "writing makes one": ["write", "nothing", "read", "write", "read"],
    "an emptied session stays": ["write", "remove", "read"],
    "a flushed one goes": ["write", "flush", "read"],
    "an error saves nothing": ["write", "write_and_fail", "read"],
    "nor does an answer with 500": ["write", "write_and_answer_500", "read"],
    "an expiry of one's own": ["write", "expire_soon", "read", "write"],
    "until the browser closes": ["write", "expire_with_browser", "write"],
    "the key rotates": ["write", "rotate", "read"],
    "logging in and out": ["log_in", "whoami", "write", "log_out", "whoami"],
    "a login keeps the session": ["write", "log_in", "read", "whoami"],
    "another's login does not": ["log_in", "write", "log_in_as_other", "read"],
    "logging in twice": ["log_in", "write", "log_in", "read"],
    "a wrong password": ["fail_to_log_in", "whoami"],
    "a changed password": ["log_in", "change_password", "whoami"],
    "changed elsewhere": ["log_in", "change_password_elsewhere", "read", "whoami"],
    "a concurrent logout": ["log_in", "write_while_another_logs_out", "whoami"],
    "messages": ["notify", "read_messages", "read_messages"],
    "messages of a user": ["log_in", "notify", "nothing", "read_messages", "read"],
}

SETTINGS: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "saved each time": {"SESSION_SAVE_EVERY_REQUEST": True},
    "until the browser closes": {"SESSION_EXPIRE_AT_BROWSER_CLOSE": True},
    "a cookie of one's own": {
        "SESSION_COOKIE_NAME": "sid",
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_PATH": "/synchronous",
        "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
    },
}

# What can be compared


def rows() -> list[Any]:
    """What is in the database, less what no two runs have in common."""
    found = []
    for session in Session.objects.all():
        data = session.get_decoded()
        data.pop("_auth_user_hash", None)
        data.pop("_auth_user_id", None)
        left = (session.expire_date - timezone.now()).total_seconds()
        found.append((sorted(data.items()), round(left / 60)))
    users = User.objects.order_by("username")
    return [found, [(one.username, one.last_login is not None) for one in users]]


def plain(answer: Exchange, before: dict[str, str], kind: str) -> Any:
    """What was answered: keys and tokens as same, new or gone."""
    cookies = []
    for morsel in set_cookies(answer):
        value = "same" if before.get(morsel.key) == morsel.value else "new"
        attributes = {name: morsel[name] for name in morsel if name != "expires"}
        cookies.append((morsel.key, morsel.value and value, attributes))
    headers = [(k, v) for k, v in answer.answer_headers if k.lower() != "set-cookie"]
    content = answer.content if answer.status != 400 else b"a page"
    return answer.status, headers, cookies, content


async def run(application: Any, kind: str, steps: list[str]) -> list[Any]:
    await on_loop(User.objects.all().delete)()
    await on_loop(Session.objects.all().delete)()
    await User.objects.acreate_user("ada", password="secret")
    await User.objects.acreate_user("bede")
    browser, found = Browser(application), []
    for name in steps:
        before = dict(browser.cookies)
        got = await browser.get(f"/{kind}/{name}")
        found.append((name, plain(got, before, kind), await on_loop(rows)()))
    await sync_to_async(connections.close_all)()
    return found


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    # The views that fail are meant to.
    with caplog.at_level("CRITICAL", "django.request"):
        yield


@pytest.mark.parametrize("configured", SETTINGS)
@pytest.mark.parametrize("flow", FLOWS)
async def test_a_flow_is_the_same_as_under_djangos_handler(
    flow: str, configured: str
) -> None:
    with override_settings(**SETTINGS[configured]):
        expected = await run(djangos(), "synchronous", FLOWS[flow])
        for where in ("thread", "loop"):
            with override_settings(ASYNC_EXT={"SYNC_VIEWS": where}):
                ours = get_asgi_application()
                assert await run(ours, "synchronous", FLOWS[flow]) == expected
        for kind in ("with_awaits", "plainly"):
            assert await run(get_asgi_application(), kind, FLOWS[flow]) == expected


def test_the_flows_reach_every_page() -> None:
    assert {name for steps in FLOWS.values() for name in steps} == {*PLAIN, *WRITING}
    assert settings.SESSION_ENGINE.endswith(".db")
    assert asyncio.iscoroutinefunction(plainly)
