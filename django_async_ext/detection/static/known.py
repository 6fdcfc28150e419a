"""Finds what is known of a function by its name: that it blocks, and the remedy.

Contract: the tables of the other layers come first, ``common`` adds what code calls
that they see only deeper down. A name counts as it is written and as it is defined.
"""

from __future__ import annotations

from collections.abc import Iterable

from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.static import outside
from django_async_ext.detection.static.common import COMMON


def endpoints() -> list[Endpoint]:
    """Return all that is known to block, the most general first."""
    return [*COMMON]


class Table:
    """All that is known to block, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Endpoint] = {}
        for each in endpoints():
            self._by_name[each.name] = each
        # What a class inherits is defined elsewhere; that must not displace anything.
        for each in endpoints():
            self._by_name.setdefault(outside.canonical(each.name), each)

    def function(self, name: str) -> Endpoint | None:
        """Return what is known of a function outside of the project."""
        known = self._by_name
        return known.get(name) or known.get(outside.canonical(name))

    def method(self, lineage: Iterable[str], name: str) -> Endpoint | None:
        """Return what is known of a method of a class with these bases."""
        for cls in lineage:
            found = self._by_name.get(f"{cls}.{name}")
            if found is None and not name.startswith("_"):
                found = self._by_name.get(f"{cls}.*")
            if found is not None:
                return found
        return None

    def constructor(self, lineage: Iterable[str]) -> Endpoint | None:
        """Return what is known of making an object of a class with these bases."""
        found = (self.function(cls) for cls in lineage)
        return next((each for each in found if each is not None), None)
