"""Numbers tell why a loop stood still, and which thread it was."""

import hashlib
import os
import threading
from time import thread_time

import pytest

from django_async_ext.detection.watchdog.causes import (
    BLOCKED,
    CAUSES,
    CPU,
    GIL,
    SATURATED,
    STARVED,
    Evidence,
    Scheduling,
    Threads,
    Times,
    cause,
    queued_since,
)

SCHEDSTAT = os.path.exists("/proc/self/schedstat")
needs_schedstat = pytest.mark.skipif(not SCHEDSTAT, reason="needs Linux's schedstat")


def known(seconds: float = 1.0, least: float = 0.1, **values: float) -> Evidence:
    fields = {"own": 0.0, "others": 0.0, "queued": 0.0, "overslept": 0.0}
    flags = {"turns": False, "unseen": False}
    return Evidence(seconds=seconds, least=least, **fields | flags | values)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        pytest.param(known(), BLOCKED, id="time.sleep()"),
        pytest.param(known(others=1.0), BLOCKED, id="beside a busy thread"),
        pytest.param(known(own=0.9), CPU, id="a loop in Python"),
        pytest.param(known(own=0.9, overslept=0.9), CPU, id="json.dumps()"),
        pytest.param(known(own=0.9, turns=True), SATURATED, id="many tasks compute"),
        pytest.param(known(turns=True), SATURATED, id="many tasks block shortly"),
        pytest.param(known(others=0.9, overslept=0.9), GIL, id="json in a thread"),
        pytest.param(known(others=0.9, unseen=True), GIL, id="before anything ran"),
        pytest.param(known(others=0.9, turns=True), GIL, id="each task waits for it"),
        pytest.param(known(unseen=True), BLOCKED, id="without a sample"),
        pytest.param(known(overslept=0.9), STARVED, id="stopped as a whole"),
        pytest.param(known(queued=0.95), STARVED, id="no processor"),
        pytest.param(known(queued=0.95, own=0.04), STARVED, id="little of it its own"),
        pytest.param(known(queued=0.7, own=0.3), CPU, id="a stall even if it had one"),
        pytest.param(known(queued=0.7), BLOCKED, id="blocked even if it had one"),
        pytest.param(
            known(queued=0.6, others=0.15, overslept=0.9), GIL, id="both starved"
        ),
    ],
)
def test_the_cause_is_what_made_it_a_stall(evidence: Evidence, expected: str) -> None:
    assert cause(evidence) == expected
    assert expected in CAUSES


def burn(seconds: float) -> None:
    """Use that much of a processor, without Python's lock most of the time."""
    while thread_time() < seconds:
        hashlib.pbkdf2_hmac("sha256", b"a", b"b", 1000)


@needs_schedstat
def test_the_kernel_tells_what_a_thread_has_used() -> None:
    ready, measured = threading.Event(), threading.Event()
    natives = []

    def work() -> None:
        natives.append(threading.get_native_id())
        burn(0.05)
        ready.set()
        measured.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(60)
    scheduling = Scheduling(natives[0])
    times = scheduling.read()
    assert times is not None
    assert times.used >= 0.04
    assert times.queued >= 0
    measured.set()
    thread.join()
    scheduling.close()
    scheduling.close()
    assert scheduling.read() is None


def test_what_was_queued_is_told_if_both_readings_are_there() -> None:
    before, now = Times(1.0, 0.25), Times(2.0, 0.75)
    assert queued_since(before, now) == 0.5
    assert queued_since(None, now) == queued_since(before, None) == 0.0


def test_of_a_thread_that_is_not_there_nothing_is_known() -> None:
    scheduling = Scheduling(2**22 + 1)
    assert scheduling.read() is None
    scheduling.close()


@needs_schedstat
def test_the_busiest_thread_is_named() -> None:
    threads, ended = Threads(), threading.Event()
    both = threading.Barrier(3)

    def work(seconds: float) -> None:
        both.wait(10)
        burn(seconds)
        both.wait(60)
        ended.wait(10)

    started = [
        threading.Thread(target=work, args=(seconds,), name=name)
        for name, seconds in [("idle", 0.0), ("busy", 0.3)]
    ]
    for each in started:
        each.start()
    threads.note()
    both.wait(10)
    both.wait(60)
    busiest = threads.busiest(threading.get_native_id())
    ended.set()
    for each in started:
        each.join()
    assert busiest is started[1]


@needs_schedstat
def test_what_threads_use_is_noted_no_more_often_than_due() -> None:
    threads = Threads()
    threads.note()
    before = threads._before
    threads.note()
    assert threads._before is before
