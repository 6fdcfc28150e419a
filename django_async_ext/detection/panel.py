"""A panel for django-debug-toolbar: what blocked the event loop in a request.

Contract: imported by the toolbar only. It shows what the middleware's request has
noted; without the middleware it says how to get that.
"""

from __future__ import annotations

from debug_toolbar.panels import Panel  # type: ignore[import-not-found]
from django.http import HttpRequest, HttpResponseBase

from django_async_ext.detection import requests
from django_async_ext.detection.rendering import render


class BlockingCallsPanel(Panel):  # type: ignore[misc]
    """Lists each blocking call of the request, its line and its remedy.

    Put ``django_async_ext.detection.panel.BlockingCallsPanel`` into
    ``DEBUG_TOOLBAR_PANELS``.
    """

    is_async = True
    title = "Blocking calls"
    nav_title = "Blocking"

    @property
    def nav_subtitle(self) -> str:
        """How many there were."""
        count = len(self.get_stats().get("calls", ()))
        return "none" if not count else f"{count} call{'s' * (count > 1)}"

    @property
    def content(self) -> str:
        """The table."""
        return render("panel.html", self.get_stats())

    def generate_stats(self, request: HttpRequest, response: HttpResponseBase) -> None:  # noqa: ARG002
        """Keep what was noted with the request."""
        calls = [
            {
                "rule": each.rule,
                "what": each.what,
                "remedy": each.remedy,
                "place": f"{each.place.file}:{each.place.line}",
                "function": each.place.function,
                "milliseconds": each.seconds and round(each.seconds * 1000),
                "cause": each.cause,
            }
            for each in requests.noted(request)
        ]
        self.record_stats({"calls": calls})
