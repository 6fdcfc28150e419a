"""Redis and memcached."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .programs import Program, free_port, home, serving

REDIS = Program("redis-server", apt="redis-server", brew="redis")
MEMCACHED = Program("memcached", apt="memcached", brew="memcached")


def find_caches() -> None:
    """Install the programs where they are missing: tests start servers of their own."""
    REDIS.find()
    MEMCACHED.find()


@contextmanager
def redis() -> Iterator[str | None]:
    """Yield the URL of a database, which may be emptied."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    program = REDIS.find()
    if program is None:
        yield None
        return
    with home("redis") as folder:
        port = free_port()
        command = [program, "--port", port, "--bind", "127.0.0.1", "--save", ""]
        with serving(command, port, folder):
            yield f"redis://127.0.0.1:{port}"


@contextmanager
def memcached() -> Iterator[str | None]:
    """Yield the address of a server."""
    program = MEMCACHED.find()
    if program is None:
        yield None
        return
    with home("memcached") as folder:
        port = free_port()
        with serving([program, "-l", "127.0.0.1", "-p", port], port, folder):
            yield f"127.0.0.1:{port}"
