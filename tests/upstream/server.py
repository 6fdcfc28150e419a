"""The database server that the suite uses.

Contract: ``database_url()`` yields the address of a server where the suite may
create databases: ``DATABASE_URL`` where it is set, otherwise a temporary one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _services import postgres


@contextmanager
def database_url(engine: str, python: str) -> Iterator[str]:
    """Yield the server's address, or "" for an engine without a server."""
    if engine == "sqlite3":
        yield ""
        return
    with postgres(Path(python)) as url:
        yield url
