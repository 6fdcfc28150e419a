"""The detector as an application, for projects that use nothing else from here."""

from __future__ import annotations

from django.apps import AppConfig

from django_async_ext.detection.activation import start
from django_async_ext.detection.static.checking import register


class DetectionConfig(AppConfig):
    """Starts the detector with Django, and registers its check."""

    name = "django_async_ext.detection"
    label = "django_async_ext_detection"
    verbose_name = "Detection of blocking calls"

    def ready(self) -> None:
        """As in Django."""
        start()
        register()
