"""Redis and memcached, which tests of caches start themselves, and stop."""

from .programs import Program

REDIS = Program("redis-server", apt="redis-server", brew="redis")
MEMCACHED = Program("memcached", apt="memcached", brew="memcached")


def caches() -> None:
    """Install the servers, where they are missing and that is allowed."""
    REDIS.find()
    MEMCACHED.find()
