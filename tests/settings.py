"""Settings of the project's own tests; the servers come from the environment."""

import os
from urllib.parse import unquote, urlsplit

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "tests.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ASYNC_EXT: dict[str, object] = {}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django_async_ext",
    "tests.library",
]
# Tables are made without migrations, which is quicker.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}


def postgresql(name: str, **options: object) -> dict[str, object]:
    """Describe a database on the server of ``DATABASE_URL``."""
    server = urlsplit(os.environ["DATABASE_URL"])
    return {
        "ENGINE": "django_async_ext.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(server.username or ""),
        "PASSWORD": unquote(server.password or ""),
        "HOST": server.hostname,
        "PORT": str(server.port or ""),
        "OPTIONS": options,
    }


# Several runs on one server at the same time need names of their own.
NAME = "async_ext" + os.environ.get("ASYNC_EXT_DB_SUFFIX", "")
DATABASES = {
    "default": postgresql(NAME, pool={"max_size": 8, "timeout": 10}),
    "replica": postgresql(f"{NAME}_replica"),
    "sqlite": {
        "ENGINE": "django_async_ext.db.backends.sqlite3",
        "NAME": os.environ.get("SQLITE_PATH", "async_ext.sqlite3"),
    },
}
