"""Reports: what is merged, what is logged and sent, and how often."""

import json
import logging
import threading
from typing import Any

import pytest
from django.test import override_settings

from django_async_ext.detection import blocking_call_detected
from django_async_ext.detection.frames import Place
from django_async_ext.detection.reports import MOST, Occurrence, Report, Reports
from django_async_ext.detection.requests import RequestInfo

LOGIN = RequestInfo("GET", "/login/", "shop.views.login", "login")


def occurrence(line: int = 41, **values: Any) -> Occurrence:
    given: dict[str, Any] = {
        "rule": "hashing",
        "what": "check_password",
        "remedy": "await acheck_password(...)",
        "place": Place(__file__, line, "shop.views.login"),
        "request": LOGIN,
        "task": "Task-8",
    }
    return Occurrence(**given | values)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def interval() -> Any:
    def of(seconds: float) -> override_settings:
        return override_settings(ASYNC_EXT={"DETECTION": {"INTERVAL": seconds}})

    return of


def test_the_same_line_and_view_are_one_report(reports: Reports) -> None:
    for _ in range(3):
        reports.add(occurrence(), "stack", log=False)
    (report,) = reports.all()
    assert report.count == 3


@pytest.mark.parametrize(
    "other",
    [
        {"line": 42},
        {"rule": "orm"},
        {"request": None},
        {"request": LOGIN._replace(view="shop.views.logout")},
    ],
)
def test_another_line_rule_or_view_is_another_report(
    reports: Reports, other: dict[str, Any]
) -> None:
    reports.add(occurrence(), "stack", log=False)
    reports.add(occurrence(**other), "stack", log=False)
    assert len(reports.all()) == 2


def test_the_text_has_the_request_the_line_and_the_remedy(reports: Reports) -> None:
    report = reports.add(occurrence(1, seconds=0.342, cause="cpu"), "", log=False)
    assert report.text() == (
        "check_password blocked the event loop for 342 ms (cpu). "
        "GET /login/ view=shop.views.login task=Task-8\n"
        f"  {__file__}:1 in shop.views.login: "
        '"""Reports: what is merged, what is logged and sent, and how often."""\n'
        "  instead: await acheck_password(...)\n"
        "  seen 1 times"
    )


def test_times_are_added_up_and_the_longest_kept(reports: Reports) -> None:
    for seconds in (0.25, 0.5, None, 0.125):
        report = reports.add(occurrence(seconds=seconds), "stack", log=False)
    assert (report.stalls, report.total, report.longest) == (3, 0.875, 0.5)


def test_a_stall_lengthens_what_was_reported_when_it_began(reports: Reports) -> None:
    report = reports.add(occurrence(), "stack", log=False)
    stall = occurrence(rule="stall", seconds=0.5)
    assert reports.lengthen(occurrence().key, stall) is report
    assert (report.count, report.stalls, report.longest) == (1, 1, 0.5)
    assert reports.lengthen(stall.key, stall) is None


def test_only_a_few_different_stacks_are_kept(reports: Reports) -> None:
    for stack in "aabcde":
        report = reports.add(occurrence(), stack, log=False)
    assert report.stacks == ["a", "b", "c"]


def test_the_least_recent_report_is_forgotten(reports: Reports) -> None:
    for line in range(MOST):
        reports.add(occurrence(line), "stack", log=False)
    reports.add(occurrence(0), "stack", log=False)
    reports.add(occurrence(MOST), "stack", log=False)
    lines = {report.latest.place.line for report in reports.all()}
    assert len(lines) == MOST
    assert lines >= {0, MOST}
    assert 1 not in lines


def test_the_log_record_has_fields(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "django.async_blocking"):
        reports.add(occurrence(), "stack", log=True)
    (record,) = caplog.records
    fields = vars(record)
    assert record.levelno == logging.WARNING
    assert fields["blocking_rule"] == "hashing"
    assert fields["blocking_line"] == 41
    assert fields["blocking_request"]["view"] == "shop.views.login"


def test_a_report_is_logged_once_in_the_interval(
    reports: Reports, caplog: pytest.LogCaptureFixture, interval: Any
) -> None:
    with interval(3600):
        for _ in range(5):
            reports.add(occurrence(), "stack", log=True)
        reports.add(occurrence(42), "stack", log=True)
    assert len(caplog.records) == 2


def test_after_the_interval_it_is_logged_again_with_its_count(
    reports: Reports, caplog: pytest.LogCaptureFixture, interval: Any
) -> None:
    with interval(1e-9):
        for _ in range(3):
            reports.add(occurrence(), "stack", log=True)
    assert [record.message.splitlines()[-1].strip() for record in caplog.records] == [
        "seen 1 times",
        "seen 2 times",
        "seen 3 times",
    ]


def test_the_signal_is_sent_with_the_report(reports: Reports) -> None:
    received: list[Any] = []

    def receiver(sender: object, report: Report, **kwargs: Any) -> None:
        received.append((sender, report))

    blocking_call_detected.connect(receiver)
    try:
        report = reports.add(occurrence(), "stack", log=False)
        reports.add(occurrence(), "stack", log=False)
    finally:
        blocking_call_detected.disconnect(receiver)
    assert received == [(Report, report)]


def test_a_receiver_that_fails_does_no_harm(reports: Reports) -> None:
    def receiver(**kwargs: Any) -> None:
        raise ZeroDivisionError

    blocking_call_detected.connect(receiver)
    try:
        assert reports.add(occurrence(), "stack", log=False).count == 1
    finally:
        blocking_call_detected.disconnect(receiver)


def test_listeners_hear_of_every_occurrence(reports: Reports) -> None:
    heard: list[Occurrence] = []
    reports.listeners.append(lambda one, report: heard.append(one))
    for _ in range(3):
        reports.add(occurrence(), "stack", log=False)
    assert heard == [occurrence()] * 3


def test_all_of_a_report_goes_into_json(reports: Reports) -> None:
    report = reports.add(occurrence(seconds=0.5), "stack", log=False)
    again = json.loads(json.dumps(report.as_dict()))
    assert again["request"] == LOGIN._asdict()
    assert again["stacks"] == ["stack"]


def test_threads_may_add_at_the_same_time(reports: Reports) -> None:
    barrier = threading.Barrier(4)

    def add() -> None:
        barrier.wait()
        for _ in range(200):
            reports.add(occurrence(), "stack", log=False)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (report,) = reports.all()
    assert report.count == 800
