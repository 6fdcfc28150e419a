"""A look from another thread: which line, which task, which request."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from django.http import HttpRequest

from django_async_ext.bridge import awaiting_frame, on_loop
from django_async_ext.detection import allow_blocking, requests
from django_async_ext.detection.watchdog import sampling
from django_async_ext.detection.watchdog.heart import Heart
from django_async_ext.detection.watchdog.sampling import Look, Sample
from django_async_ext.driving import implicit_waits

RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    return RUNNERS[request.param]  # type: ignore[no-any-return]


class Watched:
    """A loop that another thread looks at, while ``block()`` keeps it."""

    def __init__(self) -> None:
        self.heart = Heart(asyncio.get_running_loop(), 3600.0, 3600.0)
        self.asked, self.answered = threading.Event(), threading.Event()
        self.looks: list[Look] = []
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while self.asked.wait(10) and not self.answered.is_set():
            self.looks.append(sampling.look(self.heart))
            self.answered.set()

    def block(self) -> None:
        self.asked.set()
        self.answered.wait(10)

    def sample(self) -> Sample:
        self.thread.join()
        self.heart.end()
        sample = self.looks[0].sample
        assert sample is not None
        return sample


def names(sample: Sample) -> list[str]:
    return [place.function.rpartition(".")[2] for place in sample.stack]


def test_a_task_is_told_with_its_line_and_its_request(run: Any) -> None:
    request = HttpRequest()
    request.method, request.path = "GET", "/here/"

    async def view(watched: Watched) -> None:
        requests.running.set(request)
        watched.block()

    async def main() -> Sample:
        watched = Watched()
        await asyncio.create_task(view(watched), name="the view")
        return watched.sample()

    sample = run(main())
    assert sample.task == "the view"
    assert sample.request == requests.RequestInfo("GET", "/here/", "", "")
    assert sample.place.function == f"{__name__}.Watched.block"
    assert names(sample)[-2:] == ["block", "view"]
    assert not sample.allowed


def test_of_a_callback_there_is_the_line(run: Any) -> None:
    async def main() -> Sample:
        watched, done = Watched(), asyncio.Event()

        def callback() -> None:
            watched.block()
            done.set()

        # uvloop shows which code calls its callbacks as soon as it has called one.
        await asyncio.sleep(0)
        watched.heart._beat()
        asyncio.get_running_loop().call_soon(callback)
        await done.wait()
        return watched.sample()

    sample = run(main())
    assert sample.task == ""
    assert names(sample)[-2:] == ["block", "callback"]


def test_in_the_bridge_the_stack_goes_on_outside(run: Any) -> None:
    async def view(watched: Watched) -> None:
        await on_loop(watched.block)()

    async def main() -> Sample:
        watched = Watched()
        await asyncio.create_task(view(watched))
        return watched.sample()

    found = names(run(main()))
    assert found.index("block") < found.index("_serve_calls") < found.index("view")


def test_a_coroutine_that_is_driven_in_the_bridge_is_on_the_stack(run: Any) -> None:
    @implicit_waits
    async def view(watched: Watched) -> None:
        watched.block()

    async def main() -> Sample:
        watched = Watched()
        await asyncio.create_task(view(watched))
        return watched.sample()

    found = names(run(main()))
    assert found.index("block") < found.index("view") < found.index("_serve_calls")


def test_outside_the_bridge_no_frame_awaits() -> None:
    import sys

    assert awaiting_frame() is None
    assert awaiting_frame(sys._getframe()) is None


def test_an_idle_loop_runs_nothing(run: Any) -> None:
    async def main() -> Look:
        heart = Heart(asyncio.get_running_loop(), 3600.0, 3600.0)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        looks: list[Look] = []

        def look() -> None:
            # Until the loop waits: it may have been in the midst of something.
            while not looks or looks[-1].sample is not None:
                looks.append(sampling.look(heart))
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=look)
        thread.start()
        await done.wait()
        thread.join()
        heart.end()
        return looks[-1]

    look = run(main())
    assert look.sample is None
    assert any(place.function.endswith("look") for place in look.threads.values())


def test_what_is_allowed_is_told(run: Any) -> None:
    async def view(watched: Watched) -> None:
        with allow_blocking("tests"):
            watched.block()

    async def main() -> Sample:
        watched = Watched()
        await asyncio.create_task(view(watched))
        return watched.sample()

    assert run(main()).allowed


def test_a_debugger_may_stop_the_loop(run: Any) -> None:
    async def main() -> Sample:
        watched = Watched()
        names = {"block": watched.block, "__name__": "pdb"}
        exec("def set_trace():\n    block()", names)

        async def view() -> None:
            names["set_trace"]()  # type: ignore[operator]

        await asyncio.create_task(view())
        return watched.sample()

    assert run(main()).allowed
