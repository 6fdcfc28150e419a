"""Puts the package's caches and e-mail backends in the places of Django's.

Django's tests name its backends by their paths. Under these the package's classes
are found, and so are tested, in every mode but the baseline.
"""

from importlib import import_module

OURS = {
    "django.core.cache.backends.db": {"DatabaseCache": "cache"},
    "django.core.cache.backends.dummy": {"DummyCache": "cache"},
    "django.core.cache.backends.filebased": {"FileBasedCache": "cache"},
    "django.core.cache.backends.locmem": {"LocMemCache": "cache"},
    "django.core.cache.backends.memcached": {"PyMemcacheCache": "cache"},
    "django.core.cache.backends.redis": {
        "RedisCache": "cache",
        "RedisCacheClient": "cache.redis",
    },
    "django.core.mail.backends.smtp": {"EmailBackend": "mail"},
}


def substitute():
    """Let Django's paths lead to the package's classes."""
    for path, names in OURS.items():
        for name, room in names.items():
            ours = import_module(f"django_async_ext.{room}")
            setattr(import_module(path), name, getattr(ours, name))
