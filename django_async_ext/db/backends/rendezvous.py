"""Runs several jobs on one connection, in one task, sharing round trips.

Contract: each job is a coroutine that is stepped by hand. A statement of a job
is queued on the connection and the job stops at the rendezvous; when all jobs
have stopped there, the first to go on sends the queue and reads all answers.
So N statements cost one round trip. What cannot be pipelined (a savepoint, a
server-side cursor) waits until it has the connection for itself.

Follows no Django code: the jobs do, unchanged, between their stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import AbstractContextManager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

from django_async_ext.bridge import await_, run, stepping
from django_async_ext.driving import AsIs

logger = logging.getLogger("django_async_ext.db")


class Stop:
    """What a job waits for when it stops until the others have stopped too."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield self


QUEUED = Stop()
ALONE = Stop()


class Rendezvous:
    """The meeting of the jobs on one connection.

    ``flush`` sends what was queued by the given cursors, reads all answers, and puts
    the errors by cursor into the dict that it is given, None for what must run again;
    ``send`` only sends, as much as can be at once.
    """

    #: Whether the queue begins the transaction that its statements are in.
    has_begun = False

    def __init__(
        self,
        flush: Callable[[list[Any], dict[Any, Exception | None]], None],
        send: Callable[[], None],
    ) -> None:
        self._flush, self._send = flush, send
        self._queue: list[Any] = []
        self._errors: dict[Any, Exception | None] = {}

    def exchange(self, cursor: Any, is_read: bool = True) -> bool:
        """Stop after queueing the statement of ``cursor``; return when answered.

        False means that it had no effect, because of another one that failed.
        """
        if not is_read:
            for job in _jobs():
                if job.wrapper.rendezvous is self:
                    job.written.add(job.wrapper)
        self._queue.append(cursor)
        await_(QUEUED)
        if cursor in self._queue:
            queue, self._queue = self._queue, []
            self._flush(queue, self._errors)
        if cursor not in self._errors:
            return True
        if error := self._errors.pop(cursor):
            raise error
        return False

    def send(self) -> None:
        """Have the server begin with what is queued, if anything is."""
        if self._queue:
            self._send()

    @staticmethod
    def wait_alone(what: str) -> None:
        """Stop until every job that can be pipelined has ended; log ``what`` cannot."""
        logger.debug("gather_queries() runs %s alone, which no pipeline can", what)
        await_(ALONE)


class _Job:
    """A job on the connection of ``wrapper``, where it stands, and its result."""

    def __init__(self, wrapper: Any, function: Callable[[], Awaitable[Any]]) -> None:
        self.wrapper = wrapper
        self.coroutine: Coroutine[Any, Any, Any] = function()  # type: ignore[assignment]
        self.resume: Callable[[], Any] = partial(self.coroutine.send, None)
        #: As a task of its own would have: what it sets, no other job sees.
        self.context = copy_context()
        #: That in which it was gathered, if it was.
        self.parent = _running.get()
        self.task = asyncio.current_task()
        self.context.run(_running.set, self)
        self.alone = False
        self.ended = False
        #: The wrappers in whose transactions it has written, or may have.
        self.written: set[Any] = set()
        self.result: Any = None
        #: What it raised when it was cancelled.
        self.error: BaseException | None = None

    async def advance(self) -> None:
        """Run until the job has ended or stops at the rendezvous."""
        while True:
            try:
                with stepping():
                    yielded = self.context.run(self.resume)
            except StopIteration as stop:
                self.ended, self.result = True, stop.value
                return
            except BaseException:
                self.ended = True
                raise
            if isinstance(yielded, Stop):
                self.alone = yielded is ALONE
                self.resume = partial(self.coroutine.send, None)
                return
            await self._wait(yielded)

    async def _wait(self, yielded: Any) -> None:
        if self.wrapper.rendezvous is not None:
            # The server need not be idle until the jobs meet.
            self.wrapper.rendezvous.send()
        try:
            value = await AsIs(yielded)
        except BaseException as error:
            self.resume = partial(self.coroutine.throw, error)
        else:
            self.resume = partial(self.coroutine.send, value)

    async def cancel(self) -> None:
        """End the job as a cancelled task would end."""
        cancelled = asyncio.CancelledError()
        for wrapper in self.written:
            # Half of what it had to write must not be committed.
            wrapper.doom(cancelled)
        self.resume = partial(self.coroutine.throw, cancelled)
        while not self.ended:
            try:
                await self.advance()
            except BaseException as error:
                self.error = error


#: In the context of a job, that job.
_running: ContextVar[_Job | None] = ContextVar("running", default=None)


def _jobs() -> Iterator[_Job]:
    """Give the job that runs, then that in which it was gathered, and so on.

    None to a task that a job has started: what that does, no job does.
    """
    job = _running.get()
    if job is None or asyncio._get_running_loop() is None:
        return
    task = asyncio.current_task()
    while job is not None and job.task is task:
        yield job
        job = job.parent


def note_use(wrapper: Any, *, writes: bool = False) -> None:
    """Remember that the running job, if any, is in the transaction of ``wrapper``.

    On the connection where its jobs meet that is looked at for each statement.
    """
    for job in _jobs():
        if writes or job.wrapper is not wrapper:
            job.written.add(wrapper)


def _is_meeting() -> bool:
    """Tell whether the running code is a job's whose fellows may stop for it."""
    return any(job.wrapper.rendezvous is not None for job in _jobs())


def leave_meeting(what: str) -> None:
    """Have the running job go on alone, for what must not be shared; in the bridge."""
    if _is_meeting():
        Rendezvous.wait_alone(what)


async def aleave_meeting() -> None:
    """Have the running job go on alone, before it waits for another one."""
    if _is_meeting():
        await ALONE


async def run_together(
    wrapper: Any, functions: Sequence[Callable[[], Awaitable[Any]]], tolerant: bool
) -> list[Any]:
    """Run the jobs on the connection of ``wrapper``; return their results.

    The first failure cancels the rest and is raised; when ``tolerant`` it is
    among the results.
    """
    jobs = [_Job(wrapper, function) for function in functions]
    is_nested = _is_meeting()
    try:
        meeting: AbstractContextManager[None] = wrapper.pipeline()
        await run(meeting.__enter__)
        try:
            await _in_rounds(jobs, tolerant)
        except BaseException as error:
            # Told of it, or on a lost connection it would raise an error of its own.
            await run(meeting.__exit__, type(error), error, error.__traceback__)
            raise
        await run(meeting.__exit__, None, None, None)
        if is_nested and not all(job.ended for job in jobs):
            await ALONE
        for job in jobs:
            while not job.ended:
                await _advance(job, tolerant)
    except asyncio.CancelledError:
        before = _cancellations()
        await _end(jobs)
        if before and not _cancellations():
            raise _claimed(jobs) from None
        raise
    finally:
        await _end(jobs)
    return [job.result for job in jobs]


async def _end(jobs: Sequence[_Job]) -> None:
    before = _cancellations()
    for job in jobs:
        if not job.ended:
            await job.cancel()
    if _cancellations() > before:
        # It came while they cleaned up, and one of them had it.
        raise asyncio.CancelledError


def _claimed(jobs: Sequence[_Job]) -> BaseException:
    """Return the error of the job whose timeout or task group cancelled another one.

    They share a task, which is all that these know of.
    """
    for job in jobs:
        if not isinstance(job.error, asyncio.CancelledError | None):
            return job.error
    return TimeoutError(
        "The timeout of a job of gather_queries() cancelled another one."
    )


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _in_rounds(jobs: Sequence[_Job], tolerant: bool) -> None:
    while active := [job for job in jobs if not (job.ended or job.alone)]:
        for job in active:
            await _advance(job, tolerant)


async def _advance(job: _Job, tolerant: bool) -> None:
    try:
        await job.advance()
    except TOLERATED as error:
        if not tolerant or is_cancelled(error):
            raise
        job.result = error


#: What may be among the results, as asyncio.gather() has it.
TOLERATED = (Exception, asyncio.CancelledError)


def is_cancelled(error: BaseException) -> bool:
    """Tell whether ``error`` cancels the running task, not only what it awaits."""
    return isinstance(error, asyncio.CancelledError) and _cancellations() > 0
