"""The page of the documentation that tells what Django's own tests say.

Contract: ``page()`` is made of the results and expected differences that the
repository has, and of nothing else, so that a test can see that the page of the
documentation is the one that they give. ``scripts/django-suite --report``
writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from tests.upstream.comparing import MODES, SERIES, load_expected
from tests.upstream.engines import ENGINES
from tests.upstream.labels import NOT_RUN, SKIPPED
from tests.upstream.recording import RESULTS, Result, load_results, path_of

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/compatibility.rst"

HEAD = """\
=============
Compatibility
=============

.. Written by "scripts/django-suite --report" from tests/upstream/results.

Django's own test suite is the judge of this package. Each of its labels runs
with Django's engine, which is the baseline, and with the engine of this package
in two modes. In the mode **bridge** the whole run, with its fixtures and its teardown,
is one task on a running event loop, so that every query waits on the loop. In the mode
**sync** the same engine runs in plain synchronous code, as under ``manage.py`` and
WSGI. The labels that send requests run in the mode **handler** too, in which
asynchronous requests go through the request handler of this package. A test that passes
with Django's engine and not here is a *difference*; every difference has to be an
expected one, with its reason below.

All labels run on the newest Django. On the older ones those run that concern the ORM,
transactions, the admin, users, sessions, caches, signals, forms, templates, the test
client and views. Other packages have pages of their own: {others}.
"""

LEFT = """
What does not run
=================

Tests that Django skips on a machine, or that fail with its own engine too, as some do
for root, count as tests and not as passed.

"""


def page() -> str:
    """Return the text of the page."""
    kept = list(_runs())
    others = sorted((PAGE.parent / "compatibility").glob("*.rst"))
    links = ", ".join(f":doc:`compatibility/{path.stem}`" for path in others)
    parts = [HEAD.format(others=links), *_results(kept), *_versions(kept)]
    return "".join([*parts, *_differences(kept), *_left_out(kept)])


def write_page() -> None:
    """Write the page into the documentation."""
    PAGE.write_text(page())


#: Labels that are named, of those that have not run.
MANY = 10

#: A series of Django, an engine, a mode and the results of its labels.
Run = tuple[str, str, str, list[Result]]


def _runs() -> Iterator[Run]:
    for series in reversed(SERIES):
        for engine in ENGINES:
            results = load_results(path_of(series, engine, RESULTS))
            for mode in MODES:
                if of_mode := [it for it in results if it.mode == mode]:
                    yield series, engine, mode, of_mode


def _results(runs: Iterable[Run]) -> Iterator[str]:
    yield "\nResults\n=======\n\n"
    yield (
        "*Tests* are all that were found, *on the loop* the asynchronous ones among "
        "them, which\nran on the event loop of the suite in the mode bridge.\n\n"
    )
    head = ["Django", "Engine", "Mode", "Labels", "Tests", "Passed with Django's"]
    head += ["Passed with this", "Expected differences", "Others", "On the loop"]
    yield from _table(head, (_result(*run) for run in runs))


def _result(
    series: str, engine: str, mode: str, results: list[Result]
) -> Sequence[object]:
    ran = [it for it in results if not it.cannot_run]
    coroutines = sum(it.coroutines for it in ran) if mode == "bridge" else ""
    return [
        series,
        f"``{engine}``",
        mode,
        len(ran),
        sum(it.tests for it in ran),
        sum(it.baseline for it in ran),
        sum(it.ours for it in ran),
        sum(len(it.expected) for it in ran),
        sum(len(it.faults) for it in ran),
        coroutines,
    ]


def _versions(runs: Iterable[Run]) -> Iterator[str]:
    yield "\nVersions\n========\n\n"
    head = ["Django", "Engine", "Database", "Python", "Others", "Last run"]
    rows = []
    for (series, engine), of_both in groupby(runs, key=lambda run: run[:2]):
        results = [result for run in of_both for result in run[3]]
        packages = dict.fromkeys(name for it in results for name in it.versions)
        others = [name for name in packages if name not in _NOT_OTHERS]
        database = f"{ENGINES[engine].database} {_every(results, 'database')}"
        words = ", ".join(f"{name} {_every(results, name)}" for name in others)
        days = max(it.date for it in results)
        python, django = _every(results, "Python"), _every(results, "Django")
        rows.append([django or series, f"``{engine}``", database, python, words, days])
    yield from _table(head, rows)


_NOT_OTHERS = {"Django", "Python", "database", "server"}


def _every(results: Iterable[Result], name: str) -> str:
    found = {it.versions[name] for it in results if name in it.versions}
    return " and ".join(sorted(found))


def _differences(runs: Sequence[Run]) -> Iterator[str]:
    yield "\nExpected differences\n====================\n\n"
    happened: dict[str, dict[str, None]] = {}
    for series, engine, mode, results in runs:
        for test in (test for result in results for test in result.expected):
            happened.setdefault(test, {})[f"{series} ``{engine}`` {mode}"] = None
    by_reason: dict[str, set[str]] = {}
    for entry in load_expected():
        if entry.test in happened:
            reason = " ".join(entry.reason.split())
            by_reason.setdefault(reason, set()).add(entry.test)
    yield "In brackets: in how many of the runs above.\n\n"
    for reason, tests in by_reason.items():
        yield f"- {reason}\n\n"
        for test in sorted(tests):
            yield f"  - ``{test}`` ({len(happened[test])})\n"
        yield "\n"


def _left_out(runs: Sequence[Run]) -> Iterator[str]:
    yield LEFT
    for label, why in NOT_RUN.items():
        yield f"- *{label}*: {why}.\n"
    for what, why in SKIPPED.items():
        yield f"- {what}: {why}; skipped.\n"
    for series, engine, mode, results in runs:
        where = f"Django {series}, ``{engine}``, {mode}"
        for result in results:
            if result.cannot_run:
                yield f"- *{result.label}* ({where}): {result.cannot_run}.\n"
        elsewhere = {it.label for run in runs if run[0] == series for it in run[3]}
        missing = sorted(elsewhere - {it.label for it in results})
        if missing and mode != "handler":
            yield f"- {where}: not run yet: {_some(missing)}.\n"


def _some(labels: Sequence[str]) -> str:
    if len(labels) > MANY:
        return f"{len(labels)} labels, among them {', '.join(labels[:MANY])}"
    return ", ".join(labels)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield ".. list-table::\n   :header-rows: 1\n\n"
    for row in (head, *rows):
        cells = "\n     - ".join(str(cell) for cell in row)
        yield f"   * - {cells}\n"
