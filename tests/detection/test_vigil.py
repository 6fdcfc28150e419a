"""The vigil samples while a beat is late, and explains the stall afterwards."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import Key
from django_async_ext.detection.watchdog import stalls
from django_async_ext.detection.watchdog.alarms import Alarm
from django_async_ext.detection.watchdog.causes import Scheduling, Threads, Times
from django_async_ext.detection.watchdog.heart import Heart, Late
from django_async_ext.detection.watchdog.sampling import Instruction, Look, Sample
from django_async_ext.detection.watchdog.vigil import LONG, MOST, REST, Vigil

KEY: Key = ("stall", "file.py", 1, "")


def sample(turn: object = 1, line: int = 1) -> Sample:
    place = Place("file.py", line, "module.function")
    here = Instruction(sample.__code__, 0, {})
    return Sample(turn, "Task-1", None, place, (place,), (), here, None, False)


class Scene:
    """A vigil whose beats, looks and times a test gives itself."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        # So rarely that it beats when the test says so, and only then.
        self.heart = Heart(loop, 3600.0, 0.04)
        self.heart.interval, self.heart.alarm = 0.01, None
        self.heart.last, self.heart.due = 100.0, 100.01
        self.looks: list[Look] = []
        self.reported: list[stalls.Stall] = []
        self.key: Key | None = KEY
        own = Scheduling(threading.get_native_id())
        self.vigil = Vigil(self.heart, Threads(), own, self._take, self._report)
        self.own = own

    def _take(self, heart: Heart) -> Look:
        return self.looks.pop(0) if self.looks else Look(sample(), {})

    def _report(self, stall: stalls.Stall) -> Key | None:
        self.reported.append(stall)
        return self.key

    def beat(self, now: float, **measured: float) -> None:
        """Beat at ``now``, as a heart does."""
        heart = self.heart
        if now - heart.due >= heart.late:
            times = {"own": 0.0, "others": 0.0, "queued": 0.0} | measured
            number = heart.beats + 1
            heart.missed.append(Late(number, heart.last, heart.due, now, **times))
        heart.last, heart.due = now, now + 0.01
        heart.beats += 1

    def end(self) -> None:
        self.heart.end()
        self.own.close()


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    scene.end()


async def test_it_looks_again_when_the_next_beat_would_be_late(scene: Scene) -> None:
    assert round(scene.vigil.look(100.0, 0.0), 6) == 100.03
    scene.beat(100.01)
    assert round(scene.vigil.look(100.03, 0.0), 6) == 100.04
    assert not scene.reported


async def test_a_late_beat_is_sampled_until_it_comes(scene: Scene) -> None:
    scene.vigil.look(100.0, 0.0)
    now, times = 100.03, []
    while now < 100.3:
        times.append(now)
        now = scene.vigil.look(now, 0.0)
    scene.beat(100.3, own=0.25)
    scene.vigil.look(now, 0.0)
    (stall,) = scene.reported
    assert len(stall.samples) == len(times) > 5
    assert stall.evidence.seconds == 100.3 - 100.01
    assert stall.evidence.own == 0.25
    assert not stall.evidence.turns
    assert not stall.evidence.unseen
    assert round(stall.slack, 6) == 0.01
    assert (stall.began, stall.ended) == (100.0, 100.3)


async def test_samples_become_rarer_and_end(scene: Scene) -> None:
    now, distances = 100.03, []
    for _ in range(MOST + 5):
        then = scene.vigil.look(now, 0.0)
        distances.append(then - now)
        now = then
    assert distances[:MOST] == sorted(distances[:MOST])
    scene.beat(now)
    scene.vigil.look(now, 0.0)
    assert len(scene.reported[-1].samples) == MOST


async def test_it_samples_before_it_does_what_lets_the_loop_go_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One call held Python's lock all the time: this is the only moment to see it.
    read = scene.own.read

    def read_while_the_loop_goes_on() -> Times | None:
        scene.beat(100.2)
        return read()

    scene.vigil.look(100.0, 0.0)
    monkeypatch.setattr(scene.own, "read", read_while_the_loop_goes_on)
    scene.vigil.look(100.2, 0.17)
    monkeypatch.undo()
    scene.vigil.look(100.21, 0.0)
    assert [len(stall.samples) for stall in scene.reported] == [1]


async def test_what_is_seen_after_the_loop_got_on_is_no_sample(scene: Scene) -> None:
    def take(heart: Heart) -> Look:
        scene.beat(100.06)
        return Look(sample(), {})

    scene.vigil._take = take
    scene.vigil.look(100.04, 0.0)
    scene.vigil._take = scene._take
    scene.vigil.look(100.065, 0.0)
    (stall,) = scene.reported
    assert stall.samples == []
    assert stall.evidence.unseen


async def test_a_beat_that_is_hardly_late_is_not_reported(scene: Scene) -> None:
    scene.vigil.look(100.035, 0.0)
    scene.beat(100.045)
    scene.vigil.look(100.05, 0.0)
    assert not scene.reported


async def test_samples_of_one_stall_are_not_those_of_the_next(scene: Scene) -> None:
    scene.vigil.look(100.04, 0.0)
    scene.beat(100.1)
    scene.beat(100.2)
    scene.vigil.look(100.21, 0.0)
    first, second = scene.reported
    assert len(first.samples) == 1
    assert second.samples == []


async def test_tasks_that_take_turns_are_told(scene: Scene) -> None:
    scene.looks = [Look(sample(turn), {}) for turn in range(4)]
    now = 100.03
    for _ in range(4):
        now = scene.vigil.look(now, 0.0)
    scene.beat(now)
    scene.vigil.look(now, 0.0)
    assert scene.reported[0].evidence.turns


async def test_an_idle_loop_gives_no_sample_but_the_threads(scene: Scene) -> None:
    place = Place("hog.py", 1, "hog.work")
    scene.looks = [Look(None, {7: place})]
    scene.vigil.look(100.04, 0.0)
    scene.beat(100.1)
    scene.vigil.look(100.1, 0.0)
    (stall,) = scene.reported
    assert stall.evidence.unseen
    assert stall.threads == [{7: place}]


async def test_what_the_watchdog_overslept_is_counted_for_that_stall_only(
    scene: Scene,
) -> None:
    scene.vigil.look(100.0, 0.0)
    scene.beat(100.01)
    # It slept from then on: the next beat was due at 100.02.
    scene.vigil.look(103.0, 2.97)
    scene.beat(103.1)
    scene.vigil.look(103.11, 0.0)
    assert 2.5 < scene.reported[0].evidence.overslept <= 2.97
    scene.beat(103.2)
    scene.vigil.look(103.21, 0.0)
    assert scene.reported[1].evidence.overslept < 1.0


async def test_a_stall_that_does_not_end_is_reported_while_it_lasts(
    scene: Scene,
) -> None:
    now = 100.03
    while now < 100.03 + LONG:
        now = scene.vigil.look(now, 0.0)
    while not scene.reported:
        now = scene.vigil.look(now, 0.0)
    scene.vigil.look(now + 1, 0.0)
    (stall,) = scene.reported
    assert stall.evidence.seconds >= LONG
    assert stall.samples


async def test_a_loop_that_is_not_running_rests(scene: Scene) -> None:
    stopped: Any = asyncio.new_event_loop()
    scene.heart.loop, running = stopped, scene.heart.loop
    assert scene.vigil.look(200.0, 0.0) == 200.0 + REST
    assert scene.heart.paused
    scene.heart.loop = running
    stopped.close()


async def test_it_says_up_to_which_beat_all_is_explained(scene: Scene) -> None:
    scene.beat(100.2)
    scene.vigil.look(100.21, 0.0)
    assert scene.heart.explained == scene.heart.beats == 1


async def test_before_its_alarm_it_is_looked_at_from_time_to_time(
    scene: Scene,
) -> None:
    scene.heart.alarm = Silent()
    assert scene.vigil.look(100.0, 0.0) == 100.0 + REST
    assert scene.vigil.rests
    assert scene.vigil.calm
    scene.vigil.look(100.04, 0.0)
    assert not scene.vigil.rests
    assert not scene.vigil.calm


@pytest.mark.parametrize("comes", [True, False], ids=["it came", "it is late"])
async def test_what_kept_the_watchdog_from_waking_counts_from_the_alarm(
    scene: Scene, comes: bool
) -> None:
    scene.heart.alarm = Silent()
    scene.vigil.look(100.0, 0.0)
    if comes:
        scene.beat(100.2)
        scene.vigil.look(100.201, 0.0)
    else:
        scene.vigil.look(100.2, 0.0)
        scene.beat(100.201)
        scene.vigil.look(100.202, 0.0)
    (stall,) = scene.reported
    assert stall.evidence.overslept == pytest.approx(0.17, abs=0.02)


async def test_the_watchdog_that_rested_after_a_late_beat_was_not_kept(
    scene: Scene,
) -> None:
    # No processor was free for it until that beat had put off its alarm.
    scene.heart.alarm = Silent()
    scene.vigil.look(100.0, 0.0)
    scene.beat(100.06)
    for n in range(7, 100):
        scene.beat(100.0 + n / 100)
    scene.vigil.look(101.0, 0.0)
    (stall,) = scene.reported
    assert stall.evidence.overslept <= 0.03 + 1e-6


async def test_a_beat_that_is_being_made_is_explained(scene: Scene) -> None:
    scene.heart.alarm = Silent()
    scene.vigil.look(100.0, 0.0)
    scene.vigil.look(100.035, 0.0)
    scene.beat(100.2)
    scene.heart.beats -= 1
    scene.vigil.look(100.2, 0.0)
    scene.heart.beats += 1
    scene.vigil.look(101.2, 0.0)
    (stall,) = scene.reported
    assert len(stall.samples) == 1
    assert stall.evidence.overslept <= 0.005 + 1e-6


async def test_a_stall_that_was_reported_is_no_reason_to_note_nothing(
    scene: Scene,
) -> None:
    now = 100.0
    while not scene.reported:
        now = scene.vigil.look(now, 0.0)
        assert scene.vigil.calm == (now <= 100.03 or bool(scene.reported))


class Silent(Alarm):
    """An alarm whose time a test tells itself."""

    def set(self, when: float) -> None:
        pass
