"""What manage.py asyncext says is what the handler does."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.asgi import get_asgi_application as djangos
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.signals import request_finished
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path
from django.views.generic import RedirectView

from django_async_ext.asgi import get_asgi_application
from django_async_ext.handlers import placement, report, resources
from tests.handlers.asking import ask
from tests.handlers.conftest import STARTPROJECT
from tests.handlers.test_middleware import KINDS

MIDDLEWARE = "tests.handlers.test_middleware"


def blocking(request: HttpRequest) -> HttpResponse:
    return HttpResponse("blocking")


async def awaited(request: HttpRequest) -> HttpResponse:
    return HttpResponse("awaited")


urlpatterns = [
    path("blocking", blocking),
    path("shop/", include([path("awaited/<int:pk>", awaited)])),
    path("old", RedirectView.as_view(url="/new")),
]


def rows(kind: str) -> list[tuple[str, str]]:
    return [(row.name, row.where) for row in report.rows() if row.kind == kind]


def test_every_part_of_a_project_is_placed() -> None:
    assert rows("middleware") == [(path, "loop") for path in STARTPROJECT]
    assert rows("view") == [
        (f"/blocking  {__name__}.blocking", "thread"),
        (f"/shop/awaited/<int:pk>  {__name__}.awaited", "loop"),
        ("/old  django.views.generic.base.RedirectView", "loop"),
    ]
    assert ("sqlite  django_async_ext.db.backends.sqlite3", "worker") in rows(
        "database"
    )
    assert rows("session") == [("django.contrib.sessions.backends.db", "loop")]
    assert rows("auth") == [("django.contrib.auth.backends.ModelBackend", "loop")]
    assert [where for _, where in rows("cache")] == ["loop"]
    assert [where for _, where in rows("email")] == ["loop"]


def test_only_receivers_of_others_are_listed() -> None:
    assert rows("receiver") == []

    def receiver(**kwargs: Any) -> None:
        """Might block."""

    request_finished.connect(receiver)
    ((name, where),) = rows("receiver")
    assert name.startswith("request_finished  ")
    assert where == "thread"


def test_what_is_not_on_the_loop_says_why_and_what_to_change() -> None:
    (row,) = [row for row in report.rows() if row.name.startswith("/blocking")]
    assert row.why == "synchronous code that may block"
    assert row.change == (
        f"If it never blocks, add '{__name__}.blocking' to ASYNC_EXT['LOOP_SAFE']."
    )


class OnePage:
    """A URLconf with one view."""

    def __init__(self, view: Any) -> None:
        self.urlpatterns = [path("page", view)]


@pytest.mark.parametrize("view", [blocking, awaited])
@pytest.mark.parametrize(
    "names",
    [
        STARTPROJECT,
        *([kind] for kind in KINDS),
        ["Whole", "function"],
        ["Whole", "Hooks", "Whole"],
        ["Hooks", "awaited", "Declared"],
        ["function", STARTPROJECT[0], "function"],
    ],
    ids=len,
)
async def test_hops_are_counted_as_they_happen(
    names: list[str], view: Any, thread_submissions: list[str]
) -> None:
    paths = [name if "." in name else f"{MIDDLEWARE}.{name}" for name in names]
    with override_settings(MIDDLEWARE=paths, ROOT_URLCONF=(path("page", view),)):
        counted = report.hops()
        await ask(get_asgi_application(), "/page")
        assert _hops(thread_submissions) == counted.here
        thread_submissions.clear()
        await ask(djangos(), "/page")
        assert _hops(thread_submissions) == counted.stock


def _hops(submissions: list[str]) -> int:
    return sum("run_in_executor" in each for each in submissions)


def test_an_average_is_over_all_views() -> None:
    assert report.hops() == (pytest.approx(2 / 3), pytest.approx(15 + 2 / 3))


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("asyncext", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_command_prints_a_report() -> None:
    printed = run()
    assert "Middleware, outermost first\n  loop    django.middleware" in printed
    assert f"  thread  /blocking  {__name__}.blocking\n" in printed
    assert "If it never blocks" in printed
    assert printed.endswith(
        "An average request makes 0.7 thread hops; with Django's own handler 15.7.\n"
    )


def test_the_command_prints_only_what_could_be_changed() -> None:
    printed = run("--changes")
    assert "SecurityMiddleware" not in printed
    assert "/blocking" in printed


def test_the_command_prints_json() -> None:
    printed = json.loads(run("--json"))
    first = printed["parts"][0]
    assert first == {
        "kind": "middleware",
        "name": STARTPROJECT[0],
        "where": "loop",
        "why": "Django's own, waits for nothing",
        "change": "",
    }
    assert set(printed["hops"]) == {"here", "stock"}


# The resources


CACHE = "django.core.cache.backends"


@pytest.mark.parametrize(
    ("backend", "where"),
    [
        (f"{CACHE}.locmem.LocMemCache", "loop"),
        (f"{CACHE}.db.DatabaseCache", "loop"),
        (f"{CACHE}.filebased.FileBasedCache", "thread"),
        (f"{CACHE}.redis.RedisCache", "thread"),
        ("django_async_ext.cache.redis.RedisCache", "loop"),
        ("django_async_ext.cache.local.FileBasedCache", "worker"),
        ("shop.caches.Own", "thread"),
        ("safe.caches.Own", "loop"),
    ],
)
def test_a_cache_is_placed_by_what_it_waits_for(backend: str, where: str) -> None:
    caches = {"default": {"BACKEND": backend}}
    with override_settings(CACHES=caches, ASYNC_EXT={"LOOP_SAFE": ["safe"]}):
        assert resources.cache("default").where == where
        with override_settings(
            SESSION_ENGINE="django.contrib.sessions.backends.cached_db"
        ):
            assert resources.sessions().where == where


@pytest.mark.parametrize(
    ("engine", "where"),
    [
        ("django.contrib.sessions.backends.signed_cookies", "loop"),
        ("django.contrib.sessions.backends.file", "thread"),
        ("django_async_ext.sessions.file", "worker"),
        ("django_async_ext.sessions.db", "loop"),
        ("shop.sessions", "thread"),
        ("safe.sessions", "loop"),
    ],
)
def test_sessions_are_placed_by_what_they_wait_for(engine: str, where: str) -> None:
    with override_settings(SESSION_ENGINE=engine, ASYNC_EXT={"LOOP_SAFE": ["safe"]}):
        assert resources.sessions().where == where


@pytest.mark.parametrize(
    ("backend", "where"),
    [
        ("django.core.mail.backends.smtp.EmailBackend", "thread"),
        ("django.core.mail.backends.locmem.EmailBackend", "loop"),
        ("shop.mail.EmailBackend", "thread"),
    ],
)
def test_mail_is_placed_by_its_backend(backend: str, where: str) -> None:
    assert resources.email_backend(backend).where == where


@pytest.fixture
def stock_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    database = connections.settings["default"]
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.postgresql")
    placement._forget()


@pytest.mark.usefixtures("stock_engine")
def test_with_djangos_engine_what_queries_stays_in_threads() -> None:
    hooks = {
        path.rpartition(".")[2]
        for path in STARTPROJECT
        if placement.middleware(path).how == placement.HOOKS
    }
    assert hooks == {"SessionMiddleware", "MessageMiddleware"}
    assert resources.database("default").change == (
        "Use the engine of the same name in django_async_ext.db.backends, if there is "
        "one."
    )


# Checks


def warnings() -> list[tuple[str, str]]:
    found = run_checks(tags=["async"])
    return [(each.id or "", each.msg) for each in found if each.id >= "async_ext.W004"]


def test_startprojects_middleware_gives_no_warning() -> None:
    assert warnings() == []


def test_a_middleware_that_keeps_a_thread_is_warned_of() -> None:
    paths = [f"{MIDDLEWARE}.{kind}" for kind in ("Whole", "Hooks", "awaited")]
    with override_settings(MIDDLEWARE=paths):
        ((id_, text),) = warnings()
    assert id_ == "async_ext.W004"
    assert text == (
        f"Middleware {MIDDLEWARE}.Whole is synchronous: on the event loop it keeps a "
        "thread for the whole of each request."
    )


def test_sessions_that_would_block_are_warned_of() -> None:
    with override_settings(SESSION_ENGINE="django.contrib.sessions.backends.file"):
        ((id_, text),) = warnings()
    assert id_ == "async_ext.W005"
    assert text.startswith("Sessions are not on the event loop (")
