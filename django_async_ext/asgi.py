"""The ASGI entry of a project: what ``asgi.py`` calls instead of Django's."""

from __future__ import annotations

import django

from django_async_ext.handlers.asgi import ASGIHandler


def get_asgi_application() -> ASGIHandler:
    """As Django's, with requests on the event loop."""
    django.setup(set_prefix=False)
    return ASGIHandler()
