"""Counts what this process hands to threads, from the import of this module on."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

submitted: list[str] = []


def watch(owner: type, method: str) -> None:
    original: Callable[..., Any] = getattr(owner, method)

    def watched(*args: Any, **kwargs: Any) -> Any:
        names = [getattr(one, "__qualname__", type(one).__name__) for one in args[1:]]
        submitted.append(f"{owner.__name__}.{method}({', '.join(names)})")
        return original(*args, **kwargs)

    setattr(owner, method, watched)


watch(threading.Thread, "start")
watch(ThreadPoolExecutor, "submit")


def taken() -> list[str]:
    """Return what was submitted since the last call."""
    found = submitted.copy()
    submitted.clear()
    return found
