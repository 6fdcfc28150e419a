"""The asynchronous views again: only what this project does better differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse

from benchmarks.http.sites import choices
from benchmarks.http.sites.django_site import answers, views_sync
from benchmarks.http.sites.django_site.models import Fortune, World
from benchmarks.http.sites.django_site.views_async import (
    db,
    json,
    plaintext,
    queries,
    updates,
    whoami,
)
from django_async_ext import gather_queries, on_loop

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = [
    "db",
    "fortunes",
    "gather",
    "json",
    "plaintext",
    "queries",
    "sleep",
    "updates",
    "whoami",
]

wait = on_loop(views_sync.wait)


async def gather(request: HttpRequest) -> JsonResponse:
    gets = (World.objects.aget(pk=pk) for pk in choices.several())
    return answers.worlds_answer(await gather_queries(*gets, pipeline=True))


async def fortunes(request: HttpRequest) -> HttpResponse:
    rows = [row async for row in Fortune.objects.all()]
    return answers.fortunes_answer(request, rows)


async def sleep(request: HttpRequest) -> JsonResponse:
    await wait()
    return JsonResponse({"slept": True})
