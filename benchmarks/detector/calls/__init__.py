"""The operations: of Django, of Python's library and of drivers, and harmless ones."""

from benchmarks.detector.calls import (
    computing,
    files,
    harmless,
    library,
    network,
    orm,
    site,
)
from benchmarks.detector.operations import ALL as OPERATIONS

__all__ = [
    "OPERATIONS",
    "computing",
    "files",
    "harmless",
    "library",
    "network",
    "orm",
    "site",
]
