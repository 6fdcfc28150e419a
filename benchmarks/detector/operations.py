"""What an operation is, and the list of them.

Each is a small coroutine function that is given a ``World``. Of one that blocks, the
line that does is marked; harmless ones have no such line.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.detector.world import World

Call = Callable[["World"], Awaitable[object]]

MARK = "# blocks"


class Operation(NamedTuple):
    """One coroutine function, and of which kind it is.

    ``stalls`` tells that it keeps the loop for 50 ms or more, wherever it runs.
    """

    name: str
    area: str
    call: Call
    blocks: bool
    stalls: bool

    @property
    def file(self) -> str:
        return self.call.__code__.co_filename

    @property
    def lines(self) -> list[int]:
        """The lines that are marked."""
        source, first = inspect.getsourcelines(self.call)
        return [first + n for n, line in enumerate(source) if MARK in line]


ALL: list[Operation] = []


def blocking(area: str, *, stalls: bool = False) -> Callable[[Call], Call]:
    return _register(area, blocks=True, stalls=stalls)


def harmless(area: str) -> Callable[[Call], Call]:
    return _register(area, blocks=False, stalls=False)


def _register(area: str, *, blocks: bool, stalls: bool) -> Callable[[Call], Call]:
    def register(call: Call) -> Call:
        name = call.__name__.removesuffix("_")
        ALL.append(Operation(name, area, call, blocks, stalls))
        return call

    return register
