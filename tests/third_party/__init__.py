"""Well-known packages under this project's handler, over a real server.

They are not in the environment of the other tests: ``scripts/test`` makes one for them.
"""

#: What of the packages is declared loop-safe; the rest says so itself, or is Django's.
LOOP_SAFE = (
    "allauth",
    "corsheaders",
    "debug_toolbar",
    "django.contrib.admin",
    "import_export",
    "ninja",
    "rest_framework",
    "tests.third_party.shelf",
    "whitenoise",
)
