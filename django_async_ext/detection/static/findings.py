"""What was found in the source: where, what, by which way, and what to write.

Contract: data only. A finding is the line in the coroutine, which is what has to
change; ``chain`` leads from there to the call that blocks.
"""

from __future__ import annotations

from typing import NamedTuple


class Location(NamedTuple):
    """A line of a file, printed as editors open it."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class Finding(NamedTuple):
    """A call that blocks the event loop.

    ``what`` is the name of what blocks, ``chain`` the names of the project's
    functions that lead to it, and ``end`` where the last of them calls it.
    """

    rule: str
    what: str
    remedy: str
    place: Location
    function: str
    chain: tuple[str, ...] = ()
    end: Location | None = None

    def text(self) -> str:
        """Say it in a sentence."""
        if not self.chain:
            return f"{self.what} blocks the event loop in {self.function}()."
        way = " → ".join((*(f"{name}()" for name in self.chain), self.what))
        return f"{way} ({self.end}) blocks the event loop in {self.function}()."

    def called_by(self, name: str, function: str, place: Location) -> Finding:
        """Return the same for the function that calls ``name``, at ``place``."""
        return self._replace(
            place=place,
            function=function,
            chain=(name, *self.chain),
            end=self.end or self.place,
        )
