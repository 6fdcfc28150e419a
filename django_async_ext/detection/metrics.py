"""Tells Prometheus what was found, and how late the event loops are.

Contract: ``text()`` gives the metrics of this process in Prometheus' text format,
version 0.0.4. Counters never go down while the process lives. What to serve it with,
and to whom, is the project's decision.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import accumulate

from django_async_ext.detection.reports import reports
from django_async_ext.detection.rules import RULES
from django_async_ext.detection.watchdog import lag, stalls
from django_async_ext.detection.watchdog.causes import CAUSES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "django_async_ext_"

Value = tuple[dict[str, str], float]


def text() -> str:
    """Return the metrics of this process."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    total = lag.total()
    yield from _counter(
        "blocking_calls_total",
        "Calls, and stalls, that were reported as blocking the event loop.",
        (({"rule": rule}, reports.counts[rule]) for rule in RULES),
    )
    yield from _counter(
        "loop_stalls_total",
        "Times that an event loop stood still.",
        [({}, total.stalls)],
    )
    yield from _counter(
        "loop_stalls_explained_total",
        "Those of them whose cause is known.",
        (({"cause": cause}, stalls.explained[cause]) for cause in CAUSES),
    )
    yield from _counter(
        "loop_stall_seconds_total",
        "How long the event loops stood still, in all.",
        [({}, total.stalled)],
    )
    yield from _histogram(
        "loop_lag_seconds", "How late timers of the event loops are.", total
    )


def _counter(name: str, about: str, values: Iterable[Value]) -> Iterator[str]:
    yield from _head(name, about, "counter")
    for labels, value in values:
        yield _line(name, labels, value)


def _histogram(name: str, about: str, found: lag.Lag) -> Iterator[str]:
    yield from _head(name, about, "histogram")
    bounds = [*map(_number, lag.BOUNDS), "+Inf"]
    counts = list(accumulate(found.counts))
    for bound, count in zip(bounds, counts, strict=True):
        yield _line(f"{name}_bucket", {"le": bound}, count)
    yield _line(f"{name}_sum", {}, found.sum)
    yield _line(f"{name}_count", {}, counts[-1])


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {about}"
    yield f"# TYPE {_PREFIX}{name} {kind}"


def _line(name: str, labels: dict[str, str], value: float) -> str:
    # Several processes may answer at one address.
    known = {"pid": str(os.getpid()), **labels}
    written = ",".join(f'{label}="{known[label]}"' for label in known)
    return f"{_PREFIX}{name}{{{written}}} {_number(value)}"


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) else repr(float(value))
