"""What became of each test of one label in one mode, and where it is kept.

Contract: a ``LabelRun`` is complete: every test that was found has an outcome,
also one that ended its process. ``save()`` and ``load()`` keep it as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Outcomes by weight: of two for one test, as a failure in the test and an
#: error in its teardown, the heavier one counts.
WEIGHTS = {
    "ok": 0,
    "expected failure": 1,
    "skip": 2,
    "unexpected success": 3,
    "fail": 4,
    "error": 5,
    "crash": 6,
    "timeout": 7,
}
PASSED = {"ok", "expected failure"}
FAILED = {"unexpected success", "fail", "error", "crash", "timeout"}


@dataclass
class Outcome:
    """One of ``WEIGHTS``, and the traceback, the reason of a skip, or ""."""

    outcome: str
    detail: str = ""


@dataclass
class LabelRun:
    """The outcomes of one label; ``broken`` says why it has none or few."""

    label: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0
    broken: str = ""
    #: Waits that blocked the loop's thread: the test, and the stack of each.
    blocking: list[tuple[str, str]] = field(default_factory=list)
    #: Asynchronous tests, and those among them that ran off the suite's loop.
    coroutines: list[str] = field(default_factory=list)
    off_loop: list[str] = field(default_factory=list)

    def add(self, test: str, outcome: Outcome) -> None:
        """Note an outcome, unless a heavier one is known for the test."""
        known = self.outcomes.get(test)
        if known is None or WEIGHTS[known.outcome] < WEIGHTS[outcome.outcome]:
            self.outcomes[test] = outcome

    def count(self, kinds: Iterable[str]) -> int:
        """Count the tests whose outcome is one of ``kinds``."""
        return sum(outcome.outcome in kinds for outcome in self.outcomes.values())


def save(run: LabelRun, path: Path) -> None:
    """Write ``run`` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(run), indent=1))


def load(path: Path) -> LabelRun | None:
    """Return the run kept at ``path``, if there is one."""
    if not path.exists():
        return None
    kept: dict[str, Any] = json.loads(path.read_text())
    kept["outcomes"] = {test: Outcome(**it) for test, it in kept["outcomes"].items()}
    return LabelRun(**kept)
