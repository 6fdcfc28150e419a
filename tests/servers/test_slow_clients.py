"""Clients that send or read slowly, or vanish, hold up nobody on an ASGI server."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.servers.processes import LOOPS, Site, served, uvicorn

GET = "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
POST = (
    "POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    "Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n"
)
CLIENTS = 1000


@pytest.fixture(scope="module")
def many_files() -> Iterator[None]:
    """Let this process, and the servers that it starts, have enough descriptors."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))


@pytest.fixture(scope="module", params=LOOPS)
def uvicorn_site(
    request: pytest.FixtureRequest, site_database: str, many_files: None
) -> Iterator[Site]:
    with served(uvicorn(request.param), site_database) as found:
        yield found
        assert not found.complaints(), found.log()


def rest_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_body_that_comes_in_small_pieces_is_read_whole(uvicorn_site: Site) -> None:
    body = bytes(range(48, 58)) * 10
    with uvicorn_site.connect() as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        slow.sendall(POST.format(len(body)).encode())
        for number in body:
            slow.sendall(bytes([number]))
            # Somebody else is served between any two pieces.
            assert uvicorn_site.client.get("/groups").status_code == 200
        assert rest_of(slow).endswith(body)
    uvicorn_site.at_rest()


def test_headers_that_never_end_hold_nobody_up(uvicorn_site: Site) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            slow = stack.enter_context(uvicorn_site.connect())
            slow.sendall(b"GET /groups HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        assert uvicorn_site.client.get("/groups").status_code == 200
        assert uvicorn_site.state()["pool"]["in_use"] == 0


def test_a_client_that_reads_slowly_gets_it_all(
    uvicorn_site: Site, tmp_path: Path
) -> None:
    path, content = tmp_path / "big.bin", b"0123456789abcdef" * 1_000_000
    path.write_bytes(content)
    with closing(socket.socket()) as slow:
        # So small that the server has to wait for its reader many times.
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", uvicorn_site.port))
        slow.sendall(GET.format(f"/file?path={path}").encode())
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
        for _ in range(20):
            assert uvicorn_site.client.get("/groups").status_code == 200
        assert rest_of(slow).endswith(content)


def test_a_reader_that_leaves_amid_a_file_closes_it(
    uvicorn_site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(b"x" * 16_000_000)
    with uvicorn_site.connect() as slow:
        slow.sendall(GET.format(f"/file?path={path}").encode())
        assert slow.recv(15) == b"HTTP/1.1 200 OK"
    opened = Path(f"/proc/{uvicorn_site.process.pid}/fd")

    def is_closed() -> bool:
        return str(path) not in {str(each.resolve()) for each in opened.iterdir()}

    uvicorn_site.until(is_closed, "closed the file")


def test_a_malformed_request_is_refused_and_the_next_answered(
    uvicorn_site: Site,
) -> None:
    for wrong in (
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\xff\x00\r\n\r\n",
    ):
        with uvicorn_site.connect() as client:
            client.sendall(wrong)
            assert rest_of(client).startswith(b"HTTP/1.1 400")
    assert uvicorn_site.client.get("/plaintext").text == "Hello, World!"
    uvicorn_site.expect("Invalid HTTP request received.")


def test_a_thousand_clients_that_vanish_leave_nothing(uvicorn_site: Site) -> None:
    with ExitStack() as stack:
        for number in range(CLIENTS):
            connection = stack.enter_context(uvicorn_site.connect())
            if number % 2:
                connection.sendall(GET.format("/sleep").encode())
        uvicorn_site.until(lambda: uvicorn_site.running() == 8, "filled the pool")
    uvicorn_site.until(lambda: not uvicorn_site.running(), "cancelled all statements")
    uvicorn_site.at_rest()
    assert uvicorn_site.sessions() <= 8
    assert uvicorn_site.client.get("/groups").status_code == 200
