"""What was seen of a stall becomes a report, or part of one."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import Occurrence, Report, reports
from django_async_ext.detection.requests import RequestInfo
from django_async_ext.detection.rules import Endpoint
from django_async_ext.detection.settings import current
from django_async_ext.detection.watchdog import stalls
from django_async_ext.detection.watchdog.causes import Evidence
from django_async_ext.detection.watchdog.sampling import Instruction, Sample
from django_async_ext.detection.watchdog.stalls import Stall, culprit

LOGIN = RequestInfo("GET", "/login/", "shop.views.login", "login")
INNER = Place("/lib/json/encoder.py", 7, "json.encoder.encode")
HASHING = Endpoint("hashing", "django.contrib.auth.hashers.check_password", "await it")


def sample(line: int = 41, turn: object = 1, **values: Any) -> Sample:
    place = Place("/shop/views.py", line, "shop.views.login")
    here = Instruction(sample.__code__, 0, {})
    fields: dict[str, Any] = {
        "called": ("json.encoder.encode", "json.dumps"),
        "endpoint": None,
        "allowed": False,
        "request": LOGIN,
    }
    fields |= {"task": "Task-8", "stack": (INNER, place), "instruction": here}
    return Sample(turn=turn, place=place, **fields | values)


def stall(*samples: Sample, busiest: Any = None, **values: Any) -> Stall:
    fields: dict[str, Any] = {"seconds": 0.342, "least": 0.05, "own": 0.0}
    fields |= {"others": 0.0, "queued": 0.0, "overslept": 0.0, "unseen": not samples}
    _, turns = culprit(samples)
    now = monotonic()
    return Stall(
        thread=threading.get_ident(),
        began=now - 0.4,
        ended=now,
        slack=0.01,
        evidence=Evidence(turns=turns, **fields | values),
        samples=samples,
        threads=[{busiest.ident: INNER}] if busiest else [],
        busiest=busiest,
    )


@pytest.fixture(autouse=True)
def recording(detecting: Callable[..., None]) -> None:
    modes = {"ENDPOINTS": "off", "PRIMITIVES": "off"}
    detecting(**modes, INTERVAL=1e-9, STALL=0.05, HEARTBEAT=0.01)


def only_report() -> Report:
    (report,) = reports.all()
    return report


def test_the_report_has_the_line_the_request_and_the_range_of_time() -> None:
    stalls.report(stall(sample()))
    report = only_report()
    one = report.latest
    assert one.rule == "stall"
    assert one.what == "json.dumps"
    assert one.place == Place("/shop/views.py", 41, "shop.views.login")
    assert (one.request, one.task, one.cause) == (LOGIN, "Task-8", "blocked")
    assert "process pool" in one.remedy
    assert report.text().startswith(
        "json.dumps blocked the event loop for 342 to 352 ms (blocked). "
        "GET /login/ view=shop.views.login task=Task-8\n"
    )
    assert report.stacks[0].index("in login") < report.stacks[0].index("in encode")


def test_the_line_that_most_samples_show_is_reported() -> None:
    stalls.report(stall(sample(1), sample(2), sample(2), sample(3)))
    assert only_report().latest.place.line == 2


def test_a_known_endpoint_gives_its_remedy() -> None:
    stalls.report(stall(sample(endpoint=HASHING)))
    one = only_report().latest
    assert (one.what, one.remedy) == ("check_password", "await it")


def test_several_tasks_in_a_row_are_blamed_together() -> None:
    stalls.report(stall(*(sample(n, turn=n) for n in range(4))))
    one = only_report().latest
    assert (one.what, one.cause, one.request) == ("Many tasks", "saturated", None)


def test_many_tasks_are_one_report_unless_all_are_at_one_line() -> None:
    for first in (0, 10):
        lines = range(first, first + 4)
        stalls.report(stall(*(sample(line, turn=line) for line in lines)))
    assert (only_report().count, only_report().latest.place) == (2, stalls.NOWHERE)
    reports.clear()
    stalls.report(stall(*(sample(7, turn=turn) for turn in range(4))))
    assert only_report().latest.place.line == 7


def test_what_computed_is_reported_even_if_nobody_saw_it() -> None:
    stalls.report(stall(own=0.35, overslept=0.3))
    one = only_report().latest
    assert (one.what, one.cause) == ("Something unseen", "cpu")
    assert (one.place, one.request) == (stalls.NOWHERE, None)


def test_the_machine_and_many_tasks_are_two_reports() -> None:
    stalls.report(stall(*(sample(n, turn=n) for n in range(4))))
    stalls.report(stall(sample(1), queued=0.34))
    assert {each.latest.cause for each in reports.all()} == {"saturated", "starved"}


def test_one_task_among_others_is_blamed_if_most_samples_are_its() -> None:
    stalls.report(stall(sample(), sample(), sample(7, turn=2)))
    assert only_report().latest.cause == "blocked"


def test_a_thread_that_holds_pythons_lock_is_blamed() -> None:
    thread = threading.current_thread()
    stalls.report(stall(sample(), busiest=thread, others=0.3, overslept=0.3))
    one = only_report().latest
    assert one.what == f"Thread {thread.name!r}"
    assert (one.place, one.request, one.cause) == (INNER, None, "gil")


def test_a_starved_machine_is_one_report_without_a_line() -> None:
    stalls.report(stall(sample(1), queued=0.34))
    stalls.report(stall(sample(2), queued=0.34))
    report = only_report()
    assert (report.count, report.latest.cause) == (2, "starved")
    assert report.text().splitlines()[1].startswith("  instead: ")


def test_the_line_may_be_an_earlier_one_if_pythons_lock_was_held() -> None:
    stalls.report(stall(sample(called=()), own=0.3, overslept=0.3))
    assert "an earlier line of this function" in only_report().latest.remedy


def test_what_was_not_seen_is_only_counted() -> None:
    before = stalls.explained["blocked"]
    assert stalls.report(stall()) is None
    assert not reports.all()
    assert stalls.explained["blocked"] == before + 1


def test_what_is_allowed_is_not_reported() -> None:
    assert stalls.report(stall(sample(allowed=True))) is None
    assert not reports.all()


def test_a_rule_that_is_off_reports_nothing(detecting: Callable[..., None]) -> None:
    detecting(WATCHDOG="off")
    assert stalls.report(stall(sample())) is None
    assert not reports.all()


@pytest.mark.parametrize(("mode", "count"), [("record", 0), ("warn", 1), ("raise", 1)])
def test_the_mode_raise_warns(
    detecting: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    mode: str,
    count: int,
) -> None:
    detecting(WATCHDOG=mode)
    assert current().mode("stall") == mode
    stalls.report(stall(sample()))
    assert len(caplog.records) == count


def hit(line: int = 41) -> Occurrence:
    place = Place("/shop/views.py", line, "shop.views.login")
    return Occurrence("cache", "Cache.get", "await cache.aget()", place, LOGIN)


def test_a_reported_call_and_its_stall_are_one_report() -> None:
    reports.add(hit(), "", log=False)
    assert stalls.report(stall(sample())) == hit().key
    report = only_report()
    assert (report.count, report.stalls, report.longest) == (1, 1, 0.342)
    assert report.latest.rule == "cache"


def test_a_reported_call_on_another_line_has_nothing_to_do_with_it() -> None:
    reports.add(hit(40), "", log=False)
    stalls.report(stall(sample()))
    assert len(reports.all()) == 2


def test_a_call_of_another_thread_has_nothing_to_do_with_it() -> None:
    thread = threading.Thread(target=reports.add, args=(hit(), ""), kwargs={"log": 0})
    thread.start()
    thread.join()
    stalls.report(stall(sample()))
    assert len(reports.all()) == 2


def test_of_a_stall_that_was_reported_before_its_end_the_rest_is_added() -> None:
    key = stalls.report(stall(sample(), seconds=2.0))
    assert key is not None
    stalls.prolong((key, 2.0), stall(sample(), seconds=5.0))
    report = only_report()
    assert (report.count, report.stalls) == (1, 1)
    assert (report.total, report.longest) == (5.0, 5.0)


def test_of_a_stall_that_was_not_reported_no_rest_is_added() -> None:
    stalls.prolong((stalls.UNTOLD, 2.0), stall(sample(), seconds=5.0))
    assert not reports.all()
