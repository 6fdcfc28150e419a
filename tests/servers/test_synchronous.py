"""The same project under WSGI, and under ``runserver`` with and without daphne."""

import asyncio
import hashlib
import os
from collections.abc import Iterator

import httpx
import pytest

from tests.servers.processes import RUNSERVERS, WSGI_SERVERS, Site, served

KINDS = [*WSGI_SERVERS, *RUNSERVERS]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def wsgi_site(request: pytest.FixtureRequest, site_database: str) -> Iterator[Site]:
    with served(request.param, site_database) as found:
        yield found
        assert not found.complaints(), found.log()


def test_requests_are_answered(wsgi_site: Site) -> None:
    for path in ("/plaintext", "/plaintext-sync"):
        assert wsgi_site.client.get(path).text == "Hello, World!"


def test_rows_are_written_and_read(wsgi_site: Site) -> None:
    name = f"row {wsgi_site.name}"
    assert name in wsgi_site.client.post("/groups", data={"name": name}).json()
    assert name in wsgi_site.client.get("/groups-sync").json()


def test_queries_are_gathered(wsgi_site: Site) -> None:
    assert len(set(wsgi_site.client.get("/gather").json())) == 4


def test_transactions_are_kept_and_undone(wsgi_site: Site) -> None:
    kept, undone = (f"{word} {wsgi_site.name}" for word in ("kept", "undone"))
    data = {"names": kept}
    assert wsgi_site.client.post("/transaction", data=data).text == "committed"
    data = {"names": undone, "fail": "yes"}
    assert wsgi_site.client.post("/transaction", data=data).status_code == 500
    assert wsgi_site.groups(f"% {wsgi_site.name}") == [kept, f"row {wsgi_site.name}"]


def test_a_user_logs_in(wsgi_site: Site) -> None:
    with wsgi_site.new_client() as client:
        headers = {"X-CSRFToken": client.get("/token").text}
        data = {"username": "ada", "password": "enigma"}
        assert client.post("/log-in", data=data, headers=headers).text == "welcome"
        assert client.get("/whoami").json() == {"user": "ada", "seen": 1}


def test_files_are_uploaded(wsgi_site: Site) -> None:
    content = os.urandom(4_000_000)
    files, data = {"file": ("big.bin", content)}, {"note": ""}
    answer = wsgi_site.client.post("/upload", files=files, data=data).json()
    assert answer["sha256"] == hashlib.sha256(content).hexdigest()


def test_errors_are_explained(wsgi_site: Site) -> None:
    answer = wsgi_site.client.get("/broken")
    assert answer.status_code == 500
    assert "ZeroDivisionError at /broken" in answer.text


def test_a_synchronous_stream_is_sent(wsgi_site: Site) -> None:
    name = f"part of {wsgi_site.name}"
    wsgi_site.make_group(name)
    assert wsgi_site.client.get(f"/stream-sync/{name}").text == "firstsecond"


def test_the_loops_of_async_views_leave_no_connection(wsgi_site: Site) -> None:
    async def many() -> list[int]:
        async with httpx.AsyncClient(base_url=wsgi_site.client.base_url) as client:
            gets = (client.get("/groups", timeout=30) for _ in range(40))
            return [answer.status_code for answer in await asyncio.gather(*gets)]

    assert asyncio.run(many()) == [200] * 40
    keeps = wsgi_site.kind.keeps
    wsgi_site.until(lambda: wsgi_site.sessions() <= keeps, "closed its connections")
