"""The site that a child serves: one view, which runs the operation of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.urls import path

if TYPE_CHECKING:
    from django.http import HttpRequest

#: How the operation that is asked for is run; the child says so.
running: dict[str, Any] = {}


async def operation(request: HttpRequest, name: str) -> HttpResponse:
    await running[name]()
    return HttpResponse()


async def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


urlpatterns = [
    path("hello/", hello, name="hello"),
    path("<str:name>/", operation, name="operation"),
]
