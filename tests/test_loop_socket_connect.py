"""A connection that is interrupted while it is made."""

import asyncio
import socket
from pathlib import Path

import pytest

from django_async_ext.bridge import on_loop
from django_async_ext.loop_socket import LoopSocket


async def test_a_cancelled_connect_closes_the_socket(tmp_path: Path) -> None:
    address = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as other,
        LoopSocket(socket.AF_UNIX) as sock,
    ):
        listener.bind(address)
        listener.listen(0)
        other.connect(address)
        task = asyncio.create_task(on_loop(sock.connect)(address))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sock.fileno() == -1


async def test_a_refused_connect_leaves_the_socket_to_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    with LoopSocket() as sock:
        with pytest.raises(ConnectionRefusedError):
            await on_loop(sock.connect)(address)
        assert sock.fileno() != -1
