"""One view for each thing that a server and a handler may get wrong.

The rows are groups, named by the tests. A view that waits polls the database for a
group, so that the test says when it goes on.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.contrib.auth import aauthenticate, alogin, alogout
from django.contrib.auth.models import Group
from django.db import connection
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt

from django_async_ext import aatomic, aon_commit, gather_queries, on_loop
from django_async_ext.db.connections import pool_stats
from tests.servers.site import hops

#: What happened in this process, for the tests to ask.
log: list[str] = []


async def state(request: HttpRequest) -> JsonResponse:
    """How the process stands; the requests themselves need no thread for it."""
    found = {"pool": pool_stats(), "hops": hops.taken(), "log": log.copy()}
    log.clear()
    return JsonResponse(found)


async def plaintext(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, World!", content_type="text/plain")


def plaintext_sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, World!", content_type="text/plain")


@csrf_exempt
async def groups(request: HttpRequest) -> JsonResponse:
    if request.method == "POST":
        await Group.objects.acreate(name=request.POST["name"])
    names = [group.name async for group in Group.objects.order_by("name")]
    return JsonResponse(names, safe=False)


def groups_sync(request: HttpRequest) -> JsonResponse:
    names = Group.objects.order_by("name").values_list("name", flat=True)
    return JsonResponse(list(names), safe=False)


def session_on_server() -> int:
    with connection.cursor() as cursor:
        # Long enough for the others to need connections of their own.
        cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.1)")
        return int(cursor.fetchone()[0])


async def gather(request: HttpRequest) -> JsonResponse:
    pids = await gather_queries(*[session_on_server] * 4)
    return JsonResponse(pids, safe=False)


@csrf_exempt
async def transaction(request: HttpRequest) -> HttpResponse:
    """Two rows or, if asked to fail, none; a hook that runs after the commit."""
    async with aatomic():
        for name in request.POST["names"].split(","):
            await Group.objects.acreate(name=name)
        await aon_commit(lambda: log.append("committed"))
        if "fail" in request.POST:
            raise ZeroDivisionError("asked to fail")
    return HttpResponse("committed")


async def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request))


async def log_in(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(
        request, username=request.POST["username"], password=request.POST["password"]
    )
    if user is None:
        return HttpResponse("wrong", status=403)
    await alogin(request, user)
    return HttpResponse("welcome")


async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return HttpResponse("bye")


async def whoami(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    seen = await request.session.aget("seen", 0) + 1
    await request.session.aset("seen", seen)
    return JsonResponse({"user": user.get_username(), "seen": seen})


@csrf_exempt
async def upload(request: HttpRequest) -> JsonResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    kind = type(file).__name__
    found = {"sha256": digest.hexdigest(), "size": file.size, "kind": kind}
    return JsonResponse(found | {"note": request.POST["note"]})


@csrf_exempt
async def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


async def until_there(name: str) -> None:
    while not await Group.objects.filter(name=name).aexists():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def until_there_sync(name: str) -> None:
    with connection.cursor() as cursor:
        while not Group.objects.filter(name=name).exists():
            cursor.execute("SELECT pg_sleep(0.005)")


def stream_sync(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """A second chunk that comes only when the client has asked for it."""

    def chunks() -> Iterator[str]:
        yield "first"
        until_there_sync(name)
        yield "second"

    return StreamingHttpResponse(chunks())


async def stream_async(request: HttpRequest, name: str) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[str]:
        try:
            yield "first"
            await until_there(name)
            yield "second"
        finally:
            log.append("stream closed")

    return StreamingHttpResponse(chunks())


async def stream_broken(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[str]:
        yield "first"
        await Group.objects.acount()
        raise ZeroDivisionError("after the first part")

    return StreamingHttpResponse(chunks())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(request.GET["path"]).open("rb"), as_attachment=True)


@on_loop
def _sleep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(600)")


async def sleep(request: HttpRequest) -> HttpResponse:
    """A statement that ends only by being cancelled."""
    try:
        await _sleep()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    return HttpResponse("slept")


def sleep_sync(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(600)")
    return HttpResponse("slept")


async def slow(request: HttpRequest, name: str) -> HttpResponse:
    """In flight until a group of that name exists."""
    await Group.objects.acreate(name=f"{name} has begun")
    await until_there(name)
    return HttpResponse("finished")


async def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("a secret of the view")
