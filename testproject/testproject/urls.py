"""The atlas at the root, Django's admin beside it."""

from django.contrib import admin
from django.urls import include, path

from django_async_ext import on_loop

urlpatterns = [
    path("admin/", on_loop(admin.site.urls)),
    path("", include("atlas.urls")),
]
