"""What is called on a loop is reported once, where the project called it."""

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from django.core.cache import cache
from django.core.cache.backends.filebased import FileBasedCache

from django_async_ext import on_loop
from django_async_ext.cache import FileBasedCache as OwnFileBasedCache
from django_async_ext.detection import allow_blocking, guards
from django_async_ext.detection.judging import judge
from django_async_ext.detection.rules import Endpoint
from django_async_ext.driving import let_wait, reserved_waits
from django_async_ext.exceptions import BlockingCallError, BlockingCallInterrupt
from tests.detection import samples
from tests.detection.conftest import found

HERE = "tests.detection.samples"
Guard = Callable[..., None]


@pytest.fixture
def guard(detecting: Any) -> Iterator[Guard]:
    """Guard functions of the samples, with a detector that has nothing else to do."""
    detecting(ENDPOINTS="record", RULES={}, PRIMITIVES="off", WATCHDOG="off")

    def guard(name: str, rule: str = "orm", **options: Any) -> None:
        endpoint = Endpoint(rule, f"{HERE}.{name}", f"not {name}", **options)
        guards.guard(endpoint, judge)

    yield guard
    guards.release()


def here() -> int:
    """The line of the caller."""
    return sys._getframe(1).f_lineno


async def test_a_call_is_reported_at_its_line(guard: Guard) -> None:
    guard("leaf")
    samples.leaf(), (line := here())
    (report,) = found()
    assert (report.latest.what, report.latest.remedy) == ("leaf", "not leaf")
    assert (report.latest.place.file, report.latest.place.line) == (__file__, line)
    assert report.latest.place.function.endswith("test_a_call_is_reported_at_its_line")


async def test_what_leads_gives_its_name_and_remedy(guard: Guard) -> None:
    guard("leaf")
    guard("making.<locals>.Made.method", rule="forms", leads=True)
    samples.making().method()
    (report,) = found()
    assert (report.latest.rule, report.latest.what) == ("forms", "Made.method")


async def test_all_that_blocks_below_one_call_is_one_report(guard: Guard) -> None:
    guard("leaf")
    guard("twice", rule="forms", leads=True)
    samples.twice()
    (report,) = found()
    assert (report.latest.what, report.count) == ("twice", 1)
    samples.twice()
    assert [each.count for each in found()] == [1, 1]


async def test_an_override_is_reported_where_it_is_called(guard: Guard) -> None:
    guard("Sample.method")

    class Own(samples.Sample):
        def method(self) -> str:
            return super().method()

    Own().method(), (line := here())
    (report,) = found()
    assert (report.latest.what, report.latest.place.line) == ("Sample.method", line)


async def test_exact_words_replace_those_of_the_table(guard: Guard) -> None:
    def exact(frame: FrameType) -> Endpoint:
        return Endpoint("cache", "Exact.name", f"not {frame.f_locals['value']}")

    guard("plain", exact=exact)
    samples.plain(7)
    (report,) = found()
    assert (report.latest.rule, report.latest.remedy) == ("cache", "not 7")


async def test_what_exactly_is_nothing_is_silent(guard: Guard) -> None:
    guard("plain", exact=lambda frame: None)
    samples.plain(7)
    assert not found()


async def test_a_call_that_does_not_block_is_silent(guard: Guard) -> None:
    guard("plain", blocks=lambda value: value > 5)
    samples.plain(1)
    assert not found()
    samples.plain(value=7)
    assert len(found()) == 1


async def test_a_predicate_that_fails_breaks_nothing(
    guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(value: Any) -> bool:
        raise LookupError(value)

    guard("plain", blocks=fail)
    assert samples.plain(7) == 7
    assert not found()
    (record,) = caplog.records
    failure = "The detector failed on tests.detection.samples.plain; the call goes on."
    assert record.getMessage().startswith(failure)


async def test_a_rule_that_is_off_is_silent(detecting: Any) -> None:
    detecting(RULES={"cache": "off"}, PRIMITIVES="off", WATCHDOG="off")
    guards.guard(Endpoint("cache", f"{HERE}.leaf", "remedy"), judge)
    samples.leaf()
    assert not found()


async def test_what_is_allowed_is_silent(guard: Guard) -> None:
    guard("leaf")
    with allow_blocking("it is quick"):
        samples.leaf()
    assert not found()


@pytest.mark.parametrize(
    ("base", "error"), [(False, BlockingCallError), (True, BlockingCallInterrupt)]
)
async def test_raising_comes_after_the_report(
    base: bool, error: type[BaseException], detecting: Any
) -> None:
    detecting(ENDPOINTS="raise", RAISE_AS_BASE_EXCEPTION=base, PRIMITIVES="off")
    guards.guard(Endpoint("orm", f"{HERE}.leaf", "the remedy"), judge)
    with pytest.raises(error, match="instead: the remedy"):
        samples.leaf()
    assert len(found()) == 1


async def test_what_swallows_the_error_is_stopped_again(detecting: Any) -> None:
    detecting(ENDPOINTS="raise", PRIMITIVES="off", WATCHDOG="off")
    guards.guard(Endpoint("orm", f"{HERE}.leaf", "the remedy"), judge)
    guards.guard(Endpoint("forms", f"{HERE}.swallowing", "r", leads=True), judge)
    assert samples.swallowing() == ["BlockingCallError", "BlockingCallError"]
    assert [report.count for report in found()] == [1]


async def test_only_the_mode_warn_logs(
    detecting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    detecting(ENDPOINTS="warn", PRIMITIVES="off", WATCHDOG="off")
    guards.guard(Endpoint("orm", f"{HERE}.leaf", "the remedy"), judge)
    with caplog.at_level(logging.WARNING):
        samples.leaf()
    (record,) = caplog.records
    assert "leaf blocked the event loop" in record.getMessage()
    assert vars(record)["blocking_rule"] == "orm"


async def test_a_report_is_not_judged_itself(guard: Guard) -> None:
    guard("leaf", blocks=lambda subject: bool(samples.leaf()))
    samples.leaf()
    assert len(found()) == 1


async def test_the_bridge_may_wait(guard: Guard) -> None:
    guard("leaf")
    assert await on_loop(samples.leaf)() == "leaf"
    assert not found()


async def test_what_blocks_inside_the_bridge_has_words_for_that(guard: Guard) -> None:
    guard("leaf", inside="use the other one")
    await on_loop(samples.leaf)()
    (report,) = found()
    assert report.latest.remedy == "use the other one"
    assert report.latest.place.file == __file__


async def test_a_stock_cache_blocks_inside_the_bridge_and_ours_does_not(
    guard: Guard, tmp_path: Any
) -> None:
    stock, own = (kind(tmp_path, {}) for kind in (FileBasedCache, OwnFileBasedCache))
    await on_loop(own.get)("key")
    await on_loop(cache.get)("key")
    assert not found()
    await on_loop(stock.get)("key")
    (report,) = found()
    assert "django_async_ext.cache" in report.latest.remedy


async def test_ours_blocks_outside_of_the_bridge(guard: Guard, tmp_path: Any) -> None:
    OwnFileBasedCache(tmp_path, {}).get("key")
    (report,) = found()
    assert report.latest.remedy == "await cache.aget(...)"


async def test_the_task_is_named(guard: Guard) -> None:
    guard("leaf")

    async def work() -> None:
        samples.leaf()

    await asyncio.create_task(work(), name="a task of its own")
    (report,) = found()
    assert report.latest.task == "a task of its own"


async def test_a_callback_of_the_loop_is_judged_too(guard: Guard) -> None:
    guard("leaf")
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_soon(samples.leaf)
    loop.call_soon(done.set)
    await done.wait()
    (report,) = found()
    assert report.latest.task == ""


async def test_a_driven_view_may_wait_only_where_it_is_let(guard: Guard) -> None:
    guard("leaf")

    @reserved_waits
    async def view() -> None:
        let_wait(samples.leaf)
        assert not found()
        samples.leaf()

    await view()
    assert len(found()) == 1
