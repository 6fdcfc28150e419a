"""The results that are kept: merged label by label, and read as written."""

from dataclasses import replace

from tests.upstream.recording import Result, load_results, record, sound

VERSIONS = {"Django": "6.1.3", "database": "15.18"}
FIRST = Result("queries", "bridge", "2026-11-20", VERSIONS, 10, 9, 8, 1, ["one.test"])
OTHER = Result("queries", "sync", "2026-11-20", VERSIONS, 10, 9, 9)


def test_results_are_read_as_they_were_written(tmp_path):
    record([OTHER, FIRST], tmp_path / "kept.json")
    assert load_results(tmp_path / "kept.json") == [FIRST, OTHER]


def test_a_label_that_runs_again_takes_the_place_of_its_former_result(tmp_path):
    record([FIRST, OTHER], tmp_path / "kept.json")
    later = {**VERSIONS, "Django": "6.1.4"}
    again = replace(FIRST, date="2026-11-21", versions=later, ours=9, expected=[])
    record([again], tmp_path / "kept.json")
    assert load_results(tmp_path / "kept.json") == [again, OTHER]


def test_what_cannot_run_keeps_its_reason(tmp_path):
    reason = 'NotSupportedError: extension "hstore" is not available'
    kept = Result("postgres_tests", "sync", "2026-11-21", VERSIONS, cannot_run=reason)
    record([kept], tmp_path / "kept.json")
    assert load_results(tmp_path / "kept.json") == [kept]


def test_a_result_stays_where_a_poorer_server_cannot_run_the_label(tmp_path):
    record([FIRST], tmp_path / "kept.json")
    poorer = replace(FIRST, tests=0, cannot_run="no extension")
    record([poorer], tmp_path / "kept.json")
    assert load_results(tmp_path / "kept.json") == [FIRST]


def test_a_result_is_sound_for_its_mode_and_its_django_when_it_has_no_fault():
    results = [FIRST, replace(OTHER, faults=["one.test"])]
    assert sound(results, "queries", "6.1.3") == {"bridge"}
    assert not sound(results, "queries", "6.1.4")
    assert not sound(results, "basic", "6.1.3")
    assert not sound([replace(FIRST, cannot_run="why")], "queries", "6.1.3")
