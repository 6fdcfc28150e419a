"""The command ``scripts/django-suite``; see the package's docstring."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from _environment import stop_on_signals
from tests.upstream import packages
from tests.upstream.canary import run_canary
from tests.upstream.comparing import (
    MODES,
    SERIES,
    Difference,
    Verdict,
    judge,
    load_expected,
    load_may_block,
)
from tests.upstream.engines import ENGINES
from tests.upstream.labels import REQUESTS, resolve
from tests.upstream.outcomes import FAILED, PASSED, LabelRun, load, save
from tests.upstream.recording import Result, load_results, path_of, record, sound
from tests.upstream.reporting import write_page
from tests.upstream.running import Job, run_label
from tests.upstream.source import CACHE, environment

#: Differences shown for a label; the results file has all of them.
SHOWN = 15


@dataclass(frozen=True)
class Comparison:
    """One label in one mode; ``verdict`` is None where it cannot run at all."""

    mode: str
    baseline: LabelRun
    ours: LabelRun
    verdict: Verdict | None


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    options = _options()
    if options.package:
        return packages.compare(options.package, options)
    if options.canary:
        series = [options.django] if options.django else SERIES
        return run_canary(
            series, options.interpreter, pre=options.pre, record=options.record
        )
    if options.report:
        write_page()
        return 0
    options.django = options.django or SERIES[-1]
    python = environment(options.django, options.python, options.interpreter)
    labels = resolve(options.labels, python.tests)
    with ENGINES[options.engine].server(Path(python.python)) as url, _caches():
        job = Job(
            python, options.engine, url, options.label_timeout, options.test_timeout
        )
        print(", ".join(" ".join(one) for one in job.versions.items()))
        if options.missing:
            labels = [it for it in labels if _is_missing(job, options.mode, it)]
        started = time.monotonic()
        found = list(_run_all(job, labels, options))
    return _summary(found, time.monotonic() - started)


@contextmanager
def _caches() -> Iterator[None]:
    """Start what Django's tests of caches need, where it can be had."""
    from _services import memcached, redis

    with redis() as url, memcached() as address:
        os.environ["REDIS_URL"] = url or ""
        os.environ["MEMCACHED_ADDRESS"] = address or ""
        yield


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "scripts/django-suite",
        description="Runs Django's own test suite on this package's engines and "
        "compares with Django's engines. Needs DATABASE_URL or starts PostgreSQL.",
    )
    add = parser.add_argument
    add("labels", nargs="*", help="labels or test ids of Django's suite, or the "
        "sets ci, orm (default), web, wide (both), requests and all")  # fmt: skip
    add("--package", choices=packages.PACKAGES, help="run the test suite of this "
        "package instead, from its source distribution")  # fmt: skip
    add("--django", choices=SERIES, help="default: the newest")
    add("--engine", choices=ENGINES, default="postgresql")
    add("--mode", choices=[*MODES, "baseline", "all"], help="default: bridge, and "
        "handler too for the labels of the set requests")  # fmt: skip
    add("--jobs", type=int, default=1, help="labels to run at the same time")
    add("--python", metavar="X.Y", help="default: the newest one found")
    add("--interpreter", help="use this one, which has Django and what its tests "
        "need, instead of an environment made below the cache")  # fmt: skip
    add("--fresh-baseline", action="store_true", help="do not use the cached one")
    add("--record", action="store_true", help="put the results of whole labels into "
        "tests/upstream/results, of which the documentation tells")  # fmt: skip
    add("--missing", action="store_true", help="leave out labels that have a kept "
        "result of this version of Django without a fault")  # fmt: skip
    add("--canary", action="store_true", help="run no tests: see that what the "
        "package takes from Django is as tests/upstream/seams.json has it, for every "
        "series or the one named; with --record, write it there")  # fmt: skip
    add("--report", action="store_true", help="run nothing: write what the kept "
        "results say into docs/reference/compatibility.rst")  # fmt: skip
    add("--pre", action="store_true", help="with --canary: hold the pre-release of "
        "Django on the package index against it, if there is one")  # fmt: skip
    add("--label-timeout", type=float, default=1800, metavar="SECONDS")
    add("--test-timeout", type=float, default=120, metavar="SECONDS")
    return parser.parse_args()


def _run_all(
    job: Job, labels: list[str], options: argparse.Namespace
) -> Iterator[Comparison]:
    print(f"{'label':30} {'mode':9} {'run':>5} {'baseline':>8} {'ours':>5} "
          f"{'differ':>6} {'async':>5} {'seconds':>7}")  # fmt: skip
    with ThreadPoolExecutor(options.jobs) as threads:
        work = partial(_run_one, job, options.mode, options.fresh_baseline)
        futures = [threads.submit(work, label) for label in labels]
        try:
            for future in as_completed(futures):
                found = future.result()
                if options.record:
                    results = [_result(job, one) for one in found]
                    path = path_of(job.environment.series, job.engine)
                    record((it for it in results if "." not in it.label), path)
                yield from found
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _modes(mode: str | None, label: str) -> tuple[str, ...]:
    if mode is not None:
        return {"all": MODES, "baseline": ()}.get(mode, (mode,))
    requests = label.partition(".")[0] in REQUESTS
    return ("bridge", "handler") if requests else ("bridge",)


def _is_missing(job: Job, mode: str | None, label: str) -> bool:
    kept = load_results(path_of(job.environment.series, job.engine))
    django = job.versions["Django"]
    return not set(_modes(mode, label)) <= sound(kept, label, django)


def _run_one(job: Job, mode: str | None, fresh: bool, label: str) -> list[Comparison]:
    modes = _modes(mode, label)
    baseline = _baseline(job, label, fresh)
    if baseline.broken and not baseline.outcomes:
        # As for want of an extension or a collation of the server.
        job.ask_versions()
        print(f"{label:30} cannot run here at all: baseline {baseline.broken}")
        return [Comparison(mode, baseline, LabelRun(label), None) for mode in modes]
    if not modes:
        _show("baseline", baseline, baseline, Verdict())
    return [_compare(job, mode, baseline) for mode in modes]


def _baseline(job: Job, label: str, fresh: bool) -> LabelRun:
    path = CACHE / "baseline" / job.name_of_baseline / f"{label}.json"
    run = None if fresh else load(path)
    if run is None:
        run = run_label(job, "baseline", label)
        if run.outcomes or not run.broken:
            save(run, path)
    return run


def _compare(job: Job, mode: str, baseline: LabelRun) -> Comparison:
    series = job.environment.series
    expected = [e for e in load_expected() if e.applies(mode, job.engine, series)]
    ours = run_label(job, mode, baseline.label)
    may_block = load_may_block(job.engine)
    verdict = judge(baseline, ours, expected, may_block, in_bridge=mode == "bridge")
    _show(mode, baseline, ours, verdict)
    _keep(job, mode, baseline, ours, verdict)
    return Comparison(mode, baseline, ours, verdict)


def _result(job: Job, found: Comparison) -> Result:
    """Return what the repository keeps of a comparison."""
    ours, verdict = found.ours, found.verdict
    today = time.strftime("%Y-%m-%d")
    if verdict is None:
        why = found.baseline.broken.partition(" (see ")[0]
        return Result(ours.label, found.mode, today, job.versions, cannot_run=why)
    return Result(
        ours.label,
        found.mode,
        today,
        job.versions,
        tests=len(found.baseline.outcomes | ours.outcomes),
        baseline=found.baseline.count(PASSED),
        ours=ours.count(PASSED),
        coroutines=len(set(ours.coroutines)),
        expected=sorted(it.test for it in verdict.explained),
        faults=sorted({*verdict.faults, *([ours.label] if ours.broken else [])}),
    )


def _show(mode: str, baseline: LabelRun, ours: LabelRun, verdict: Verdict) -> None:
    lines = [
        f"{ours.label:30} {mode:9} {len(ours.outcomes):5} {baseline.count(PASSED):8} "
        f"{ours.count(PASSED):5} {len(verdict.unexplained):6} "
        f"{len(set(ours.coroutines)):5} {ours.seconds:7.1f}"
    ]
    if baseline.broken or ours.broken:
        lines.append(f"    {ours.broken or 'baseline: ' + baseline.broken}")
    shown = [it for it in verdict.unexplained if it.ours != "not run"][:SHOWN]
    lines += [f"    {_line(it)}" for it in shown]
    if len(verdict.unexplained) > len(shown):
        lines.append(f"    and {len(verdict.unexplained) - len(shown)} more")
    lines += [f"    blocked the loop: {test}" for test in verdict.blocking[:SHOWN]]
    lines += [f"    asynchronous, off the loop: {test}" for test in verdict.off_loop]
    lines += [f"    expected, but did not differ: {test}" for test in verdict.gone]
    print("\n".join(lines), flush=True)


def _line(difference: Difference) -> str:
    last = (difference.detail.strip().splitlines() or [""])[-1]
    return f"{difference.ours}: {difference.test}: {last[:150]}"


def _keep(
    job: Job, mode: str, baseline: LabelRun, ours: LabelRun, verdict: Verdict
) -> None:
    """Write the result of one label in one mode with all details, for people."""
    path = CACHE / "results" / f"{job.name}-{mode}" / f"{ours.label}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "label": ours.label,
        "date": time.strftime("%Y-%m-%d"),
        "run": len(ours.outcomes),
        "passed_baseline": baseline.count(PASSED),
        "failed_baseline": baseline.count(FAILED),
        "passed": ours.count(PASSED),
        "failed": ours.count(FAILED),
        "seconds": ours.seconds,
        "broken": ours.broken,
        "blocking_waits": ours.blocking,
        "coroutines": ours.coroutines,
        **asdict(verdict),
    }
    path.write_text(json.dumps(result, indent=1))


def _summary(found: list[Comparison], seconds: float) -> int:
    verdicts = [one.verdict for one in found if one.verdict is not None]
    unexplained = sum(len(verdict.unexplained) for verdict in verdicts)
    explained = sum(len(verdict.explained) for verdict in verdicts)
    gone = sum(len(verdict.gone) for verdict in verdicts)
    broken = sum(bool(one.ours.broken) for one in found)
    blocking = sum(len(one.ours.blocking) for one in found)
    blocked = sum(len(verdict.blocking) for verdict in verdicts)
    coroutines = sum(len(set(one.ours.coroutines)) for one in found)
    off_loop = sum(len(verdict.off_loop) for verdict in verdicts)
    print(
        f"\n{len(verdicts)} label runs in {seconds:.0f} s, {broken} broken off; "
        f"{unexplained} differences not expected, {explained} expected, "
        f"{gone} expected ones did not happen; {coroutines} asynchronous tests, "
        f"{off_loop} of them off the loop; {blocking} waits blocked the loop, "
        f"in {blocked} tests that must not.\n"
        f"Results: {CACHE / 'results'}"
    )
    for label in sorted({one.ours.label for one in found if one.verdict is None}):
        print(f"Cannot run on this server, with Django's engine either: {label}")
    nothing = bool(found) and not verdicts
    faults = any(verdict.faults for verdict in verdicts)
    return 1 if faults or broken or nothing else 0


if __name__ == "__main__":
    stop_on_signals()
    sys.exit(main())
