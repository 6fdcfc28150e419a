"""The application, which notes for which page a thread was used."""

import os
from contextvars import ContextVar
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.site.settings")

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from django_async_ext.asgi import get_asgi_application
from tests.servers.site import hops

inner = ASGIStaticFilesHandler(get_asgi_application())
page: ContextVar[str] = ContextVar("page", default="no page")


class Noting(list[str]):
    """Puts the page before what it had a thread do."""

    def append(self, what: str) -> None:
        super().append(f"{page.get()}: {what}")


hops.submitted = Noting()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        page.set(scope["path"])
    await inner(scope, receive, send)
