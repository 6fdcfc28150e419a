"""The second layer: what blocks in Python's library, in clients and in drivers.

Contract: ``install()`` guards functions written in Python, listens to audit events, and
watches calls of functions written in C: on Python 3.12 and newer by an event of
``sys.monitoring``, with nothing replaced; on 3.11 a few are replaced. ``uninstall()``
undoes that, except the audit hook, which Python cannot take back: it does nothing then.
"""

from __future__ import annotations

from django_async_ext.detection import guards
from django_async_ext.detection.judging import judge
from django_async_ext.detection.primitives import audit, calls, replacing
from django_async_ext.detection.primitives.table import TABLE


def install() -> None:
    """Put this layer in force."""
    for endpoint in TABLE:
        guards.guard(endpoint, judge)
    audit.listen()
    if not calls.watch():
        replacing.replace()


def uninstall() -> None:
    """Undo ``install()``; the guards go with those of the other layers."""
    replacing.restore()
    calls.stop()
    audit.stop()
