"""Django's own handler."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.mistakes.settings")

from django.core.asgi import get_asgi_application

application = get_asgi_application()
