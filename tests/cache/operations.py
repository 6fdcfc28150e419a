"""What is asked of every cache, in words that its sync and async methods share."""

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import isawaitable
from typing import Any

from django.db import connections

Step = tuple[str, tuple[Any, ...], dict[str, Any]]


def step(name: str, *args: Any, **kwargs: Any) -> Step:
    return name, args, kwargs


#: Each on keys of its own; in order.
STEPS = [
    step("get", "missing"),
    step("get", "missing", "a default"),
    step("set", "text", "some text"),
    step("get", "text"),
    step("set", "none", None),
    step("get", "none", "a default"),
    step("set", "structure", {"list": [1, 2.5, b"x"], "text": "ä€"}),
    step("get", "structure"),
    step("add", "text", "another"),
    step("add", "added", "new"),
    step("get", "added"),
    step("has_key", "text"),
    step("has_key", "missing"),
    step("set", "short", 1, 0),
    step("get", "short"),
    step("touch", "text", 100),
    step("touch", "missing", 100),
    step("touch", "text", None),
    step("delete", "added"),
    step("delete", "missing"),
    step("get", "added"),
    step("set_many", {"one": 1, "two": 2, "three": 3}),
    step("get_many", ["one", "two", "four"]),
    step("get_many", []),
    step("set_many", {}),
    step("incr", "one"),
    step("incr", "one", 10),
    step("decr", "one", 2),
    step("get", "one"),
    step("incr", "missing"),
    step("decr", "missing"),
    step("incr_version", "two"),
    step("get", "two"),
    step("get", "two", version=2),
    step("decr_version", "two", version=2),
    step("get", "two"),
    step("incr_version", "missing"),
    step("set", "versioned", "first", version=1),
    step("set", "versioned", "second", version=2),
    step("get", "versioned", version=2),
    step("get_many", ["versioned", "two"], version=2),
    step("get_or_set", "computed", "value"),
    step("get_or_set", "computed", "other"),
    step("get_or_set", "called", lambda: "by calling"),
    step("get_or_set", "called", lambda: 1 / 0),
    step("get_or_set", "failing", lambda: 1 / 0),
    step("delete_many", ["one", "three", "missing"]),
    step("get_many", ["one", "two", "three"]),
    step("set", "unpicklable", lambda: None),
    step("set", "large", "x" * 300_000),
    step("get", "large"),
    step("clear"),
    step("get", "text"),
    step("close"),
    step("get", "text"),
]


def outcome_of(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 (that is what is compared)
        return type(error), str(error)


async def aoutcome_of(call: Callable[[], Awaitable[Any]]) -> Any:
    try:
        answer = call()
        assert isawaitable(answer)
        return await answer
    except Exception as error:  # noqa: BLE001 (that is what is compared)
        return type(error), str(error)


def run_steps(cache: Any) -> list[Any]:
    return [
        outcome_of(partial(getattr(cache, name), *args, **kwargs))
        for name, args, kwargs in STEPS
    ]


def expected_of(cache: Any) -> list[Any]:
    """What Django's own cache answers, in a thread of its own; it is empty then."""

    def answer() -> list[Any]:
        try:
            answers = run_steps(cache)
            cache.clear()
            return answers
        finally:
            cache.close()
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(answer).result()


async def arun_steps(cache: Any) -> list[Any]:
    return [
        await aoutcome_of(partial(getattr(cache, f"a{name}"), *args, **kwargs))
        for name, args, kwargs in STEPS
    ]
