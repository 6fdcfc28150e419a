"""A stock Django project that has added nothing but the detector's middleware."""

from tests.servers.site.settings import *  # noqa: F403
from tests.servers.site.settings import (
    DATABASES,
    INSTALLED_APPS,
    MIDDLEWARE,
    STATE_FILE,
)

INSTALLED_APPS = [app for app in INSTALLED_APPS if "django.contrib" in app]
MIDDLEWARE = [
    "django_async_ext.middleware.BlockingCallDetectionMiddleware",
    *MIDDLEWARE,
]
ROOT_URLCONF = "tests.browser.mistakes.urls"
WSGI_APPLICATION = None
DATABASES["default"] |= {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": STATE_FILE.parent / "cache",
    }
}
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
ASYNC_EXT: dict[str, object] = {}
LOGGING: dict[str, object] = {}
