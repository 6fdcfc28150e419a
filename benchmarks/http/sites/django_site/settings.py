"""The settings of ``startproject`` for production; what differs comes from outside.

``BENCH_URL``, ``BENCH_ENGINE``, ``BENCH_APPS``, ``BENCH_POOL`` and ``BENCH_VIEWS`` are
environment variables, which ``benchmarks.http.peers`` sets.
"""

import os
from pathlib import Path

from benchmarks import startproject
from benchmarks.django_project import address

SECRET_KEY = "benchmarks"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]

OURS = os.environ["BENCH_APPS"] == "django_async_ext"
INSTALLED_APPS = [
    *filter(None, [os.environ["BENCH_APPS"]]),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "benchmarks.http.sites.django_site",
]

MIDDLEWARE = startproject.MIDDLEWARE

ROOT_URLCONF = "benchmarks.http.sites.django_site.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent.parent / "templates"],
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

DATABASES = {
    "default": {
        "ENGINE": os.environ["BENCH_ENGINE"],
        **address(os.environ["BENCH_URL"]),
        "OPTIONS": {
            "pool": {
                "min_size": 1,
                "max_size": int(os.environ["BENCH_POOL"]),
                "timeout": 60,
            }
        },
    }
}

ASYNC_EXT = {"SYNC_VIEWS": "loop"} if OURS else {}
BENCH_VIEWS = os.environ["BENCH_VIEWS"]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
