"""Counts what this process hands to threads, from the import of this module on."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

submitted: list[str] = []


def names(*things: Any) -> str:
    """Name what is to be called, inside the wrappers of asyncio and asgiref."""
    found = []
    for thing in things:
        if isinstance(thing, partial):
            found.append(names(thing.func, *thing.args))
        elif callable(thing):
            found.append(getattr(thing, "__qualname__", type(thing).__name__))
    return ", ".join(found)


def watch(owner: type, method: str, describe: Callable[..., str]) -> None:
    original: Callable[..., Any] = getattr(owner, method)

    def watched(*args: Any, **kwargs: Any) -> Any:
        submitted.append(f"{owner.__name__}.{method}({describe(*args)})")
        return original(*args, **kwargs)

    setattr(owner, method, watched)


watch(ThreadPoolExecutor, "submit", lambda executor, *args: names(*args))
watch(threading.Thread, "start", lambda thread: names(thread._target))


def taken() -> list[str]:
    """Return what was submitted since the last call.

    Without the threads that executors start for what is submitted to them.
    """
    found = [hop for hop in submitted if hop != "Thread.start(_worker)"]
    submitted.clear()
    return found
