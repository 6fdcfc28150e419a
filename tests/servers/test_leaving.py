"""Clients that leave early, on each ASGI server: nothing of theirs goes on."""

from contextlib import ExitStack

import pytest

from tests.servers.processes import Site

REQUEST = "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PART_OF_AN_UPLOAD = (
    "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3000000\r\n"
    "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)


@pytest.mark.parametrize("path", ["/sleep", "/sleep-sync"])
def test_a_statement_is_cancelled_when_its_client_leaves(site: Site, path: str) -> None:
    with site.connect() as connection:
        connection.sendall(REQUEST.format(path).encode())
        site.until(site.running, "began the statement")
    site.until(lambda: not site.running(), "cancelled the statement")
    site.at_rest()
    assert site.client.get("/plaintext").text == "Hello, World!"


def test_the_view_of_a_client_that_left_is_cancelled(site: Site) -> None:
    log = site.state()["log"]
    with site.connect() as connection:
        connection.sendall(REQUEST.format("/sleep").encode())
        site.until(site.running, "began the statement")

    def cancelled() -> bool:
        log.extend(site.state()["log"])
        return "cancelled" in log

    site.until(cancelled, "cancelled the view")


def test_an_upload_that_breaks_off_leaves_nothing(site: Site) -> None:
    with site.connect() as connection:
        connection.sendall(PART_OF_AN_UPLOAD.encode() + b"x" * 100_000)
    assert site.client.get("/plaintext").text == "Hello, World!"
    site.at_rest()


def test_many_clients_that_vanish_leave_nothing(site: Site) -> None:
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(site.connect())
            if number % 2:
                connection.sendall(REQUEST.format("/sleep").encode())
        site.until(lambda: site.running() == 8, "filled the pool")
    site.until(lambda: not site.running(), "cancelled all statements")
    site.at_rest()
    assert site.sessions() <= 8
    assert site.client.get("/groups").status_code == 200
