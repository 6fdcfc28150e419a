"""A site whose views make the loop stand still, and that tells what was found.

Run by a server of its own: ``uvicorn tests.detection.stalling:application``.
"""

import asyncio
import hashlib
import json
import threading
import time

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from django_async_ext.bridge import on_loop

MIDDLEWARE = ["django_async_ext.middleware.BlockingCallDetectionMiddleware"]
DETECTION = {"ENDPOINTS": "off", "PRIMITIVES": "off", "STALL": 0.05, "HEARTBEAT": 0.01}

if not settings.configured:
    settings.configure(
        SECRET_KEY="tests",
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=MIDDLEWARE,
        ROOT_URLCONF="tests.detection.stalling",
        ASYNC_EXT={"DETECTION": DETECTION},
    )


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(100))


async def sleeping(request: HttpRequest, what: str) -> HttpResponse:
    time.sleep(0.3)  # noqa: ASYNC251 # sleeping
    return HttpResponse()


async def computing(request: HttpRequest) -> HttpResponse:
    compute(0.3)
    return HttpResponse()


async def hashing(request: HttpRequest) -> HttpResponse:
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 500_000)  # hashing
    return HttpResponse()


async def child_task(request: HttpRequest) -> HttpResponse:
    async def child() -> None:
        time.sleep(0.3)  # noqa: ASYNC251 # child
        await asyncio.sleep(0)

    await asyncio.create_task(child(), name="the child")
    return HttpResponse()


def wait_badly() -> None:
    time.sleep(0.3)  # bridged


async def bridged(request: HttpRequest) -> HttpResponse:
    await on_loop(wait_badly)()
    return HttpResponse()


async def bridged_library(request: HttpRequest) -> HttpResponse:
    await on_loop(time.sleep)(0.3)  # bridged library
    return HttpResponse()


def dump() -> None:
    """Hold Python's lock until that has cost half a second."""
    rows = [{"name": str(n), "values": [n] * 8} for n in range(100_000)]
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        json.dumps(rows)  # hogging


async def hogged(request: HttpRequest) -> HttpResponse:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        dump()
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="the hog").start()
    await done.wait()
    return HttpResponse()


async def reported(request: HttpRequest) -> JsonResponse:
    from django_async_ext.detection.reports import reports

    return JsonResponse({"reports": [each.as_dict() for each in reports.all()]})


async def metrics(request: HttpRequest) -> HttpResponse:
    from django_async_ext.detection.metrics import CONTENT_TYPE, text

    return HttpResponse(text(), content_type=CONTENT_TYPE)


urlpatterns = [
    path("sleeping/<str:what>/", sleeping, name="sleeps"),
    path("computing/", computing, name="computes"),
    path("hashing/", hashing, name="hashes"),
    path("child-task/", child_task, name="starts a task"),
    path("bridged/", bridged, name="bridges"),
    path("bridged-library/", bridged_library, name="bridges a library"),
    path("hogged/", hogged, name="is hogged"),
    path("reported/", reported),
    path("metrics/", metrics),
]


def line(words: str) -> int:
    """Return the number of the line that ends with the comment ``words``."""
    with open(__file__) as file:
        found = [n for n, text in enumerate(file, 1) if text.endswith(f"# {words}\n")]
    assert len(found) == 1
    return found[0]


application = get_asgi_application() if __name__ == settings.ROOT_URLCONF else None
