"""Asynchronous views on django-async-backend, as its documentation has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.http import HttpResponse, JsonResponse
from django_async_backend.db import async_connections, async_new_connection

from benchmarks.http.cases import SLEEP_SECONDS
from benchmarks.http.sites import choices
from benchmarks.http.sites.django_site import answers
from benchmarks.http.sites.django_site.models import Fortune, World
from benchmarks.http.sites.django_site.views_async import json, plaintext, whoami

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

worlds = World.async_objects


async def db(request: HttpRequest) -> JsonResponse:
    return answers.world_answer(await worlds.aget(pk=choices.one()))


async def queries(request: HttpRequest) -> JsonResponse:
    rows = [await worlds.aget(pk=pk) for pk in choices.several()]
    return answers.worlds_answer(rows)


async def gather(request: HttpRequest) -> JsonResponse:
    gets = (async_new_connection(worlds.aget(pk=pk)) for pk in choices.several())
    return answers.worlds_answer(await asyncio.gather(*gets))


async def updates(request: HttpRequest) -> JsonResponse:
    rows = [await worlds.aget(pk=pk) for pk in choices.several()]
    for row in rows:
        row.randomnumber = choices.one()
    await worlds.abulk_update(rows, ["randomnumber"])
    return answers.worlds_answer(rows)


async def fortunes(request: HttpRequest) -> HttpResponse:
    rows = [row async for row in Fortune.async_objects.all()]
    return answers.fortunes_answer(request, rows)


async def sleep(request: HttpRequest) -> JsonResponse:
    async with await async_connections["default"].cursor() as cursor:
        await cursor.execute("SELECT pg_sleep(%s)", [SLEEP_SECONDS])
        await cursor.fetchall()
    return JsonResponse({"slept": True})
