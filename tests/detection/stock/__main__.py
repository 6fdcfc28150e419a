"""Runs all cases in a process of their own, and prints what was reported of each."""

import asyncio
import json
import sys
import warnings
from inspect import iscoroutinefunction
from typing import Any

import django

# What Django says of its own future is not what is asked here.
warnings.simplefilter("ignore", DeprecationWarning)
django.setup()

from django.contrib.contenttypes.models import ContentType  # noqa: E402
from django.contrib.sites.models import Site  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from django_async_ext.detection.reports import reports  # noqa: E402
from tests.detection.stock import backed, queries  # noqa: E402, F401
from tests.detection.stock.cases import CASES, Case  # noqa: E402
from tests.detection.stock.models import Author, Book  # noqa: E402


def prepare() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("createcachetable", verbosity=0)
    author, _ = Author.objects.get_or_create(pk=1, name="Ann")
    if not Book.objects.exists():
        Book.objects.bulk_create([Book(title="One", author=author)])
    Site.objects.get_or_create(pk=1)
    ContentType.objects.get_for_model(Book)
    connections.close_all()


def told() -> list[dict[str, Any]]:
    return [report.as_dict() for report in reports.all()]


def run(case: Case) -> dict[str, Any]:
    reports.clear()
    try:
        case.function()
    except Exception as error:
        # What blocks is refused by Django, or by asgiref, or finds no server.
        if not case.rule:
            raise
        return {"reports": told(), "raised": type(error).__name__}
    return {"reports": told(), "raised": None}


async def on_loop() -> dict[str, Any]:
    found = {}
    for name, case in CASES.items():
        if iscoroutinefunction(case.function):
            reports.clear()
            await case.function()
            found[name] = {"loop": {"reports": told(), "raised": None}}
        else:
            found[name] = {"loop": run(case)}
            found[name]["thread"] = await asyncio.to_thread(run, case)
    return found


prepare()
found = asyncio.run(on_loop())
for name, case in CASES.items():
    found[name] |= {"expected": case._asdict() | {"function": "", "line": case.line}}
    if not iscoroutinefunction(case.function):
        found[name]["plain"] = run(case)
connections.close_all()
json.dump(found, sys.stdout)
