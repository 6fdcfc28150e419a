"""Jobs that meet on one connection, stepped by hand in one task."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from django_async_ext.bridge import in_bridge, on_loop
from django_async_ext.db.backends.rendezvous import Rendezvous, run_together

# No statement is sent, so there is nothing to flush after each test.
pytestmark = pytest.mark.django_db


class Meeting:
    """Has what jobs need of a wrapper; writes down what is flushed together."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.flushed: list[list[str]] = []
        self.rendezvous: Rendezvous | None = None
        self.events: list[str] = []

    @contextmanager
    def pipeline(self) -> Iterator[None]:
        self.events.append("enter")
        self.rendezvous = Rendezvous(self.flush, lambda: self.events.append("send"))
        try:
            yield
        finally:
            self.rendezvous = None
            self.events.append("exit")

    def flush(self, queue: list[str], found: dict[Any, Exception | None]) -> None:
        self.flushed.append(list(queue))
        found.update({name: self.errors[name] for name in queue if name in self.errors})

    def ask(self, name: str) -> str:
        assert in_bridge()
        if self.rendezvous is not None:
            self.rendezvous.exchange(name)
        else:
            self.flushed.append([name])
        return name.upper()

    async def query(self, *names: str) -> list[str]:
        return [await on_loop(self.ask)(name) for name in names]

    async def together(self, *jobs: Any, tolerant: bool = False) -> list[Any]:
        return await run_together(self, jobs, tolerant)


async def test_what_is_queued_before_a_stop_is_flushed_together() -> None:
    meeting = Meeting()
    results = await meeting.together(
        lambda: meeting.query("a", "b"),
        lambda: meeting.query("c"),
        lambda: meeting.query("d", "e", "f"),
    )
    assert results == [["A", "B"], ["C"], ["D", "E", "F"]]
    assert meeting.flushed == [["a", "c", "d"], ["b", "e"], ["f"]]
    assert meeting.events == ["enter", "exit"]


async def test_a_job_without_statements_hinders_nobody() -> None:
    meeting = Meeting()

    async def nothing() -> str:
        await asyncio.sleep(0)
        return "nothing"

    results = await meeting.together(nothing, lambda: meeting.query("a"), nothing)
    assert results == ["nothing", ["A"], "nothing"]
    assert await meeting.together() == []


async def test_a_job_may_wait_for_anything_in_between() -> None:
    meeting = Meeting()

    async def slow(name: str) -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, name)
        (answer,) = await meeting.query(await future)
        return answer

    assert await meeting.together(*[lambda: slow("a")] * 3) == ["A", "A", "A"]
    assert meeting.flushed == [["a", "a", "a"]]


async def test_what_is_queued_is_sent_before_a_job_waits_for_anything_else() -> None:
    meeting = Meeting()

    async def slow() -> None:
        assert meeting.events == ["enter"]
        await asyncio.sleep(0)
        assert meeting.events == ["enter", "send"]

    await meeting.together(lambda: meeting.query("a"), slow)
    assert meeting.flushed == [["a"]]


async def test_what_must_be_alone_goes_last_and_one_after_the_other() -> None:
    meeting = Meeting()

    def alone(*names: str) -> list[str]:
        if meeting.rendezvous is not None:
            meeting.rendezvous.wait_alone("a savepoint")
        assert meeting.rendezvous is None
        return [meeting.ask(name) for name in names]

    results = await meeting.together(
        lambda: on_loop(alone)("a", "b"),
        lambda: meeting.query("c", "d"),
        lambda: on_loop(alone)("e"),
    )
    assert results == [["A", "B"], ["C", "D"], ["E"]]
    assert meeting.flushed == [["c"], ["d"], ["a"], ["b"], ["e"]]


async def test_an_error_reaches_the_job_of_its_statement() -> None:
    meeting = Meeting(b=ValueError("b"))
    results = await meeting.together(
        lambda: meeting.query("a"),
        lambda: meeting.query("b", "never"),
        lambda: meeting.query("c", "d"),
        tolerant=True,
    )
    assert results[0] == ["A"]
    assert repr(results[1]) == "ValueError('b')"
    assert results[2] == ["C", "D"]
    assert meeting.flushed == [["a", "b", "c"], ["d"]]


async def test_a_job_may_handle_its_error_and_go_on() -> None:
    meeting = Meeting(a=ValueError("a"))

    async def persistent() -> list[str]:
        with pytest.raises(ValueError, match="a"):
            await meeting.query("a")
        return await meeting.query("b")

    assert await meeting.together(persistent) == [["B"]]


async def test_a_failure_ends_the_other_jobs_as_a_cancellation_would() -> None:
    meeting = Meeting()
    ended: list[str] = []

    async def waiting(name: str) -> None:
        try:
            await meeting.query(name)
            await meeting.query(name)
        except asyncio.CancelledError:
            ended.append(name)
            raise

    async def fail() -> None:
        await meeting.query("c")
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await meeting.together(lambda: waiting("a"), fail, lambda: waiting("b"))
    assert ended == ["a", "b"]
    assert meeting.events == ["enter", "exit"]


async def test_a_job_that_is_ended_may_wait_while_it_cleans_up() -> None:
    meeting = Meeting()
    cleaned: list[list[str]] = []

    async def tidy() -> None:
        try:
            await meeting.query("a", "b")
        finally:
            await asyncio.sleep(0)
            cleaned.append(await meeting.query("clean"))

    async def fail() -> None:
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await meeting.together(tidy, fail)
    assert cleaned == [["CLEAN"]]


async def test_a_job_that_refuses_to_end_is_waited_for() -> None:
    meeting = Meeting()
    ended: list[str] = []

    async def stubborn() -> None:
        for _ in range(2):
            try:
                await meeting.query("a")
            except asyncio.CancelledError:
                continue
        ended.append("stubborn")

    async def fail() -> None:
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        await meeting.together(stubborn, fail)
    assert ended == ["stubborn"]


async def test_jobs_that_had_not_started_are_closed() -> None:
    # A coroutine that nobody awaits would warn, and warnings are errors here.
    meeting = Meeting()
    started: list[int] = []

    async def fail() -> None:
        raise ValueError("failed")

    async def never() -> None:
        started.append(1)

    with pytest.raises(ValueError, match="failed"):
        await meeting.together(fail, never, never)
    assert started == []


async def test_a_cancellation_ends_every_job() -> None:
    meeting = Meeting()
    reached = asyncio.Event()
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await meeting.query(name)
            reached.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(name)
            raise

    jobs = [lambda: wait("a"), lambda: wait("b")]
    task = asyncio.create_task(meeting.together(*jobs, tolerant=True))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["a", "b"]
    assert meeting.events == ["enter", "exit"]


async def test_a_job_runs_in_the_task_of_its_caller() -> None:
    async def who() -> Any:
        await asyncio.sleep(0)
        return asyncio.current_task()

    assert await Meeting().together(who, who) == [asyncio.current_task()] * 2


async def test_a_meeting_that_cannot_be_entered_ends_the_jobs() -> None:
    class Closed(Meeting):
        @contextmanager
        def pipeline(self) -> Iterator[None]:
            raise ConnectionError("closed")
            yield

    meeting = Closed()
    with pytest.raises(ConnectionError, match="closed"):
        await meeting.together(lambda: meeting.query("a"))
