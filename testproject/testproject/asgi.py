"""The ASGI application: ``uvicorn testproject.asgi:application``."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from django_async_ext.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")

# The handler serves the admin's style sheets; a real site leaves that to its web
# server. The atlas itself has no static files.
application = ASGIStaticFilesHandler(get_asgi_application())
