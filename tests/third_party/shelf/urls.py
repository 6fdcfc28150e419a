"""Each package where its documentation puts it, and two pages for the toolbar."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from tests.servers.site import views
from tests.third_party.shelf import ninja, rest
from tests.third_party.shelf.models import Book


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "books.html", {"books": Book.objects.all()})


async def page_async(request: HttpRequest) -> HttpResponse:
    books = [book async for book in Book.objects.all()]
    return render(request, "books.html", {"books": books})


async def me(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await request.auser()).get_username())


urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include(rest.router.urls)),
    path("ninja/", ninja.api.urls),
    path("accounts/", include("allauth.urls")),
    path("__debug__/", include("debug_toolbar.urls")),
    path("page", page),
    path("page-async", page_async),
    path("me", me),
    path("state", views.state),
    path("plaintext", views.plaintext),
]
