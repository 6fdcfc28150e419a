"""The techniques that are compared: how each is switched on, and what it says.

Contract: a technique is used once in a process. ``begin()`` is called on the loop;
``forget()`` before each operation; ``found()`` after it, with what it raised.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from typing import Any, NamedTuple

#: From how many seconds on a technique that measures tells of a callback.
SLOW = 0.05

Place = tuple[str, int]


class Alarm(NamedTuple):
    """What a technique said: of a call or of a stall, where, for which request.

    ``what`` was called, and ``cause`` is by what the machine's load is told apart, if
    the technique tells them.
    """

    kind: str
    places: list[Place]
    path: str | None = None
    cause: str = ""
    what: str = ""


class Technique:
    """Does nothing: what all of them share."""

    about = ""
    settings: dict[str, Any] = {}
    #: Whether Django's own refusal of queries is left on.
    refuses = False

    def begin(self) -> None:
        pass

    async def settle(self) -> None:
        await asyncio.sleep(0)

    def forget(self) -> None:
        pass

    async def found(self, error: BaseException | None) -> list[Alarm]:
        raise NotImplementedError


class Ours(Technique):
    about = "this detector, as it is with DEBUG"
    detection: dict[str, Any] = {}

    def __init__(self) -> None:
        from benchmarks.detector.project import MIDDLEWARE

        self.settings = {
            "MIDDLEWARE": [MIDDLEWARE],
            "ASYNC_EXT": {"DETECTION": self.detection},
        }

    async def settle(self) -> None:
        from django_async_ext.detection import watchdog

        await watchdog.settled()

    def forget(self) -> None:
        from django_async_ext.detection.reports import reports

        reports.clear()

    async def found(self, error: BaseException | None) -> list[Alarm]:
        from django_async_ext.detection.reports import reports

        await self.settle()
        return [self._alarm(report.latest) for report in reports.all()]

    @staticmethod
    def _alarm(one: Any) -> Alarm:
        return Alarm(
            "stall" if one.rule == "stall" else "call",
            [(one.place.file, one.place.line)],
            one.request.path if one.request else None,
            one.cause,
            one.what,
        )


class OursStrict(Ours):
    about = "the same with STRICT"
    detection = {"STRICT": True}


class Raising(Technique):
    """Techniques that raise an error in the call; it may be swallowed on its way."""

    kinds: tuple[type[BaseException], ...] = ()

    async def found(self, error: BaseException | None) -> list[Alarm]:
        await asyncio.sleep(0)
        while error is not None and not isinstance(error, self.kinds):
            error = error.__cause__ or error.__context__
        if error is None:
            return []
        stack = traceback.extract_tb(error.__traceback__)
        return [Alarm("call", [(each.filename, each.lineno or 0) for each in stack])]


class Django(Raising):
    about = "what Django itself refuses in asynchronous code"
    refuses = True

    def begin(self) -> None:
        from django.core.exceptions import SynchronousOnlyOperation

        self.kinds = (SynchronousOnlyOperation,)


class Blockbuster(Raising):
    about = "blockbuster: functions that raise, put in the place of those that block"

    def begin(self) -> None:
        from blockbuster import BlockBuster, BlockingError

        self.kinds = (BlockingError,)
        BlockBuster().activate()


class Timed(Technique):
    """Techniques that tell, after a callback, how long it took."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def forget(self) -> None:
        self.said.clear()

    async def found(self, error: BaseException | None) -> list[Alarm]:
        for _ in range(3):
            await asyncio.sleep(0)
        return [Alarm("stall", _places(text)) for text in self.said]


def _places(text: str) -> list[Place]:
    return [(file, int(line)) for file, line in re.findall(r"(/[^:\s]+):(\d+)", text)]


class Debug(Timed, logging.Handler):
    about = "asyncio's debug mode"

    def __init__(self) -> None:
        Timed.__init__(self)
        logging.Handler.__init__(self)

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = SLOW
        logging.getLogger("asyncio").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if (text := record.getMessage()).startswith("Executing "):
            self.said.append(text)


class Aiodebug(Timed):
    about = "aiodebug: log_slow_callbacks"

    def begin(self) -> None:
        from aiodebug import log_slow_callbacks

        log_slow_callbacks.enable(SLOW, lambda name, duration: self.said.append(name))


TECHNIQUES: dict[str, type[Technique]] = {
    "ours": Ours,
    "ours-strict": OursStrict,
    "blockbuster": Blockbuster,
    "debug": Debug,
    "aiodebug": Aiodebug,
    "django": Django,
}
