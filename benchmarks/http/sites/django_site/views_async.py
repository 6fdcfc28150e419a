"""Asynchronous views in Django's own way, with its awaitable methods."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.http import HttpResponse, JsonResponse

from benchmarks.http.sites import choices
from benchmarks.http.sites.django_site import answers, views_sync
from benchmarks.http.sites.django_site.models import Fortune, World

if TYPE_CHECKING:
    from django.http import HttpRequest


async def plaintext(request: HttpRequest) -> HttpResponse:
    return answers.text_answer()


async def json(request: HttpRequest) -> JsonResponse:
    return answers.json_answer()


async def db(request: HttpRequest) -> JsonResponse:
    return answers.world_answer(await World.objects.aget(pk=choices.one()))


async def queries(request: HttpRequest) -> JsonResponse:
    rows = [await World.objects.aget(pk=pk) for pk in choices.several()]
    return answers.worlds_answer(rows)


async def gather(request: HttpRequest) -> JsonResponse:
    gets = (World.objects.aget(pk=pk) for pk in choices.several())
    return answers.worlds_answer(await asyncio.gather(*gets))


async def updates(request: HttpRequest) -> JsonResponse:
    rows = [await World.objects.aget(pk=pk) for pk in choices.several()]
    for row in rows:
        row.randomnumber = choices.one()
    await World.objects.abulk_update(rows, ["randomnumber"])
    return answers.worlds_answer(rows)


async def fortunes(request: HttpRequest) -> HttpResponse:
    rows = [row async for row in Fortune.objects.all()]
    return answers.fortunes_answer(request, rows)


async def whoami(request: HttpRequest) -> JsonResponse:
    visits = await request.session.aget("visits")
    return answers.who_answer(await request.auser(), visits)


async def sleep(request: HttpRequest) -> JsonResponse:
    await sync_to_async(views_sync.wait)()
    return JsonResponse({"slept": True})
