"""Django's caches on the loop, named as Django names them."""

from django_async_ext.cache.local import (
    DatabaseCache,
    DummyCache,
    FileBasedCache,
    LocMemCache,
)
from django_async_ext.cache.memcached import PyMemcacheCache
from django_async_ext.cache.redis import RedisCache
from django_async_ext.cache.single_flight import acached

__all__ = [
    "DatabaseCache",
    "DummyCache",
    "FileBasedCache",
    "LocMemCache",
    "PyMemcacheCache",
    "RedisCache",
    "acached",
]
