"""What every test may use: data, counters, and a look at the server."""

import threading
from asyncio import base_events
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

# A project of its own, which is run in processes of its own.
collect_ignore = ["users_project"]


@pytest.fixture(scope="session")
def own_server() -> Iterator[Any]:
    """A PostgreSQL server that tests may stop; they leave it running."""
    from tests.db.own_server import own_server

    with own_server() as server:
        yield server


@pytest.fixture
def at_own_server(own_server: Any) -> Iterator[Any]:
    """The default database is that server's."""
    with own_server.as_default():
        yield own_server


@pytest.fixture
def thread_submissions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is handed to a thread while the test runs."""
    submitted: list[str] = []

    def watch(owner: type, method: str) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            # Their names: the repr of a queryset would query.
            names = [getattr(one, "__name__", type(one).__name__) for one in args[1:]]
            submitted.append(f"{owner.__name__}.{method}({', '.join(names)})")
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, method, watched)

    watch(threading.Thread, "start")
    watch(ThreadPoolExecutor, "submit")
    watch(base_events.BaseEventLoop, "run_in_executor")
    return submitted
