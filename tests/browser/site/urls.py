"""The admin on the loop, and the page that tells what went to threads."""

from django.contrib import admin
from django.urls import path

from django_async_ext import on_loop
from tests.servers.site import views

urlpatterns = [
    path("admin/", on_loop(admin.site.urls)),
    path("state", views.state),
]
