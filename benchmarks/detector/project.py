"""The Django project that the operations run in: stock engines, our middleware.

``use()`` is called once in a process, before anything of Django is imported that needs
settings; ``fill()`` once in a run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MIDDLEWARE = "django_async_ext.middleware.BlockingCallDetectionMiddleware"


def use(database: str, redis: str, home: Path, smtp_port: int = 0, **more: Any) -> None:
    """Set Django up; ``more`` are settings that go before these."""
    import django
    from django.conf import settings

    for name in ("files", "mail", "sessions", "media", "static", "templates"):
        (home / name).mkdir(exist_ok=True)
    (home / "media" / "there.txt").write_text("content")
    (home / "static" / "site.css").write_text("a {}")
    for name in ("page.html", "kept.html"):
        (home / "templates" / name).write_text("{{ name }}")
    settings.configure(**_values(database, redis, home, smtp_port) | more)
    django.setup()


def _values(database: str, redis: str, home: Path, smtp_port: int) -> dict[str, Any]:
    return {
        "SECRET_KEY": "benchmark",
        "ALLOWED_HOSTS": ["*"],
        "ADMINS": [("Admin", "admin@localhost")],
        "ROOT_URLCONF": "benchmarks.detector.urls",
        "INSTALLED_APPS": [
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
        ],
        "MIDDLEWARE": [],
        "DATABASES": {"default": _postgresql(database), "lite": _sqlite(home)},
        "CACHES": _caches(redis, home),
        "PASSWORD_HASHERS": ["benchmarks.detector.hashers.Hasher"],
        "SESSION_ENGINE": "django.contrib.sessions.backends.cache",
        "SESSION_CACHE_ALIAS": "redis",
        "SESSION_FILE_PATH": str(home / "sessions"),
        "STORAGES": _storages(),
        "MEDIA_ROOT": home / "media",
        "STATIC_URL": "/static/",
        "STATICFILES_DIRS": [home / "static"],
        "TEMPLATES": _templates(home),
        "DATA_UPLOAD_MAX_MEMORY_SIZE": None,
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": smtp_port,
        "EMAIL_FILE_PATH": str(home / "mail"),
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "LOGGING": _logging(home),
    }


def _postgresql(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
    }


def _sqlite(home: Path) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": home / "lite.sqlite3"}


def _caches(redis: str, home: Path) -> dict[str, Any]:
    backends = "django.core.cache.backends"
    return {
        "default": {"BACKEND": f"{backends}.locmem.LocMemCache"},
        "memory": {"BACKEND": f"{backends}.locmem.LocMemCache"},
        "file": {
            "BACKEND": f"{backends}.filebased.FileBasedCache",
            "LOCATION": home / "files",
        },
        "database": {"BACKEND": f"{backends}.db.DatabaseCache", "LOCATION": "cached"},
        "redis": {"BACKEND": f"{backends}.redis.RedisCache", "LOCATION": redis},
    }


def _storages() -> dict[str, Any]:
    storage = "django.core.files.storage"
    return {
        "default": {"BACKEND": f"{storage}.FileSystemStorage"},
        "memory": {"BACKEND": f"{storage}.InMemoryStorage"},
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        },
    }


def _templates(home: Path) -> list[dict[str, Any]]:
    backend = "django.template.backends.django.DjangoTemplates"
    loader = "django.template.loaders.filesystem.Loader"
    return [
        {"NAME": "django", "BACKEND": backend, "DIRS": [home / "templates"]},
        {
            "NAME": "uncached",
            "BACKEND": backend,
            "DIRS": [home / "templates"],
            "OPTIONS": {"loaders": [loader]},
        },
    ]


def _logging(home: Path) -> dict[str, Any]:
    handler = {"class": "logging.FileHandler", "filename": home / "log.txt"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"file": handler},
        "loggers": {"": {"handlers": ["file"]}},
    }


def fill() -> None:
    """Make the tables of both databases, and what the caches hold."""
    from django.core.cache import caches
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    for name in ("file", "database", "redis"):
        caches[name].set("there", "value")


def fill_own() -> None:
    """Make the SQLite database, which is this process's, and what is cached in it."""
    from django.core.cache import caches
    from django.core.mail.utils import DNS_NAME
    from django.core.management import call_command
    from django.template.loader import get_template

    call_command("migrate", database="lite", verbosity=0)
    caches["file"].set("there", "value")
    # A process's first message asks for the host's name: an alarm there would be true.
    str(DNS_NAME)
    # So would one at the first use of a template.
    get_template("kept.html")


if __name__ == "__main__":
    use(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    fill()
