"""The client goes away, or the server shuts down, at every moment of a request."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin

from django_async_ext import await_, loop_safe
from django_async_ext.asgi import get_asgi_application
from django_async_ext.db.connections import pool_stats
from django_async_ext.handlers import asgi
from tests.db.server import sleep
from tests.handlers.asking import DISCONNECT, Exchange
from tests.waiting import PATIENCE

log: list[str] = []
started = asyncio.Event()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    global started
    log.clear()
    started = asyncio.Event()
    request_finished.connect(finished)
    yield
    request_finished.disconnect(finished)


@loop_safe
def finished(**kwargs: Any) -> None:
    log.append("finished")


async def endless(request: HttpRequest) -> HttpResponse:
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    raise AssertionError


@loop_safe
def sync_endless(request: HttpRequest) -> HttpResponse:
    started.set()
    try:
        await_(asyncio.Event().wait())
    finally:
        log.append("cleaned up")
    raise AssertionError


async def stubborn(request: HttpRequest) -> HttpResponse:
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("answered all the same")
    return HttpResponse("too late")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            started.set()
            await asyncio.Event().wait()
        finally:
            log.append("stream closed")

    return StreamingHttpResponse(parts())


@loop_safe
def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"again"
                started.set()
        finally:
            log.append("stream closed")

    return StreamingHttpResponse(parts())


@loop_safe
def query(request: HttpRequest) -> HttpResponse:
    started.set()
    sleep()
    raise AssertionError


async def quick(request: HttpRequest) -> HttpResponse:
    return HttpResponse("quick")


class Cleaning(MiddlewareMixin):
    """Its clean-up waits, as that of a database does."""

    sync_capable = True

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)  # type: ignore[return-value]
        finally:
            await_(asyncio.sleep(0))
            log.append("middleware left")


loop_safe(Cleaning)

urlpatterns = [
    path("endless", endless),
    path("sync-endless", sync_endless),
    path("stubborn", stubborn),
    path("stream", stream),
    path("sync-stream", sync_stream),
    path("query", query),
    path("quick", quick),
]


async def leave(page: str) -> Exchange:
    """Ask for ``page`` and go away once its view has begun."""
    exchange = Exchange(page)
    task = asyncio.create_task(exchange.run(get_asgi_application()))
    await started.wait()
    exchange.disconnect()
    async with asyncio.timeout(PATIENCE):
        return await task


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("endless", ["cancelled", "finished"]),
        ("sync-endless", ["cleaned up", "finished"]),
        ("stubborn", ["answered all the same", "finished"]),
        ("stream", ["stream closed", "finished"]),
        ("sync-stream", ["stream closed", "finished"]),
    ],
)
async def test_a_disconnect_ends_the_view(page: str, expected: list[str]) -> None:
    await leave(f"/{page}")
    assert log == expected


async def test_the_middleware_around_a_cancelled_view_is_left_in_order(
    settings: Any,
) -> None:
    settings.MIDDLEWARE = [f"{__name__}.Cleaning", *settings.MIDDLEWARE]
    await leave("/endless")
    assert log == ["cancelled", "middleware left", "finished"]


@pytest.mark.parametrize("kind", ["Whole", "Hooks", "awaited", "hybrid"])
async def test_a_disconnect_reaches_the_view_through_any_middleware(
    kind: str, settings: Any
) -> None:
    settings.MIDDLEWARE = [f"tests.handlers.test_middleware.{kind}"]
    await leave("/endless")
    assert log == ["cancelled", "finished"]


@pytest.mark.django_db(transaction=True)
async def test_a_disconnect_ends_the_query_and_returns_its_connection() -> None:
    await leave("/query")
    assert log == ["finished"]
    assert pool_stats()["in_use"] == 0


async def test_a_disconnect_before_the_body_is_whole_starts_nothing() -> None:
    exchange = Exchange("/quick", method="POST", body=b"half")
    exchange.incoming[-1]["more_body"] = True
    exchange.incoming.append(DISCONNECT)
    await exchange.run(get_asgi_application())
    assert exchange.sent == []
    assert log == []


async def test_a_quick_answer_is_sent_to_a_client_that_just_left() -> None:
    # As with Django's handler where nothing waits: nobody looked.
    exchange = Exchange("/quick")
    exchange.disconnect()
    await exchange.run(get_asgi_application())
    assert exchange.content == b"quick"


async def test_nobody_listens_for_the_disconnect_of_a_quick_request() -> None:
    exchange = Exchange("/quick")
    listened = []

    async def listen(receive: Callable[[], Any]) -> None:
        listened.append(receive)

    application = get_asgi_application()
    application.listen_for_disconnect = listen  # type: ignore[method-assign]
    await exchange.run(application)
    assert listened == []


async def test_shutting_down_cancels_what_never_ends() -> None:
    exchange = Exchange("/endless")
    task = asyncio.create_task(
        get_asgi_application()(exchange.scope, exchange.receive, exchange.send)
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["cancelled", "finished"]


async def test_a_cancellation_from_outside_is_told_from_a_disconnect() -> None:
    exchange = Exchange("/endless")
    task = asyncio.create_task(
        get_asgi_application()(exchange.scope, exchange.receive, exchange.send)
    )
    await started.wait()
    exchange.disconnect()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_the_server_sends_amiss_is_an_error_as_in_django() -> None:
    exchange = Exchange("/endless")

    async def receive() -> Any:
        if exchange.incoming:
            return exchange.incoming.popleft()
        return {"type": "http.request"}

    exchange.receive = receive  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="Invalid ASGI message"):
        await exchange.run(get_asgi_application())
    assert log == ["cancelled", "finished"]


async def test_nothing_is_left_of_a_thousand_clients_that_vanish() -> None:
    application = get_asgi_application()
    exchanges = [Exchange("/endless") for _ in range(1000)]
    tasks = [asyncio.create_task(each.run(application)) for each in exchanges]
    await started.wait()
    for exchange in exchanges:
        exchange.disconnect()
    await asyncio.gather(*tasks)
    del tasks, exchanges
    # The cancelled listeners end in the next turns of the loop.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert len(asyncio.all_tasks()) == 1
    assert log.count("finished") == 1000
    assert not [each for each in gc.get_objects() if type(each) is asgi.Watch]
