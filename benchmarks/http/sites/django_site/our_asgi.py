"""This project's handler."""

from django_async_ext.asgi import get_asgi_application

application = get_asgi_application()
