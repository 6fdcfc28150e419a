"""The thread that watches: which loops, since when, until when."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password

from django_async_ext.detection import activation, allow_blocking, watchdog
from django_async_ext.detection.reports import reports
from django_async_ext.detection.watchdog import NAME, settled
from django_async_ext.detection.watchdog.heart import hearts
from django_async_ext.detection.watchdog.vigil import Vigil

RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
OTHERS = {"ENDPOINTS": "off", "PRIMITIVES": "off"}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Any:
    return RUNNERS[request.param]


@pytest.fixture
def started(detecting: Callable[..., None]) -> None:
    detecting(**OTHERS, STALL=0.05, HEARTBEAT=0.01)


class SlowHasher(PBKDF2PasswordHasher):
    iterations = 400_000


def watchdogs() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == NAME]


def block(seconds: float = 0.2) -> None:
    time.sleep(seconds)


async def stalls_of(line: str) -> int:
    """How often the loop stood still in a function of that name, as reported."""
    await settled()
    found = [r for r in reports.all() if r.latest.place.function.endswith(line)]
    return sum(each.stalls for each in found)


@pytest.mark.usefixtures("started")
def test_a_stall_is_found_on_a_loop_that_is_watched(run: Any) -> None:
    async def main() -> None:
        activation.watch_loop()
        while not await stalls_of("block"):
            block()

    run(main())
    (report,) = [each for each in reports.all() if each.latest.cause != "starved"]
    assert report.latest.place.file == __file__
    assert report.longest >= 0.1


def test_a_guarded_call_and_the_stall_that_it_causes_are_one_report(
    run: Any, detecting: Callable[..., None], settings: Any
) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.SlowHasher"]
    detecting(ENDPOINTS="record", PRIMITIVES="off", STALL=0.05, HEARTBEAT=0.01)

    async def main() -> None:
        activation.watch_loop()
        while not await stalls_of("main"):
            make_password("secret")

    run(main())
    here = [each for each in reports.all() if each.latest.place.file == __file__]
    (report,) = [each for each in here if each.latest.place.function.endswith("main")]
    assert report.latest.rule == "hashing"
    assert report.count >= report.stalls >= 1
    assert report.longest >= 0.05


@pytest.mark.usefixtures("started")
def test_a_loop_that_is_not_watched_costs_nothing(run: Any) -> None:
    async def main() -> None:
        block()
        await settled()

    before = watchdogs()
    run(main())
    # That of an earlier test may be ending meanwhile.
    assert not [thread for thread in watchdogs() if thread not in before]
    assert not hearts.values
    assert not reports.all()


@pytest.mark.usefixtures("started")
def test_what_fails_for_one_loop_is_tried_again_a_second_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def look(vigil: Vigil, now: float, overslept: float) -> float:
        # As one whose alarm has rung, which another loop's failure left unseen.
        vigil.rests = True
        raise RuntimeError("Something is wrong.")

    async def main() -> None:
        monkeypatch.setattr(Vigil, "look", look)
        activation.watch_loop()
        block(1.5)

    asyncio.run(main())
    failures = [each for each in caplog.records if "it goes on" in each.message]
    # One of them for the ring when the loop began.
    assert 1 <= len(failures) <= 6


@pytest.mark.usefixtures("started")
def test_a_thread_that_cannot_start_is_logged_and_no_loop_watched(
    run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        activation.watch_loop()
        activation.watch_loop()
        monkeypatch.undo()

    run(main())
    assert not hearts.values
    (record,) = caplog.records
    assert record.message.startswith("The watchdog cannot start; no loop is watched.")
    assert record.message.endswith("#watchdog-cannot-start")


def test_without_the_layer_no_loop_is_watched() -> None:
    async def main() -> None:
        activation.watch_loop()
        watchdog.watch()
        assert not hearts.values

    asyncio.run(main())


@pytest.mark.usefixtures("started")
def test_a_loop_is_watched_until_it_ends(run: Any) -> None:
    async def main() -> None:
        activation.watch_loop()
        activation.watch_loop()
        assert len(hearts.values) == 1

    run(main())
    assert not hearts.values


@pytest.mark.usefixtures("started")
def test_one_thread_watches_all_loops_of_the_process(run: Any) -> None:
    both = threading.Barrier(2)
    seen: list[list[threading.Thread]] = []

    async def main() -> None:
        both.wait(10)
        activation.watch_loop()
        while not await stalls_of("block"):
            block()
        seen.append(watchdogs())

    threads = [threading.Thread(target=run, args=(main(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {len(each) for each in seen} == {1}


@pytest.mark.usefixtures("started")
def test_the_thread_ends_with_the_layer_and_the_timers_too(run: Any) -> None:
    async def main() -> None:
        activation.watch_loop()
        (thread,) = watchdogs()
        (heart,) = hearts.values.values()
        activation.stop()
        assert not hearts.values
        await asyncio.to_thread(thread.join)
        beats = heart.beats
        heart._beat()
        assert heart.beats == beats

    run(main())


@pytest.mark.usefixtures("started")
def test_allowed_stalls_are_not_reported(run: Any) -> None:
    async def main() -> None:
        activation.watch_loop()
        with allow_blocking("tests"):
            block()
        assert not await stalls_of("block")

    run(main())


def test_allow_of_the_settings_holds_for_stalls(
    run: Any, detecting: Callable[..., None]
) -> None:
    allow = [f"{__name__}.block"]
    detecting(**OTHERS, STALL=0.05, HEARTBEAT=0.01, ALLOW=allow)

    async def main() -> None:
        activation.watch_loop()
        block()
        assert not await stalls_of("block")

    run(main())


@pytest.mark.usefixtures("started")
def test_a_loop_that_stands_still_because_it_is_not_run_is_no_stall() -> None:
    async def watched() -> Any:
        activation.watch_loop()
        return hearts.get()

    async def again() -> None:
        activation.watch_loop()
        await settled()

    with asyncio.Runner() as runner:
        heart = runner.run(watched())
        while not heart.paused:
            threading.Event().wait(0.001)
        runner.run(again())
        assert not heart.paused
        assert heart.lag.stalls == 0


@pytest.mark.usefixtures("started")
def test_a_loop_may_go_on_in_another_thread(run: Any) -> None:
    async def main() -> int:
        activation.watch_loop()
        await settled()
        return hearts.get().thread

    loop = asyncio.new_event_loop()
    found = [loop.run_until_complete(main())]
    thread = threading.Thread(
        target=lambda: found.append(loop.run_until_complete(main()))
    )
    thread.start()
    thread.join()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    assert found == [threading.get_ident(), thread.ident]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
@pytest.mark.usefixtures("started")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_watches_its_own_loops() -> None:
    async def child() -> None:
        assert not hearts.values
        activation.watch_loop()
        while not await stalls_of("block"):
            block()

    async def main() -> int:
        activation.watch_loop()
        await settled()
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.events._set_running_loop(None)
                asyncio.run(child())
                os._exit(0)
            finally:
                os._exit(1)
        return await asyncio.to_thread(lambda: os.waitpid(pid, 0)[1])

    assert asyncio.run(main()) == 0


@pytest.mark.usefixtures("started")
def test_what_goes_wrong_is_logged_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stock, failed = watchdog.Vigil.look, []

    def look(self: Any, now: float, overslept: float) -> float:
        if not failed:
            failed.append(now)
            raise ZeroDivisionError
        return stock(self, now, overslept)

    monkeypatch.setattr(watchdog.Vigil, "look", look)

    async def main() -> None:
        activation.watch_loop()
        await settled()

    asyncio.run(main())
    assert "The watchdog failed; it goes on." in caplog.text
