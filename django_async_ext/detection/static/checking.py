"""The system check: reads the project, and says what blocks the event loop in it.

Contract: tag ``async_blocking``. Commands that run all checks run it in projects that
have asked for detection; in others only its tag does. One message for each place, with
the remedy as its hint; its id is that of the rule, so that a rule can be silenced. Each
id has an entry in ``docs/reference/checks``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.core.checks import register as register_check

from django_async_ext import conf
from django_async_ext.detection.settings import current
from django_async_ext.detection.static import outside
from django_async_ext.detection.static.analysis import Analysis
from django_async_ext.detection.static.findings import Finding, Location

TAG = "async_blocking"

_APPLICATION = "django_async_ext.detection"
_MIDDLEWARE = "django_async_ext.middleware.BlockingCallDetectionMiddleware"

#: The id of each rule.
IDS = {
    "orm": "async_blocking.W101",
    "transactions": "async_blocking.W102",
    "cache": "async_blocking.W103",
    "sessions": "async_blocking.W104",
    "auth": "async_blocking.W105",
    "hashing": "async_blocking.W106",
    "mail": "async_blocking.W107",
    "storage": "async_blocking.W108",
    "templates": "async_blocking.W109",
    "forms": "async_blocking.W110",
    "signals": "async_blocking.W111",
    "staticfiles": "async_blocking.W112",
    "request": "async_blocking.W113",
    "shortcuts": "async_blocking.W114",
    "tasks": "async_blocking.W115",
    "sockets": "async_blocking.W201",
    "dns": "async_blocking.W202",
    "sleep": "async_blocking.W203",
    "subprocess": "async_blocking.W204",
    "locks": "async_blocking.W205",
    "threads": "async_blocking.W206",
    "files": "async_blocking.W207",
    "http": "async_blocking.W208",
    "drivers": "async_blocking.W209",
}
#: The id of what the environment does to Django's own guard.
UNSAFE = "async_blocking.W001"
#: The id of a file that cannot be read.
BROKEN = "async_blocking.W002"


def register() -> None:
    """Register the check; does nothing the second time."""
    register_check(check_blocking, TAG)


def check_blocking(**_: Any) -> list[CheckMessage]:
    """Return what blocks the event loop in the project's coroutines."""
    if not current().static or not (_asked_by_tag() or _is_wanted()):
        return []
    outside.forget()
    analysis = Analysis()
    found = [_message(each) for each in analysis.findings()]
    return [*_of_environment(), *_broken(analysis), *found]


def _asked_by_tag() -> bool:
    # Follows Django: CheckRegistry.run_checks(), which tells no check what was asked.
    run_checks = sys._getframe(2)
    return run_checks.f_locals.get("tags", ()) is not None


def _is_wanted() -> bool:
    """Tell whether the project has asked for detection."""
    return (
        conf.get("DETECTION") is not None
        or _MIDDLEWARE in settings.MIDDLEWARE
        or any(app.name == _APPLICATION for app in apps.get_app_configs())
    )


def _of_environment() -> list[CheckMessage]:
    if not os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
        return []
    text = "DJANGO_ALLOW_ASYNC_UNSAFE is set: queries may block the event loop unseen."
    return [Warning(text, "Unset it.", id=UNSAFE)]


def _broken(analysis: Analysis) -> list[CheckMessage]:
    return [
        Warning(
            f"This file is not read: {error.msg}.",
            "Correct it; what blocks in it is not known.",
            obj=shown(Location(path, error.lineno or 1)),
            id=BROKEN,
        )
        for path, error in sorted(analysis.project.broken.items())
    ]


def _message(finding: Finding) -> CheckMessage:
    hint = f"Instead: {finding.remedy}"
    return Warning(finding.text(), hint, obj=shown(finding.place), id=IDS[finding.rule])


def shown(place: Location) -> Location:
    """Return ``place`` relative to where the command runs, if it is below."""
    path = Path(place.path)
    here = Path.cwd()
    return (
        place._replace(path=str(path.relative_to(here)))
        if path.is_relative_to(here)
        else place
    )
