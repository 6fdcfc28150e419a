"""Renders the templates of this package with the project's own template engine.

Contract: they need not be found by a loader, so the package need not be an
application of the project; what they extend and load is the project's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.template import engines
from django.template.backends.django import DjangoTemplates

_FOLDER = Path(__file__).parent / "templates"


def render(
    name: str, context: dict[str, Any], request: HttpRequest | None = None
) -> str:
    """Return the template ``name`` rendered with ``context``.

    Raises ``ImproperlyConfigured`` where the project has no engine of Django's.
    """
    return str(_engine().from_string(_source(name)).render(context, request))


def _engine() -> DjangoTemplates:
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates):
            return engine
    raise ImproperlyConfigured(
        "The page of blocking calls needs Django's template engine: add "
        "'django.template.backends.django.DjangoTemplates' to TEMPLATES."
    )


@cache
def _source(name: str) -> str:
    return (_FOLDER / name).read_text()
