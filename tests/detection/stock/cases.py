"""Marks functions that block a loop where it is marked, and those that do not."""

from collections.abc import Callable
from inspect import getsourcelines
from typing import Any, NamedTuple

HERE = "# here"


class Case(NamedTuple):
    """What is called, and what is reported of it on a loop; nothing without a rule."""

    function: Callable[[], Any]
    rule: str = ""
    what: str = ""
    remedy: str = ""

    @property
    def line(self) -> int | None:
        """The marked line; None if it is in what the function calls."""
        lines, first = getsourcelines(self.function)
        return next((first + n for n, line in enumerate(lines) if HERE in line), None)


CASES: dict[str, Case] = {}


def blocks(rule: str, what: str, remedy: str) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        CASES[function.__name__] = Case(function, rule, what, remedy)
        return function

    return add


def harmless(function: Any) -> Any:
    """It blocks no loop; a coroutine function is awaited there."""
    CASES[function.__name__] = Case(function)
    return function
