"""Waits for descriptors: ready, late, cancelled, and on loops that cannot."""

import asyncio
import contextvars
import gc
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop

from django_async_ext.bridge import await_, on_loop, shielded
from django_async_ext.exceptions import DOCS, NoBridgeError
from django_async_ext.sockets import Watcher, wait_readable, wait_writable
from tests.waiting import answer, current_task, until

PROACTOR = (
    "The running event loop cannot wait for a socket: it has no add_reader(), as the "
    "ProactorEventLoop of Windows has not. Use the selector loop: asyncio.run(main(), "
    f"loop_factory=asyncio.SelectorEventLoop). See {DOCS}#proactor-loop"
)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def fill(ours: socket.socket) -> None:
    """Write until the socket takes no more."""
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        return


def drain(theirs: socket.socket) -> None:
    try:
        while theirs.recv(65536):
            pass
    except BlockingIOError:
        return


def uv_loop() -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop()


on_each_loop = pytest.mark.parametrize("factory", [asyncio.new_event_loop, uv_loop])
Factory = Callable[[], asyncio.AbstractEventLoop]


@on_each_loop
def test_a_socket_with_data_is_readable(pair: Pair, factory: Factory) -> None:
    ours, theirs = pair

    async def main() -> bool:
        asyncio.get_running_loop().call_soon(theirs.send, b"data")
        return await on_loop(wait_readable)(ours.fileno())

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) is True
    assert ours.recv(10) == b"data"


@on_each_loop
def test_a_socket_that_takes_data_is_writable(pair: Pair, factory: Factory) -> None:
    ours, theirs = pair
    fill(ours)

    async def main() -> bool:
        asyncio.get_running_loop().call_soon(drain, theirs)
        return await on_loop(wait_writable)(ours.fileno())

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main()) is True


@on_each_loop
@pytest.mark.parametrize("wait", [wait_readable, wait_writable])
@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_a_socket_that_is_not_ready_in_time_is_not_ready(
    pair: Pair, factory: Factory, wait: Any, timeout: float
) -> None:
    ours, _ = pair
    fill(ours)
    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(on_loop(wait)(ours.fileno(), timeout)) is False


async def test_a_socket_that_is_ready_needs_no_time(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"data")
    assert await on_loop(wait_readable)(ours.fileno(), 0) is True
    assert await on_loop(wait_writable)(ours.fileno(), 0) is True


async def test_a_closed_peer_makes_a_socket_readable(pair: Pair) -> None:
    ours, theirs = pair
    asyncio.get_running_loop().call_soon(theirs.close)
    assert await on_loop(wait_readable)(ours.fileno()) is True
    assert ours.recv(10) == b""


async def test_one_task_reads_while_another_writes_to_the_same_socket(
    pair: Pair,
) -> None:
    ours, theirs = pair
    fill(ours)
    reader = asyncio.create_task(on_loop(wait_readable)(ours.fileno()))
    writer = asyncio.create_task(on_loop(wait_writable)(ours.fileno()))
    await answer(None)
    drain(theirs)
    assert await writer is True
    theirs.send(b"data")
    assert await reader is True


async def test_a_hundred_sockets_are_waited_for_at_once() -> None:
    pairs = [socket.socketpair() for _ in range(100)]

    def echo(ours: socket.socket) -> bytes:
        assert wait_readable(ours.fileno())
        return ours.recv(10)

    echoes = [asyncio.create_task(on_loop(echo)(ours)) for ours, _ in pairs]
    await answer(None)
    for number, (_, theirs) in enumerate(pairs):
        theirs.send(str(number).encode())
    assert await asyncio.gather(*echoes) == [str(n).encode() for n in range(100)]
    for one in sum(pairs, ()):
        one.close()


# A watcher, over many waits


async def test_a_watcher_tells_how_the_socket_is_ready(pair: Pair) -> None:
    ours, theirs = pair
    watcher = Watcher(ours.fileno())

    def work() -> None:
        assert watcher.wait(True, True) == (False, True)
        assert watcher.wait(True, False, 0) == (False, False)
        theirs.send(b"data")
        assert watcher.wait(True, False) == (True, False)
        assert watcher.wait(True, False) == (True, False)
        assert watcher.wait(False, True) == (False, True)
        ours.recv(10)
        assert watcher.wait(True, False, 0) == (False, False)

    await on_loop(work)()
    watcher.close()
    watcher.close()


async def test_data_that_nobody_waits_for_does_not_keep_the_loop_busy(
    pair: Pair,
) -> None:
    ours, theirs = pair
    watcher = Watcher(ours.fileno())
    await on_loop(watcher.wait)(True, False, 0)
    theirs.send(b"data")
    await seen_by_the_loop(ours)
    assert not asyncio.get_running_loop().remove_reader(ours.fileno())
    assert await on_loop(watcher.wait)(True, False) == (True, False)
    watcher.close()


async def test_a_wait_that_nothing_resumes_does_not_keep_the_loop_busy(
    pair: Pair,
) -> None:
    ours, theirs = pair
    watcher = Watcher(ours.fileno())
    left = on_loop(watcher.wait)(True, False)
    left.send(None)
    theirs.send(b"data")
    await seen_by_the_loop(ours)
    assert not asyncio.get_running_loop().remove_reader(ours.fileno())
    left.close()
    assert await on_loop(watcher.wait)(True, False) == (True, False)
    watcher.close()


async def seen_by_the_loop(sock: socket.socket) -> None:
    """Wait until the loop has seen twice that ``sock`` can be read."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    second = os.dup(sock.fileno())
    loop.add_reader(second, lambda: readable.done() or readable.set_result(None))
    await readable
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.remove_reader(second)
    os.close(second)


@pytest.mark.parametrize(
    ("factory", "order"),
    [
        (asyncio.new_event_loop, ["task", "other callback"]),
        (uv_loop, ["other callback", "task"]),
    ],
)
def test_only_a_loop_in_python_resumes_a_task_in_its_callback(
    pair: Pair, factory: Factory, order: list[str]
) -> None:
    # Inside libuv's callbacks the code of a greenlet could damage the C stack.
    ours, theirs = pair
    log: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        watcher = Watcher(ours.fileno())
        task = asyncio.create_task(on_loop(lambda: wait_and_log(watcher))())
        await answer(None)
        second, sender = socket.socketpair()
        with second, sender:
            loop.add_reader(second, log.append, "other callback")
            theirs.send(b"data")
            sender.send(b"data")
            await task
            loop.remove_reader(second)
        watcher.close()

    def wait_and_log(watcher: Watcher) -> None:
        watcher.wait(True, False)
        log.append("task")
        ours.recv(16)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
    assert list(dict.fromkeys(log))[:2] == order


async def test_a_closed_watcher_leaves_nothing_with_the_loop(pair: Pair) -> None:
    ours, _ = pair
    fill(ours)
    watcher, loop = Watcher(ours.fileno()), asyncio.get_running_loop()
    await on_loop(watcher.wait)(True, True, 0)
    watcher.close()
    assert not loop.remove_reader(ours.fileno())
    assert not loop.remove_writer(ours.fileno())


async def test_a_watcher_keeps_nothing_of_the_task_that_waited_first(
    pair: Pair,
) -> None:
    class Request: ...

    request: contextvars.ContextVar[Request] = contextvars.ContextVar("request")
    watcher = Watcher(pair[0].fileno())

    async def handle() -> Any:
        request.set(Request())
        await on_loop(watcher.wait)(True, False, 0)
        return weakref.ref(request.get())

    seen = await asyncio.create_task(handle())
    await answer(None)
    gc.collect()
    assert seen() is None
    watcher.close()


async def test_a_context_stays_with_its_task_over_the_waits(pair: Pair) -> None:
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number")
    pairs = [socket.socketpair() for _ in range(20)]

    def work(index: int, ours: socket.socket) -> None:
        number.set(index)
        watcher = Watcher(ours.fileno())
        for _ in range(3):
            watcher.wait(True, False)
            ours.recv(1)
            assert number.get() == index
            assert current_task().get_name() == str(index)
        watcher.close()

    async with asyncio.TaskGroup() as tasks:
        for index, (ours, theirs) in enumerate(pairs):
            theirs.send(b"abc")
            tasks.create_task(on_loop(work)(index, ours), name=str(index))
    for one in sum(pairs, ()):
        one.close()


# Interrupted


async def test_a_wait_is_cancelled_and_the_socket_still_good(pair: Pair) -> None:
    ours, theirs = pair
    task = asyncio.create_task(on_loop(wait_readable)(ours.fileno()))
    await answer(None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not asyncio.get_running_loop().remove_reader(ours.fileno())
    theirs.send(b"data")
    assert await on_loop(wait_readable)(ours.fileno()) is True


async def test_cancelled_and_ready_in_the_same_turn_it_is_cancelled(
    pair: Pair,
) -> None:
    ours, theirs = pair
    task = asyncio.create_task(on_loop(wait_readable)(ours.fileno()))
    await answer(None)
    theirs.send(b"data")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_can_be_shielded(pair: Pair) -> None:
    ours, theirs = pair
    log: list[bool] = []

    def work() -> None:
        with shielded():
            log.append(wait_readable(ours.fileno()))
        await_(answer(None))

    task = asyncio.create_task(on_loop(work)())
    await answer(None)
    task.cancel()
    await answer(None)
    assert not task.done()
    theirs.send(b"data")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [True]


async def test_a_short_wait_after_a_long_one_ends_in_its_own_time(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"data")

    def work() -> list[Any]:
        watcher = Watcher(ours.fileno())
        answers = [watcher.wait(True, False, 1000)]
        ours.recv(100)
        answers.append(watcher.wait(True, False, 0.001))
        watcher.close()
        return answers

    assert await on_loop(work)() == [(True, False), (False, False)]


async def test_a_long_wait_after_a_short_one_is_not_cut_short(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"data")
    watcher = Watcher(ours.fileno())

    def work() -> list[Any]:
        answers = [watcher.wait(True, False, 0.001)]
        ours.recv(100)
        return [*answers, watcher.wait(True, False, 1000)]

    task = asyncio.create_task(on_loop(work)())
    # Until the clock was looked at, and the end of the second wait was seen.
    soon = watcher.loop.time() + 100
    await until(lambda: watcher._timer is not None and watcher._timer.when() > soon)
    assert not task.done()
    theirs.send(b"more")
    assert await task == [(True, False), (True, False)]
    timer = watcher._timer
    watcher.close()
    assert timer is not None
    assert timer.cancelled()


async def test_a_timeout_of_asyncio_ends_a_wait(pair: Pair) -> None:
    async def limited() -> None:
        async with asyncio.timeout(0):
            await on_loop(wait_readable)(pair[0].fileno())

    with pytest.raises(TimeoutError):
        await limited()


@on_each_loop
def test_a_watcher_outlives_its_loop(pair: Pair, factory: Factory) -> None:
    ours, _ = pair
    fill(ours)
    loop = factory()
    watchers: list[Watcher] = []
    log: list[str] = []

    def work() -> None:
        watchers.append(Watcher(ours.fileno()))
        try:
            watchers[0].wait(True, True)
        finally:
            log.append("interrupted")

    task = loop.create_task(on_loop(work)())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    task.get_coro().close()
    watchers[0].close()
    assert log == ["interrupted"]


# Where it cannot be


def test_without_a_loop_there_is_nothing_to_wait_on(pair: Pair) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        wait_readable(pair[0].fileno())


async def test_outside_the_bridge_a_wait_is_refused(pair: Pair) -> None:
    with pytest.raises(NoBridgeError):
        wait_readable(pair[0].fileno())
    assert not asyncio.get_running_loop().remove_reader(pair[0].fileno())


async def test_a_closed_descriptor_is_refused_by_the_loop(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        await on_loop(wait_readable)(pair[0].fileno())


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """Lacks what the ProactorEventLoop of Windows lacks."""

    add_reader = asyncio.AbstractEventLoop.add_reader
    add_writer = asyncio.AbstractEventLoop.add_writer
    remove_reader = asyncio.AbstractEventLoop.remove_reader
    remove_writer = asyncio.AbstractEventLoop.remove_writer


@pytest.mark.parametrize("wait", [wait_readable, wait_writable])
def test_a_loop_that_cannot_wait_is_refused_in_words(pair: Pair, wait: Any) -> None:
    with (
        asyncio.Runner(loop_factory=LoopWithoutReaders) as runner,
        pytest.raises(RuntimeError) as caught,
    ):
        runner.run(on_loop(wait)(pair[0].fileno()))
    assert type(caught.value) is RuntimeError
    assert str(caught.value) == PROACTOR
