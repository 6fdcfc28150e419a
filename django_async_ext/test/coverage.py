"""Tells when coverage.py does not see the code that runs on the loop.

Contract: knows coverage.py only if it runs. Its tracers follow threads; in a
greenlet they lose what comes after a switch, unless they are told of greenlets.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

from django_async_ext.exceptions import CoverageWarning, describe


def complaint() -> str | None:
    """Return what is wrong with the coverage that is being measured, if anything."""
    coverage: Any = sys.modules.get("coverage")
    current = getattr(getattr(coverage, "Coverage", None), "current", lambda: None)
    if (measuring := current()) is None:
        return None
    if "greenlet" in (measuring.get_option("run:concurrency") or ()):
        return None
    if dict(measuring.sys_info()).get("core") == "SysMonitor":
        # sys.monitoring sees every greenlet; it is the default since Python 3.14.
        return None
    return describe(
        "coverage",
        "Coverage is measured without `concurrency = greenlet`: synchronous code on "
        "the event loop runs in greenlets, and its lines after a wait are reported "
        "as missed.",
        'Set in pyproject.toml, below [tool.coverage.run]: concurrency = ["greenlet", '
        '"thread"].',
    )


def warn() -> None:
    """Give a ``CoverageWarning`` if coverage is measured and will be wrong."""
    if (message := complaint()) is not None:
        warnings.warn(message, CoverageWarning, stacklevel=2)
