"""``manage.py asyncext``: what runs on the event loop, what does not, and why.

Contract: prints ``handlers.report``, or what the detector knows as a configuration of
flake8-async; changes nothing and connects to nothing.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_async_ext.detection.static.export import configuration
from django_async_ext.handlers.report import Row, hops, rows

_TITLES = {
    "middleware": "Middleware, outermost first",
    "view": "Views",
    "receiver": "Receivers of the signals of a request",
    "database": "Databases",
    "cache": "Caches",
    "session": "Sessions",
    "auth": "Authentication backends",
    "email": "E-mail backends",
}


class Command(BaseCommand):
    """Says of each part of the project where it runs, why, and what to change."""

    help = "Shows what of this project runs on the event loop, and what does not."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """As in Django."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--changes", action="store_true", help="only what could be changed"
        )

        parser.add_argument(
            "--flake8-async",
            action="store_true",
            help="print what blocks as configuration for flake8-async",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """As in Django."""
        if options["flake8_async"]:
            self.stdout.write(configuration(), ending="")
            return
        shown = [row for row in rows() if row.change or not options["changes"]]
        if options["json"]:
            self._print_json(shown)
        else:
            self._print_text(shown)

    def _print_json(self, shown: list[Row]) -> None:
        report = {
            "parts": [row._asdict() for row in shown],
            "hops": hops()._asdict(),
        }
        self.stdout.write(json.dumps(report, indent=2))

    def _print_text(self, shown: list[Row]) -> None:
        for kind, group in groupby(shown, key=lambda row: row.kind):
            self.stdout.write(self.style.MIGRATE_HEADING(_TITLES[kind]))
            for row in group:
                self.stdout.write(f"  {row.where:6}  {row.name}")
                if row.change:
                    self.stdout.write(f"          {row.why}. {row.change}")
        here, stock = hops()
        self.stdout.write(
            f"\nAn average request makes {here:.1f} thread hops; with Django's own "
            f"handler {stock:.1f}."
        )
