"""The settings of ``startproject`` with this package, on the database of the tests."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECRET_KEY = "tests"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1"]

INSTALLED_APPS = [
    *filter(None, [os.environ.get("SITE_FIRST_APP")]),
    "django_async_ext",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tests.servers.site",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "tests.servers.site.urls"
ASGI_APPLICATION = "tests.servers.site.asgi.application"
WSGI_APPLICATION = "tests.servers.site.wsgi.application"

server = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django_async_ext.db.backends.postgresql",
        "NAME": os.environ.get("SITE_DATABASE", "postgres"),
        "USER": unquote(server.username or ""),
        "PASSWORD": unquote(server.password or ""),
        "HOST": server.hostname,
        "PORT": str(server.port or ""),
        "OPTIONS": {
            "pool": {"min_size": 2, "max_size": 8, "timeout": 20},
            # By this the tests find the sessions of one server.
            "application_name": os.environ.get("SITE_NAME", "site"),
        },
    }
}

# Hashing is not what is tested, and slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

ASYNC_EXT: dict[str, object] = {"SYNC_VIEWS": "loop"}

# What the tests provoke is not news; what is left on standard error is.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"null": {"class": "logging.NullHandler"}},
    "loggers": {
        "django.request": {"handlers": ["null"], "propagate": False},
        "django.security": {"handlers": ["null"], "propagate": False},
        "django.server": {"handlers": ["null"], "propagate": False},
    },
}

DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
STATIC_URL = "static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATE_FILE = Path(os.environ.get("SITE_STATE", "/dev/null"))
