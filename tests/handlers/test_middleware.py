"""Every kind of middleware, in every place of the chain."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.asgi import get_asgi_application as djangos
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import (
    async_only_middleware,
    sync_and_async_middleware,
    sync_only_middleware,
)
from django.utils.deprecation import MiddlewareMixin

from django_async_ext import in_bridge, loop_safe
from django_async_ext.asgi import get_asgi_application
from tests.handlers.asking import ask
from tests.handlers.conftest import STARTPROJECT

View = Callable[[HttpRequest], Any]

HERE = __name__
calls: list[str] = []
#: Where each of ``calls`` was made: "loop", "bridge" or "thread".
places: dict[str, str] = {}


@pytest.fixture(autouse=True)
def forget_calls() -> None:
    calls.clear()
    places.clear()


def note(name: str) -> None:
    calls.append(name)
    main = threading.current_thread() is threading.main_thread()
    places[name] = "bridge" if in_bridge() else "loop" if main else "thread"


@sync_only_middleware
def function(get_response: View) -> View:
    def middleware(request: HttpRequest) -> HttpResponse:
        note("function in")
        response = get_response(request)
        note("function out")
        return response

    return middleware


class Whole:
    """Synchronous, with a __call__ of its own."""

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        note("whole in")
        response = self.get_response(request)
        note("whole out")
        return response


class Hooks(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        note("hooks in")

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        note("hooks out")
        return response

    def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> None:
        note("hooks view")

    def process_exception(self, request: Any, error: Exception) -> Any:
        note("hooks exception")
        if isinstance(error, ZeroDivisionError):
            return HttpResponse("divided")
        return None

    def process_template_response(self, request: Any, response: Any) -> Any:
        note("hooks template")
        response.context_data["word"] = "from the hook"
        return response


@loop_safe
class Declared(Hooks):
    pass


@async_only_middleware
def awaited(get_response: Callable[[HttpRequest], Awaitable[Any]]) -> Any:
    async def middleware(request: HttpRequest) -> HttpResponse:
        note("awaited in")
        response = await get_response(request)
        note("awaited out")
        return response

    return middleware


@sync_and_async_middleware
def hybrid(get_response: View) -> View:
    async def middleware(request: HttpRequest) -> HttpResponse:
        note("hybrid in")
        response = await get_response(request)
        note("hybrid out")
        return response

    def synchronous(request: HttpRequest) -> HttpResponse:
        note("hybrid in")
        response = get_response(request)
        note("hybrid out")
        return response

    return middleware if iscoroutinefunction(get_response) else synchronous


class AwaitedHooks:
    """Asynchronous, with asynchronous hooks."""

    async_capable, sync_capable = True, False

    def __init__(self, get_response: Callable[[HttpRequest], Awaitable[Any]]) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        note("class in")
        return await self.get_response(request)

    async def process_view(self, request: Any, *args: Any) -> None:
        note("class view")

    async def process_template_response(self, request: Any, response: Any) -> Any:
        note("class template")
        return response


class Unused:
    def __init__(self, get_response: View) -> None:
        raise MiddlewareNotUsed("not today")


class Broken(MiddlewareMixin):
    def process_response(self, request: HttpRequest, response: Any) -> Any:
        raise KeyError("on the way out")


def answer(request: HttpRequest) -> HttpResponse:
    note("view")
    return HttpResponse("answer")


async def aanswer(request: HttpRequest) -> HttpResponse:
    note("view")
    return HttpResponse("answer")


async def divide(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


async def lookup(request: HttpRequest) -> HttpResponse:
    raise KeyError("nobody handles this")


async def template(request: HttpRequest) -> TemplateResponse:
    word = engines["django"].from_string("{{ word }}")
    return TemplateResponse(request, word, {"word": "from the view"})


urlpatterns = [
    path("answer", answer),
    path("aanswer", aanswer),
    path("divide", divide),
    path("lookup", lookup),
    path("template", template),
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]

KINDS = ["function", "Whole", "Hooks", "Declared", "awaited", "hybrid", "AwaitedHooks"]


def using(*names: str) -> override_settings:
    paths = [name if "." in name else f"{HERE}.{name}" for name in names]
    return override_settings(MIDDLEWARE=paths, TEMPLATES=TEMPLATES)


@pytest.mark.parametrize("page", ["answer", "aanswer", "divide", "lookup", "template"])
@pytest.mark.parametrize("inner", KINDS)
@pytest.mark.parametrize("outer", KINDS)
async def test_two_of_any_kind_do_what_they_do_with_djangos_handler(
    outer: str, inner: str, page: str
) -> None:
    with using(outer, STARTPROJECT[0], inner):
        theirs = await ask(djangos(), f"/{page}")
        expected = calls.copy()
        calls.clear()
        ours = await ask(get_asgi_application(), f"/{page}")
    assert calls == expected
    assert (ours.status, ours.content) == (theirs.status, theirs.content)
    assert ours.answer_headers == theirs.answer_headers


@pytest.mark.parametrize(
    ("kind", "name", "place"),
    [
        ("function", "function in", "thread"),
        ("Whole", "whole out", "thread"),
        ("Hooks", "hooks in", "thread"),
        ("Hooks", "hooks out", "thread"),
        ("Hooks", "hooks view", "thread"),
        ("Declared", "hooks in", "bridge"),
        ("Declared", "hooks view", "bridge"),
        ("awaited", "awaited in", "loop"),
        ("hybrid", "hybrid out", "loop"),
        ("AwaitedHooks", "class view", "loop"),
    ],
)
async def test_each_kind_runs_in_its_place(kind: str, name: str, place: str) -> None:
    with using(kind):
        await ask(get_asgi_application(), "/aanswer")
    assert places[name] == place
    assert places["view"] == "loop"


async def test_hooks_do_not_keep_a_thread_while_the_view_runs(
    thread_submissions: list[str],
) -> None:
    with using("Hooks"):
        await ask(get_asgi_application(), "/aanswer")
    hops = [each for each in thread_submissions if ".submit(" in each]
    # In, view, out, and the end of the request in the same thread.
    assert len(hops) == 4


async def test_neighbours_in_a_thread_share_the_way_there(
    thread_submissions: list[str],
) -> None:
    with using("Whole", "function"):
        await ask(get_asgi_application(), "/aanswer")
    hops = [each for each in thread_submissions if ".submit(" in each]
    # Both in one, and the end of the request.
    assert len(hops) == 2


@pytest.mark.parametrize("around", [[], ["Whole"], ["Hooks"], ["awaited"], ["hybrid"]])
async def test_one_that_is_not_used_is_left_out(around: list[str]) -> None:
    with using(*around, "Unused", *around):
        answer = await ask(get_asgi_application(), "/aanswer")
    assert answer.content == b"answer"
    assert calls.count("view") == 1


async def test_djangos_middleware_stays_on_the_loop_around_an_asynchronous_one(
    thread_submissions: list[str],
) -> None:
    with using(*STARTPROJECT, "awaited", *STARTPROJECT):
        answer = await ask(get_asgi_application(), "/aanswer")
    assert answer.content == b"answer"
    assert thread_submissions == []


async def test_a_middleware_that_raises_on_the_way_out_is_a_server_error() -> None:
    with using("Whole", "Broken", "Declared"):
        theirs = await ask(djangos(), "/aanswer")
        expected = calls.copy()
        calls.clear()
        ours = await ask(get_asgi_application(), "/aanswer")
    assert (ours.status, ours.content) == (theirs.status, theirs.content)
    assert ours.status == 500
    assert calls == expected


async def test_a_middleware_that_can_do_nothing_is_refused_as_in_django() -> None:
    with using(f"{HERE}.incapable"), pytest.raises(RuntimeError, match="at least one"):
        get_asgi_application()


def incapable(get_response: View) -> View:
    raise NotImplementedError


incapable.sync_capable = incapable.async_capable = False  # type: ignore[attr-defined]
