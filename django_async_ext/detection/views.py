"""The page of blocking calls for staff, its JSON, and the figures for Prometheus.

Contract: shows what this process knows; other workers have pages of their own. The
page and its JSON are for staff. ``metrics`` is for a server that scrapes, which
cannot log in: a project decides where to put it and who may reach it.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from django_async_ext.detection import activation, allowing
from django_async_ext.detection import metrics as prometheus
from django_async_ext.detection.rendering import render
from django_async_ext.detection.reports import Report, reports
from django_async_ext.detection.settings import current
from django_async_ext.detection.watchdog import lag

NAMESPACE = "blocking-calls"


@never_cache
@staff_member_required
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show all reports; a POST forgets them."""
    if request.method == "POST":
        reports.clear()
        return redirect(request.path)
    context = {
        "title": "Blocking calls",
        "json_url": reverse(f"{NAMESPACE}:json"),
        "lag": _drawn(lag.history()),
        "reports": [_row(report) for report in reports.all()],
        **_process(),
    }
    return HttpResponse(render("page.html", _site(request) | context, request))


@never_cache
@staff_member_required
@require_safe
def as_json(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Give all that the page shows."""
    found = [{"id": _id(each), **each.as_dict()} for each in reports.all()]
    history = [list(each) for each in lag.history()]
    return JsonResponse({"reports": found, "lag": history, **_process()})


@never_cache
@staff_member_required
@require_safe
def stacks(request: HttpRequest, report_id: str) -> JsonResponse:  # noqa: ARG001
    """Give the stacks of one report."""
    for report in reports.all():
        if _id(report) == report_id:
            return JsonResponse({"stacks": report.stacks})
    raise Http404("There is no such report any more.")


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Give the figures of this process in Prometheus' text format."""
    return HttpResponse(prometheus.text(), content_type=prometheus.CONTENT_TYPE)


def _site(request: HttpRequest) -> dict[str, Any]:
    from django.contrib.admin import site

    return site.each_context(request)


def _process() -> dict[str, Any]:
    modes = current().modes
    return {
        "process": {"pid": os.getpid()},
        "layers": {layer: modes[layer] for layer in activation.started()},
        "unused": allowing.unused(),
    }


def _id(report: Report) -> str:
    return hashlib.sha256(repr(report.latest.key).encode()).hexdigest()[:16]


def _row(report: Report) -> dict[str, Any]:
    return report.as_dict() | {
        "stacks_url": reverse(f"{NAMESPACE}:stacks", args=[_id(report)]),
        "longest_ms": round(report.longest * 1000),
        "total_ms": round(report.total * 1000),
        "seen": report.last_seen,
    }


_STEP, _HEIGHT = 5, 60


def _drawn(history: list[tuple[float, float]]) -> dict[str, Any]:
    """Draw the lag, in seconds, as the points of a line."""
    lags = [each for _, each in history]
    longest = max(lags, default=0.0) or 1.0
    points = (
        f"{number * _STEP},{_HEIGHT * (1 - each / longest):.1f}"
        for number, each in enumerate(lags)
    )
    return {
        "history": lags,
        "points": " ".join(points),
        "width": max(1, (len(lags) - 1) * _STEP),
        "longest": round(max(lags, default=0.0) * 1000, 1),
        "stalls": lag.stalls(),
    }
