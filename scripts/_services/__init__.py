"""The servers that tests and demo need: yours, or temporary ones of our own.

Each is a context manager that yields an address, or None where its program is
missing and cannot be installed. A server started here lives in a temporary
directory and ends with the process that started it, however that process ends.
To add one: a ``Program`` and a context manager that ends in ``serving()``, as in
``mariadb.py``.
"""

from .caches import find_caches, memcached, redis
from .chromium import chromium
from .mariadb import mariadb
from .pgbouncer import pgbouncer
from .postgresql import postgres

__all__ = [
    "chromium",
    "find_caches",
    "mariadb",
    "memcached",
    "pgbouncer",
    "postgres",
    "redis",
]
