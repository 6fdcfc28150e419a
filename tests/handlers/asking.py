"""Asks an ASGI application for a page, as a server does, without the network."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

DISCONNECT = {"type": "http.disconnect"}


@dataclass
class Exchange:
    """One request: what the server receives, and what was sent to it."""

    path: str
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunk: int = 2**16
    scope: dict[str, Any] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        path, _, query = self.path.partition("?")
        given = {"host": "testserver", **self.headers}
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.encode(), v.encode("latin1")) for k, v in given.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("testserver", 80),
            **self.scope,
        }
        parts = [
            self.body[at : at + self.chunk]
            for at in range(0, len(self.body), self.chunk)
        ] or [b""]
        self.incoming = deque(
            {"type": "http.request", "body": part, "more_body": True} for part in parts
        )
        self.incoming[-1]["more_body"] = False
        self.gone = asyncio.Event()

    def disconnect(self) -> None:
        """The client goes away."""
        self.gone.set()

    async def receive(self) -> dict[str, Any]:
        if self.incoming:
            return self.incoming.popleft()
        await self.gone.wait()
        return DISCONNECT

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def run(self, application: Any) -> "Exchange":
        """Let ``application`` answer, in a task of its own as servers do."""
        await asyncio.create_task(
            application(self.scope, self.receive, self.send), name=self.path
        )
        return self

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def answer_headers(self) -> list[tuple[str, str]]:
        return [(k.decode(), v.decode("latin1")) for k, v in self.sent[0]["headers"]]

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that the answer sets, as a client would send them."""
        found = {}
        for name, value in self.answer_headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                found[key] = rest.partition(";")[0]
        return found


async def ask(application: Any, path: str, **options: Any) -> Exchange:
    """Ask for ``path`` and return the whole exchange."""
    return await Exchange(path, **options).run(application)
