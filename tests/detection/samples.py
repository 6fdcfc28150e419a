"""Functions of every kind, for the tests to guard."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from django_async_ext.exceptions import BlockingCallError


def plain(value: int, *, twice: bool = False) -> int:
    """Double it, perhaps."""
    return value * 2 if twice else value


def handling(value: str) -> str:
    try:
        return str(int(value))
    except ValueError as error:
        return str(error)
    finally:
        value = ""


def closing_over(value: int) -> Callable[[], int]:
    return lambda: value


def generating(value: int) -> Iterator[int]:
    try:
        yield value
        yield value + 1
    finally:
        value = 0


def failing() -> None:
    raise ValueError("It fails here.")


def making() -> Any:
    class Made:
        def method(self) -> str:
            return leaf()

    return Made()


def leaf() -> str:
    return "leaf"


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


class Sample:
    def method(self) -> str:
        return type(self).__name__

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @staticmethod
    def static() -> str:
        return "static"

    @property
    def read(self) -> str:
        return "read"

    @functools.cached_property
    def once(self) -> str:
        return "once"

    @passing_on
    def decorated(self) -> str:
        return "decorated"


class Overriding(Sample):
    def method(self) -> str:
        return f"overridden {super().method()}"


def of_many_constants(n: int) -> Any:
    """Return a function with more constants than a byte counts."""
    names: dict[str, Any] = {}
    values = ", ".join(f"{k}.5" for k in range(n))
    exec(f"def many(x):\n    a = [{values}, x]\n    return a[-1] + a[-2]", names)
    return names["many"]


def twice() -> str:
    return leaf() + leaf()


def swallowing() -> list[str]:
    raised = []
    for _ in range(2):
        try:
            leaf()
        except BlockingCallError as error:
            raised.append(type(error).__name__)
    return raised
