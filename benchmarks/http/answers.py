"""Are the answers right? Asked of every server before anything is measured.

The database is asked for what it holds, so that a peer cannot win by not asking it.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from benchmarks.http.cases import ADDED, FORTUNES, USERNAME, VISITS, WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.database import Inspector
    from benchmarks.http.cases import Case
    from benchmarks.http.server import Server


class WrongAnswerError(Exception):
    """A peer answered something else than the case says."""


def check(server: Server, case: Case, inspector: Inspector) -> None:
    """Raise unless the server's answer is what the case is about."""
    status, headers, body = server.get(case.path, case.cookie)
    right = status == 200 and CHECKS[case.path](body, inspector)
    if server.peer.environment:  # A Django, whose last middleware leaves its mark.
        right = right and headers["X-Frame-Options"] == "DENY"
    if not right:
        raise WrongAnswerError(
            f"{server.peer.name} answered {case.path} with {status}: {body[:300]!r}"
        )


def is_text(body: bytes, inspector: Inspector) -> bool:
    return body == b"Hello, World!"


def is_json(body: bytes, inspector: Inspector) -> bool:
    return json.loads(body) == {"message": "Hello, World!"}


def is_row(body: bytes, inspector: Inspector) -> bool:
    return holds(inspector, [json.loads(body)])


def are_rows(body: bytes, inspector: Inspector) -> bool:
    rows = json.loads(body)
    return len({row["id"] for row in rows}) == WORLDS and holds(inspector, rows)


def holds(inspector: Inspector, rows: list[dict[str, int]]) -> bool:
    """Whether the database has these rows, now."""
    keys = [row["id"] for row in rows]
    query = "SELECT id, randomnumber FROM world WHERE id = ANY(%s)"
    found = dict(inspector.connection.execute(query, [keys]).fetchall())
    return bool(keys) and found == {row["id"]: row["randomNumber"] for row in rows}


class Cells(HTMLParser):
    """The text of a page's table cells; markup in them would show as tags."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.strip("\n")


def are_fortunes(body: bytes, inspector: Inspector) -> bool:
    page = Cells()
    page.feed(body.decode())
    page.close()
    wanted = sorted([*enumerate(FORTUNES, 1), (0, ADDED)], key=lambda row: row[1])
    cells = [cell for pk, message in wanted for cell in (str(pk), message)]
    return page.cells == cells and "script" not in page.tags


def is_user(body: bytes, inspector: Inspector) -> bool:
    return json.loads(body) == {"username": USERNAME, "visits": VISITS}


def has_slept(body: bytes, inspector: Inspector) -> bool:
    return json.loads(body) == {"slept": True}


CHECKS: dict[str, Callable[[bytes, Inspector], bool]] = {
    "/plaintext": is_text,
    "/json": is_json,
    "/db": is_row,
    "/queries": are_rows,
    "/gather": are_rows,
    "/updates": are_rows,
    "/fortunes": are_fortunes,
    "/whoami": is_user,
    "/sleep": has_slept,
}
