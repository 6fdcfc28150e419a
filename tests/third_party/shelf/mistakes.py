"""An asynchronous view that blocks, and one that does not."""

import asyncio
import time

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

PAGE = "<html><body>done</body></html>"


async def sleeping(request: HttpRequest) -> HttpResponse:
    time.sleep(0.001)  # noqa: ASYNC251  # here
    return HttpResponse(PAGE)


async def waiting(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.001)
    return HttpResponse(PAGE)


urlpatterns = [
    path("sleeping", sleeping),
    path("waiting", waiting),
    path("__debug__/", include("debug_toolbar.urls")),
]
