"""A project that uses Django's own backends, and of this package the detector."""

import os
from pathlib import Path

import django

HERE = Path(__file__).parent
HOME = Path(os.environ["STOCK_HOME"])
#: Where nobody listens: connecting blocks all the same.
CLOSED_PORT = int(os.environ["STOCK_CLOSED_PORT"])

SECRET_KEY = "stock"
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.detection.stock.urls"
SITE_ID = 1
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "django_async_ext.detection",
    "tests.detection.stock",
]
MIGRATION_MODULES = dict.fromkeys(("contenttypes", "auth", "sessions", "sites"))
MIDDLEWARE = [
    "django_async_ext.middleware.BlockingCallDetectionMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HOME / "stock.sqlite3",
    }
}
_CACHE = "django.core.cache.backends"
CACHES = {
    "default": {
        "BACKEND": f"{_CACHE}.filebased.FileBasedCache",
        "LOCATION": HOME / "c",
    },
    "redis": {
        "BACKEND": f"{_CACHE}.redis.RedisCache",
        "LOCATION": os.environ["STOCK_REDIS"],
    },
    "database": {"BACKEND": f"{_CACHE}.db.DatabaseCache", "LOCATION": "cached"},
    "memory": {"BACKEND": f"{_CACHE}.locmem.LocMemCache"},
    "nothing": {"BACKEND": f"{_CACHE}.dummy.DummyCache"},
    "own": {"BACKEND": "tests.detection.stock.backends.OwnCache"},
}
PASSWORD_HASHERS = [
    "tests.detection.stock.backends.FewRounds",
    "django.contrib.auth.hashers.MD5PasswordHasher",
]
SESSION_CACHE_ALIAS = "redis"
SESSION_FILE_PATH = HOME
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "OPTIONS": {"loaders": ["django.template.loaders.filesystem.Loader"]},
        "NAME": "reading",
    },
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "NAME": "caching",
    },
]
STATIC_URL = "/static/"
STATICFILES_DIRS = [HERE / "templates"]
MEDIA_ROOT = HOME / "media"
if django.VERSION >= (6, 0):
    TASKS = {
        "default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"},
        "nothing": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
    }
_SMTP = "django.core.mail.backends.smtp.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {
            "BACKEND": _SMTP,
            "OPTIONS": {"host": "127.0.0.1", "port": CLOSED_PORT},
        }
    }
else:
    EMAIL_BACKEND, EMAIL_HOST, EMAIL_PORT = _SMTP, "127.0.0.1", CLOSED_PORT
ASYNC_EXT = {
    "DETECTION": {
        "ENDPOINTS": os.environ.get("STOCK_MODE", "record"),
        "PRIMITIVES": "off",
        "WATCHDOG": "off",
    }
}
