"""Answers in parts, on each ASGI server."""

import hashlib
import os
from pathlib import Path

import httpx
import pytest

from tests.servers.processes import Site


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_part_is_sent_before_the_next_is_made(site: Site, kind: str) -> None:
    name = f"{kind} part of {site.name}"
    with site.client.stream("GET", f"/stream-{kind}/{name}") as answer:
        parts = answer.iter_text()
        assert next(parts) == "first"
        site.make_group(name)
        assert next(parts) == "second"
        assert not list(parts)
    site.at_rest()


def test_an_error_after_the_first_part_ends_the_answer_short(site: Site) -> None:
    with site.client.stream("GET", "/stream-broken") as answer:
        parts = answer.iter_text()
        assert next(parts) == "first"
        if site.kind.breaks_off:
            with pytest.raises(httpx.RemoteProtocolError):
                next(parts)
    site.expect("ZeroDivisionError: after the first part")
    site.at_rest()


def test_a_stream_whose_client_left_is_closed(site: Site) -> None:
    name = f"never made for {site.name}"
    site.state()
    with site.client.stream("GET", f"/stream-async/{name}") as answer:
        assert next(answer.iter_text()) == "first"
    log: list[str] = []

    def closed() -> bool:
        log.extend(site.state()["log"])
        return "stream closed" in log

    site.until(closed, "closed the stream")
    site.at_rest()


def test_a_file_is_sent(site: Site, tmp_path: Path) -> None:
    path, content = tmp_path / "big.bin", os.urandom(3_000_000)
    path.write_bytes(content)
    answer = site.client.get("/file", params={"path": str(path)})
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"] == 'attachment; filename="big.bin"'
    found = hashlib.sha256(answer.content).digest()
    assert found == hashlib.sha256(content).digest()
