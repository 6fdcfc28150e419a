"""The histogram of lateness counts what was late, and what was missed."""

import asyncio
import os
import threading
from bisect import bisect_left

import pytest

from django_async_ext.detection.watchdog import lag
from django_async_ext.detection.watchdog.lag import BOUNDS, Lag


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    lag.reset()


def counted_one_by_one(late: float, interval: float) -> tuple[list[int], float]:
    """What ``observe()`` says of a late timer, and of those missed because of it."""
    counts, total = [0] * (len(BOUNDS) + 1), 0.0
    while late > 1e-9:
        counts[bisect_left(BOUNDS, late)] += 1
        total += late
        late -= interval
    return counts, total


def test_a_timer_that_is_a_little_late_is_one_count() -> None:
    one = Lag()
    one.observe(0.0, 0.025)
    one.observe(0.002, 0.025)
    one.observe(0.0251, 10.0)
    assert sum(one.counts) == 3
    assert one.counts[0] == 1
    assert one.counts[bisect_left(BOUNDS, 0.002)] == 1
    assert one.counts[bisect_left(BOUNDS, 0.0251)] == 1


@pytest.mark.parametrize("late", [0.0261, 0.3333, 1.2345, 12.3456])
def test_the_timers_that_a_stall_kept_from_starting_are_counted_too(
    late: float,
) -> None:
    one = Lag()
    one.observe(late, 0.025)
    counts, total = counted_one_by_one(late, 0.025)
    assert one.counts == counts
    assert one.sum == pytest.approx(total)


def test_what_is_late_by_years_is_counted_in_no_time() -> None:
    one = Lag()
    one.observe(3e8, 0.01)
    assert sum(one.counts) == 30_000_000_000


def test_the_history_keeps_the_worst_of_each_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = Lag()
    for now, late in [(10.1, 0.1), (10.5, 0.3), (10.9, 0.2), (12.0, 0.001)]:
        monkeypatch.setattr(lag, "time", lambda now=now: now)
        one.observe(late, 1.0)
    assert list(one.worst) == [(10, 0.3), (12, 0.001)]


def test_the_sum_is_of_all_loops_also_of_those_that_have_ended() -> None:
    before = lag.total()
    first, second = lag.start(), lag.start()
    first.observe(0.2, 1.0)
    first.stall(0.2)
    second.observe(0.3, 1.0)
    second.stall(0.3)
    lag.end(first)
    lag.end(first)
    total = lag.total()
    lag.end(second)
    assert total.stalls - before.stalls == 2
    assert total.stalled - before.stalled == pytest.approx(0.5)
    assert sum(total.counts) - sum(before.counts) == 2
    assert total.sum - before.sum == pytest.approx(0.5)
    assert max(late for _, late in total.worst) == pytest.approx(0.3)
    assert lag.total().counts == total.counts


def test_it_is_read_while_loops_write() -> None:
    one, ready, ended = lag.start(), threading.Event(), threading.Event()

    def write() -> None:
        while not ended.is_set():
            one.observe(0.001, 1.0)
            ready.set()

    thread = threading.Thread(target=write)
    thread.start()
    ready.wait(10)
    for _ in range(200):
        lag.total()
    ended.set()
    thread.join()
    lag.end(one)
    assert sum(lag.total().counts) >= sum(one.counts)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
def test_a_forked_child_counts_from_zero() -> None:
    one = lag.start()
    one.stall(1.0)

    async def main() -> int:
        child = os.fork()
        if child == 0:
            os._exit(0 if lag.total().stalls == 0 else 1)
        return os.waitpid(child, 0)[1]  # noqa: ASYNC222 (it ends at once)

    assert asyncio.run(main()) == 0
    lag.end(one)
