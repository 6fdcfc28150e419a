"""The WSGI application of the same project."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.servers.site.settings")

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
