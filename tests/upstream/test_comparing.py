"""The comparison with Django's engines, and the list of expected differences."""

import pytest

from tests.upstream.comparing import (
    Difference,
    Expected,
    judge,
    load_expected,
    load_may_block,
)
from tests.upstream.engines import same_baseline
from tests.upstream.outcomes import LabelRun, Outcome, load, save


def run_of(**outcomes):
    return LabelRun("queries", {test: Outcome(it) for test, it in outcomes.items()})


def expect(test):
    return Expected(test, "thread identity", "it asserts which thread it runs in")


@pytest.mark.parametrize(
    ("before", "after"),
    [("ok", "fail"), ("ok", "skip"), ("expected failure", "error"), ("skip", "error")],
)
def test_a_worse_outcome_is_a_difference(before, after):
    verdict = judge(run_of(test=before), run_of(test=after), [])
    assert verdict.unexplained == [Difference("test", before, after, "")]


@pytest.mark.parametrize(
    ("before", "after"),
    [("ok", "ok"), ("skip", "ok"), ("fail", "error"), ("error", "ok")],
)
def test_an_outcome_that_is_no_worse_is_none(before, after):
    assert not judge(run_of(test=before), run_of(test=after), []).unexplained


@pytest.mark.parametrize("before", ["ok", "skip"])
def test_a_test_that_did_not_run_is_a_difference(before):
    (difference,) = judge(run_of(test=before), run_of(), []).unexplained
    assert difference.ours == "not run"


def test_an_expected_difference_is_explained():
    verdict = judge(run_of(test="ok"), run_of(test="fail"), [expect("test")])
    assert len(verdict.explained) == 1
    assert not verdict.unexplained
    assert not verdict.gone


def test_an_expected_difference_that_did_not_happen_is_a_fault():
    verdict = judge(run_of(test="ok"), run_of(test="ok"), [expect("test")])
    assert verdict.gone == ["test"]


def test_an_expected_difference_of_another_label_is_not_awaited():
    assert not judge(run_of(test="ok"), run_of(test="ok"), [expect("other")]).gone


def test_an_expected_difference_of_a_test_that_is_gone_is_a_fault():
    run = run_of(**{"queries.tests.One.test": "ok"})
    gone = expect("queries.tests.Two.test")
    assert judge(run, run, [gone]).gone == ["queries.tests.Two.test"]


def test_a_test_that_is_skipped_or_was_not_asked_for_is_not_gone():
    skipped = run_of(**{"queries.tests.One.test": "skip"})
    assert not judge(skipped, skipped, [expect("queries.tests.One.test")]).gone
    one = LabelRun("queries.tests.One", skipped.outcomes)
    assert not judge(one, one, [expect("queries.tests.Two.test")]).gone
    broken = LabelRun("queries", broken="exit status 1")
    assert not judge(broken, broken, [expect("queries.tests.Two.test")]).gone


def test_a_wait_that_blocks_the_loop_is_a_fault():
    run = run_of(test="ok")
    run.blocking.append(("test", "the stack"))
    assert judge(run, run, []).blocking == ["test"]
    assert not judge(run, run, [], ["test"]).blocking


def test_a_test_may_block_on_the_engines_for_which_that_is_said(tmp_path):
    path = tmp_path / "expected.toml"
    path.write_text(
        '[[blocking]]\ntest = "a"\n[[blocking]]\ntest = "b"\nengines = ["threaded"]\n'
    )
    assert load_may_block("threaded", path) == ["a", "b"]
    assert load_may_block("postgresql", path) == ["a"]


def test_an_asynchronous_test_off_the_loop_is_a_fault():
    run = run_of(test="ok")
    run.off_loop.append("test")
    assert judge(run, run, []).faults == ["test"]
    assert not judge(run, run, [], in_bridge=False).faults


def test_the_heavier_of_two_outcomes_counts():
    run = run_of(test="fail")
    run.add("test", Outcome("error"))
    run.add("test", Outcome("ok"))
    assert run.outcomes["test"].outcome == "error"


def test_a_run_is_kept_whole(tmp_path):
    run = run_of(one="ok", two="fail")
    save(run, tmp_path / "kept" / "run.json")
    assert load(tmp_path / "kept" / "run.json") == run


def test_every_entry_of_the_list_is_complete():
    entries = load_expected()
    scopes = [
        (entry.test, mode, engine, series)
        for entry in entries
        for mode in entry.modes
        for engine in entry.engines
        for series in entry.django
    ]
    assert len(scopes) == len(set(scopes))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('kind = "flaky"\nreason = "it asserts which thread it runs in"', "kind"),
        ('kind = "thread identity"\nreason = "threads"', "reason"),
    ],
)
def test_an_entry_without_a_legitimate_reason_is_refused(tmp_path, line, message):
    path = tmp_path / "expected.toml"
    path.write_text(f'[[difference]]\ntest = "a.b"\n{line}\n')
    with pytest.raises(ValueError, match=message):
        load_expected(path)


def test_engines_around_the_same_of_django_have_one_baseline():
    assert same_baseline("threaded-postgresql") == "postgresql"
    assert same_baseline("threaded") == same_baseline("sqlite3") == "sqlite3"
    assert same_baseline("mysqlclient") == "mysqlclient"
