"""What wakes the watchdog: an alarm that was not put off, or whoever rings."""

import asyncio
import errno
import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from django_async_ext.detection import activation
from django_async_ext.detection.watchdog import alarms
from django_async_ext.detection.watchdog.alarms import Alarm, Bell
from django_async_ext.detection.watchdog.heart import Heart, hearts
from django_async_ext.detection.watchdog.vigil import Vigil

FAR = 3600.0


@pytest.fixture
def alarm() -> Alarm:
    if sys.version_info < (3, 13) or sys.platform != "linux":
        pytest.skip("needs timerfd: Linux, Python 3.13")
    made = alarms.make()
    assert made is not None
    return made


def test_whoever_rings_ends_the_wait_of_another_thread() -> None:
    bell, rung = Bell(), []
    thread = threading.Thread(target=lambda: rung.append(bell.wait(FAR, [])))
    thread.start()
    bell.ring()
    thread.join(60)
    assert rung == [True]


def test_ringing_before_the_wait_ends_that() -> None:
    bell = Bell()
    bell.ring()
    assert bell.wait(FAR, [])
    assert not bell.wait(0.0, [])


def test_an_alarm_ends_the_wait_at_its_time(alarm: Alarm) -> None:
    when = time.monotonic() + 0.05
    alarm.set(when)
    assert not Bell().wait(FAR, [alarm])
    assert time.monotonic() >= when


def test_an_alarm_that_is_put_off_does_not(alarm: Alarm) -> None:
    alarm.set(time.monotonic() + 0.01)
    alarm.set(time.monotonic() + FAR)
    rung = []
    thread = threading.Thread(target=lambda: rung.append(Bell().wait(FAR, [alarm])))
    thread.start()
    thread.join(0.1)
    assert not rung
    alarm.set(time.monotonic())
    thread.join(60)
    assert rung == [False]


@pytest.mark.usefixtures("alarm")
def test_without_a_descriptor_there_is_no_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def create(*args: object, **kwargs: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "timerfd_create", create)
    assert alarms.make() is None


@pytest.mark.usefixtures("alarm")
async def test_an_ended_heart_has_no_descriptor_left() -> None:
    heart = Heart(asyncio.get_running_loop(), FAR, FAR)
    assert heart.alarm is not None
    file = heart.alarm.fileno()
    heart.end()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


@pytest.mark.usefixtures("alarm")
def test_beats_that_are_in_time_do_not_wake_the_watchdog(
    detecting: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    look = Vigil.look

    def noted(vigil: Vigil, now: float, overslept: float) -> float:
        looks.append(now)
        return look(vigil, now, overslept)

    monkeypatch.setattr(Vigil, "look", noted)
    # Late only after a second, so that a busy machine is not.
    detecting(ENDPOINTS="off", PRIMITIVES="off", STALL=2.0, HEARTBEAT=0.01)

    async def main() -> None:
        activation.watch_loop()
        heart = hearts.get()
        while heart.beats < 50:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert 1 <= len(looks) <= 10
