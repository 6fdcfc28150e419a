"""What tests are known to do to the event loop: one line in a file for each place.

Contract: an entry is a rule, the file below the root of the tests, and the function;
lines of code move too often. The file may hold comments.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

_HEAD = "# What blocks the event loop; written by --blocking-write-baseline\n"


class Found(NamedTuple):
    """A place that blocked the event loop in a test."""

    rule: str
    file: str
    function: str
    line: int
    what: str
    remedy: str

    @classmethod
    def of(cls, occurrence: Any, root: Path) -> Found:
        """Take what matters of an ``Occurrence`` of the detector."""
        path = Path(occurrence.place.file)
        file = path.relative_to(root) if path.is_relative_to(root) else path
        return cls(
            rule=occurrence.rule,
            file=file.as_posix(),
            function=occurrence.place.function,
            line=occurrence.place.line,
            what=occurrence.what,
            remedy=occurrence.remedy,
        )

    @property
    def entry(self) -> str:
        """Its line in a baseline."""
        return f"{self.rule} {self.file} {self.function}"

    def text(self) -> str:
        """Say it to a person."""
        return (
            f"{self.file}:{self.line} in {self.function}: {self.what} ({self.rule}); "
            f"instead: {self.remedy}"
        )

    def is_allowed(self, entries: Iterable[str]) -> bool:
        """Tell whether a rule, a dotted name or a glob of ``entries`` means it."""
        return any(self._is_meant(entry) for entry in entries)

    def _is_meant(self, entry: str) -> bool:
        names = (self.rule, self.what, self.function)
        below = self.function.startswith(f"{entry}.")
        return entry in names or below or fnmatch(self.file, entry)


class Baseline:
    """The entries of a file, and which of them were met."""

    def __init__(self, file: Path | None, *, write: bool = False) -> None:
        self.write = write
        self._file = file
        self._entries = set() if file is None or write else _read(file)
        self._met: set[str] = set()

    def has(self, found: Found) -> bool:
        """Tell whether ``found`` is known, and remember that it was met."""
        if found.entry not in self._entries:
            return False
        self._met.add(found.entry)
        return True

    def unused(self) -> list[str]:
        """Return the entries that were not met."""
        return sorted(self._entries - self._met)

    def save(self, found: Iterable[Found]) -> None:
        """Write what was found into the file."""
        if self._file is not None:
            lines = sorted({one.entry for one in found})
            self._file.write_text(_HEAD + "".join(f"{line}\n" for line in lines))


def _read(file: Path) -> set[str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}
