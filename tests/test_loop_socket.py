"""The socket that blocks in plain code and waits on the loop in the bridge."""

import asyncio
import errno
import math
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from django.core.exceptions import SynchronousOnlyOperation

from django_async_ext import loop_socket
from django_async_ext.bridge import on_loop
from django_async_ext.exceptions import DOCS, ConnectionOwnershipError
from django_async_ext.loop_socket import (
    LoopSocket,
    LoopTLSSocket,
    create_connection,
    with_loop_sockets,
)
from django_async_ext.sockets import Watcher, getaddrinfo, limit_silence
from tests.waiting import answer

OUTSIDE = (
    "A blocking call of a socket was made on the event loop, outside the bridge: it "
    "would stop every other task. Call the function that uses the socket as `await "
    f"on_loop(fn)(...)`. See {DOCS}#socket-outside-bridge"
)
IN_USE = (
    "Descriptor {} was used while another task waits for it: each would read what the "
    "other one asked for. Give each task a connection of its own, as a pool does, or "
    f"let one wait for the other with a lock. See {DOCS}#socket-in-use"
)
MUCH = os.urandom(4_000_000)

Run = Callable[..., Any]


def on_asyncio(fn: Run, *args: Any) -> Any:
    return asyncio.run(on_loop(fn)(*args))


def on_uvloop(fn: Run, *args: Any) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(on_loop(fn)(*args))


def plainly(fn: Run, *args: Any) -> Any:
    return fn(*args)


in_each_mode = pytest.mark.parametrize("run", [on_asyncio, on_uvloop, plainly])


@contextmanager
def serving(
    family: int, address: Any, talk: Callable[[socket.socket], object]
) -> Iterator[Any]:
    """A server in a thread that talks to one client."""
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client, suppress(OSError):
                talk(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            thread.join(10)
            assert not thread.is_alive()


def echo(client: socket.socket) -> None:
    while found := client.recv(65536):
        client.sendall(found)


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Send from one buffer's worth to the next, and read as much."""
    found = bytearray()
    for start in range(0, len(data), 500_000):
        part = data[start : start + 500_000]
        sock.sendall(part)
        end = len(found) + len(part)
        while len(found) < end:
            found += sock.recv(65536)
    return bytes(found)


@pytest.fixture
def pair() -> Iterator[tuple[LoopSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with LoopSocket(fileno=ours.detach()) as loop_sock, theirs:
        yield loop_sock, theirs


Pair = tuple[LoopSocket, socket.socket]


# As a socket


@in_each_mode
def test_what_is_sent_over_tcp_comes_back(run: Run) -> None:
    def talk(address: Any) -> bytes:
        with create_connection(address) as sock:
            return exchange(sock, MUCH)

    with serving(socket.AF_INET, ("127.0.0.1", 0), echo) as address:
        assert run(talk, address) == MUCH


@in_each_mode
def test_what_is_sent_over_a_unix_socket_comes_back(run: Run, tmp_path: Path) -> None:
    def talk() -> bytes:
        with LoopSocket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "socket"))
            return exchange(sock, b"data")

    with serving(socket.AF_UNIX, str(tmp_path / "socket"), echo):
        assert run(talk) == b"data"


@in_each_mode
def test_more_than_the_socket_takes_is_sent_while_the_peer_reads(
    run: Run, pair: Pair
) -> None:
    ours, theirs = pair
    found = bytearray()

    def read() -> None:
        while len(found) < len(MUCH):
            found.extend(theirs.recv(65536))

    reader = threading.Thread(target=read)
    reader.start()
    run(ours.sendall, MUCH)
    reader.join()
    assert found == MUCH


@in_each_mode
def test_every_way_to_read_and_write(run: Run, pair: Pair) -> None:
    ours, theirs = pair

    def talk() -> list[Any]:
        buffer = bytearray(4)
        sent = [ours.send(b"ab"), ours.sendmsg([b"c", b"d"])]
        theirs.sendall(theirs.recv(4))
        seen = [ours.recv(1, socket.MSG_PEEK), ours.recv(1), ours.recv(0)]
        count = ours.recv_into(buffer)
        theirs.sendall(b"e")
        return [*sent, *seen, count, bytes(buffer), ours.recvmsg(1)[0]]

    assert run(talk) == [2, 2, b"a", b"a", b"", 3, b"bcd\0", b"e"]


@in_each_mode
def test_to_read_nothing_does_not_wait(run: Run, pair: Pair) -> None:
    ours, _ = pair
    ours.settimeout(0.01)
    assert run(ours.recv_into, bytearray()) == 0
    assert run(ours.recv, 0) == b""


@in_each_mode
def test_each_direction_can_be_shut_down(run: Run, pair: Pair) -> None:
    ours, theirs = pair

    def talk() -> list[bytes]:
        ours.sendall(b"last words")
        ours.shutdown(socket.SHUT_WR)
        heard = [theirs.recv(100), theirs.recv(100)]
        theirs.sendall(b"answer")
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            ours.send(b"more")
        return [*heard, ours.recv(100), ours.recv(100)]

    assert run(talk) == [b"last words", b"", b"answer", b""]


@in_each_mode
def test_a_file_of_the_socket_reads_and_writes(run: Run, pair: Pair) -> None:
    ours, theirs = pair

    def talk() -> list[Any]:
        with ours.makefile("rwb") as file:
            file.write(b"question\n")
            file.flush()
            assert theirs.recv(100) == b"question\n"
            theirs.sendall(b"one\ntwo\nrest")
            return [file.readline(), file.readline(), file.read(4)]

    assert run(talk) == [b"one\n", b"two\n", b"rest"]


@in_each_mode
def test_an_accepted_connection_and_a_sent_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(MUCH)

    def serve(listener: LoopSocket) -> None:
        client, _ = listener.accept()
        with (
            LoopSocket(fileno=client.detach()) as ours,
            (tmp_path / "file").open("rb") as file,
        ):
            assert ours.sendfile(file) == len(MUCH)

    def read(address: Any) -> None:
        with socket.create_connection(address) as sock:
            while part := sock.recv(65536):
                found.extend(part)

    found = bytearray()
    with LoopSocket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        reader = threading.Thread(target=read, args=[listener.getsockname()])
        reader.start()
        run(serve, listener)
        reader.join()
    assert found == MUCH


def test_the_wait_does_not_keep_other_tasks_waiting(pair: Pair) -> None:
    ours, theirs = pair

    async def main() -> bytes:
        reader = asyncio.create_task(on_loop(ours.recv)(10))
        await answer(None)
        assert not reader.done()
        theirs.sendall(b"data")
        return await reader

    assert asyncio.run(main()) == b"data"


def test_one_socket_serves_loop_after_loop_and_plain_code(pair: Pair) -> None:
    ours, theirs = pair
    for run in (on_asyncio, plainly, on_uvloop, on_asyncio, plainly):
        threading.Timer(0, theirs.sendall, [b"data"]).start()
        assert run(ours.recv, 10) == b"data"


# Timeouts


@in_each_mode
def test_a_read_ends_with_its_timeout(run: Run, pair: Pair) -> None:
    ours, _ = pair
    ours.settimeout(0.01)
    assert ours.gettimeout() == 0.01
    with pytest.raises(TimeoutError, match="timed out"):
        run(ours.recv, 10)


@in_each_mode
def test_a_write_ends_with_its_timeout(run: Run, pair: Pair) -> None:
    ours, _ = pair
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        run(ours.sendall, bytes(20_000_000))


@in_each_mode
def test_without_blocking_nothing_waits(run: Run, pair: Pair) -> None:
    ours, _ = pair
    ours.setblocking(False)
    assert (ours.gettimeout(), ours.getblocking()) == (0.0, False)
    with pytest.raises(BlockingIOError):
        run(ours.recv, 10)
    ours.setblocking(True)
    assert (ours.gettimeout(), ours.getblocking()) == (None, True)


def test_a_timeout_below_zero_is_refused(pair: Pair) -> None:
    with pytest.raises(ValueError, match="Timeout value out of range"):
        pair[0].settimeout(-1)


@pytest.mark.parametrize("run", [on_asyncio, on_uvloop])
def test_a_connection_that_nobody_accepts_times_out(run: Run, tmp_path: Path) -> None:
    address = str(tmp_path / "socket")

    def connect() -> None:
        with LoopSocket(socket.AF_UNIX) as sock:
            sock.settimeout(0.05)
            sock.connect(address)

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as it:
        listener.bind(address)
        listener.listen(0)
        it.connect(address)
        with pytest.raises(TimeoutError):
            run(connect)


# Connecting


@in_each_mode
def test_the_next_address_of_a_host_is_tried(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refusing = closed.getsockname()
        with serving(socket.AF_INET, ("127.0.0.1", 0), echo) as address:
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", one)
                for one in (refusing, address)
            ]

            def look_up(host: str, *args: Any) -> Any:
                return found if host == "two-addresses" else getaddrinfo(host, *args)

            monkeypatch.setattr(loop_socket, "getaddrinfo", look_up)
            sock = run(create_connection, ("two-addresses", 1), 10)
            assert sock.getpeername() == address
            assert sock.gettimeout() == 10
            sock.close()


@in_each_mode
def test_a_refused_connection_says_so(run: Run) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            run(create_connection, closed.getsockname())
        with LoopSocket() as sock:
            assert run(sock.connect_ex, closed.getsockname()) == errno.ECONNREFUSED


@in_each_mode
def test_an_unknown_host_says_so(run: Run) -> None:
    with pytest.raises(socket.gaierror):
        run(create_connection, ("host.invalid", 1))


def test_only_a_name_is_looked_up_in_a_thread(thread_submissions: list[str]) -> None:
    def connect(host: str) -> str:
        with serving(socket.AF_INET, ("127.0.0.1", 0), echo) as (_, port):
            thread_submissions.clear()
            with LoopSocket() as sock:
                sock.connect((host, port))
                return str(thread_submissions)

    assert on_asyncio(connect, "127.0.0.1") == "[]"
    assert "getaddrinfo" in on_asyncio(connect, "localhost")


def test_a_silent_network_is_given_up_after_a_minute() -> None:
    with LoopSocket() as sock:
        limit_silence(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert (
                sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            )


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secrecy(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for a server and for its clients."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, with_loop_sockets(client)


Secrecy = tuple[ssl.SSLContext, ssl.SSLContext]


def echo_secretly(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def talk(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secret:
            echo(secret)
            secret.unwrap()

    return talk


@in_each_mode
def test_what_is_sent_over_tls_comes_back(run: Run, secrecy: Secrecy) -> None:
    server, client = secrecy

    def talk(address: Any) -> bytes:
        sock = create_connection(address, 20)
        with client.wrap_socket(sock, server_hostname="localhost") as secret:
            assert type(secret) is LoopTLSSocket
            assert secret.gettimeout() == 20
            assert not secret.is_dropped()
            return exchange(secret, MUCH)

    with serving(socket.AF_INET, ("127.0.0.1", 0), echo_secretly(server)) as address:
        assert run(talk, address) == MUCH


@in_each_mode
def test_tls_begins_with_the_connection_and_ends_before_it(
    run: Run, secrecy: Secrecy
) -> None:
    server, client = secrecy

    def talk(address: Any) -> list[Any]:
        with client.wrap_socket(LoopSocket(), server_hostname="localhost") as secret:
            secret.connect(address)
            with secret.makefile("rwb") as file:
                file.write(b"line\n")
                file.flush()
                line = file.readline()
            secret.settimeout(0.01)
            assert (secret.recv_into(bytearray()), secret.recv(0)) == (0, b"")
            with pytest.raises(TimeoutError):
                secret.recv(1)
            secret.settimeout(10)
            with pytest.raises(ssl.SSLWantReadError):
                secret.setblocking(False)
                secret.recv(1)
            return [line, secret.version()]

    def serve(sock: socket.socket) -> None:
        with server.wrap_socket(sock, server_side=True) as secret:
            secret.sendall(secret.recv(100))
            secret.recv(1)

    with serving(socket.AF_INET, ("127.0.0.1", 0), serve) as address:
        assert run(talk, address) == [b"line\n", "TLSv1.3"]


@in_each_mode
def test_a_certificate_of_another_host_is_refused(run: Run, secrecy: Secrecy) -> None:
    server, client = secrecy

    def talk(address: Any) -> None:
        with create_connection(address) as sock:
            client.wrap_socket(sock, server_hostname="elsewhere")

    with (
        serving(socket.AF_INET, ("127.0.0.1", 0), echo_secretly(server)) as address,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        run(talk, address)


def test_a_cancelled_handshake_closes_the_connection(
    pair: Pair, secrecy: Secrecy
) -> None:
    ours, theirs = pair

    async def main() -> None:
        wrap = on_loop(secrecy[1].wrap_socket)
        task = asyncio.create_task(wrap(ours, server_hostname="localhost"))
        hello = await asyncio.to_thread(theirs.recv, 65536)
        assert hello
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(theirs.recv, 1) == b""

    asyncio.run(main())


# Cancelled, closed, collected


def test_a_cancelled_read_leaves_the_socket_as_it_was(pair: Pair) -> None:
    ours, theirs = pair

    async def main() -> bytes:
        task = asyncio.create_task(on_loop(ours.recv)(10))
        await answer(None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        theirs.sendall(b"data")
        return await on_loop(ours.recv)(10)

    assert asyncio.run(main()) == b"data"


def test_who_waits_is_told_that_the_socket_was_closed(pair: Pair) -> None:
    ours, _ = pair

    async def main() -> None:
        task = asyncio.create_task(on_loop(ours.recv)(10))
        await answer(None)
        ours.close()
        with pytest.raises(OSError) as caught:  # noqa: PT011
            await task
        assert caught.value.errno == errno.EBADF

    asyncio.run(main())


@in_each_mode
def test_a_closed_socket_is_refused(run: Run, pair: Pair) -> None:
    ours, _ = pair
    ours.close()
    for operation in (ours.recv, ours.send):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            run(operation, b"" if operation == ours.send else 1)
        assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("end", ["close", "detach", "collect"])
def test_the_number_of_a_descriptor_can_be_used_again(end: str) -> None:
    def talk() -> set[int]:
        numbers = set()
        for _ in range(3):
            ours, theirs = socket.socketpair()
            sock = LoopSocket(fileno=ours.detach())
            numbers.add(sock.fileno())
            sock.settimeout(0.001)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            theirs.sendall(b"a")
            assert sock.recv(1) == b"a"
            if end == "close":
                sock.close()
            elif end == "detach":
                os.close(sock.detach())
            else:
                lost = weakref.ref(sock)
                # As of any socket: that it was not closed.
                with pytest.warns(ResourceWarning, match="unclosed"):
                    del sock
                assert lost() is None
            theirs.close()
        return numbers

    assert len(on_asyncio(talk)) == 1
    assert len(on_uvloop(talk)) == 1


def test_a_descriptor_closed_behind_its_watcher_can_be_used_again() -> None:
    def wait() -> None:
        watchers = []
        for _ in range(2):
            ours, theirs = socket.socketpair()
            watchers.append(Watcher(ours.fileno()))
            theirs.sendall(b"a")
            assert watchers[-1].wait(True, False, 5) == (True, False)
            ours.close()
            theirs.close()
        assert watchers[0].fd == watchers[1].fd
        watchers[0].close()
        watchers[1].close()

    on_asyncio(wait)


def test_an_idle_connection_tells_whether_it_was_dropped(pair: Pair) -> None:
    ours, theirs = pair

    def look() -> list[bool]:
        seen = [ours.is_dropped()]
        theirs.close()
        return [*seen, ours.is_dropped()]

    assert on_asyncio(look) == [False, True]


def test_a_connection_with_an_answer_to_nothing_counts_as_dropped(pair: Pair) -> None:
    pair[1].sendall(b"surprise")
    assert on_asyncio(pair[0].is_dropped)


def test_a_connection_that_has_just_answered_can_be_trusted(pair: Pair) -> None:
    ours, theirs = pair

    def look() -> list[bool]:
        theirs.sendall(b"answer")
        assert ours.recv(6) == b"answer"
        theirs.close()
        return [ours.is_dropped(trusted=math.inf), ours.is_dropped()]

    assert on_asyncio(look) == [False, True]


# Who may use it


Use = Callable[[LoopSocket], Awaitable[Any]]


@pytest.mark.parametrize(
    "use",
    [
        lambda sock: on_loop(sock.recv)(1),
        lambda sock: on_loop(sock.send)(b"a"),
        lambda sock: on_loop(sock.sendall)(b"a"),
    ],
)
def test_a_second_task_is_refused_in_words(use: Use, pair: Pair) -> None:
    ours, theirs = pair

    async def main() -> None:
        task = asyncio.create_task(on_loop(ours.recv)(10))
        await answer(None)
        with pytest.raises(ConnectionOwnershipError) as caught:
            await use(ours)
        assert str(caught.value) == IN_USE.format(ours.fileno())
        theirs.sendall(b"data")
        assert await task == b"data"

    asyncio.run(main())


def test_a_second_watcher_is_refused_while_the_first_waits(pair: Pair) -> None:
    ours, theirs = pair

    async def main() -> None:
        first, second = Watcher(ours.fileno()), Watcher(ours.fileno())
        task = asyncio.create_task(on_loop(first.wait)(True, False))
        await answer(None)
        for watcher in (first, second):
            with pytest.raises(ConnectionOwnershipError, match="was used while"):
                await on_loop(watcher.wait)(True, False)
        theirs.sendall(b"data")
        assert await task == (True, False)
        # It has only kept its reader, and gives way.
        assert await on_loop(second.wait)(True, False) == (True, False)
        assert await on_loop(first.wait)(True, False) == (True, False)
        first.close()
        second.close()

    asyncio.run(main())


def test_on_the_loop_outside_the_bridge_it_is_refused_in_words(pair: Pair) -> None:
    ours, theirs = pair

    async def main() -> None:
        for call in (lambda: ours.recv(1), lambda: ours.sendall(b"a")):
            with pytest.raises(SynchronousOnlyOperation) as caught:
                call()
            assert str(caught.value) == OUTSIDE
        with pytest.raises(SynchronousOnlyOperation):
            create_connection(("localhost", 1))
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        # What cannot wait may be done anywhere.
        assert not ours.is_dropped()
        ours.close()

    asyncio.run(main())
