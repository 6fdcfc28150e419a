"""What the views of all Django peers share: turning rows into responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from benchmarks.http.cases import ADDED
from benchmarks.http.sites.django_site.models import Fortune

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

    from benchmarks.http.sites.django_site.models import World


def text_answer() -> HttpResponse:
    return HttpResponse("Hello, World!", content_type="text/plain")


def json_answer() -> JsonResponse:
    return JsonResponse({"message": "Hello, World!"})


def world(row: World) -> dict[str, int]:
    return {"id": row.pk, "randomNumber": row.randomnumber}


def world_answer(row: World) -> JsonResponse:
    return JsonResponse(world(row))


def worlds_answer(rows: Iterable[World]) -> JsonResponse:
    return JsonResponse([world(row) for row in rows], safe=False)


def fortunes_answer(request: HttpRequest, rows: list[Fortune]) -> HttpResponse:
    rows.append(Fortune(id=0, message=ADDED))
    rows.sort(key=lambda row: row.message)
    return render(request, "fortunes.html", {"fortunes": rows})


def who_answer(user: Any, visits: Any) -> JsonResponse:
    return JsonResponse({"username": user.get_username(), "visits": visits})
