"""ATOMIC_REQUESTS for async views, which Django itself refuses."""

from collections.abc import Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from django_async_ext import aatomic, on_loop
from django_async_ext.exceptions import OutsideTransactionWarning
from tests.library.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


async def fail(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="undone")
    raise ZeroDivisionError


async def succeed(request: HttpRequest) -> HttpResponse:
    await Author.objects.acreate(name="kept")
    return HttpResponse(str(connections["default"].in_atomic_block))


@transaction.non_atomic_requests
async def opt_out(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(connections["default"].in_atomic_block))


def _session() -> int:
    with connections["replica"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


async def in_threads(request: HttpRequest) -> JsonResponse:
    on_the_loop = await on_loop(_session)()
    first, second = await sync_to_async(_session)(), await sync_to_async(_session)()
    async with aatomic("replica"):
        inside = await on_loop(_session)()
        with pytest.warns(OutsideTransactionWarning):
            outside = await sync_to_async(_session)()
    await sync_to_async(lambda: connections["replica"].close())()
    return JsonResponse([on_the_loop, inside, first, second, outside], safe=False)


urlpatterns = [
    path("threads", in_threads),
    path("fail", fail),
    path("succeed", succeed),
    path("opt-out", opt_out),
]


@pytest.fixture(autouse=True)
def atomic_requests() -> Iterator[None]:
    database = connections.settings["default"]
    database["ATOMIC_REQUESTS"] = True
    with override_settings(ROOT_URLCONF=__name__):
        yield
    database["ATOMIC_REQUESTS"] = False


@pytest.mark.django_db(transaction=True, databases=["default", "replica"])
async def test_the_thread_of_a_request_keeps_a_connection_of_its_own() -> None:
    sessions = (await AsyncClient().get("/threads")).json()
    assert sessions[2] == sessions[3] == sessions[4]
    assert sessions[2] not in sessions[:2]


async def test_a_view_that_raises_is_rolled_back() -> None:
    client = AsyncClient(raise_request_exception=False)
    assert (await client.get("/fail")).status_code == 500
    assert await Author.objects.acount() == 0


async def test_a_view_that_returns_is_committed() -> None:
    response = await AsyncClient().get("/succeed")
    assert response.content == b"True"
    assert await Author.objects.acount() == 1


async def test_a_view_can_opt_out() -> None:
    assert (await AsyncClient().get("/opt-out")).content == b"False"


def test_it_works_under_wsgi_too() -> None:
    client = Client(raise_request_exception=False)
    assert client.get("/succeed").content == b"True"
    assert client.get("/fail").status_code == 500
    assert Author.objects.count() == 1
