"""The detector in the toolbar, and nothing else of this package."""

from pathlib import Path

SECRET_KEY = "shelf"
DEBUG = True
USE_TZ = True
ALLOWED_HOSTS = ["*"]
INTERNAL_IPS = ["127.0.0.1"]
ROOT_URLCONF = "tests.third_party.shelf.mistakes"
STATIC_URL = "static/"
INSTALLED_APPS = [
    "django.contrib.staticfiles",
    "debug_toolbar",
    "django_async_ext.detection",
]
MIDDLEWARE = [
    "django_async_ext.middleware.BlockingCallDetectionMiddleware",
    "debug_toolbar.middleware.DebugToolbarMiddleware",
]
DEBUG_TOOLBAR_PANELS = ["django_async_ext.detection.panel.BlockingCallsPanel"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
    }
]
