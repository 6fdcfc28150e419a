"""The same project end to end on every server: ASGI, WSGI and runserver."""
