"""A path for each case; which module's views they are is the peer's choice."""

from importlib import import_module

from django.conf import settings
from django.urls import path

views = import_module(f"benchmarks.http.sites.django_site.{settings.BENCH_VIEWS}")

NAMES = (
    "plaintext",
    "json",
    "db",
    "queries",
    "gather",
    "updates",
    "fortunes",
    "whoami",
    "sleep",
)
urlpatterns = [path(name, getattr(views, name)) for name in NAMES]
