"""Holds the seams against every supported Django, and against a pre-release.

Contract: ``run_canary()`` looks at the package in an environment of each series
asked for, or with the newest Django on the package index, pre-releases
included; it prints what is not as recorded and returns the exit status.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from _environment import PYTHON_OF_LOWER_BOUNDS, Pair, find_pairs, make_environment
from tests.upstream.source import CACHE, CHECKOUT


def run_canary(
    series: Iterable[str], interpreter: str | None, *, pre: bool, record: bool
) -> int:
    """Look at every series; return 0 where all is as recorded."""
    pythons = [interpreter] if interpreter else list(_pythons(set(series), pre=pre))
    argument = "--record" if record else "--check"
    command = ["-m", "tests.upstream.deriving", argument]
    statuses = [
        subprocess.run([python, *command], cwd=CHECKOUT, check=False).returncode
        for python in pythons
    ]
    return max(statuses, default=1)


def _pythons(series: set[str], *, pre: bool) -> Iterator[str]:
    """Give an interpreter for each series, and one with all at its lower bound."""
    pairs = find_pairs()
    if pre:
        yield _with_pre_release(pairs[-1])
        return
    newest = {pair.django: pair for pair in pairs}.values()
    for pair in pairs:
        if pair.django in series:
            if pair in newest or pair.python == PYTHON_OF_LOWER_BOUNDS:
                yield str(make_environment(pair, "test"))


def _with_pre_release(pair: Pair) -> str:
    """Make an environment with the newest Django there is."""
    home = CACHE / f"venv-pre-python{pair.python}"
    python, pip = str(home / "bin" / "python"), ["-m", "pip", "-qq", "install"]
    if not Path(python).exists():
        subprocess.run([pair.executable, "-m", "venv", str(home)], check=True)
        own = f"{CHECKOUT}[test]"
        subprocess.run([python, *pip, "--editable", own], check=True)
    # The package does not yet say that it supports that version.
    newest = ["--upgrade", "--pre", "--no-deps", "Django"]
    subprocess.run([python, *pip, *newest], check=True)
    return python
