"""The site with the detector, under Django's handler and under this package's."""

from django.core.asgi import get_asgi_application as stock_application

from django_async_ext.asgi import get_asgi_application

stock = stock_application()
ours = get_asgi_application()
