"""What this process holds right now: threads, and connections to the database."""

import threading
from typing import Any

from django_async_ext.db.connections import pool_stats


def snapshot() -> dict[str, Any]:
    """Return the threads by name, and the pool's own statistics."""
    threads = sorted(thread.name for thread in threading.enumerate())
    return {"threads": len(threads), "thread_names": threads, "pool": pool()}


def pool() -> dict[str, int]:
    """Return the statistics of the pool that serves the site."""
    return pool_stats("default")
