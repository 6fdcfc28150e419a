"""A PostgreSQL server of the tests' own, to be stopped, and a way to it to be cut."""

import asyncio
import sys
import tempfile
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from scripts._services import postgresql


class OwnServer:
    """A server that is started and stopped as often as a test wants."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._binaries = postgresql.find_binaries(Path(sys.executable), home)
        url = postgresql.initialise(self._binaries, home, durable=False)
        self.address: SplitResult = urlsplit(url)
        self._running: AbstractContextManager[None] | None = None

    def start(self) -> None:
        self._running = postgresql.running(self._binaries, self._home)
        self._running.__enter__()

    def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.__exit__(None, None, None)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="async-ext-tests-")


class Network:
    """What lies between the client and the server: it can be cut, and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.is_cut = False
        self.connections = 0

    async def __aenter__(self) -> "Network":
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        # An aborted transport closes its socket in the loop's next turn.
        await asyncio.sleep(0)

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        self.connections += 1
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self._writers.discard(writer)
