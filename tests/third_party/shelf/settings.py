"""The settings that the packages' documentation asks for, on the site of the servers.

``SITE_LOOP_SAFE`` names what is declared loop-safe; with none of it the packages' own
synchronous code runs in threads.
"""

import os
from pathlib import Path

from tests.servers.site.settings import *  # noqa: F403
from tests.servers.site.settings import INSTALLED_APPS, MIDDLEWARE, TEMPLATES

HOME = Path(__file__).parent

ASYNC_EXT = {"LOOP_SAFE": os.environ.get("SITE_LOOP_SAFE", "").split()}

INSTALLED_APPS = [
    *INSTALLED_APPS,
    "tests.third_party.shelf",
    "rest_framework",
    "django_filters",
    "ninja",
    "allauth",
    "allauth.account",
    "debug_toolbar",
    "corsheaders",
    "import_export",
]

SECURITY, *REST = MIDDLEWARE
MIDDLEWARE = [
    SECURITY,
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "debug_toolbar.middleware.DebugToolbarMiddleware",
    *REST,
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "tests.third_party.shelf.urls"
TEMPLATES[0]["DIRS"] = [HOME / "templates"]

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
LOGIN_REDIRECT_URL = "/me"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticatedOrReadOnly",
    ],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "PAGE_SIZE": 3,
}

CORS_ALLOWED_ORIGINS = ["https://shop.example"]
INTERNAL_IPS = ["127.0.0.1"]
STATIC_ROOT = HOME / "static"
IMPORT_EXPORT_SKIP_ADMIN_ACTION_EXPORT_UI = True
