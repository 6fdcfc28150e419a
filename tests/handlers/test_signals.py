"""The signals of a request: who gets them, where, and what becomes of errors."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.asgi import get_asgi_application as djangos
from django.core.cache import caches
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.urls import get_urlconf, path

from django_async_ext import in_bridge, loop_safe
from django_async_ext.asgi import get_asgi_application
from django_async_ext.handlers import signals
from django_async_ext.handlers.asgi import ASGIHandler
from tests.handlers.asking import ask

got: list[tuple[str, str]] = []
BOTH = {"started": request_started, "finished": request_finished}


async def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


async def cached(request: HttpRequest) -> HttpResponse:
    await caches["default"].aset("key", "value")
    return HttpResponse("page")


urlpatterns = [path("page", page), path("cached", cached)]


def receiver(name: str) -> Callable[..., None]:
    def receive(**kwargs: Any) -> None:
        main = threading.current_thread() is threading.main_thread()
        place = "bridge" if in_bridge() else "loop" if main else "thread"
        got.append((name, place))

    return receive


def areceiver(name: str) -> Callable[..., Any]:
    async def receive(**kwargs: Any) -> None:
        receiver(name)()

    return receive


@contextmanager
def connected(signal: Signal, function: Any, **options: Any) -> Iterator[None]:
    signal.connect(function, **options)
    try:
        yield
    finally:
        assert signal.disconnect(function, sender=options.get("sender"))


@pytest.fixture(autouse=True)
def forget() -> None:
    got.clear()


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (receiver, "thread"),
        (lambda name: loop_safe(receiver(name)), "bridge"),
        (areceiver, "loop"),
    ],
)
async def test_a_receiver_gets_its_signal_once_in_its_place(
    name: str, kind: Any, place: str
) -> None:
    application = get_asgi_application()
    with connected(BOTH[name], kind(name)):
        answer = await ask(application, "/page")
    assert answer.content == b"page"
    assert got == [(name, place)]


async def test_only_djangos_receivers_cost_nothing(
    thread_submissions: list[str],
) -> None:
    await ask(get_asgi_application(), "/page")
    assert thread_submissions == []
    assert signals._is_quiet(request_started)
    assert signals._is_quiet(request_finished)
    with connected(request_finished, receiver("finished")):
        assert not signals._is_quiet(request_finished)
    assert signals._is_quiet(request_finished)


async def test_a_receiver_for_the_handlers_class_gets_its_signal() -> None:
    with connected(request_finished, receiver("finished"), sender=ASGIHandler):
        await ask(get_asgi_application(), "/page")
    assert got == [("finished", "thread")]


async def test_one_that_takes_the_place_of_djangos_is_respected() -> None:
    request_started.disconnect(close_old_connections)
    try:
        with connected(request_started, loop_safe(receiver("instead"))):
            await ask(get_asgi_application(), "/page")
    finally:
        request_started.connect(close_old_connections)
    assert got == [("instead", "bridge")]


def break_down(**kwargs: Any) -> None:
    raise ZeroDivisionError("in the receiver")


# Before 6.1 Django's handler leaves the body open when it fails.
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
@pytest.mark.parametrize("name", BOTH)
async def test_what_a_receiver_raises_reaches_the_server(name: str) -> None:
    with connected(BOTH[name], break_down):
        for application in (djangos(), get_asgi_application()):
            with pytest.raises(ZeroDivisionError, match="in the receiver"):
                await ask(application, "/page")
    gc.collect()


async def test_the_urlconf_of_a_request_does_not_outlive_it() -> None:
    class Request(ASGIHandler.request_class):  # type: ignore[name-defined,misc]
        urlconf = __name__

    application = get_asgi_application()
    application.request_class = Request
    exchange = await ask(application, "/page")
    assert exchange.content == b"page"
    assert get_urlconf() is None


async def test_caches_are_closed_with_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = []
    cls = type(caches["default"])
    monkeypatch.setattr(cls, "close", lambda self, **kwargs: closed.append(self))
    await ask(get_asgi_application(), "/cached")
    assert closed
