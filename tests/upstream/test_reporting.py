"""The page on compatibility says what the kept results say."""

from tests.upstream import reporting
from tests.upstream.comparing import load_expected
from tests.upstream.recording import RESULTS, Result, load_results, record

VERSIONS = {"Django": "6.1.3", "Python": "3.13.0", "database": "15.18", "server": "a"}


def kept():
    return [it for path in RESULTS.glob("*.json") for it in load_results(path)]


def test_the_page_is_the_one_that_the_kept_results_give():
    message = "run scripts/django-suite --report"
    assert reporting.PAGE.read_text() == reporting.page(), message


def test_no_kept_result_has_a_fault():
    assert kept()
    assert not [(it.label, it.mode, it.faults) for it in kept() if it.faults]


def test_every_expected_difference_of_a_kept_result_has_its_reason():
    explained = {entry.test for entry in load_expected()}
    assert {test for it in kept() for test in it.expected} <= explained


def test_a_page_counts_tests_and_says_what_cannot_run(tmp_path, monkeypatch):
    results = [
        Result("queries", "bridge", "2026-11-20", VERSIONS, 10, 9, 8, 3, ["a.b"]),
        Result("basic", "bridge", "2026-11-21", VERSIONS, 5, 5, 5),
        Result("gis", "bridge", "2026-11-21", VERSIONS, cannot_run="no extension"),
    ]
    record(results, tmp_path / "django6.1-postgresql.json")
    monkeypatch.setattr(reporting, "RESULTS", tmp_path)
    page = " ".join(reporting.page().replace(" - ", " ").split())
    assert "6.1 ``postgresql`` bridge 2 15 14 13 1 0 3" in page
    assert "6.1.3 ``postgresql`` PostgreSQL 15.18 3.13.0" in page
    assert "2026-11-21" in page
    assert "*gis* (Django 6.1, ``postgresql``, bridge): no extension." in page


def test_of_many_labels_that_have_not_run_some_are_named(tmp_path, monkeypatch):
    labels = [f"label{number:02}" for number in range(12)]
    ran = [Result(label, "bridge", "2026-11-20", VERSIONS, 1, 1, 1) for label in labels]
    record(ran, tmp_path / "django6.1-postgresql.json")
    monkeypatch.setattr(reporting, "RESULTS", tmp_path)
    record(ran[:1], tmp_path / "django6.1-mysql.json")
    line = (
        "- Django 6.1, ``mysql``, bridge: not run yet: 11 labels, among them label01,"
    )
    assert line in reporting.page()
