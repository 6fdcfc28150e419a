"""A path for each view."""

from django.contrib import admin
from django.urls import path

from tests.servers.site import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("state", views.state),
    path("plaintext", views.plaintext),
    path("plaintext-sync", views.plaintext_sync),
    path("groups", views.groups),
    path("groups-sync", views.groups_sync),
    path("gather", views.gather),
    path("transaction", views.transaction),
    path("token", views.token),
    path("log-in", views.log_in),
    path("log-out", views.log_out),
    path("whoami", views.whoami),
    path("upload", views.upload),
    path("echo", views.echo),
    path("stream-sync/<name>", views.stream_sync),
    path("stream-async/<name>", views.stream_async),
    path("stream-broken", views.stream_broken),
    path("file", views.file),
    path("sleep", views.sleep),
    path("sleep-sync", views.sleep_sync),
    path("slow/<name>", views.slow),
    path("broken", views.broken),
]
