"""The application: puts the package in force when Django starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.db import connections
from django.utils.module_loading import import_string

from django_async_ext import conf


class AsyncExtConfig(AppConfig):
    """Validates the settings, registers the checks, adopts Django's awaitables."""

    name = "django_async_ext"
    verbose_name = "Async extensions"

    def ready(self) -> None:
        """Put the package in force; what is about queries, if an engine is ours."""
        conf.validate()
        if conf.get("DETECTION") is not None:
            import_string("django_async_ext.detection.activation.start")()
        import_string("django_async_ext.checks.register")()
        ours = any(_is_ours(one["ENGINE"]) for one in connections.settings.values())
        if ours:
            import_string("django_async_ext.test.coverage.warn")()
        if conf.get("ADOPT_DJANGO"):
            for room in ("auth", "sessions.loading", *(["adoption"] if ours else [])):
                import_string(f"django_async_ext.{room}.adopt")()


def _is_ours(engine: str) -> bool:
    return engine.startswith("django_async_ext.")
