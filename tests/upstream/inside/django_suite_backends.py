"""Puts the package's caches, sessions and e-mail in the places of Django's.

Django's tests name its backends by their paths. Under these the package's classes
are found, and so are tested, in every mode but the baseline.
"""

from importlib import import_module

PACKAGE = "django_async_ext"
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
for engine in ("cache", "cached_db", "db", "file", "signed_cookies"):
    path = f"django.contrib.sessions.backends.{engine}"
    OURS[path] = {"SessionStore": f"sessions.{engine}"}


def substitute():
    """Let Django's paths lead to the package's classes."""
    found = [
        (import_module(path), name, getattr(import_module(f"{PACKAGE}.{room}"), name))
        for path, names in OURS.items()
        for name, room in names.items()
    ]
    # Only now: the package's own derive from Django's.
    for module, name, ours in found:
        stock = getattr(module, name)
        setattr(module, name, ours)
        derive_anew(stock, ours)


def derive_anew(stock, ours):
    """Let the tests' classes that derive from ``stock`` derive from ``ours``.

    Those of the models of the tests, which are imported before all else.
    """
    for derived in stock.__subclasses__():
        if derived.__module__.partition(".")[0] not in ("django", PACKAGE):
            bases = derived.__bases__
            derived.__bases__ = tuple(ours if it is stock else it for it in bases)
