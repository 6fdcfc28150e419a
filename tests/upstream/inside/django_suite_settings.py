"""The settings of Django's suite, as its own ``test_sqlite.py``, for one run.

What varies comes in the variables that ``running.py`` sets: the engine, the
server's address and a name that no other run in progress uses.
"""

import importlib
import json
import os
import sys
from urllib.parse import unquote, urlsplit

if stand_in := os.environ["DJANGO_SUITE_AS_MYSQLDB"]:
    importlib.import_module(stand_in)
    for name in [name for name in sys.modules if name.split(".")[0] == stand_in]:
        sys.modules[name.replace(stand_in, "MySQLdb", 1)] = sys.modules[name]


def _database(alias):
    database = {
        "ENGINE": os.environ["DJANGO_SUITE_ENGINE"],
        "OPTIONS": json.loads(os.environ["DJANGO_SUITE_OPTIONS"]),
    }
    if not os.environ["DATABASE_URL"]:
        return database
    url = urlsplit(os.environ["DATABASE_URL"])
    return database | {
        "NAME": f"suite_{alias}",
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": unquote(url.hostname or ""),
        "PORT": str(url.port or ""),
        "TEST": {"NAME": f"suite_{os.environ['DJANGO_SUITE_RUN']}_{alias}"},
    }


DATABASES = {alias: _database(alias) for alias in ("default", "other")}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False

_CACHES = "django.core.cache.backends"
CACHES = {"default": {"BACKEND": f"{_CACHES}.locmem.LocMemCache"}}
# Django tests these when they are configured.
if os.environ.get("REDIS_URL"):
    backend = f"{_CACHES}.redis.RedisCache"
    CACHES["redis"] = {"BACKEND": backend, "LOCATION": os.environ["REDIS_URL"]}
if os.environ.get("MEMCACHED_ADDRESS"):
    backend = f"{_CACHES}.memcached.PyMemcacheCache"
    address = os.environ["MEMCACHED_ADDRESS"]
    CACHES["memcached"] = {"BACKEND": backend, "LOCATION": address}
