"""A network between the tests and their server, which can be made to fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType

#: What of some bytes goes on, and whether anything may follow.
Parts = AsyncIterator[tuple[bytes, bool]]


class Proxy:
    """Forwards TCP connections to ``host:port``, until it is told otherwise.

    Runs on the loop of the test, so that what it does is in the order of the test.
    """

    port: int

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        #: Bytes of an answer that still pass, before all is cut or held.
        self._passing: int | None = None
        self._then_holds = False

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        # An aborted transport closes its socket in the loop's next turn.
        await asyncio.sleep(0)

    @property
    def connections(self) -> int:
        return len(self._links)

    # Faults

    def cut(self, index: int | None = None) -> None:
        """Reset every connection, or only one."""
        links = list(self._links.values())
        for link in links if index is None else links[index % len(links) :][:1]:
            link.abort()

    def hold(self) -> None:
        """Let nothing pass, without a word: a cable that was pulled out."""
        self._flows.clear()

    def let_flow(self) -> None:
        self._flows.set()

    def truncate(self, size: int) -> None:
        """Let ``size`` more bytes of the next answer pass, then reset it."""
        self._passing, self._then_holds = size, False

    def hold_after(self, size: int) -> None:
        """Let ``size`` more bytes of the next answer pass, and the rest later."""
        self._passing, self._then_holds = size, True

    def refuse(self, refuses: bool = True) -> None:
        """Reset new connections at once."""
        self._refuses = refuses

    def heal(self) -> None:
        """Forward everything again."""
        self._passing, self._refuses = None, False
        self._flows.set()

    # Forwarding

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if not self._refuses:
                await self._join(task, reader, writer)
        except (OSError, asyncio.CancelledError):
            # Cut, or the test is over.
            return
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _join(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        await self._flows.wait()
        server = await asyncio.open_connection(*self._target)
        link = self._links[task] = _Link((reader, writer), server)
        try:
            await asyncio.gather(
                link.forward(reader, server[1], self._question),
                link.forward(server[0], writer, self._answer),
            )
        finally:
            link.abort()
            del self._links[task]

    async def _question(self, data: bytes) -> Parts:
        await self._flows.wait()
        yield data, True

    async def _answer(self, data: bytes) -> Parts:
        await self._flows.wait()
        passing, self._passing = self._passing, None
        if passing is None:
            yield data, True
            return
        yield data[:passing], self._then_holds
        if self._then_holds:
            self.hold()
            await self._flows.wait()
            yield data[passing:], True


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection of a client, and the one to the server that it stands for."""

    def __init__(self, client: Stream, server: Stream) -> None:
        self._writers = client[1], server[1]

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passing: Callable[[bytes], Parts],
    ) -> None:
        try:
            goes_on = True
            while goes_on and (data := await reader.read(65536)):
                async for part, goes_on in passing(data):  # noqa: B007
                    writer.write(part)
                    await writer.drain()
            if goes_on:
                writer.write_eof()
            else:
                # The rest of the answer never comes.
                await asyncio.sleep(0)
                self.abort()
        except OSError:
            self.abort()
