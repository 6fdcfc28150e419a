"""Asynchronous views, each with one of the classic mistakes.

Behind each stands the rule that reports it.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.request import urlopen

from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.urls import path

HASH = "pbkdf2_sha256$1000000$salt$x2Vyz0UI3vFoWpIF9xjv3AIoGnVCX0fDqlVUqSYFvMg="
LARGE = [{"number": number, "text": "x" * 10} for number in range(200_000)]


async def sleeping(request: HttpRequest) -> HttpResponse:
    time.sleep(0.2)  # noqa: ASYNC251, rule: sleep
    return HttpResponse("slept")


async def caching(request: HttpRequest) -> HttpResponse:
    cache.get("key")  # rule: cache
    return HttpResponse("cached")


async def checking(request: HttpRequest) -> HttpResponse:
    check_password("secret", HASH)  # rule: hashing
    return HttpResponse("checked")


async def querying(request: HttpRequest) -> HttpResponse:
    try:
        User.objects.get(username="ada")  # rule: orm
    except SynchronousOnlyOperation:
        return HttpResponse("refused by Django")
    return HttpResponse("queried")


async def opening(request: HttpRequest) -> HttpResponse:
    with open(__file__) as file:  # noqa: ASYNC230, rule: files
        return HttpResponse(file.readline())


async def fetching(request: HttpRequest) -> HttpResponse:
    with suppress(OSError):
        urlopen("http://127.0.0.1:9/")  # noqa: ASYNC210, rule: http
    return HttpResponse("fetched")


async def dumping(request: HttpRequest) -> HttpResponse:
    json.dumps(LARGE)  # rule: stall
    return HttpResponse("dumped")


async def repeating(request: HttpRequest) -> HttpResponse:
    for _ in range(500):
        cache.get("key")  # rule: cache
    return HttpResponse("cached")


async def harmless(request: HttpRequest) -> HttpResponse:
    await cache.aget("key")
    await User.objects.filter(username="ada").aexists()
    return HttpResponse("fine")


VIEWS: list[Callable[..., Any]] = [
    sleeping,
    caching,
    checking,
    querying,
    opening,
    fetching,
    dumping,
    repeating,
    harmless,
]
urlpatterns = [path(f"{view.__name__}/", view, name=view.__name__) for view in VIEWS]
