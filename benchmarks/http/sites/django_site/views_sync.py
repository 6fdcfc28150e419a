"""Synchronous views: under WSGI, under stock ASGI, and on the loop here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.http import HttpResponse, JsonResponse

from benchmarks.http.cases import SLEEP_SECONDS
from benchmarks.http.sites import choices
from benchmarks.http.sites.django_site import answers
from benchmarks.http.sites.django_site.models import Fortune, World

if TYPE_CHECKING:
    from django.http import HttpRequest


def plaintext(request: HttpRequest) -> HttpResponse:
    return answers.text_answer()


def json(request: HttpRequest) -> JsonResponse:
    return answers.json_answer()


def db(request: HttpRequest) -> JsonResponse:
    return answers.world_answer(World.objects.get(pk=choices.one()))


def queries(request: HttpRequest) -> JsonResponse:
    rows = [World.objects.get(pk=pk) for pk in choices.several()]
    return answers.worlds_answer(rows)


# Synchronous code has no way to ask them at once.
gather = queries


def updates(request: HttpRequest) -> JsonResponse:
    rows = [World.objects.get(pk=pk) for pk in choices.several()]
    for row in rows:
        row.randomnumber = choices.one()
    World.objects.bulk_update(rows, ["randomnumber"])
    return answers.worlds_answer(rows)


def fortunes(request: HttpRequest) -> HttpResponse:
    return answers.fortunes_answer(request, list(Fortune.objects.all()))


def whoami(request: HttpRequest) -> JsonResponse:
    return answers.who_answer(request.user, request.session["visits"])


def wait() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [SLEEP_SECONDS])
        cursor.fetchall()


def sleep(request: HttpRequest) -> JsonResponse:
    wait()
    return JsonResponse({"slept": True})
