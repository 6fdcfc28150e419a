"""Views of every kind: where they run, their transactions, errors and templates."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.core.asgi import get_asgi_application as djangos
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.db import connection, connections, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django.views.generic import RedirectView, TemplateView

from django_async_ext import in_bridge, loop_safe
from django_async_ext.asgi import get_asgi_application
from django_async_ext.handlers import placement
from tests.db.server import Server, until
from tests.handlers.asking import ask
from tests.library.models import Author

with_rows = pytest.mark.django_db(transaction=True)


def place() -> str:
    if in_bridge():
        return "bridge"
    main = threading.current_thread() is threading.main_thread()
    return "loop" if main else "thread"


def here(request: HttpRequest) -> HttpResponse:
    return HttpResponse(place())


async def ahere(request: HttpRequest) -> HttpResponse:
    return HttpResponse(place())


class Here(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(place())


class AsyncHere(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(place())

    async def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.POST["word"])


@loop_safe
class SafeHere(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(place())


class Methods:
    def here(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(place())


def atomic(request: HttpRequest) -> HttpResponse:
    Author.objects.create(name="undone")
    if "fail" in request.GET:
        raise ZeroDivisionError
    return HttpResponse(f"{place()} {connection.in_atomic_block}")


async def aatomic(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="undone")
    if "fail" in request.GET:
        raise ZeroDivisionError
    return HttpResponse(f"{place()} {connection.in_atomic_block}")


@transaction.non_atomic_requests
def not_atomic(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{place()} {connection.in_atomic_block}")


class Rendered:
    """Says in a template where it is rendered."""

    def __str__(self) -> str:
        return f"{place()}: {Author.objects.count()}"


def template(request: HttpRequest) -> TemplateResponse:
    text = engines["django"].from_string("{{ rendered }}")
    return TemplateResponse(request, text, {"rendered": Rendered()})


async def atemplate(request: HttpRequest) -> TemplateResponse:
    return template(request)


ERRORS = {
    "404": Http404,
    "403": PermissionDenied,
    "400": BadRequest,
    "suspicious": SuspiciousOperation,
    "500": ZeroDivisionError,
}


def fail(request: HttpRequest, kind: str) -> HttpResponse:
    raise ERRORS[kind]("what happened")


async def afail(request: HttpRequest, kind: str) -> HttpResponse:
    raise ERRORS[kind]("what happened")


def nothing(request: HttpRequest) -> None:
    return None


async def anothing(request: HttpRequest) -> None:
    return None


async def status(request: HttpRequest, code: int) -> HttpResponse:
    return HttpResponse(status=code)


urlpatterns = [
    path("here", here),
    path("ahere", ahere),
    path("class", Here.as_view()),
    path("async-class", AsyncHere.as_view()),
    path("safe-class", SafeHere.as_view()),
    path("safe", loop_safe(lambda request: HttpResponse(place()))),
    path("safe-method", loop_safe(Methods().here)),
    path("method", Methods().here),
    path("in-thread", sync_to_async(here)),
    path("exempt", csrf_exempt(require_POST(here))),
    path("post", require_POST(ahere)),
    path("login", login_required(here)),
    path("alogin", login_required(ahere)),
    path("cached", cache_page(60)(here)),
    path("redirect", RedirectView.as_view(url="/there")),
    path("text", TemplateView.as_view(template_name="missing.html")),
    path("atomic", atomic),
    path("aatomic", aatomic),
    path("not-atomic", not_atomic),
    path("template", template),
    path("atemplate", atemplate),
    path("fail/<kind>", fail),
    path("afail/<kind>", afail),
    path("nothing", nothing),
    path("anothing", anothing),
    path("status/<int:code>", status),
]


@pytest.fixture(autouse=True)
def templates() -> Iterator[None]:
    engine = {"BACKEND": "django.template.backends.django.DjangoTemplates"}
    with override_settings(TEMPLATES=[engine]):
        yield


@contextmanager
def atomic_requests() -> Iterator[None]:
    database = connections.settings["default"]
    database["ATOMIC_REQUESTS"] = True
    try:
        yield
    finally:
        database["ATOMIC_REQUESTS"] = False


@pytest.mark.parametrize(
    ("page", "where"),
    [
        ("here", "thread"),
        ("ahere", "loop"),
        ("class", "thread"),
        ("async-class", "loop"),
        ("safe-class", "bridge"),
        ("safe", "bridge"),
        ("safe-method", "bridge"),
        ("method", "thread"),
        ("in-thread", "thread"),
    ],
)
async def test_a_view_runs_in_its_place(page: str, where: str) -> None:
    answer = await ask(get_asgi_application(), f"/{page}")
    assert answer.content.decode() == where


@pytest.mark.parametrize("page", ["here", "class", "method"])
async def test_the_setting_puts_all_views_on_the_loop(page: str) -> None:
    with override_settings(ASYNC_EXT={"SYNC_VIEWS": "loop"}):
        application = get_asgi_application()
        answer = await ask(application, f"/{page}")
        assert answer.content == b"bridge"
        answer = await ask(application, "/in-thread")
    assert answer.content == b"thread"


@pytest.mark.parametrize("name", [f"{__name__}.Here", __name__, "tests"])
async def test_a_declared_name_stands_for_all_below_it(name: str) -> None:
    with override_settings(ASYNC_EXT={"LOOP_SAFE": [name]}):
        answer = await ask(get_asgi_application(), "/class")
    assert answer.content == b"bridge"


async def test_a_name_that_only_begins_alike_is_not_declared() -> None:
    with override_settings(ASYNC_EXT={"LOOP_SAFE": [f"{__name__}.Her"]}):
        answer = await ask(get_asgi_application(), "/class")
    assert answer.content == b"thread"


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    "page",
    ["here", "async-class", "exempt", "post", "login", "alogin", "redirect",
     "text", "nothing", "anothing", "missing", "status/404",
     "status/503", *(f"{view}fail/{kind}" for view in ("", "a") for kind in ERRORS)],
)  # fmt: skip
async def test_the_answer_is_that_of_djangos_handler(page: str, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        theirs = await ask(djangos(), f"/{page}")
        ours = await ask(get_asgi_application(), f"/{page}")
    assert ours.status == theirs.status
    if not debug:
        assert ours.answer_headers == theirs.answer_headers
        assert ours.content == theirs.content
    elif theirs.status == 500:
        for shown in (b"Exception Type", b"Traceback", b"Exception Location"):
            assert ours.content.count(shown) == theirs.content.count(shown)


async def test_a_form_is_read_by_a_class_based_view() -> None:
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "cookie": "csrftoken=" + "a" * 32,
    }
    body = b"word=hello&csrfmiddlewaretoken=" + b"a" * 32
    application = get_asgi_application()
    options = {"method": "POST", "headers": headers}
    answer = await ask(application, "/async-class", body=body, **options)
    assert (answer.status, answer.content) == (200, b"hello")
    refused = await ask(application, "/async-class", body=b"word=hello", **options)
    assert refused.status == 403


async def test_a_page_is_cached_with_its_view_in_a_thread() -> None:
    application = get_asgi_application()
    first = await ask(application, "/cached")
    again = await ask(application, "/cached")
    assert first.content == again.content == b"thread"
    assert "Expires" in dict(again.answer_headers)


@with_rows
@pytest.mark.parametrize(
    ("page", "where", "setting"),
    [
        ("atomic", "thread", "thread"),
        ("atomic", "bridge", "loop"),
        ("aatomic", "loop", "thread"),
    ],
)
async def test_a_view_is_one_transaction_wherever_it_runs(
    page: str, where: str, setting: str
) -> None:
    with atomic_requests(), override_settings(ASYNC_EXT={"SYNC_VIEWS": setting}):
        application = get_asgi_application()
        answer = await ask(application, f"/{page}")
        assert answer.content.decode() == f"{where} True"
        failed = await ask(application, f"/{page}?fail")
        exempt = await ask(application, "/not-atomic")
    assert failed.status == 500
    assert exempt.content.endswith(b"False")
    assert await Author.objects.acount() == 1


@with_rows
@pytest.mark.parametrize(
    ("page", "where"), [("template", "thread"), ("atemplate", "bridge")]
)
async def test_a_template_is_rendered_where_its_view_belongs(
    page: str, where: str
) -> None:
    answer = await ask(get_asgi_application(), f"/{page}")
    assert answer.content.decode() == f"{where}: 0"


@with_rows
async def test_a_connection_of_the_views_thread_is_closed_with_the_request() -> None:
    database = connections.settings["default"]
    with Server() as server:
        database["OPTIONS"]["application_name"] = server.name
        try:
            answer = await ask(get_asgi_application(), "/atomic")
        finally:
            del database["OPTIONS"]["application_name"]
        assert answer.content == b"thread False"
        await until(lambda: server.sessions() == 0)


# Pages for errors


def own_404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(f"{place()}: {exception}", status=404)


@loop_safe
def own_500(request: HttpRequest) -> HttpResponse:
    return HttpResponse(place(), status=500)


class OwnPages:
    handler404 = staticmethod(own_404)
    handler500 = staticmethod(own_500)


@pytest.mark.parametrize(("kind", "where"), [("404", "thread"), ("500", "bridge")])
async def test_the_projects_page_for_an_error_is_a_view_like_others(
    kind: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = own_404 if kind == "404" else own_500
    monkeypatch.setitem(globals(), f"handler{kind}", page)
    with override_settings(ROOT_URLCONF=__name__):
        answer = await ask(get_asgi_application(), f"/afail/{kind}")
    assert answer.content.decode().startswith(where)


class WherePlaced(logging.Handler):
    """A handler that might send each record to a server."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.places.append(place())


@pytest.mark.parametrize("page", ["status/503", "afail/500", "afail/403", "missing"])
@pytest.mark.parametrize("quick", [True, False])
async def test_a_record_that_may_wait_is_handled_in_a_thread(
    page: str, quick: bool
) -> None:
    handler = WherePlaced()
    if quick:
        handler = type("Quick", (WherePlaced, logging.NullHandler), {})()
        handler.handle = handler.emit  # type: ignore[assignment]
    logger = logging.getLogger("django.request")
    application = get_asgi_application()
    # After it: Django configures its loggers anew.
    logger.addHandler(handler)
    try:
        await ask(application, f"/{page}")
    finally:
        logger.removeHandler(handler)
    assert handler.places == ["bridge" if quick else "thread"]


async def test_the_page_for_a_forged_form_runs_in_its_place() -> None:
    setting = {"CSRF_FAILURE_VIEW": f"{__name__}.forged"}
    with override_settings(**setting):
        answer = await ask(get_asgi_application(), "/async-class", method="POST")
    assert (answer.status, answer.content) == (403, b"thread")


def forged(request: HttpRequest, reason: str) -> HttpResponse:
    return HttpResponse(place(), status=403)


def test_a_view_that_cannot_be_hashed_is_placed_too() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, request: HttpRequest) -> HttpResponse:
            raise NotImplementedError

    assert placement.view(Unhashable()).where == "thread"
