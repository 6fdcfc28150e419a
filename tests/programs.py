"""Servers that tests start for themselves, to stop, restart and misconfigure them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from django_async_ext.loop_socket import JUST_NOW

Server = TypeVar("Server", bound="Redis | Memcached")


def program(name: str) -> str:
    """Find a server's program; without it skip, or in CI fail."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not on PATH: not tested")
    if found is None:
        pytest.skip(f"{name} is not on PATH: not tested")
    return found


def outlast_trust() -> None:
    """Wait until connections that answered lately are looked at again."""
    time.sleep(2 * JUST_NOW)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Redis:
    """A Redis server of a test's own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.port = free_port()
        self.socket = home / "redis.sock"
        self._home = home
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [program("redis-server"), "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--unixsocket", str(self.socket), *self._options]
        self._process = subprocess.Popen(
            command, cwd=self._home, stdout=subprocess.DEVNULL
        )
        await_socket(self.socket, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)
            outlast_trust()

    def pause(self, paused: bool = True) -> None:
        """Make it hang, as a machine that swaps does; or go on."""
        assert self._process is not None
        pause(self._process, paused)


class Memcached:
    """A memcached server of a test's own."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        listen = ["-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        command = [program("memcached"), *user, *listen, *self._options]
        self._process = subprocess.Popen(command)
        await_port(self.port, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            outlast_trust()

    def pause(self, paused: bool = True) -> None:
        assert self._process is not None
        pause(self._process, paused)


def pause(process: subprocess.Popen[bytes], paused: bool) -> None:
    """Stop every thread of ``process``, and see that it has; or let it go on."""
    if paused:
        process.send_signal(signal.SIGSTOP)
        # On another processor it may still answer.
        os.waitpid(process.pid, os.WUNTRACED)
    else:
        process.send_signal(signal.SIGCONT)


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    await_connection(lambda: socket.create_connection(("127.0.0.1", port)), process)


def await_socket(path: Path, process: subprocess.Popen[bytes]) -> None:
    def connect() -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(path))
        except OSError:
            client.close()
            raise
        return client

    await_connection(connect, process)


def await_connection(
    connect: Callable[[], socket.socket], process: subprocess.Popen[bytes]
) -> None:
    for _ in range(200):
        with suppress(OSError), connect():
            return
        if process.poll() is not None:
            pytest.fail(f"{process.args} did not start")
        time.sleep(0.05)
    pytest.fail(f"{process.args} did not answer within 10 s")


@contextmanager
def running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
