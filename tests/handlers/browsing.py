"""A browser without a screen: it asks an application, and keeps its cookies."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

from tests.handlers.asking import Exchange, ask


@dataclass
class Browser:
    """Visits the pages of ``application``."""

    application: Any
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str) -> Exchange:
        return await self._visit(path)

    async def post(self, path: str, **data: str) -> Exchange:
        data.setdefault("csrfmiddlewaretoken", self.cookies.get("csrftoken", ""))
        kind = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode(data).encode()
        kind["content-length"] = str(len(body))
        return await self._visit(path, method="POST", body=body, headers=kind)

    async def _visit(self, path: str, **options: Any) -> Exchange:
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            options["headers"] = {**options.get("headers", {}), "cookie": pairs}
        answer = await ask(self.application, path, **options)
        for morsel in set_cookies(answer):
            if morsel["max-age"] == "0":
                self.cookies.pop(morsel.key, None)
            else:
                self.cookies[morsel.key] = morsel.value
        return answer


def set_cookies(answer: Exchange) -> list[Any]:
    """The cookies that the answer sets, with their attributes."""
    found: SimpleCookie = SimpleCookie()
    for name, value in answer.answer_headers:
        if name.lower() == "set-cookie":
            found.load(value)
    return list(found.values())
