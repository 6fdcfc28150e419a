"""Baseline against ours, and the differences against ``expected.toml``.

Contract: ``differences()`` lists the tests that did worse on our engine;
``judge()`` splits them into explained and unexplained ones, and lists the
expected differences that did not happen, which are faults of the list. A wait
that blocked the loop is a fault too, unless the list names its test, and so is
an asynchronous test that ran off the loop.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.upstream.engines import ENGINES
from tests.upstream.outcomes import FAILED, PASSED, LabelRun, Outcome

EXPECTED = Path(__file__).with_name("expected.toml")
MODES = ("bridge", "sync", "handler")
SERIES = ("5.2", "6.0", "6.1")

#: The only two legitimate reasons; see the head of expected.toml.
KINDS = ("asserts the limitation", "thread identity")

NOT_RUN = Outcome("not run")


@dataclass(frozen=True)
class Difference:
    """One test that did worse on our engine than on Django's."""

    test: str
    baseline: str
    ours: str
    detail: str


@dataclass(frozen=True)
class Expected:
    """One entry of ``expected.toml``."""

    test: str
    kind: str
    reason: str
    modes: tuple[str, ...] = MODES
    engines: tuple[str, ...] = tuple(ENGINES)
    django: tuple[str, ...] = SERIES

    def applies(self, mode: str, engine: str, series: str) -> bool:
        """Tell whether the difference is expected in such a run."""
        return mode in self.modes and engine in self.engines and series in self.django


@dataclass
class Verdict:
    """What the comparison of one label in one mode says."""

    unexplained: list[Difference] = field(default_factory=list)
    explained: list[Difference] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    #: Tests in which a wait blocked the loop.
    blocking: list[str] = field(default_factory=list)
    #: Asynchronous tests that did not run on the suite's loop.
    off_loop: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """List the tests for which the run fails."""
        differing = [difference.test for difference in self.unexplained]
        return [*differing, *self.gone, *self.blocking, *self.off_loop]


def differences(baseline: LabelRun, ours: LabelRun) -> Iterator[Difference]:
    """List the tests whose outcome in ``ours`` is worse than in ``baseline``."""
    for test in baseline.outcomes | ours.outcomes:
        before = baseline.outcomes.get(test, NOT_RUN)
        after = ours.outcomes.get(test, NOT_RUN)
        if _is_worse(before.outcome, after.outcome):
            yield Difference(test, before.outcome, after.outcome, after.detail)


def _is_worse(before: str, after: str) -> bool:
    if before in PASSED:
        return after not in PASSED
    if before in FAILED:
        return False
    return after in FAILED or (before == "skip" and after == "not run")


def judge(
    baseline: LabelRun,
    ours: LabelRun,
    expected: Iterable[Expected],
    may_block: Iterable[str] = (),
    *,
    in_bridge: bool = True,
) -> Verdict:
    """Compare, and hold what differs against the expected differences."""
    verdict = Verdict()
    awaited = {entry.test for entry in expected}
    found = list(differences(baseline, ours))
    for difference in found:
        known = difference.test in awaited
        (verdict.explained if known else verdict.unexplained).append(difference)
    possible = {test for test in awaited if _could_differ(test, baseline, ours)}
    verdict.gone = sorted(possible - {difference.test for difference in found})
    verdict.blocking = sorted({test for test, _ in ours.blocking} - set(may_block))
    if in_bridge:
        verdict.off_loop = sorted(ours.off_loop)
    return verdict


def _could_differ(test: str, *runs: LabelRun) -> bool:
    found = [run.outcomes[test] for run in runs if test in run.outcomes]
    if found:
        return any(it.outcome != "skip" for it in found)
    # Nor does a test differ that its label does not have any more.
    are_whole = not any(run.broken for run in runs)
    return are_whole and test.partition(".")[0] in {run.label for run in runs}


def load_expected(path: Path = EXPECTED) -> list[Expected]:
    """Read the expected differences; refuse an entry that is not complete."""
    with path.open("rb") as file:
        entries = tomllib.load(file).get("difference", [])
    return [_checked(entry) for entry in entries]


def load_may_block(engine: str, path: Path = EXPECTED) -> list[str]:
    """Read which tests may block the loop on ``engine``."""
    with path.open("rb") as file:
        entries = tomllib.load(file).get("blocking", [])
    return [it["test"] for it in entries if engine in it.get("engines", ENGINES)]


def _checked(entry: dict[str, object]) -> Expected:
    for name in ("modes", "engines", "django"):
        if name in entry:
            entry[name] = tuple(entry[name])
    expected = Expected(**entry)
    if expected.kind not in KINDS:
        raise ValueError(f"{expected.test}: kind must be one of {KINDS}.")
    if len(expected.reason.split()) < 5:
        raise ValueError(f"{expected.test}: the reason must say why, in words.")
    return expected
