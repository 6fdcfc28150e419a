"""Commands of several tasks in one write and one read, by redis-py's own pipeline.

Contract: inside the bridge only. A command has a connection to itself, as in redis-py,
while few are in use. Beyond that, what tasks ask for in one turn of the loop goes out
together: one system call for all instead of one for each. Every task gets its own
answer or its own error, and one that is cancelled leaves the others theirs.

Known elsewhere as automatic pipelining: ioredis, go-redis and coredis have it.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis import Redis

from django_async_ext.bridge import await_, run
from django_async_ext.cache.redis_loop import check_packable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_async_ext.cache.redis_loop import LoopConnectionPool

#: The commands of caches. None waits for other clients, or changes its connection.
_SHARING = {
    *("GET", "MGET", "EXISTS", "SET", "DEL", "EXPIRE", "PERSIST"),
    *("INCRBY", "EVALSHA"),
}
#: With so many connections in use, commands share one.
_FEW = 2
#: The most that wait for each other's answers.
_MOST = 100


class _Command(NamedTuple):
    """What ``execute_command()`` got, and what it is to return."""

    args: tuple[Any, ...]
    options: dict[str, Any]
    answer: asyncio.Future[Any]

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def succeed(self, value: Any) -> None:
        if isinstance(value, Exception):
            self.fail(value)
        elif not self.answer.done():
            self.answer.set_result(value)


class _Batch:
    """Commands that go out together in the next turn of the loop."""

    def __init__(self, client: PipeliningRedis) -> None:
        self._client = client
        self._commands: list[_Command] = []
        self._waiting = 0
        # It is nobody's request: whose context could it have?
        self._task = asyncio.Task(
            run(self._execute), name="Redis pipeline", context=Context()
        )
        self._task.add_done_callback(self._end)

    def execute(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Send a command with the others; wait for its answer."""
        command = _Command(args, options, asyncio.get_running_loop().create_future())
        self._commands.append(command)
        if len(self._commands) == _MOST:
            self._close()
        self._waiting += 1
        try:
            return await_(command.answer)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._close()
                self._task.cancel()

    def _close(self) -> None:
        if self._client.batch is self:
            self._client.batch = None

    def _execute(self) -> list[Any]:
        self._close()
        self._commands = [each for each in self._commands if not each.answer.done()]
        return self._client.execute_all(self._commands)

    def _end(self, task: asyncio.Task[list[Any]]) -> None:
        self._close()
        if task.cancelled():
            for command in self._commands:
                command.answer.cancel()
        elif (error := task.exception()) is not None:
            for command in self._commands:
                command.fail(_own(error))
        else:
            for command, value in zip(self._commands, task.result(), strict=True):
                command.succeed(value)


def _own(error: BaseException) -> BaseException:
    """Return ``error`` for one task more: each that raises it writes into it."""
    try:
        return copy(error).with_traceback(error.__traceback__)
    except Exception:  # noqa: BLE001
        # Its class cannot be called with what it keeps as its arguments.
        return error


class PipeliningRedis(Redis):
    """redis-py's client, shared by all tasks of one event loop."""

    batch: _Batch | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Follow redis-py."""
        if args[0] not in _SHARING or not self._shares():
            execute: Any = super().execute_command
            return execute(*args, **options)
        # In a pipeline it would take with it what other tasks have asked for.
        check_packable(args, self.get_encoder())
        if self.batch is None:
            self.batch = _Batch(self)
        return self.batch.execute(args, options)

    def _shares(self) -> bool:
        pool = cast("LoopConnectionPool", self.connection_pool)
        return self.batch is not None or pool.in_use >= _FEW

    def execute_all(self, commands: Sequence[_Command]) -> list[Any]:
        """Return the answer to each, or the error with which the server answered."""
        execute: Any = super().execute_command
        if len(commands) == 1:
            return [execute(*commands[0].args, **commands[0].options)]
        pipeline: Any = self.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command.args, **command.options)
        return list(pipeline.execute(raise_on_error=False))
