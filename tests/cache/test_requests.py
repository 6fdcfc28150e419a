"""Django's cache middleware, decorators and template tag, over Redis, on the loop."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.test import override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

from django_async_ext import loop_safe
from django_async_ext.asgi import get_asgi_application
from tests.handlers.asking import ask
from tests.programs import Redis

pytestmark = pytest.mark.urls(__name__)

calls: list[str] = []


async def page(request: HttpRequest) -> HttpResponse:
    calls.append("page")
    return HttpResponse("a page")


@loop_safe
@cache_page(60)
def decorated(request: HttpRequest) -> HttpResponse:
    calls.append("decorated")
    return HttpResponse("a decorated page")


def expensive() -> str:
    calls.append("fragment")
    return "expensive"


@loop_safe
def fragment(request: HttpRequest) -> HttpResponse:
    return render(request, "fragment.html", {"expensive": expensive})


async def plainly(request: HttpRequest) -> HttpResponse:
    # Django's own cache would block the loop here.
    await cache.aset("key", "value")
    return HttpResponse(await cache.aget("key"))


urlpatterns = [
    path("page", page),
    path("decorated", decorated),
    path("fragment", fragment),
    path("plainly", plainly),
]

FRAGMENT = "{% load cache %}{% cache 60 part %}{{ expensive }}{% endcache %}"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.locmem.Loader", {"fragment.html": FRAGMENT})
            ]
        },
    }
]
SITE = [
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@pytest.fixture(autouse=True)
def project(redis: Redis) -> Iterator[None]:
    calls.clear()
    backend = "django_async_ext.cache.RedisCache"
    with override_settings(
        CACHES={"default": {"BACKEND": backend, "LOCATION": redis.url}},
        TEMPLATES=TEMPLATES,
        MIDDLEWARE=[],
        ALLOWED_HOSTS=["testserver"],
    ):
        yield


async def asked_twice(path: str, submissions: list[str]) -> list[Any]:
    app = get_asgi_application()
    await ask(app, "/plainly")
    submissions.clear()
    answers = [await ask(app, path), await ask(app, path)]
    assert not submissions
    return [answer.content for answer in answers]


async def test_the_cache_of_a_whole_site(thread_submissions: list[str]) -> None:
    with override_settings(MIDDLEWARE=SITE):
        assert await asked_twice("/page", thread_submissions) == [b"a page"] * 2
    assert calls == ["page"]


async def test_the_cache_of_one_view(thread_submissions: list[str]) -> None:
    assert await asked_twice("/decorated", thread_submissions) == (
        [b"a decorated page"] * 2
    )
    assert calls == ["decorated"]


async def test_the_cache_of_a_part_of_a_template(thread_submissions: list[str]) -> None:
    assert await asked_twice("/fragment", thread_submissions) == [b"expensive"] * 2
    assert calls == ["fragment"]


async def test_the_awaitables_in_a_view(thread_submissions: list[str]) -> None:
    assert await asked_twice("/plainly", thread_submissions) == [b"value"] * 2
