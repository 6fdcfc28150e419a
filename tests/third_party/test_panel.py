"""The detector's panel in django-debug-toolbar, under both ASGI handlers."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers.databases import site_database
from tests.servers.processes import Kind, served

SETTINGS = "tests.third_party.shelf.detecting"
MISTAKES = Path(__file__).parent / "shelf" / "mistakes.py"


def kind(name: str) -> Kind:
    command = f"uvicorn --port {{port}} tests.third_party.shelf.asgi:{name}"
    return Kind(name, command, environment={"DJANGO_SETTINGS_MODULE": SETTINGS})


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    site = "tests.third_party.shelf.settings"
    with site_database("async_ext_panel", site) as url:
        yield url


@pytest.fixture(scope="module", params=["stock", "ours"])
def client(request: pytest.FixtureRequest, database: str) -> Iterator[httpx.Client]:
    with served(kind(request.param), database) as found:
        yield found.client


def panel(client: httpx.Client, path: str) -> tuple[str, str]:
    """What the toolbar's bar and the panel say of a page, as text."""
    page = client.get(path).text
    found = re.search(r'data-request-id="(\w+)"', page)
    assert found, page
    query = {"request_id": found[1], "panel_id": "BlockingCallsPanel"}
    content = client.get("/__debug__/render_panel/", params=query).json()["content"]
    return page, html.unescape(re.sub(r"<[^>]+>", " ", content))


def test_a_blocking_call_is_shown_with_its_line_and_its_remedy(
    client: httpx.Client,
) -> None:
    page, content = panel(client, "/sleeping")
    lines = MISTAKES.read_text().splitlines()
    (line,) = [n for n, each in enumerate(lines, 1) if each.endswith("# here")]
    assert "time.sleep" in content
    assert f"mistakes.py:{line}" in content
    assert "mistakes.sleeping" in content
    assert "await asyncio.sleep(seconds)" in content
    assert "1 call" in page


def test_a_request_that_blocks_nowhere_says_so(client: httpx.Client) -> None:
    page, content = panel(client, "/waiting")
    assert "Nothing in this request blocked the event loop" in content
    assert "none" in page
