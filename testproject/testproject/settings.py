"""Settings of the atlas. The lines that put Django on the event loop are marked.

Environment:

``DATABASE_URL``   ``postgresql://user:password@host:port/name`` or ``sqlite:///file``
``ATLAS_HOSTS``    names the site answers to, separated by commas
``ATLAS_DEBUG``    ``0`` turns DEBUG off
``SECRET_KEY``     anything secret, for a site that others can reach
"""

import os
from pathlib import Path

from testproject.databases import databases

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SECRET_KEY", "only-for-a-demo-on-your-own-machine")
DEBUG = os.environ.get("ATLAS_DEBUG", "1") == "1"
ALLOWED_HOSTS = os.environ.get("ATLAS_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

# The first line that matters: ENGINE is django_async_ext.db.backends.postgresql
# (or .sqlite3). It is put together from DATABASE_URL in databases.py.
DATABASES = databases(
    os.environ.get("DATABASE_URL", f"sqlite:///{BASE_DIR / 'atlas.sqlite3'}")
)

INSTALLED_APPS = [
    "django_async_ext",  # the second: Django's own awaitables leave their threads
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "atlas",
]

# The third: options of django_async_ext, none needed.
ASYNC_EXT: dict[str, object] = {}

# "stock" is on Django's engine on purpose, and asked in threads only.
SILENCED_SYSTEM_CHECKS = ["async_ext.W002"]

MIDDLEWARE = [
    # Says on the console what blocks the loop, and what to write instead.
    "django_async_ext.middleware.BlockingCallDetectionMiddleware",
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

ROOT_URLCONF = "testproject.urls"
ASGI_APPLICATION = "testproject.asgi.application"
WSGI_APPLICATION = "testproject.wsgi.application"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
